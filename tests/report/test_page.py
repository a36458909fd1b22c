"""The page of a scale, of made-up results, opened in a browser that resolves no name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from firstorder.jobs.context import Context
from firstorder.publish import claims_page, grid
from firstorder.publish.manifest import VERSION
from firstorder.publish.numerals import number
from firstorder.publish.page import page as step

from .browser import Browser, program, running

HOSTILE = '</script><img src=x onerror="window.hurt=1">'
ROOT = "results/smoke"
LOSSES = {"ce": "CE", "mae": "MAE", "sgce": "SGCE"}
ACCURACIES = {("ce", "20 %"): 70.0, ("mae", "20 %"): 90.0, ("sgce", "20 %"): 80.0}


def _job(inputs: list[str], outputs: list[str], entry: str) -> dict[str, Any]:
    return {
        "spec": "0" * 12,
        "code": "c0de00c0de00",
        "entries": [entry],
        "inputs": inputs,
        "outputs": outputs,
        "receipt": None,
    }


def _write(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A table, a figure, two claims and their manifest; what the step is given."""
    for name in ("tables", "figures"):
        (folder / ROOT / name).mkdir(parents=True)
    cells = [
        {"section": "Digits", "row": LOSSES[loss], "corner": "Loss", "column": column, "loss": loss,
         "mean": mean, "std": 1.0, "n": 2, "text": f"{mean:.2f} ± 1.00", "seeds": "1: 69, 2: 71",
         "published": 70.5, "published_std": 0.2, "published_text": "70.50 ± 0.20",
         "source": "Table 1", "difference": mean - 70.5,
         "agreement": "agrees" if mean == 70.0 else "differs", "best": mean == 90.0}
        for (loss, column), mean in ACCURACIES.items()
    ]  # fmt: skip
    pd.DataFrame(cells).to_csv(folder / ROOT / "tables/a-table.csv", index=False)
    (folder / ROOT / "tables/a-table.html").write_text(grid.webpage([], HOSTILE, "Bold: the best."))
    curves = [
        {"loss": loss, "label": label, "epoch": epoch, "accuracy_mean": 0.1 * epoch,
         "accuracy_std": 0.01, "accuracy_count": 2}
        for loss, label in LOSSES.items()
        for epoch in (1, 2, 3)
    ]  # fmt: skip
    pd.DataFrame(curves).to_csv(folder / ROOT / "figures/a-figure.csv", index=False)
    effect = {
        "name": "gain", "direction": "above", "unit": "points", "note": "", "value": 2.0,
        "low": 1.0, "high": 3.0, "threshold": 1.5, "seeds": 2, "examples": 0,
    }  # fmt: skip
    claims = [
        {"study": "a", "claim": claim, "title": f"{claim} {HOSTILE}", "where": "§ 1", "by": "paper",
         "since": "2026-01-01", "history": "", "status": status, "verdict": "Two points.",
         "margin": 0.5, "flip": 0.1, "effects": json.dumps([effect])}
        for claim, status in (("H1", "holds"), ("F1", "fails"))
    ]  # fmt: skip
    pd.DataFrame(claims).to_csv(folder / ROOT / "claims.csv", index=False)
    runs = {loss: f"{ROOT}/a/runs/{loss}/seed1/summary.json" for loss in LOSSES}
    table, figure = f"{ROOT}/tables/a-table.csv", f"{ROOT}/figures/a-figure.csv"
    raw = f"{ROOT}/datasets/digits.safetensors"
    jobs = {
        "prepare/digits": _job([], [raw], "made.up:prepare"),
        **{f"train/{loss}": _job([raw], [path], "made.up:train") for loss, path in runs.items()},
        "table/a/table": _job(list(runs.values()), [table], "made.up:table"),
        "figure/a/figure": _job(list(runs.values()), [figure], "made.up:figure"),
        "claims": _job([runs["ce"]], [f"{ROOT}/claims.csv"], "made.up:claims"),
    }
    hashes = {path: "ab" * 32 for job in jobs.values() for path in job["outputs"]}
    manifest = {"version": VERSION, "scale": "smoke", "commit": "f" * 40, "dirty": False,
                "device": "cpu: any", "packages": {}, "files": hashes, "missing": [],
                "jobs": jobs}  # fmt: skip
    (folder / ROOT / "manifest.json").write_text(json.dumps(manifest))
    selected = {"rows": [{"loss": loss, "label": label} for loss, label in LOSSES.items()]}
    shown = [
        {"id": f"a-{kind}", "study": "a", "kind": kind, "key": ["a", kind], "title": HOSTILE,
         "where": "Table 1", "caption": "Made up.", "function": f"made.up:{kind}",
         "selected": selected, "names": [f"{loss}/1/summary.json" for loss in LOSSES],
         "files": {name: f"{kind}s/a-{kind}.{name}" for name in ("csv", "html", "svg")}}
        for kind in ("table", "figure")
    ]  # fmt: skip
    spec = {
        "scale": "smoke",
        "data": "digits",
        "studies": [{"name": "a", "title": "A study", "paper": "None.", "seeds": [1],
                     "data": "digits"}],
        "artefacts": shown,
        "claims": [
            {"study": "a", "claim": claim, "function": "made.up:claim", "related": ["a-table"],
             "files": ["a/ce/1/summary.json"]}
            for claim in ("H1", "F1")
        ],
        "claim_files": ["a/ce/1/summary.json"],
    }  # fmt: skip
    inputs = {"claims": f"{ROOT}/claims.csv", "manifest": f"{ROOT}/manifest.json"}
    return spec, inputs


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page, written."""
    monkeypatch.chdir(tmp_path)
    spec, inputs = _write(tmp_path)
    step(spec, inputs, {"page": f"{ROOT}/index.html"}, Context())
    return tmp_path / ROOT / "index.html"


@pytest.fixture
def opened(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page in a browser."""
    if program() is None:
        pytest.skip("no Chromium on the path")
    with running(tmp_path_factory.mktemp("browser")) as browser:
        for domain in ("Page", "Runtime", "Network"):
            browser.call(f"{domain}.enable")
        browser.call("Page.navigate", url=written.as_uri())
        browser.wait("document.querySelector('#views button')")
        yield browser
        asked = [e for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        urls = {event["params"]["request"]["url"] for event in asked}
        assert not {url for url in urls if url.startswith("http")}
        thrown = [e for e in browser.events if e["method"] == "Runtime.exceptionThrown"]
        assert thrown == []
        assert not browser.evaluate("window.hurt === 1"), "text of the configuration was run"


def see(browser: Browser, address: str) -> None:
    """Go to a view."""
    browser.evaluate(f"location.hash = {address!r}, new Promise(r => setTimeout(r, 50))")


def labels(browser: Browser) -> list[str]:
    found: list[str] = browser.evaluate(
        "[...document.querySelectorAll('table.results tbody th')].map(e => e.textContent)"
    )
    return found


def click(browser: Browser, selector: str) -> None:
    browser.evaluate(
        f"document.querySelector({selector!r}).click(), new Promise(r => setTimeout(r, 60))"
    )


def test_it_is_one_file_below_its_size(written: Path) -> None:
    text = written.read_text()
    assert len(text) < 1_500_000
    assert HOSTILE not in text and "src=" not in text.split('id="data"')[0]


def test_the_first_view_tells_what_held_and_failed(opened: Browser) -> None:
    text = opened.evaluate("document.getElementById('main').innerText")
    assert "1 holds" in text and "1 fails" in text and "F1" in text
    assert "3 numbers stand beside published ones: 1 agrees, 2 differ." in text
    assert "Data: digits." in text and "A claim holds where" in text
    assert text.index("What failed") < text.index("F1") < text.index("What held")
    assert text.index("What held") < text.index("H1")
    assert opened.evaluate("document.querySelectorAll('#band circle').length") == 6


def test_a_table_is_sorted_and_filtered_and_its_view_is_in_the_address(opened: Browser) -> None:
    see(opened, "view=tables")
    assert labels(opened) == ["CE", "MAE", "SGCE"]
    click(opened, "table.results th.number button")
    assert labels(opened) == ["CE", "SGCE", "MAE"]
    click(opened, "table.results th.number button")
    assert labels(opened) == ["MAE", "SGCE", "CE"]
    assert "dir=desc" in opened.evaluate("location.hash")
    opened.evaluate(
        "(() => { const f = document.querySelector('input[name=q]'); f.value = 'sg';"
        " f.dispatchEvent(new Event('input')); return new Promise(r => setTimeout(r, 300)); })()"
    )
    assert labels(opened) == ["SGCE"]
    assert "q=sg" in opened.evaluate("location.hash")


def test_the_best_is_bold_as_the_caption_says(opened: Browser) -> None:
    see(opened, "view=tables")
    assert "Bold: the best." in opened.evaluate("document.querySelector('.caption').innerText")
    weights = opened.evaluate(
        "[...document.querySelectorAll('table.results td.number button')]"
        ".map(e => getComputedStyle(e).fontWeight)"
    )
    assert weights == ["400", "700", "400"]


def test_numbers_are_printed_as_everywhere_else(opened: Browser) -> None:
    values = [-0.5, 1e-9, -2.1e6, 12345, 0.00034, 0]
    said = opened.evaluate(f"{json.dumps(values)}.map(short)")
    assert said == [number(value, 4) for value in values]


def test_a_number_leads_to_its_runs_and_their_command_code_and_raw_file(opened: Browser) -> None:
    see(opened, "view=tables&q=MAE")
    click(opened, "table.results td.number button")
    detail = "document.getElementById('detail').innerText"
    text = opened.evaluate(detail)
    assert "1: 69, 2: 71" in text and "Table 1" in text
    assert "a/runs/mae/seed1/summary.json" in text and "runs/ce" not in text
    click(opened, "#detail button[data-job='train/mae']")
    text = opened.evaluate(detail)
    assert "firstorder train --scale=smoke --results=results mae" in text
    assert "made.up:train" in text and "c0de00c0de00" in text
    assert "datasets/digits.safetensors" in text and "sha256 abababababababab" in text
    href = opened.evaluate("document.querySelector('#detail dd a').getAttribute('href')")
    assert href == "logs/train/mae.log"


def test_the_legend_hides_lines_and_the_csv_has_what_is_shown(opened: Browser) -> None:
    see(opened, "view=curves")
    assert opened.evaluate("document.querySelector('.legend').innerText").startswith("loss:")
    series = "[...document.querySelectorAll('#plot .series')].map(e => e.dataset.name)"
    assert opened.evaluate(series) == ["CE", "MAE", "SGCE"]
    click(opened, ".legend button")
    assert opened.evaluate(series) == ["MAE", "SGCE"]
    text = opened.evaluate(
        "(() => { let found; const make = URL.createObjectURL; URL.createObjectURL = b =>"
        " { found = b.text(); return make(b); };"
        " document.querySelector('.controls button').click(); return found; })()"
    )
    lines = text.splitlines()
    assert lines[0].startswith("loss,label,epoch") and len(lines) == 1 + 2 * 3
    see(opened, "view=curves&logy=1")
    assert opened.evaluate("document.querySelector('input[name=logy]').checked")


def test_claims_come_failures_first_with_interval_and_threshold(opened: Browser) -> None:
    see(opened, "view=claims")
    rows = opened.evaluate(
        "[...document.querySelectorAll('#claims tbody tr')].map(e => e.innerText)"
    )
    assert rows[0].startswith("F1") and rows[1].startswith("H1")
    assert "gain: 2 [1, 3] points; claimed > 1.5" in rows[0] and "since 2026-01-01" in rows[0]
    see(opened, "view=claims&status=holds")
    assert opened.evaluate("document.querySelectorAll('#claims tbody tr').length") == 1


def test_a_claim_of_the_first_view_leads_to_itself_alone(opened: Browser) -> None:
    click(opened, "ul.claims button")
    rows = "[...document.querySelectorAll('#claims tbody tr')].map(e => e.id)"
    assert opened.evaluate(rows) == ["a-F1"]
    assert "claim=F1" in opened.evaluate("location.hash")


# Every kind of data that a figure has: columns, and the axes and lines that are drawn at first.
DRAWN: dict[str, tuple[list[dict[str, Any]], str, set[str]]] = {
    # The axis is the rate though the noise says it too; a noise that is no axis is chosen.
    "rates": (
        [{"noise": f"n-{rate}", "rate": rate, "loss": loss, "mean": rate, "std": 0.1, "count": 2}
         for rate in (0.2, 0.4) for loss in ("ce", "mae")],
        "mean against rate", {"ce", "mae"},
    ),
    # A value beside a parameter does not tell which parameter it is of.
    "parameters": (
        [{"family": family, "value": value, "noise": noise, "mean": value, "count": 2}
         for family, values in (("a", (0.1, 0.2)), ("b", (1.0, 2.0)))
         for value in values for noise in ("low", "high")],
        "mean against value", {"low", "high"},
    ),
    # A rate before the names is no value, and what is drawn is of one rate.
    "paths": (
        [{"rate": rate, "loss": loss, "step": step, "accuracy": step * rate}
         for rate in (0.4, 0.8) for loss in ("ce", "mae") for step in range(9)],
        "accuracy against step", {"ce", "mae"},
    ),
    # Parts of a figure have columns of their own.
    "parts": (
        [{"panel": "plane", "x": 0.1 * i, "y": 0.2 * i, "mode": None, "tau": None}
         for i in range(9)]
        + [{"panel": "modes", "x": None, "y": None, "mode": i, "tau": 1.5 * i} for i in range(9)],
        "tau against mode", {""},
    ),
    # Lines of one metric have no arm.
    "metrics": (
        [{"k": k, "mean": 0.1 * k, "metric": "share", "arm": None, "task": None} for k in range(5)]
        + [{"k": None, "mean": 0.1, "metric": "accuracy", "arm": arm, "task": task}
           for arm in ("network", "linear") for task in (1, 2)],
        "mean against k", {""},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRAWN)
def test_curves_of_every_kind_of_data_are_drawn(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if program() is None:
        pytest.skip("no Chromium on the path")
    monkeypatch.chdir(tmp_path)
    spec, inputs = _write(tmp_path)
    data, axes, lines = DRAWN[kind]
    pd.DataFrame(data).to_csv(f"{ROOT}/figures/a-figure.csv", index=False)
    step(spec, inputs, {"page": f"{ROOT}/index.html"}, Context())
    with running(tmp_path / "browser") as browser:
        for domain in ("Page", "Runtime"):
            browser.call(f"{domain}.enable")
        browser.call(
            "Page.navigate", url=(tmp_path / ROOT / "index.html").as_uri() + "#view=curves"
        )
        browser.wait("document.querySelector('#plot')")
        assert (
            browser.evaluate("document.getElementById('plot').getAttribute('aria-label')") == axes
        )
        series = "[...document.querySelectorAll('#plot .series')].map(e => e.dataset.name)"
        assert set(browser.evaluate(series)) == lines
        # One point an axis value: no line joins what differs in more than the axis.
        assert browser.evaluate(
            "document.querySelectorAll('#plot .series polyline').length"
        ) == len(lines)


def test_the_claims_page_escapes_and_puts_failures_first(written: Path) -> None:
    frame = pd.read_csv(written.parent / "claims.csv", keep_default_na=False)
    related = [{"id": "a-table", "kind": "table", "title": HOSTILE}]
    behind = {("a", name): {"function": "m:f", "related": related} for name in ("H1", "F1")}
    text = claims_page.page({"a": claims_page.Study(HOSTILE, HOSTILE)}, frame, behind, "Caption.")
    assert HOSTILE not in text
    assert text.index('id="a-F1"') < text.index('id="a-H1"')
    assert "claimed &gt; 1.5" in text and 'href="tables/a-table.html"' in text
    assert '<code class="faint">m:f</code>' in text
