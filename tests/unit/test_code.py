"""Code digests: what counts as a change, and how far a change reaches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firstorder.errors import ConfigError
from firstorder.jobs import code as codes
from firstorder.jobs.job import Job
from firstorder.jobs.study import Step

SOURCE = Path(__file__).resolve().parents[2] / "src" / "firstorder"

PACKAGE = {
    "__init__.py": "",
    "registry.py": "KNOWN = {}\ndef register(name):\n    def add(f):\n        KNOWN[name] = f\n"
    "        return f\n    return add\ndef build(name):\n    return KNOWN[name]\n",
    "one.py": "from firstorder.registry import register\n"
    '@register("one")\ndef first(x):\n    """Doc."""\n    return helper(x)\n'
    "from math import floor, sqrt\n"
    "MORE = 1\n"
    "def helper(x):\n    root = sqrt(x)\n    return floor(root) + MORE\n"
    "def unused(x):\n    return 7\n",
    "two.py": "from firstorder import one\nfrom firstorder.registry import register\n"
    '@register("two")\ndef second(x):\n    return one.helper(x)\n',
    "entry.py": "from firstorder import registry\ndef run(name):\n    return registry.build(name)\n"
    "def other():\n    from firstorder import one\n    return one.unused(1)\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of the same name as ours, with our digest in it."""
    folder = tmp_path / "firstorder"
    (folder / "jobs").mkdir(parents=True)
    for name, text in PACKAGE.items():
        (folder / name).write_text(text)
    for name in ("errors.py", "files.py", "own.py", "jobs/__init__.py", "jobs/code.py"):
        shutil.copy(SOURCE / name, folder / name)
    return folder


def code(package: Path, *entries: str, python: str = sys.executable) -> str:
    script = f"from firstorder.jobs import code; print(code.code(*{list(entries)!r}))"
    done = subprocess.run(
        [python, "-c", script],
        cwd=package.parent,
        env={
            "PYTHONPATH": os.environ.get("PYTHONPATH", str(package.parent)),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def edit(package: Path, name: str, old: str, new: str) -> None:
    path = package / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


ONE = "firstorder.one:first"
TWO = "firstorder.two:second"
RUN = "firstorder.entry:run"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""', '"""Another."""'),
        ("def helper(x):", "# a comment\n\n\ndef helper(x):"),
        ("def helper(x):", "def helper(x: int) -> int:"),
        ("root = ", "root: float = "),
        ("MORE = 1", "MORE: int = 1"),
        ("return 7", "return 8"),
    ],
    ids=["docstring", "comment", "annotation", "of a local", "of a constant", "unused definition"],
)
def test_what_changes_no_result_changes_no_digest(package: Path, old: str, new: str) -> None:
    before = code(package, ONE)
    edit(package, "one.py", old, new)
    assert code(package, ONE) == before


def test_a_change_reaches_its_dependents_through_modules(package: Path) -> None:
    before = code(package, ONE), code(package, TWO), code(package, RUN)
    edit(package, "one.py", "+ MORE", "- MORE")
    after = code(package, ONE), code(package, TWO), code(package, RUN)
    assert after[0] != before[0] and after[1] != before[1]
    assert after[2] == before[2]


def test_registering_one_more_function_changes_no_other_digest(package: Path) -> None:
    before = code(package, RUN, ONE)
    edit(
        package,
        "two.py",
        "def second",
        '@register("three")\ndef third(x):\n    return 3\n\n\n@register("two")\ndef second',
    )
    assert code(package, RUN, ONE) == before


def test_an_import_inside_a_function_is_followed(package: Path) -> None:
    before = code(package, "firstorder.entry:other")
    edit(package, "one.py", "return 7", "return 8")
    assert code(package, "firstorder.entry:other") != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from math import floor, sqrt", "from math import floor, exp as sqrt"),
        ("from math import floor, sqrt", "from math import floor as sqrt, sqrt as floor"),
    ],
    ids=["of another package", "exchanged"],
)
def test_another_meaning_of_a_name_is_another_digest(package: Path, old: str, new: str) -> None:
    before = code(package, ONE)
    edit(package, "one.py", old, new)
    assert code(package, ONE) != before


def test_names_of_this_package_that_change_places_are_another_digest(package: Path) -> None:
    text = "from firstorder.one import first, helper\ndef f(x):\n    return first(x) - helper(x)\n"
    (package / "three.py").write_text(text)
    before = code(package, "firstorder.three:f")
    edit(package, "three.py", "import first, helper", "import first as helper, helper as first")
    assert code(package, "firstorder.three:f") != before


def test_the_files_of_a_folder_count(package: Path) -> None:
    folder = package / "publish" / "assets"
    folder.mkdir(parents=True)
    (folder / "page.css").write_text("a {}")
    before = code(package, ONE, "firstorder.publish:assets")
    (folder / "page.css").write_text("b {}")
    assert code(package, ONE, "firstorder.publish:assets") != before


def test_an_entry_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"firstorder\.losses:cee: no such code"):
        codes.code("firstorder.losses:cee")


def test_what_code_builds_by_a_name_of_its_own_counts() -> None:
    """`losses.build("ce")` mentions no function; a text where nothing is built is no name."""
    built = codes.reach(("firstorder.studies.robust_kernels.rotation", "follow_rotation"))
    assert ("firstorder.losses.baselines", "ce") in built
    assert ("firstorder.losses.baselines", "mae") not in built
    drawn = codes.reach(("firstorder.studies.symmetrization.claims_epochs", "memorises"))
    assert ("firstorder.studies.symmetrization.claims_epochs", "memorises") in drawn
    assert ("firstorder.losses.baselines", "ce") not in drawn


def test_a_statement_that_runs_on_import_counts(package: Path) -> None:
    before = code(package, ONE)
    edit(package, "registry.py", "KNOWN = {}\n", "KNOWN = {}\nprint\n")
    assert code(package, ONE) != before


def test_a_file_of_the_user_counts_as_a_whole(package: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def loss(s):\n    return s\n")
    before = code(package, f"{mine}:loss")
    mine.write_text("def loss(s):\n    return 2 * s\n")
    assert code(package, f"{mine}:loss") != before


def test_a_helper_of_the_users_file_counts_and_one_that_is_not_imported_does_not(
    package: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("import helper\ndef loss(s):\n    return helper.twice(s)\n")
    for name in ("helper", "other"):
        (tmp_path / f"{name}.py").write_text("def twice(s):\n    return 2 * s\n")
    before = code(package, f"{mine}:loss")
    (tmp_path / "other.py").write_text("def twice(s):\n    return 3 * s\n")
    assert code(package, f"{mine}:loss") == before
    (tmp_path / "helper.py").write_text("def twice(s):\n    return 3 * s\n")
    assert code(package, f"{mine}:loss") != before


def test_what_a_file_of_the_users_uses_of_this_package_counts(
    package: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from firstorder import one\ndef loss(s):\n    return one.helper(s)\n")
    before = code(package, f"{mine}:loss")
    edit(package, "one.py", "return 7", "return 8")
    assert code(package, f"{mine}:loss") == before
    edit(package, "one.py", "MORE = 1", "MORE = 2")
    assert code(package, f"{mine}:loss") != before


@pytest.mark.parametrize(
    "texts",
    [
        {"mine.py": "from firstorder.one import *\ndef loss(s):\n    return helper(s)\n"},
        {
            "util.py": "from firstorder.one import helper\n",
            "mine.py": "from util import helper\ndef loss(s):\n    return helper(s)\n",
        },
        {
            "util.py": "from firstorder import one\n",
            "mine.py": "import util\ndef loss(s):\n    return util.one.helper(s)\n",
        },
    ],
    ids=["by a star", "a name of another file", "a module of another file"],
)
def test_what_a_file_of_the_users_gets_from_this_package_in_a_roundabout_way_counts(
    package: Path, tmp_path: Path, texts: dict[str, str]
) -> None:
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    before = code(package, "mine.py:loss")
    edit(package, "one.py", "return 7", "return 8")
    assert code(package, "mine.py:loss") == before
    edit(package, "one.py", "MORE = 1", "MORE = 2")
    assert code(package, "mine.py:loss") != before


def test_what_a_file_of_the_users_builds_by_name_counts(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from firstorder import losses\nBASE = losses.build('ce', 10)\n")
    used = codes._used(f"{mine}:BASE")
    assert ("firstorder.losses.baselines", "ce") in used
    assert ("firstorder.losses.baselines", "mae") not in used


@pytest.mark.parametrize("entry", ["my/net.py:loss", "my.net:loss"])
@pytest.mark.parametrize(
    "file", ["my/util.py", "my/sub/__init__.py", "my/sub/inner/__init__.py", "other/__init__.py"]
)
def test_every_file_that_python_runs_for_one_of_the_users_counts(
    package: Path, tmp_path: Path, entry: str, file: str
) -> None:
    texts = {
        "my/__init__.py": "",
        "my/net.py": "import sub.inner.helper\ndef loss(s):\n    return s\n",
        "my/sub/__init__.py": "",
        "my/sub/inner/__init__.py": "",
        "my/sub/inner/helper.py": "from util import twice\nfrom other.deep import thrice\n",
        "my/util.py": "def twice(s):\n    return 2 * s\n",
        "other/__init__.py": "",
        "other/deep.py": "def thrice(s):\n    return 3 * s\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    if entry.startswith("my."):  # what it imports is found from where its package lies
        (tmp_path / "my/net.py").write_text(texts["my/net.py"].replace("sub", "my.sub"))
        (tmp_path / "my/sub/inner/helper.py").write_text(
            texts["my/sub/inner/helper.py"].replace("util", "my.util")
        )
    before = code(package, entry)
    (tmp_path / file).write_text(texts[file] + "SCALE = 7\n")
    assert code(package, entry) != before


def test_what_only_declares_a_study_is_not_in_the_code_of_its_steps(
    package: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    declared = tmp_path / "mine/__init__.py"
    declared.write_text("MINUTES = 1\nSTUDY = MINUTES\n")
    steps = tmp_path / "mine/steps.py"
    steps.write_text("from mine.grid import f\ndef step(s):\n    return f(s)\n")
    (tmp_path / "mine/grid.py").write_text("def f(s):\n    return s\n")
    before = code(package, "mine.steps:step")
    declared.write_text("MINUTES = 2\nSTUDY = MINUTES\n")
    assert code(package, "mine.steps:step") == before
    steps.write_text("from mine import MINUTES\ndef step(s):\n    return s * MINUTES\n")
    before = code(package, "mine.steps:step")
    declared.write_text("MINUTES = 3\nSTUDY = MINUTES\n")
    assert code(package, "mine.steps:step") != before


def test_a_digest_imports_no_package_of_the_users(package: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "mine/own.py").write_text("def loss(s):\n    return s\n")
    before = code(package, "mine.own:loss")
    (tmp_path / "mine/__init__.py").write_text("import sys\nsys.exit(1)\n")
    assert before and code(package, "mine.own:loss") != before


@pytest.mark.parametrize("imported", ["from . import SIZE", "from .. import SIZE"])
def test_what_a_module_of_the_users_takes_from_its_package_counts(
    package: Path, tmp_path: Path, imported: str
) -> None:
    folder = tmp_path / "mine" / "inner"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / "__init__.py").write_text("SIZE = 1\n")
    (folder / "own.py").write_text(f"{imported}\ndef loss(s):\n    return SIZE * s\n")
    before = code(package, "mine.inner.own:loss")
    place = folder if imported.startswith("from . ") else folder.parent
    (place / "__init__.py").write_text("SIZE = 2\n")
    assert code(package, "mine.inner.own:loss") != before


LAZY = """
from importlib import import_module
def __getattr__(name):
    return import_module("." + name, __name__)
"""


@pytest.mark.parametrize(
    ("imported", "place"),
    [
        ("from helper import SIZE", "mine/helper.py"),
        ("from mine.helper import SIZE", "mine/helper.py"),
        ("import importlib\nSIZE = importlib.import_module('helper').SIZE", "mine/helper.py"),
        ("SIZE = __import__('mine.helper').helper.SIZE", "mine/helper.py"),
        ("from elsewhere import SIZE", "library/elsewhere.py"),
        ("from packed.inner import SIZE", "library/packed/inner.py"),
        ("SIZE = float(open('mine/size.txt').read())", "mine/size.txt"),
        ("SIZE = float(open('library/size.txt').read())", "library/size.txt"),
        ("SIZE = float((HERE / 'size.txt').read_text())", "mine/size.txt"),
        ("SIZE = float((HERE / 'in' / 'size.txt').read_text())", "mine/in/size.txt"),
        (
            "import os\nSIZE = float(open(os.path.join(HERE, 'in', 'size.txt')).read())",
            "mine/in/size.txt",
        ),
        ("SIZE = float(open(f'{HERE}/size.txt').read())", "mine/size.txt"),
        ("import runpy\nSIZE = runpy.run_path(str(HERE / 'other.py'))['SIZE']", "mine/other.py"),
        ("from lazy import thing\nSIZE = thing.SIZE", "mine/lazy/thing.py"),
        ("import lazy\nSIZE = lazy.thing.SIZE", "mine/lazy/thing.py"),
    ],
)
def test_what_a_file_of_the_users_imports_and_reads_counts(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: str, place: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{tmp_path / 'library'}")
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "mine").mkdir(exist_ok=True)
    (tmp_path / place).write_text("SIZE = 1\n")
    (tmp_path / "mine" / "lazy").mkdir(exist_ok=True)
    (tmp_path / "mine" / "lazy" / "__init__.py").write_text(LAZY)
    start = "from pathlib import Path\nHERE = Path(__file__).parent\n"
    (tmp_path / "mine/own.py").write_text(f"{start}{imported}\ndef loss(s):\n    return SIZE * s\n")
    before = code(package, "mine/own.py:loss")
    (tmp_path / place).write_text("SIZE = 2\n")
    assert code(package, "mine/own.py:loss") != before


OWN = """
import math
from numpy import exp
from helper import SIZE
WIDTH = 2.0
OTHER = 3.0
class Base:
    pass
def loss(s):
    return inner(s) * math.pi
def inner(s):
    return s * WIDTH * SIZE
def another(s):
    return OTHER * exp(s)
"""


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("def another(s):", "def third(s):\n    return s\ndef another(s):", False),
        ("OTHER = 3.0", "OTHER = 4.0", False),
        ("from numpy import exp", "from math import exp", False),
        ("import math", "import numpy as math", True),
        ("WIDTH = 2.0", "WIDTH = 2.5", True),
        ("s * WIDTH", "s + WIDTH", True),
        ("WIDTH = 2.0", "WIDTH = 2.0\nif WIDTH:\n    WIDTH = 3.0", True),
        ("def another(s):", "inner.scale = 2\ndef another(s):", True),
        ("def another(s):", "exp.precision = 2\ndef another(s):", True),
        ("def another(s):", "@another_one\ndef another(s):", True),
        ("class Base:\n    pass", "from math import *", True),
        ("return inner(s)", "return globals()['inner'](s)", True),
    ],
)
def test_of_a_users_file_counts_what_a_definition_reaches(
    package: Path, tmp_path: Path, old: str, new: str, counts: bool
) -> None:
    (tmp_path / "helper.py").write_text("SIZE = 1\n")
    (tmp_path / "own.py").write_text(OWN)
    before = code(package, "own.py:loss")
    edit(tmp_path, "own.py", old, new)
    assert (code(package, "own.py:loss") != before) is counts


@pytest.mark.parametrize(
    "line",
    [
        "@registered\ndef f(s):\n    pass",
        "from helper import *",
        "x = vars()",
        "eval('1')",
        "Base.__subclasses__()",
        "import importlib\nimportlib.import_module(__name__)",
        "import back",
        "import own as me",
        "def f(s):\n    from own import another\n    return another(s)",
        "f = loss.__globals__",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    Base = OTHER",
        "KEPT = []\ndef add(x):\n    KEPT.append(x)\nADDED = add(OTHER)",
    ],
)
def test_a_users_file_that_finds_definitions_otherwise_counts_as_a_whole(
    package: Path, tmp_path: Path, line: str
) -> None:
    (tmp_path / "own.py").write_text(f"{OWN}{line}\n")
    (tmp_path / "back.py").write_text("def f(s):\n    import own\n    return own.OTHER\n")
    before = code(package, "own.py:loss")
    edit(tmp_path, "own.py", "OTHER = 3.0", "OTHER = 4.0")
    assert code(package, "own.py:loss") != before


def test_a_users_file_is_known_wherever_it_lies(package: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(OWN)
    assert code(package, "one/own.py:loss") == code(package, "two/own.py:loss")


def test_null_bytes_have_no_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"def loss(s):\n    return s\n\0")
    with pytest.raises(ConfigError, match=r"mine\.py: not Python: "):
        codes.code(f"{tmp_path / 'mine.py'}:loss")


def test_a_file_that_is_not_python_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def loss(s):\n    return (\n")
    with pytest.raises(ConfigError, match=r"mine\.py: line 2: not Python: "):
        codes.code(f"{tmp_path / 'mine.py'}:loss")


EXAMPLE = r'''
from __future__ import annotations
import functools

TABLE: dict[str, int] = {"a": 1, **{}}
NAMES = ["x", 'y', b"z", 1_000, 0x10, 1e-3, 2j, ..., None, True]

@functools.cache
def gather(first, /, second=(), *rest, third=None, **others) -> int:
    """Doc."""
    global TABLE
    for name, value in sorted(others.items()):
        if (found := TABLE.get(name)) is not None and value != found or not rest:
            continue
        yield from (lambda x, *y: x)(name)
    else:
        pass
    try:
        assert first, "one" f"{second!r:>{10}} of" "two" f"{first=}" "" rf"\d{name:{value}.{2}}"
    except* (ValueError, KeyError) as error:
        raise RuntimeError from error
    finally:
        del TABLE
    return [*rest, *({k: v for k, v in others.items()} | {1, 2})][1:-1:2] if first else third @ 2

class Shape(tuple, metaclass=type):
    size: int = 3
    def area(self):
        match self:
            case [x, *_] | {"x": x, **_rest} if x:
                return x
            case Shape(size=0) | None | "text":
                return -1
            case _:
                return self.size ** 2

async def wait(one, two):
    async with one as first, two:
        return [await each async for each in first]
'''
DIGEST = "d1f69163898b"
"""Of the example, on every supported Python."""


def interpreters() -> list[str]:
    """Every supported Python of this machine: on the path, and where pyenv and uv keep theirs."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    found = [shutil.which(name) for name in names]
    for folder in ("~/.pyenv/versions", "~/.local/share/uv/python"):
        below = Path(folder).expanduser()
        found += [str(path) for name in names for path in sorted(below.glob(f"*/bin/{name}"))]
    # A shim may stand for no Python; one that works says where it really is.
    asked = [
        subprocess.run(
            [each, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True
        ).stdout.strip()
        for each in found
        if each
    ]
    return [sys.executable, *sorted({each for each in asked if each})]


def test_the_digest_of_an_example_is_one_text_on_every_python(
    package: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(EXAMPLE)
    for python in interpreters():
        assert code(package, f"{tmp_path / 'mine.py'}:gather", python=python) == DIGEST, python


def test_the_digest_leaves_out_what_is_empty() -> None:
    """Versions of Python differ in which empty fields a node has (`type_params`)."""
    import ast

    tree = ast.parse("def f(x, /):\n    return x\n")
    text = codes._text(tree)
    assert "None" not in text and "[]" not in text
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node._fields = (*node._fields, "of_a_later_python")
            node.of_a_later_python = []  # type: ignore[attr-defined]
    assert codes._text(tree) == text


def test_registered_definitions_are_found_by_their_decorator() -> None:
    found = codes.registered("firstorder.losses", "sgce")
    assert found == ("firstorder.losses.symmetric:sgce",)
    assert codes.registered("firstorder.losses", "no-such-loss") == ()


@pytest.mark.parametrize("text", ["my/matrix.csv", "matrix.csv", "{here}/my/matrix.csv"])
def test_a_file_that_a_parameter_of_ones_own_function_names_decides_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    (tmp_path / "my/loss.py").write_text("def ramp(scores, *, matrix=''): ...")
    (tmp_path / "my/matrix.csv").write_text("1")
    spec = {
        "loss": {
            "parameters": {
                "matrix": text.format(here=tmp_path),
                "q": 0.5,
                "of": ["a", "~\0", "~\ud800"],
            }
        }
    }

    def made(*entries: str) -> Job:
        def job(config: Any) -> Job:
            return Job("train", (), spec, {"labels": "l"}, {"run": "r"}, entries)

        return Step("train", "m:f", (), "", lambda config: {}, job, lambda config: ()).make(None)

    found = made("my/loss.py:ramp").code
    assert len(found) == 2
    assert made("firstorder.losses.baselines:gce").code == ("firstorder.losses.baselines:gce",)
    digests = set()
    for content in ("1", "2"):
        (tmp_path / "my/matrix.csv").write_text(content)
        for cached in (codes.code, codes._sha256):  # as another process
            cached.cache_clear()
        digests.add(codes.code(*found))
    assert len(digests) == 2
