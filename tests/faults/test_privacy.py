"""What is published does not say where, or by whom, it was made."""

from __future__ import annotations

import re
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from projects import ROOT
from projects import Project as Workflow

from .conftest import CELL, RUN, Project, duplicate


@pytest.fixture(scope="module")
def published(undisturbed: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One cell, and all that is published from it."""
    project = duplicate(undisturbed, tmp_path_factory.mktemp("published"))
    project.edit("config.yaml", studies=["symmetrization"])
    path = project.folder / "config/studies/symmetrization/study.yaml"
    import yaml

    study = yaml.safe_load(path.read_text())
    study["artefacts"] = {
        name: study["artefacts"][name] for name in ("accuracy-symmetric", "learning-curves")
    }
    study["claims"] = dict(list(study["claims"].items())[:1])
    path.write_text(yaml.safe_dump(study, allow_unicode=True, sort_keys=False))
    verbs = [
        ("table", "symmetrization", "accuracy-symmetric"),
        ("figure", "symmetrization", "learning-curves"),
        ("claims",),
        ("manifest",),
        ("paper",),
    ]
    for verb in verbs:
        done = project.run(*verb)
        assert done.status == 0, done.text
    return project


def secrets(project: Project) -> list[bytes]:
    """The folders of this machine that made the results."""
    folders = {project.folder, ROOT, Path(sys.prefix), Path(sys.base_prefix), Path.home()}
    return [f"{folder}/".encode() for folder in folders]


def contents(path: Path) -> bytes:
    """The bytes of a file, with those of its compressed parts."""
    content = path.read_bytes()
    if path.suffix == ".pdf":
        for stream in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
            try:
                content += zlib.decompress(stream)
            except zlib.error:
                continue
    if path.suffix in (".npz", ".zip"):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(archive.read(name) for name in archive.namelist())
    return content


def leaks(project: Project, paths: list[Path]) -> list[str]:
    return [
        f"{path.name}: {secret.decode()}"
        for path in paths
        for secret in secrets(project)
        if secret in contents(path)
    ]


def test_no_result_names_a_folder_of_the_machine(published: Project) -> None:
    results = published.folder / "results/tiny"
    paths = [path for path in results.rglob("*") if path.is_file() and "logs" not in path.parts]
    kinds = {path.suffix for path in paths}
    assert kinds >= {".json", ".csv", ".pdf", ".svg", ".png", ".html", ".md", ".tex", ".npz"}
    assert {"manifest.json", "paper.pdf", "claims.html"} <= {path.name for path in paths}
    assert leaks(published, paths) == []


def test_inputs_of_records_are_relative(published: Project) -> None:
    inputs = published.results()["seed1/summary.json"]["inputs"]
    assert inputs and not any(Path(path).is_absolute() for path in inputs)


def test_the_report_of_the_workflow_names_no_folder_of_the_machine(
    project: Project, tmp_path: Path
) -> None:
    workflow = Workflow(project.folder)
    target = "results/tiny/tables/symmetrization-accuracy-symmetric.html"
    workflow.snakemake(target)
    workflow.snakemake(target, "--report", "report.zip")
    assert leaks(project, [project.folder / "report.zip"]) == []
    assert (project.folder / RUN / "seed1/summary.json").is_file() and CELL
