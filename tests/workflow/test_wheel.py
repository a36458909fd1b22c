"""The wheel alone, with torch, numpy, scipy and safetensors, runs the pages of the libraries."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("linearized.md", "dynamics.md", "tangent-kernels-under-noise.md")


def needed(names: list[str]) -> dict[str, Distribution]:
    """The distributions of this environment that `names` need, themselves included."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        if requirement.name in found or (
            requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        ):
            continue
        try:
            found[requirement.name] = distribution(requirement.name)
        except PackageNotFoundError:
            continue
        waiting += map(Requirement, found[requirement.name].requires or ())
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with the wheel unpacked, and one with what it declares to need, and no more."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    unpacked, packages = folder / "unpacked", folder / "packages"
    zipfile.ZipFile(wheel).extractall(unpacked)
    metadata = next(unpacked.glob("*.dist-info/METADATA")).read_text()
    declared = [
        line.removeprefix("Requires-Dist: ")
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    ]
    packages.mkdir()
    for each in needed(declared).values():
        for file in each.files or ():
            top = file.parts[0]
            place = Path(str(each.locate_file(top)))
            if top not in ("..", "bin", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(place)
    return unpacked, packages


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run_from_the_wheel_alone(
    environment: tuple[Path, Path], page: str, tmp_path: Path
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert blocks
    paths = [str(each) for each in environment]
    program = "\n".join([f"import sys; sys.path[:0] = {paths!r}", *blocks])
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", program],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_command_line_says_which_extra_it_needs(environment: tuple[Path, Path]) -> None:
    paths = [str(each) for each in environment]
    program = f"import sys; sys.path[:0] = {paths!r}; from firstorder.jobs.warm import main; main()"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "firstorder: click is not installed: pip install 'firstorder[workflow]'"
    )
