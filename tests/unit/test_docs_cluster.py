"""docs/cluster.md and the template of a profile name the rules that there are, as they ask."""

from __future__ import annotations

import re

import pytest
from projects import ROOT

from firstorder.jobs import plan
from firstorder.jobs.job import Job

ROW = re.compile(r"^\| ((?:all others: )?`\w+`.*?) \| (.*?) \| (.*?) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    """The jobs of the scale that clusters are for, on GPUs."""
    made = plan.make(str(ROOT / "config"), {"scale": "paper", "device": "cuda"})
    return list(made.jobs().values())


@pytest.fixture(scope="module")
def local() -> set[str]:
    """The rules that run where Snakemake runs."""
    sources = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    listed = re.findall(r"^localrules:\n((?: +\w+,\n)+)", text, re.MULTILINE)
    return set(re.findall(r"\w+", "".join(listed)))


@pytest.fixture(scope="module")
def rows() -> dict[str, tuple[str, str]]:
    """Partition and GPUs by rule, as the page has them."""
    text = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    table = text[text.index("| rule | partition |") :]
    found = ROW.findall(table.partition("\n\n")[0])
    return {name: (a, b) for names, a, b in found for name in re.findall(r"`(\w+)`", names)}


def test_the_page_says_where_every_rule_goes(
    jobs: list[Job], local: set[str], rows: dict[str, tuple[str, str]]
) -> None:
    submitted = {job.step: job.demand.gpu for job in jobs if job.step not in local}
    expected = {
        name: ("with GPUs", "1") if gpu else ("without GPUs", "none")
        for name, gpu in submitted.items()
    }
    others = {name: said for name, said in rows.items() if name not in expected}
    assert rows == expected | others
    assert set(others) <= local and {said[0] for said in others.values()} == {
        "none: where Snakemake runs"
    }


def test_the_template_moves_every_rule_that_asks_for_a_gpu(jobs: list[Job]) -> None:
    text = (ROOT / "profiles/template/config.yaml").read_text(encoding="utf-8")
    named = re.findall(r"^# {3}(\w+): \{ gpu: 0", text, re.MULTILINE)
    assert sorted(named) == sorted({job.step for job in jobs if job.demand.gpu})


def test_what_is_downloaded_is_downloaded_where_snakemake_runs(
    jobs: list[Job], local: set[str]
) -> None:
    downloads = {job.step for job in jobs if "receipt" in job.outputs}
    until = re.search(
        r"--until ((?:\w+ )*\w+)`", (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    )
    assert downloads <= local
    assert until and set(until[1].split()) == downloads
