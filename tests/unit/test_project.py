"""What the repository itself must keep: one set of versions, no traces of a machine, no stubs."""

from __future__ import annotations

import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import firstorder
from firstorder.config import load
from firstorder.jobs import study
from firstorder.publish.declared import artefacts


@pytest.fixture(scope="module")
def pyproject(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text())


def locked(path: Path) -> dict[str, list[Requirement]]:
    """The pins of a requirements file; one package may have several, for different Pythons."""
    pins: dict[str, list[Requirement]] = {}
    for line in path.read_text().splitlines():
        if not line.startswith((" ", "#")):
            pin = Requirement(line.removesuffix("\\"))
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def pinned(pin: Requirement) -> str:
    (only,) = pin.specifier
    assert only.operator == "=="
    return only.version


@pytest.mark.parametrize("name", ["lock.txt", "bootstrap.txt"])
def test_every_locked_package_has_a_version_and_hashes_and_no_address(
    project: Path, name: str
) -> None:
    text = (project / "envs" / name).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_the_lock_satisfies_every_declared_dependency(
    project: Path, pyproject: dict[str, Any]
) -> None:
    pins = locked(project / "envs" / "lock.txt")
    declared = [
        *pyproject["project"]["dependencies"],
        *pyproject["project"]["optional-dependencies"]["workflow"],
        *pyproject["project"]["optional-dependencies"]["slurm"],
        *pyproject["dependency-groups"]["dev"],
    ]
    for requirement in map(Requirement, declared):
        found = pins.get(canonicalize_name(requirement.name))
        assert found, f"{requirement} is not in envs/lock.txt: run `make lock`"
        for pin in found:
            assert requirement.specifier.contains(pinned(pin)), f"{requirement}: locked {pin}"


def test_the_installer_is_locked_to_the_same_versions(project: Path) -> None:
    bootstrap = locked(project / "envs" / "bootstrap.txt")
    assert set(bootstrap) == {"setuptools", "uv"}
    lock = locked(project / "envs" / "lock.txt")
    assert pinned(bootstrap["setuptools"][0]) == pinned(lock["setuptools"][0])


def test_conda_and_containers_use_the_same_lock(project: Path) -> None:
    environment = yaml.safe_load((project / "envs" / "environment.yaml").read_text())
    (pip,) = [each["pip"] for each in environment["dependencies"] if isinstance(each, dict)]
    assert pip == ["--require-hashes", "-r lock.txt"]
    named = [each for each in environment["dependencies"] if isinstance(each, str)]
    assert {re.split("[=<>]", each)[0] for each in named} == {"python", "pip", "make"}
    for recipe in ("Dockerfile", "envs/apptainer.def"):
        text = (project / recipe).read_text()
        assert re.search(r"make (-C \S+ )?env", text)
        assert "pip install" not in text


def test_this_environment_is_the_locked_one(project: Path) -> None:
    if Path(sys.prefix).resolve() != (project / ".venv").resolve():
        pytest.skip("not run in .venv, whose versions `make` guarantees")
    for name, pins in locked(project / "envs" / "lock.txt").items():
        valid = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
        for pin in valid:
            assert Version(version(name)).public == pinned(pin), f"{name}: run `make env`"


def test_one_version_is_told_everywhere(project: Path, pyproject: dict[str, Any]) -> None:
    citation = yaml.safe_load((project / "CITATION.cff").read_text())
    deposit = json.loads((project / ".zenodo.json").read_text())
    told = {firstorder.__version__, pyproject["project"]["version"]}
    told |= {citation["version"], deposit["version"]}
    assert len(told) == 1
    assert citation["title"] == deposit["title"]
    assert citation["license"] == deposit["license"] == pyproject["project"]["license"] == "MIT"


def test_reading_the_configuration_imports_nothing_slow(project: Path) -> None:
    """The workflow reads it again in every job process."""
    code = (
        "import sys; from firstorder.config import load; from firstorder.jobs.study import find; "
        "load('config', None, find); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, check=True, capture_output=True, text=True
    )
    slow = {"torch", "torchvision", "scipy", "pandas", "matplotlib", "sklearn", "snakemake"}
    assert not slow & set(done.stdout.split())


def test_every_package_is_installed(project: Path) -> None:
    """A folder without `__init__.py` is imported from here, and missing in a wheel."""
    source = project / "src" / "firstorder"
    folders = {path.parent for path in source.rglob("*.py")}
    assert [each for each in folders if not (each / "__init__.py").is_file()] == []


def tracked(project: Path) -> list[Path]:
    """The text files of the repository: what git tracks or would."""
    if shutil.which("git") is None or not (project / ".git").exists():
        pytest.skip("needs a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    binary = {".png", ".pdf", ".npz", ".npy", ".safetensors", ".gz", ".zip", ".jpg"}
    paths = [project / name for name in listed if name]
    return [path for path in paths if path.is_file() and path.suffix not in binary]


def test_no_file_names_this_machine_or_a_package_host(project: Path) -> None:
    hosts = ["py" + "pi.org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian"]
    # A checkout right below the root, as in the container: too common a text to look for.
    machine = [str(project)] if len(project.parts) > 2 else []
    for path in tracked(project):
        text = path.read_text(encoding="utf-8")
        for trace in (*hosts, *machine):
            assert trace not in text, f"{path.relative_to(project)} contains {trace}"


def test_nothing_is_left_to_do(project: Path) -> None:
    marks = re.compile("TO" + "DO|FIX" + "ME|XX" + "X|NotImplemented" + "Error")
    for path in tracked(project):
        part = path.relative_to(project)
        if part.parts[0] in ("src", "workflow", "Snakefile"):
            found = marks.search(path.read_text(encoding="utf-8"))
            assert not found, f"{part} contains {found and found.group()}"


def test_no_file_is_large(project: Path) -> None:
    for path in tracked(project):
        assert path.stat().st_size < 2_000_000, path.relative_to(project)


def test_every_shell_script_parses(project: Path) -> None:
    for path in tracked(project):
        if path.suffix == ".sh" or path == project / ".ci" / "run":
            subprocess.run(["bash", "-n", str(path)], check=True)


def test_make_needs_a_recent_python_and_says_so(project: Path, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(project / name, tmp_path)
    shutil.copytree(project / "envs", tmp_path / "envs")
    old = tmp_path / "python3.8"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1"\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "env", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    message = done.stderr.splitlines()[0]
    assert "Python 3.11 or newer" in message
    assert "Python 3.8.1" in message
    assert "make PYTHON=" in message
    assert not (tmp_path / ".venv").exists()


def test_the_readme_asks_for_figures_that_are_declared(project: Path) -> None:
    asked = re.findall(
        r"results/(\w+)/figures/([a-z0-9-]+)\.svg", (project / "README.md").read_text()
    )
    assert asked
    for scale, name in asked:
        loaded = load(project / "config", {"scale": scale}, study.find)
        figures = {f"{own}-{id}" for own, id, each in artefacts(loaded) if each.kind == "figure"}
        assert name in figures


def test_every_name_of_the_package_in_the_documents_exists(project: Path) -> None:
    documents = [project / "README.md", *(project / "docs").glob("*.md")]
    named = {
        name
        for path in documents
        for name in re.findall(
            r"\bfirstorder(?:\.(?![A-Z]+\b)\w+)+", path.read_text(encoding="utf-8")
        )
    }
    assert len(named) > 10
    for name in named:
        pkgutil.resolve_name(name)  # an error names what is no more
