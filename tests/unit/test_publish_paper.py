"""The manifest, the chain to raw data, provenance and the paper."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

# ruff: noqa: F811  (a fixture is an argument)
from test_publish_records import tiny, tree  # noqa: F401  (fixtures)

from firstorder import config as configuration
from firstorder import files, provenance
from firstorder.config import Config
from firstorder.errors import DataError
from firstorder.publish import claims, figures, manifest, needs, paper, tables

SOURCE = Path(__file__).resolve().parents[2] / "paper" / "main.typ"
KEPT = {
    "symmetrization": ("accuracy-symmetric", "learning-curves"),
    "linearized": ("binary-size", "rotated-kernel-table"),
}


def four_artefacts(config: Config) -> Config:
    """The configuration with the artefacts of KEPT alone."""
    studies = {}
    for study, names in KEPT.items():
        declared = getattr(config.studies, study)
        own = {name: declared.artefacts[name] for name in names}
        studies[study] = declared.model_copy(update={"artefacts": own})
    return config.model_copy(update={"studies": config.studies.model_copy(update=studies)})


@pytest.fixture(scope="module")
def made_tree(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up tree with four artefacts and the claims made, once."""
    root = tmp_path_factory.mktemp("made")
    shutil.copytree(tree, root, dirs_exist_ok=True)
    (root / "paper").mkdir()
    shutil.copy(SOURCE, root / "paper/main.typ")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        config = four_artefacts(configuration.load("config"))
        for study, name, artefact in configuration.artefacts(config):
            (tables if artefact.kind == "table" else figures).build(config, study, name)
        claims.build(config)
    return root


@pytest.fixture
def made(made_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a copy of the tree with four artefacts."""
    shutil.copytree(made_tree, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return four_artefacts(configuration.load("config"))


def test_the_paper_is_a_pdf_that_repeats_to_the_byte(made: Config) -> None:
    paper.build(made)
    target = Path(needs.paths_of(made).paper)
    first = target.read_bytes()
    assert first.startswith(b"%PDF")
    paper.build(made)
    assert target.read_bytes() == first
    report = files.read_json(target.with_suffix(".json"))
    listed = [item["id"] for study in report["studies"] for item in study["artefacts"]]
    assert listed == [f"{study}-{name}" for study, names in KEPT.items() for name in names]
    assert "seeds 1, 2, 3" in report["studies"][0]["artefacts"][0]["caption"]


def test_the_paper_can_be_set_from_results_elsewhere(made: Config, tmp_path: Path) -> None:
    elsewhere = tmp_path / "far" / "away"
    shutil.copytree(made.settings.results, elsewhere)
    settings = made.settings.model_copy(update={"results": str(elsewhere)})
    config = made.model_copy(update={"settings": settings})
    paper.build(config)
    assert (elsewhere / "tiny" / "paper.pdf").is_file()


def test_a_missing_artefact_is_named(made: Config) -> None:
    path = needs.paths_of(made).figure("linearized", "binary-size", "svg")
    Path(path).unlink()
    with pytest.raises(DataError, match=path):
        paper.build(made)
    with pytest.raises(DataError, match=path):
        manifest.build(made)


def test_the_manifest_maps_every_artefact_to_hashes_of_its_files_and_inputs(made: Config) -> None:
    manifest.build(made)
    written = json.loads(Path(needs.paths_of(made).manifest).read_text())
    assert set(written["results"]) == {f"{s}-{n}" for s, names in KEPT.items() for n in names}
    for result in written["results"].values():
        for path, digest in result["files"].items():
            assert files.sha256(path) == digest
        for path in result["inputs"]:
            assert files.sha256(path) == written["files"][path]
        assert len(result["code"]) == 12
    accuracy = written["results"]["symmetrization-accuracy-symmetric"]
    assert accuracy["seconds"] == pytest.approx(1.5 * 4 * 8 * 3)
    assert written["made_on"]["devices"] == ["cpu"]
    assert str(Path.cwd()) not in json.dumps(written)


def test_the_chain_goes_from_a_table_to_raw_data_and_says_what_changed(made: Config) -> None:
    paths = needs.paths_of(made)
    dataset, raw = paths.dataset("cifar10"), paths.raw("cifar10", "images.bin")
    for path in (dataset, raw):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("raw")
    file = {"name": "images.bin", "sha256": files.sha256(raw)}
    declared = made.datasets["cifar10"]
    declared = type(declared).model_validate({**declared.model_dump(), "files": [file]})
    config = made.model_copy(update={"datasets": {**made.datasets, "cifar10": declared}})
    run = Path(paths.run("images", "symmetric-0.0", "ce", 1, "summary.json"))
    record = json.loads(run.read_text()) | {"inputs": {dataset: files.sha256(dataset)}}
    run.write_text(json.dumps(record))
    manifest._record.cache_clear()
    chain = manifest.explain(config, paths.table("symmetrization", "accuracy-symmetric"))
    assert "  96 files " in chain
    assert [part in chain for part in (str(run), dataset, raw)] == [True] * 3
    assert "CHANGED" not in chain and chain.endswith("all unchanged")
    manifest._digest.cache_clear()
    Path(dataset).write_text("edited")
    chain = manifest.explain(config, paths.table("symmetrization", "accuracy-symmetric"))
    assert f"CHANGED since: {dataset}" in chain


def test_a_record_names_inputs_by_hash_and_no_machine(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(provenance.COMMIT_VARIABLE, "abc123-dirty")
    provenance.source.cache_clear()
    path = needs.inputs(tiny, "symmetrization", "cost")[0]
    record = provenance.record(tiny, "0123456789ab", [str(Path(path).absolute())])
    assert record["inputs"] == {path: files.sha256(path)}
    assert (record["commit"], record["dirty"]) == ("abc123", True)
    assert record["code"] == "0123456789ab"
    assert record["device"].startswith(("cpu: ", "cuda: "))
    assert "torch" in record["versions"]
    assert str(Path.cwd()) not in json.dumps(record)
    provenance.source.cache_clear()


def test_outside_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(provenance.COMMIT_VARIABLE, raising=False)
    monkeypatch.setattr(provenance, "_describe", lambda: "")
    provenance.source.cache_clear()
    assert provenance.source() == ("unknown", None)
    provenance.source.cache_clear()
