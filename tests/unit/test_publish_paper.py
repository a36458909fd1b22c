"""The manifest, the chain to raw data, provenance and the paper."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from projects import Project

from firstorder import files
from firstorder.errors import UserError
from firstorder.jobs import plan, provenance
from firstorder.jobs.job import Job
from firstorder.publish import explain, paper
from firstorder.publish.manifest import VERSION

TABLE = "results/smoke/tables/toy-pixels.csv"
MEAN = "results/smoke/toy/digits.json"


def test_the_paper_is_a_pdf_that_repeats_to_the_byte(made_toy: Project) -> None:
    target = made_toy.folder / "results/smoke/paper.pdf"
    first = target.read_bytes()
    assert first.startswith(b"%PDF")
    target.unlink()
    made_toy.firstorder("paper")
    assert target.read_bytes() == first


def test_verdicts_are_counted_in_sentences() -> None:
    statuses = ("holds", "holds", "fails", "not resolved")
    rows = [
        {"study": "a", "claim": str(n), "title": "", "where": "", "status": status, "verdict": ""}
        for n, status in enumerate(statuses)
    ]
    study = {"name": "a", "title": "A", "paper": "", "protocol": [], "artefacts": []}
    found = paper._study(study, pd.DataFrame(rows), Path())
    assert found["verdicts"] == "A: of 4 claims, 2 hold, 1 fails, 1 is not resolved."


def test_a_missing_artefact_is_named_by_what_is_made_of_it(made_toy: Project) -> None:
    (made_toy.folder / TABLE).unlink()
    for verb in ("paper", "manifest"):
        done = made_toy.firstorder(verb, check=False)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.startswith(f"firstorder: {TABLE}: no such file; ")


def test_the_manifest_maps_every_file_to_its_hash_and_names_no_machine(
    finished_toy: Project,
) -> None:
    written = json.loads((finished_toy.folder / "results/smoke/manifest.json").read_text())
    for path, digest in written["files"].items():
        assert files.sha256(finished_toy.folder / path) == digest
    made = {path for job in written["jobs"].values() for path in job["outputs"]}
    assert made == set(written["files"])
    assert set(written["jobs"]) == {
        "prepare/digits",
        "measure/digits",
        "table/toy/pixels",
        "claims",
    }
    result = written["results"]["toy-pixels"]
    assert set(result["files"]) < set(written["files"]) and result["inputs"] == [MEAN]
    assert len(result["code"]) == 12
    assert str(finished_toy.folder) not in json.dumps(written)


class Chain:
    """Two tables of a made-up study: raw file -> dataset -> runs of two seeds -> table."""

    def __init__(self, folder: Path) -> None:
        self.jobs: dict[tuple[str, ...], Job] = {}
        self.add("fetch_text", "raw.json", [], path="resources/images.bin", urls=())
        self.add("prepare", "dataset", ["raw.json"])
        for seed in ("1", "2"):
            self.add("train", f"seed{seed}/summary.json", ["dataset"])
        inputs = ["seed1/summary.json", "seed2/summary.json"]
        self.add("table", "table.csv", inputs, title="Accuracy", where="Table 1")
        self.manifest = "manifest.json"
        self.write_manifest()

    def write_manifest(self) -> None:
        """The hashes of all files as they are now."""
        hashes = {path: files.sha256(path) for key in self.jobs for path in key[1:]}
        value = {"version": VERSION, "packages": {}, "jobs": {}, "files": hashes}
        files.write_json(self.manifest, value)

    def add(self, step: str, output: str, inputs: list[str], **aside: object) -> None:
        """A job whose output is written."""
        text = {"code": "c", "inputs": {path: files.sha256(path) for path in inputs}}
        files.write_text(output, json.dumps(text if "seed" in output else {}))
        self.jobs[step, output] = Job(
            step=step,
            key=(output,),
            spec={},
            inputs={path: path for path in inputs},
            outputs={"receipt" if step == "fetch_text" else output: output},
            code=("code",) if step != "fetch_text" else (),
            aside=aside,
        )

    def explain(self, path: str = "table.csv") -> tuple[str, bool]:
        return explain.explain(path, self.jobs, self.manifest, lambda job: "0123456789ab")


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """The made-up study in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return Chain(tmp_path)


def test_the_chain_goes_from_a_table_to_raw_data(chain: Chain) -> None:
    text, intact = chain.explain()
    assert intact and text.splitlines()[0].startswith("table.csv  [table: Accuracy; Table 1")
    assert "2 files summary.json of `train`, for example" in text
    assert all(part in text for part in ("seed1/summary.json", "dataset", "raw.json"))
    assert "raw file resources/images.bin" in text and "code 0123456789ab" in text
    assert text.endswith("5 files compared with their recorded hashes: all unchanged")


@pytest.mark.parametrize("path", ["./table.csv", "seed1/..//table.csv", "{here}/table.csv"])
def test_a_result_is_known_however_its_path_is_spelled(chain: Chain, path: str) -> None:
    assert chain.explain(path.format(here=Path.cwd())) == chain.explain()


@pytest.mark.parametrize("path", ["dataset", "seed2/summary.json", "table.csv", "raw.json"])
def test_a_file_anywhere_in_the_chain_that_changed_is_told(chain: Chain, path: str) -> None:
    Path(path).write_text("[]")
    text, intact = chain.explain()
    assert not intact and f"CHANGED since: {path}" in text
    assert text.splitlines()[-1].endswith("1 CHANGED")


@pytest.mark.parametrize("path", ["dataset", "seed2/summary.json", "table.csv", "raw.json"])
def test_a_file_anywhere_in_the_chain_that_is_gone_is_told(chain: Chain, path: str) -> None:
    Path(path).unlink()
    text, intact = chain.explain()
    assert not intact and f"MISSING: {path}" in text
    assert text.splitlines()[-1] == "of 5 recorded files 1 MISSING"


def test_an_input_that_changed_before_the_manifest_was_made_is_told_by_its_record(
    chain: Chain,
) -> None:
    Path("dataset").write_text("another")
    chain.write_manifest()
    text, intact = chain.explain()
    assert not intact and "CHANGED since seed1/summary.json was made: dataset" in text
    Path(chain.manifest).unlink()
    assert chain.explain()[0].endswith("of 1 recorded files 1 CHANGED")


def test_without_a_manifest_nothing_is_called_unchanged(chain: Chain) -> None:
    Path(chain.manifest).unlink()
    text, intact = chain.explain()
    assert intact
    assert text.endswith("nothing compared: there is no manifest, which `make` writes last")


def test_a_file_that_no_job_makes_is_refused(chain: Chain) -> None:
    with pytest.raises(UserError, match="nowhere: no job of this scale makes it"):
        chain.explain("nowhere")


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A source that says which commit it is."""
    monkeypatch.setenv(provenance.COMMIT_VARIABLE, "abc123-dirty")
    provenance.source.cache_clear()
    yield
    provenance.source.cache_clear()


def test_a_record_names_inputs_by_hash_and_no_machine(
    chain: Chain, committed: None, tmp_path: Path
) -> None:
    inputs = [str(tmp_path / "dataset")]
    record = provenance.record("cpu", "0123456789ab", inputs, datetime.now(UTC))
    assert record["inputs"] == {"dataset": files.sha256("dataset")}
    assert (record["commit"], record["dirty"]) == ("abc123", True)
    assert record["code"] == "0123456789ab" and record["device"].startswith("cpu: ")
    assert "torch" in record["versions"]
    assert str(tmp_path) not in json.dumps(record)


def test_a_frozen_plan_is_what_was_frozen_or_refused(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(plan.VARIABLE, raising=False)
    made = plan.freeze(plan.make("config", {}))
    monkeypatch.delenv(plan.VARIABLE)
    again = plan.read(made.path)
    assert again.config == made.config and again.codes == made.codes
    assert again.jobs() == made.jobs()
    copied = Path(made.path).with_name("other.json")
    shutil.copy(made.path, copied)
    for path in (copied, Path(made.path)):
        path.write_text(path.read_text().replace("0.5", "0.6", 1))
        with pytest.raises(UserError, match="not the plan that was made; start the workflow again"):
            plan.read(path)


def test_a_plan_of_another_run_in_the_environment_is_refused(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(plan.VARIABLE, raising=False)
    plan.freeze(plan.make("config", {}))
    assert plan.of_job({"scale": "smoke"}).config.settings.scale == "smoke"
    with pytest.raises(UserError, match="was planned with results 'results', not 'elsewhere'"):
        plan.of_job({"results": "elsewhere"})
    made = plan.make("config", {"results": "elsewhere"})
    assert made.config.settings.results == "elsewhere", "a head makes its own plan"
    monkeypatch.delenv(plan.VARIABLE)


def test_outside_git_the_commit_is_unknown(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(provenance.COMMIT_VARIABLE, raising=False)
    monkeypatch.setattr(provenance, "_describe", lambda: "")
    provenance.source.cache_clear()
    assert provenance.source() == ("unknown", None)
    provenance.source.cache_clear()
