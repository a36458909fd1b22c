"""The RO-Crate: a flat graph whose references resolve and whose hashes are those of the files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import projects
import pytest
import yaml

from firstorder import files
from firstorder.errors import DataError
from firstorder.jobs import ledger
from firstorder.jobs.context import Context
from firstorder.publish import crate
from firstorder.publish.manifest import VERSION

TABLE = "symmetrization-accuracy-symmetric"
ROOT = Path("results/smoke")
RECORD = "symmetrization/runs/digits/symmetric-0.0/ce/seed1/summary.json"
SETTINGS = {"scale": "smoke", "studies": "symmetrization", "device": "auto"}
SPEC = {"settings": SETTINGS, "agent": "A. Runner"}
JOB = "table/symmetrization/accuracy-symmetric"
INPUTS = {
    **{name: str(projects.ROOT / name) for name in ("CITATION.cff", "Snakefile")},
    "manifest": str(ROOT / "manifest.json"),
    "paper": str(ROOT / "paper.pdf"),
}
OUTPUTS = {
    "crate": str(ROOT / "ro-crate-metadata.json"),
    "snakefile": str(ROOT / "workflow/Snakefile"),
    "codecheck": str(ROOT / "codecheck.yml"),
    "readme": str(ROOT / "README.md"),
}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with one table of two files, a record and a manifest, all made up."""
    monkeypatch.chdir(tmp_path)
    record, outside = ROOT / RECORD, Path("config/published/numbers.csv")
    table = [ROOT / f"tables/{TABLE}.{suffix}" for suffix in ("csv", "html")]
    for path in (record, *table, ROOT / "claims.csv", ROOT / "paper.pdf", outside):
        files.write_text(path, f"content of {path.name}")
    hashes = {str(path): files.sha256(path) for path in (record, outside)}
    result = {
        "kind": "table",
        "title": "Accuracy",
        "where": "Table 1",
        "code": "0123456789ab",
        "files": {str(path): files.sha256(path) for path in table},
        "inputs": list(hashes),
        "seconds": 1.0,
    }
    manifest = {
        "version": VERSION,
        "scale": "smoke",
        "data": "digits",
        "commit": "0" * 40,
        "dirty": False,
        "packages": {"snakemake": "9.27.1", "torch": "2.15.0"},
        "results": {TABLE: result},
        "claims": {str(ROOT / "claims.csv"): files.sha256(ROOT / "claims.csv")},
        "files": hashes,
        "device": "cpu",
        "jobs": {
            JOB: {
                "spec": "0",
                "code": "0",
                "outputs": list(map(str, table)),
                "entries": ["package.module:accuracy"],
            }
        },
    }
    entry = {
        "step": "table", "key": JOB.split("/")[1:], "spec": "0", "code": "0", "inputs": {},
        "outputs": {}, "device": "cpu", "seconds": 90.0, "cpu_seconds": 1.0,
        "peak_memory_bytes": 1,
    }  # fmt: skip
    place = ledger.place(str(ROOT), JOB)
    files.write_json(place, entry | {"digest": files.digest(entry)})
    os.utime(place, (1_800_000_000, 1_800_000_000))
    files.write_json(INPUTS["manifest"], manifest)


@pytest.fixture
def entities(results: None) -> dict[str, dict[str, Any]]:
    """The entities of the crate, by id."""
    crate.crate(SPEC, INPUTS, OUTPUTS, Context())
    document = json.loads(Path(OUTPUTS["crate"]).read_text())
    assert document["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    found = {each["@id"]: each for each in document["@graph"]}
    assert len(found) == len(document["@graph"]), "an entity appears twice"
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_text_of_the_configuration_is_no_markup_in_the_readme(results: None) -> None:
    manifest = files.read_json(INPUTS["manifest"])
    files.write_json(INPUTS["manifest"], {**manifest, "data": "<img src=x> [a](b)\n\n# {scale}"})
    crate.crate(SPEC, INPUTS, OUTPUTS, Context())
    text = Path(OUTPUTS["readme"]).read_text()
    assert r"Data: \<img src=x> [a\](b) # {scale}. Commit" in text


def test_the_descriptor_and_the_root_say_what_the_profiles_require(entities: Any) -> None:
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["about"] == {"@id": "./"}
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in descriptor["conformsTo"]
    assert {"name", "description", "datePublished", "license", "mainEntity"} <= set(root)
    workflow = entities[root["mainEntity"]["@id"]]
    assert set(workflow["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    run = entities["#run"]
    assert run["instrument"] == root["mainEntity"] and {"@id": "#run"} in root["mentions"]


def test_every_reference_resolves(entities: Any) -> None:
    elsewhere = (
        "https://w3id.org/ro/crate/",
        "https://doi.org/",
        "https://bioschemas.org/",
        "https://snakemake.",
    )
    missing = {
        name
        for name in references(list(entities.values()))
        if name not in entities and not name.startswith(elsewhere)
    }
    assert missing == set()


def test_every_file_is_a_part_with_its_hash_and_lies_in_the_crate(
    entities: Any,
) -> None:
    parts = {part["@id"] for part in entities["./"]["hasPart"]}
    present = [each for each in entities.values() if "File" in each["@type"]]
    assert {each["@id"] for each in present} == parts
    for each in present:
        assert files.sha256(ROOT / each["@id"]) == each["sha256"]


def test_a_table_names_the_records_that_it_was_made_from(entities: Any) -> None:
    action = entities[f"#{TABLE}"]
    assert [each["@id"] for each in action["result"]] == [
        f"tables/{TABLE}.csv", f"tables/{TABLE}.html"
    ]  # fmt: skip
    assert {each["@id"] for each in action["object"]} == {
        RECORD,
        "#config/published/numbers.csv",
    }


def test_an_action_says_what_was_done_when_and_by_whom(entities: Any) -> None:
    action, run = entities[f"#{TABLE}"], entities["#run"]
    assert action["description"] == "package.module:accuracy of code 0123456789ab, on 2 files."
    assert action["startTime"] == "2027-01-15T07:58:30+00:00"
    assert action["endTime"] == "2027-01-15T08:00:00+00:00"
    assert run["startTime"] == action["startTime"]
    assert entities[action["agent"]["@id"]]["name"] == "A. Runner" and run["agent"]


def test_who_ran_it_is_left_out_where_nobody_is_named(results: None) -> None:
    crate.crate({"settings": SETTINGS, "agent": ""}, INPUTS, OUTPUTS, Context())
    assert "agent" not in Path(OUTPUTS["crate"]).read_text()


def test_the_readme_is_about_the_crate(entities: Any) -> None:
    assert entities["README.md"]["about"] == {"@id": "./"}
    assert "scale smoke" in Path(OUTPUTS["readme"]).read_text()


def test_no_property_is_a_list_of_one(entities: Any) -> None:
    values = [each for entity in entities.values() for each in entity.values()]
    assert not [each for each in values if isinstance(each, list) and len(each) == 1]


def test_licence_and_papers_are_those_of_the_citation_file(entities: Any) -> None:
    assert entities["./"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    cited = {each["@id"] for each in entities["./"]["citation"]}
    assert cited == {
        f"https://arxiv.org/abs/{number}" for number in ("2605.20347", "2106.06770", "1906.10720")
    }


def test_codecheck_lists_what_a_checker_compares(entities: Any) -> None:
    value = yaml.safe_load(Path(OUTPUTS["codecheck"]).read_text())
    assert value["version"] == "https://codecheck.org.uk/spec/config/1.0/"
    listed = {each["file"] for each in value["manifest"]}
    assert listed == {f"tables/{TABLE}.csv", "claims.csv"}
    assert all((ROOT / name).is_file() for name in listed)


def test_without_a_manifest_there_is_no_crate(results: None) -> None:
    Path(INPUTS["manifest"]).unlink()
    with pytest.raises(DataError, match=r"manifest.json: no such file"):
        crate.crate(SPEC, INPUTS, OUTPUTS, Context())
