"""The house: imports run downwards, the engine knows no study, docs/architecture.md says so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT

from firstorder.jobs import code, signature

SOURCE = ROOT / "src" / "firstorder"
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli", "doctor", "schema", "exclusive"),
    ("studies",),
    ("publish",),
    ("dynamics", "linearized", "training"),
    ("data", "losses", "models"),
    ("jobs",),
    ("config",),
    ("arrays", "bounds", "device", "files", "memory", "own", "streams", "terminal"),
    ("errors",),
)
"""From above downwards. Rooms of one floor may know each other, if there is no circle."""
UPWARD = {
    ("jobs.warm", "cli"): "the console script: it starts a process, then runs the command line",
    ("jobs.study", "studies"): "looks into the folder of studies; names none",
}
"""What may look upwards, with the reason."""
PURE = ("losses", "models", "training", "linearized", "dynamics")
"""Know no paths, no job, no study."""
STUDIES = [path.parent.name for path in sorted((SOURCE / "studies").glob("*/__init__.py"))]


def modules() -> dict[str, Path]:
    """Every module, by its name below the package."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{each.name}" for each in node.names] + [node.module]
        else:
            continue
        for name in names:
            inner = name.removeprefix("firstorder.")
            if name.startswith("firstorder.") and inner in MODULES:
                yield inner


def room(module: str) -> str:
    return module.partition(".")[0]


EDGES = {(name, other) for name, path in MODULES.items() if name for other in imported(path)}


def test_every_module_has_its_floor() -> None:
    listed = {name for floor in LAYERS for name in floor}
    assert {room(name) for name in MODULES if name} == listed


def test_imports_run_downwards() -> None:
    floor = {name: number for number, names in enumerate(LAYERS) for name in names}
    upward = {(name, other) for name, other in EDGES if floor[room(other)] < floor[room(name)]}
    assert {(name, room(other)) for name, other in upward} == set(UPWARD)


def test_no_study_knows_another() -> None:
    between = {
        (name, other)
        for name, other in EDGES
        for own in STUDIES
        if name.startswith(f"studies.{own}")
        and other.startswith("studies.")
        and not other.startswith(f"studies.{own}")
    }
    assert between == set()


def test_rooms_of_one_floor_are_no_circle() -> None:
    rooms = {(room(name), room(other)) for name, other in EDGES}
    rooms -= {(name, name) for name, _ in rooms}
    rooms -= {(room(name), other) for name, other in UPWARD}
    left = {name for edge in rooms for name in edge}
    while left:  # take away what imports nothing that is left
        free = {name for name in left if not any(o in left for n, o in rooms if n == name)}
        assert free, f"a circle among {sorted(left)}"
        left -= free


@pytest.mark.parametrize("pure", PURE)
def test_what_computes_knows_no_paths_jobs_or_studies(pure: str) -> None:
    known = {other for name, other in EDGES if room(name) == pure}
    assert {room(other) for other in known} & {"jobs", "publish", "studies", "cli"} == set()


def test_no_shared_source_names_a_study() -> None:
    """`grep -rlE 'symmetrization|linearized' src/firstorder`, outside the packages of that name."""
    names = re.compile("|".join(STUDIES))
    assert STUDIES == ["line_attractor", "linearized", "robust_kernels", "symmetrization"]
    named = [
        name
        for name, path in MODULES.items()
        if room(name) not in ("studies", *STUDIES) and names.search(path.read_text())
    ]
    assert named == []


def test_planning_imports_of_a_study_are_light() -> None:
    """What `studies/NAME/__init__.py` leads to at its top is read by every process of a run."""
    heavy = {"torch", "pandas", "matplotlib", "numpy", "scipy"}
    waiting, seen = [f"studies.{name}" for name in STUDIES], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for statement in ast.parse(MODULES[name].read_text()).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                module = getattr(statement, "module", None) or statement.names[0].name
                assert room(module) not in heavy, f"{name} imports {module}"
                inner = module.removeprefix("firstorder.")
                below = [f"{inner}.{each.name}" for each in statement.names]
                waiting += [each for each in (inner, *below) if each in MODULES]


def test_the_page_on_the_architecture_names_what_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert len(page.splitlines()) <= 120, "one page"
    for path in re.findall(r"`((?:src|config|workflow|tests|docs|profiles)/[\w./-]+)`", page):
        assert "NAME" in path or (ROOT / path).exists(), path
    for name in ("loss", "dataset", "reader", "network", "noise", "figure", "claim", "study"):
        assert re.search(rf"^\| (a |an )?\*?\*?{name}", page, re.MULTILINE), name
    (block,) = re.findall(r"```\n(cli .*?)```", page, re.DOTALL)
    floors = [re.split(r" {2,}", line.strip(" ->"))[0] for line in block.splitlines()]
    drawn = [set(floor.replace("/<name>", "").split()) for floor in floors]
    assert drawn == [set(floor) for floor in LAYERS]


def test_every_option_that_is_a_number_says_its_limits() -> None:
    packages = [f"firstorder.studies.{name}" for name in STUDIES]
    packages += ["firstorder.publish", "firstorder.losses", "firstorder.models"]
    found, unlimited = 0, []
    for each in (each for package in packages for each in code.registry(package)):
        for option, adapter in signature.options(each.entry).items():
            for number in numbers(adapter.json_schema() if adapter else {"type": "number"}):
                found += 1
                if not any("imum" in key for key in number):
                    unlimited.append(f"{each.entry}: {option}")
    assert found > 100
    assert not unlimited


def numbers(schema: Any) -> Iterator[dict[str, Any]]:
    """The numbers that a JSON schema allows, unless it lists them."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number") and not {"enum", "const"} & schema.keys():
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from numbers(each)
