"""The report of a finished project, opened in a browser without a network."""

from __future__ import annotations

import base64
import html
import re
import socket
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, USUAL, Project, load, make_project

from firstorder.jobs.paths import paths
from firstorder.publish import tables
from firstorder.publish.steps import artefact_jobs

from .browser import Browser, program, running

pytestmark = pytest.mark.skipif(program() is None, reason="no Chromium on the path")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project with all its artefacts and the report."""
    project = make_project(tmp_path_factory.mktemp("reported"))
    project.snakemake()
    style = str(ROOT / "workflow/report/report.css")
    project.snakemake("all", "--report", "report.html", "--report-stylesheet", style)
    return project


@pytest.fixture(scope="module")
def page(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The report, opened."""
    with running(tmp_path_factory.mktemp("browser")) as browser:
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.call(f"{domain}.enable")
        offline: dict[str, Any] = {"offline": True, "latency": 0}
        browser.call(
            "Network.emulateNetworkConditions",
            **offline, downloadThroughput=0, uploadThroughput=0,
        )  # fmt: skip
        browser.call("Page.navigate", url=(project.folder / "report.html").as_uri())
        browser.wait("document.readyState == 'complete' && document.querySelector('#app li')")
        yield browser


def expected(project: Project) -> set[str]:
    """The files that the report must show."""
    config = load(project.folder / "config")
    shown = {paths(config).claims("html"), paths(config).paper}
    return shown | {next(iter(job.outputs.values())) for job in artefact_jobs(config)}


def show(page: Browser, path: str) -> None:
    """Press the eye beside a result."""
    page.evaluate(
        f"new ButtonViewManager(app).handleSelectedResult({path!r}).props.onClick(), null"
    )


def test_the_report_has_every_artefact_with_a_caption(project: Project, page: Browser) -> None:
    captions = page.evaluate(
        "Object.fromEntries(Object.entries(results).map(([k, v]) => [k, v.caption || '']))"
    )
    assert set(captions) == expected(project)
    assert all(len(caption) > 50 for caption in captions.values())


def test_the_claims_come_first_and_then_the_studies(page: Browser) -> None:
    items = page.evaluate("[...document.querySelectorAll('#app li')].map(i => i.innerText.trim())")
    results = items[[item.lower() for item in items].index("results") + 1 :]
    assert results[:2] == ["Claims", "Paper"] and len(results) == 2 + len(USUAL)


def test_the_workflow_is_drawn(page: Browser) -> None:
    page.wait("document.querySelector('.vega-embed canvas, .vega-embed svg') !== null")
    assert "first-order" in page.evaluate("document.body.innerText")


def test_every_artefact_is_rendered(project: Project, page: Browser) -> None:
    for path in sorted(expected(project)):
        show(page, path)
        if path.endswith(".svg"):
            shown = f"[...document.images].find(i => i.src == results[{path!r}].data_uri)"
            page.wait(f"{shown}?.complete && {shown}.naturalWidth > 100")
        elif path.endswith(".html"):
            source = page.evaluate(f"results[{path!r}].data_uri")
            page.wait(f"document.querySelector('iframe')?.src == results[{path!r}].data_uri")
            title = re.search(r"<h1>(.*?)</h1>", decoded(source).decode())
            assert title is not None, path
            rows = "document.querySelectorAll('table tbody tr').length > 0"
            frame = page.inside(f"{rows} || document.body.innerText.includes({tables.EMPTY!r})")
            heading = page.evaluate("document.querySelector('h1').innerHTML", frame)
            assert html.unescape(heading) == html.unescape(title[1])
        else:
            page.wait(f"document.querySelector('iframe')?.src == results[{path!r}].data_uri")
            assert decoded(page.evaluate(f"results[{path!r}].data_uri")).startswith(b"%PDF")


def test_there_is_no_error_and_nothing_is_asked_of_the_network(page: Browser) -> None:
    page.evaluate("app.setView({ content: 'stats' }), null")
    page.wait("document.querySelectorAll('.vega-embed canvas, .vega-embed svg').length >= 2")
    errors = [
        event
        for event in page.events
        if event["method"] == "Runtime.exceptionThrown"
        or (event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] == "error")
        or (event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error")
    ]
    assert errors == []
    asked = {
        event["params"]["request"]["url"]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
    }
    remote = {url for url in asked if urllib.parse.urlsplit(url).scheme in ("http", "https")}
    assert asked and not remote


def test_the_report_names_no_folder_of_the_machine(project: Project) -> None:
    text = (project.folder / "report.html").read_text()
    embedded = re.findall(
        r"data:[\w/+.-]+;(?:charset=[\w-]+;)?(?:filename=[^;]+;)?base64,[\w+/=]+", text
    )
    assert len(embedded) >= len(expected(project))
    everything = text.encode() + b"".join(map(decoded, embedded))
    private = [str(project.folder), str(ROOT), sys.prefix, str(Path.home()) + "/"]
    assert [name for name in private if name.encode() in everything] == []
    host = socket.gethostname()
    assert len(host) < 4 or not re.search(rf"\b{re.escape(host)}\b".encode(), everything)


def decoded(uri: str) -> bytes:
    """What a data URI holds."""
    head, _, body = uri.partition(",")
    return (
        base64.b64decode(body) if head.endswith("base64") else urllib.parse.unquote_to_bytes(body)
    )
