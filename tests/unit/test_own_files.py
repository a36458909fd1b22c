"""A definition in a new file of a package is known by its name alone."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from firstorder import losses, models, own
from firstorder.config import Recipe
from firstorder.errors import ConfigError, LossError, UserError
from firstorder.jobs import functions
from firstorder.losses.registry import _ENTRIES
from firstorder.models.registry import _BUILDERS, _INITIALISERS
from firstorder.streams import numpy_stream
from firstorder.studies.symmetrization.frames import kind_of_noise
from firstorder.training import loop
from firstorder.training.checkpoint import Checkpoint, apart
from firstorder.training.data import Data

LOSS = """
from firstorder.losses.registry import register


@register("fresh-ramp")
def ramp(scores, *, margin: float = 0.9):
    return (margin - scores.softmax(-1)).clamp(min=0)
"""
MODEL = """
import math

from torch import nn

from firstorder.models.registry import register


@register("fresh-layer")
def layer(num_classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), num_classes))
"""


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two packages that each have one more file."""
    for package, text in ((losses, LOSS), (models, MODEL)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "fresh.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    for known, name in (
        (_ENTRIES, "fresh-ramp"), (_BUILDERS, "fresh-layer"), (_INITIALISERS, "fresh-layer"),
        (sys.modules, "firstorder.losses.fresh"), (sys.modules, "firstorder.models.fresh"),
    ):  # fmt: skip
        known.pop(name, None)


@pytest.mark.usefixtures("added")
def test_a_loss_in_a_new_file_is_known() -> None:
    loss = losses.build("fresh-ramp", 10, margin=0.8)
    assert loss.values(torch.zeros(2, 10)).allclose(torch.full((2, 10), 0.7))
    assert "fresh-ramp" in losses.names()


@pytest.mark.usefixtures("added")
def test_a_network_in_a_new_file_is_known() -> None:
    assert models.build("fresh-layer", 3, (1, 4, 4))(torch.zeros(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(ConfigError, match=r"'fresh-laye' is unknown; allowed: .*fresh-layer"):
        models.build("fresh-laye", 3, (1, 4, 4))


def test_a_new_kind_of_noise_is_printed_by_its_name() -> None:
    assert kind_of_noise("backwards") == "backwards noise"
    assert kind_of_noise("pairflip") == "pair-flip noise"


NETWORK = """
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Sizes:
    width: int = 4


def good(num_classes, shape):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


def none(num_classes, shape):
    pass


def wide(num_classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(16 * shape[0], num_classes + 1))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def pair(num_classes, shape):
    return Pair()


def leaves(num_classes, shape):
    raise SystemExit(0)


def one(num_classes):
    pass


class Token(nn.Module):
    def __init__(self, num_classes, shape, *, width):
        super().__init__()
        self.token = nn.Parameter(torch.randn(4))
        self.mixed = nn.Conv1d(shape[0], 2, 1)
        self.last = nn.Linear(2 * shape[1] * shape[2], num_classes)

    def forward(self, x):
        return self.last(self.mixed(x.flatten(2)).flatten(1)) + self.token[0]


class Wider(Token):
    def forward(self, x):
        return 2 * super().forward(x)


class Round(nn.Module):
    pass


class Circle(Round):
    pass


class Round(Circle):
    pass


class Alone(nn.Module):
    def __init__(self):
        super().__init__()


def padded(num_classes, shape, padding=1):
    assert padding in (1, 2)
    return nn.Sequential(nn.Conv2d(shape[0], 2, 3, padding=padding), nn.Flatten(),
                         nn.LazyLinear(num_classes))


def normed(num_classes, shape):
    linear = nn.Linear(16 * shape[0], num_classes)
    return nn.Sequential(nn.Flatten(), nn.utils.weight_norm(linear))


class View(nn.Module):
    def forward(self, x):
        return x.view(x.shape[0], -1)


def viewed(num_classes, shape):
    sizes = 4 * (shape[1] - 2) * (shape[2] - 2)
    return nn.Sequential(nn.Conv2d(shape[0], 4, 3), View(), nn.Linear(sizes, num_classes))


class Spare(nn.Module):
    def __init__(self, num_classes, shape):
        super().__init__()
        self.used = nn.Linear(shape[0] * shape[1] * shape[2], num_classes)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.used(x.flatten(1))


class Tied(nn.Module):
    def __init__(self, num_classes, shape):
        super().__init__()
        size = shape[0] * shape[1] * shape[2]
        self.one, self.other = nn.Linear(size, size), nn.Linear(size, size)
        self.other.weight = self.one.weight
        self.last = nn.Linear(size, num_classes)

    def forward(self, x):
        return self.last(self.other(self.one(x.flatten(1))))


def frozen(num_classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, num_classes)).requires_grad_(False)


class Shifts(Spare):
    def forward(self, x):
        x -= 0.5
        return super().forward(x)


class Heads(Spare):
    def forward(self, x):
        scores = super().forward(x)
        return scores if self.training else (scores, x)


class Squeezed(Spare):
    def forward(self, x):
        return super().forward(x).squeeze()


class Grows(Spare):
    def forward(self, x):
        if not hasattr(self, "late"):
            self.late = nn.Linear(3, 3)
        return super().forward(x)


class Detached(Spare):
    def forward(self, x):
        return super().forward(x).detach()


class Notes(Spare):
    def get_extra_state(self):
        return {"seen": 3}

    def set_extra_state(self, state):
        pass


ONCE = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def once(num_classes, shape):
    return ONCE


cut = good
"""


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(NETWORK)
    return path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "returns NoneType, not a torch.nn.Module"),
        ("wide", r"in training: gives \(2, 4\) for images \(2, 1, 4, 4\), not scores \(2, 3\)"),
        ("pair", r"gives tuple for images \(2, 1, 4, 4\), not scores \(2, 3\)"),
        ("frozen", "has no weights to train"),
        ("Shifts", "changes its images in place; write x = x - m instead of x -= m"),
        ("Grows", r"makes late\.bias in forward; make it in __init__"),
        ("Heads", r"in evaluation: gives tuple for images \(1, 1, 4, 4\), not scores \(1, 3\)"),
        ("Squeezed", r"in evaluation: gives \(3,\) for images \(1, 1, 4, 4\), not scores \(1, 3\)"),
        ("Detached", "failed: RuntimeError: element 0 of tensors does not require grad"),
        ("Notes", "_extra_state of its state is dict, not a tensor; keep it as a buffer"),
        ("once", "returns weights that it has returned before; build new layers in every call"),
        ("leaves", r"failed: SystemExit: 0 \(\S*own\.py, line \d+\)"),
    ],
)
def test_what_is_no_network_is_said_in_one_line(network_file: Path, name: str, reason: str) -> None:
    good = models.build(f"{network_file}:good", 3, (1, 4, 4))
    assert good(torch.zeros(2, 1, 4, 4)).shape == (2, 3)
    with pytest.raises(ConfigError, match=reason):
        models.build(f"{network_file}:{name}", 3, (1, 4, 4))


def weights(name: str, seed: int, **parameters: object) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return models.build(name, 3, (1, 4, 4), generator=generator, **parameters).state_dict()


@pytest.mark.parametrize("init", ["as-built", "kaiming"])
@pytest.mark.parametrize(
    ("name", "parameters"), [("Token", {"width": 3}), ("good", {}), ("padded", {"padding": 2})]
)
def test_weights_of_ones_own_network_are_those_of_the_seed(
    network_file: Path, name: str, parameters: dict[str, int], init: str
) -> None:
    """Also of layers that no initialiser draws, and of those that take their size from the data."""
    torch.manual_seed(0)
    one = weights(f"{network_file}:{name}", 1, init=init, **parameters)
    torch.manual_seed(5)
    same, other = (weights(f"{network_file}:{name}", s, init=init, **parameters) for s in (1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not any(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["good", "viewed", "Spare", "Tied"])
def test_ones_own_network_is_trained_and_its_state_kept(
    network_file: Path, tmp_path: Path, name: str
) -> None:
    images = numpy_stream(0, "images").integers(0, 255, (64, 1, 4, 4)).astype("uint8")
    labels = torch.from_numpy(numpy_stream(0, "labels").integers(0, 3, 64))
    pixels = torch.from_numpy(images)
    data = Data(pixels, labels, labels, pixels, labels)
    recipe = Recipe(model="own", epochs=2, batch=16, lr=0.01)
    module = models.build(f"{network_file}:{name}", 3, (1, 4, 4))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    kept = Checkpoint(tmp_path / "kept.safetensors", "own", seconds=0.0)
    found = loop.train(module, data, recipe, losses.build("ce", 3), 1, checkpoint=kept)
    assert found.status == "finished"
    assert kept.path.is_file()
    save(apart(module.state_dict()))
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith("unused")


def test_what_a_users_function_raises_late_is_one_line_with_its_place(
    network_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "NOT_OWN", (*own.NOT_OWN, str(Path(__file__).parent)))
    module = models.build(f"{network_file}:Tied", 3, (1, 4, 4))
    late = r"own\.py, line \d+: RuntimeError: .*shape"
    with pytest.raises(UserError, match=late) as caught, own.blaming(UserError):
        module(torch.zeros(2, 1, 5, 5))
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="negative"), own.blaming(UserError):
        losses.build("ce", 3).fit(torch.tensor([-1]))


PACKAGE = Path(own.__file__).parent


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (f"{PACKAGE}_mine/net.py", UserError),
        (f"{sysconfig.get_path('data')}-study/net.py", UserError),
        (f"{PACKAGE}/losses/net.py", ValueError),
        (f"{sysconfig.get_path('stdlib')}/net.py", ValueError),
        ("/home/me/.local/lib/python3.1/site-packages/net.py", ValueError),
        ("/usr/lib/python3/dist-packages/net.py", ValueError),
        ("<string>", ValueError),
    ],
)
def test_only_what_a_users_file_raises_is_the_users(
    file: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "NOT_OWN", (*own.NOT_OWN, str(Path(__file__).parent)))
    program = compile("raise ValueError", file, "exec")
    with pytest.raises((UserError, ValueError)) as caught, own.blaming(UserError):
        exec(program, {})
    assert caught.type is kind


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_layers_that_cannot_be_copied_are_no_reason_to_refuse_a_network(
    network_file: Path,
) -> None:
    assert weights(f"{network_file}:normed", 1)


def test_a_network_of_torchvision_that_gives_more_than_scores_is_refused() -> None:
    pytest.importorskip("torchvision")
    with pytest.raises(
        ConfigError, match=r"torchvision:inception_v3' in training on images .* failed:"
    ):
        models.build("torchvision:inception_v3", 3, (3, 32, 32))


def test_what_a_function_takes_is_checked_when_it_is_planned(
    network_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"must take \(num_classes, shape\), not \(num_classes\)"):
        functions.entries("models", f"{network_file}:one")
    with pytest.raises(ConfigError, match=r"must take \(num_classes, shape\), not \(\)"):
        functions.entries("models", f"{network_file}:Alone")
    with pytest.raises(ConfigError, match=r"own.py defines no 'cut' by `def` or `class`"):
        functions.entries("models", f"{network_file}:cut")
    with pytest.raises(ConfigError, match="Circle has no such option"):
        functions.check_model(f"{network_file}:Circle", {"width": 3}, "recipes.yaml: pets")
    with pytest.raises(ConfigError, match="Token needs width"):
        functions.check_model(f"{network_file}:Token", {}, "recipes.yaml: pets")
    for name in ("Token", "Wider"):
        functions.check_model(f"{network_file}:{name}", {"width": 3}, "recipes.yaml: pets")
    monkeypatch.setenv("HOME", str(network_file.parent))
    assert functions.entries("models", "~/own.py:good") == ("~/own.py:good",)
    loss = network_file.parent / "loss.py"
    loss.write_text("class Ramp:\n    pass\n\n\ndef ramp(scores, labels):\n    return scores\n")
    with pytest.raises(ConfigError, match="Ramp: a class; name a function from scores"):
        functions.entries("losses", f"{loss}:Ramp")
    with pytest.raises(ConfigError, match=r"must take \(scores\), not \(scores, labels\)"):
        functions.entries("losses", f"{loss}:ramp")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("None", "returns NoneType, not values"),
        ("scores > 0", "returns torch.bool, not values"),
        ("scores.detach()", "its values have no gradient in the scores"),
        ("scores.nothing", r"failed: AttributeError: .* \(\S*loss\.py, line 2\)"),
        (
            "scores.softmax(-1).clamp_(min=0.1).log_()",
            "the gradient of loss .* failed: RuntimeError",
        ),
        ("scores @ __import__('torch').eye(3)", r"on scores of torch.float64 failed: RuntimeError"),
        ("scores[:, 1:]", r"values of shape \(2, 2\) for scores of shape \(2, 3\)"),
    ],
)
def test_what_is_no_loss_is_said_in_one_line(body: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text(f"def ramp(scores):\n    return {body}\n")
    with pytest.raises(LossError, match=reason):
        losses.build(f"{tmp_path}/loss.py:ramp", 3)


def test_parameters_without_a_name_keep_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "loss.py"
    path.write_text(
        "def f(scores, weight=2.0, /, *, power=1):\n    return -weight * scores**power\n"
    )
    assert functions.entries("losses", f"{path}:f")
    assert losses.build(f"{path}:f", 3).values(torch.ones(1, 3)).eq(-2).all()
    with pytest.raises(LossError, match="'weight' is unknown; allowed: power"):
        losses.build(f"{path}:f", 3, weight=1.0)


def test_a_compiled_loss_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loss.py"
    path.write_text("import torch\n@torch.jit.script\ndef f(scores):\n    return -scores\n")
    with pytest.raises(LossError, match="a compiled function; name one that `def` makes"):
        losses.build(f"{path}:f", 3)


def test_a_loss_may_take_any_other_options(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text("def f(scores, *, a=2.0, **_):\n    return -a * scores\n")
    loss = losses.build(f"{tmp_path}/loss.py:f", 3)
    assert loss.values(torch.ones(1, 3)).allclose(torch.tensor(-2.0))


def test_a_file_beside_is_imported_without_a_dot(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("\nfrom .layers import f\n")
    with pytest.raises(LossError, match="line 2: import files beside it without the dot"):
        losses.build(f"{tmp_path}/own.py:f", 3)


def test_a_file_gets_the_file_beside_it_or_an_error(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "firstorder_test_common.py").write_text(f"NAME = {folder!r}\n")
        (tmp_path / folder / "own.py").write_text(
            "import firstorder_test_common\n\n\ndef f(scores):\n    return -scores\n"
        )
    assert losses.build(f"{tmp_path}/a/own.py:f", 3)
    with pytest.raises(
        LossError, match=r"import firstorder_test_common` finds \S*/a/.*rename that"
    ):
        losses.build(f"{tmp_path}/b/own.py:f", 3)


@pytest.mark.parametrize(
    "imported",
    [
        "sys.path.insert(0, str(Path(__file__).parent / ''.join(('li', 'b'))))\nimport hidden_a",
        "sys.path.insert(0, str(Path(__file__).parent / 'lib'))\nimport hidden_a",
        "sys.path.insert(0, str(Path(__file__).parent / 'lib'))\n__import__('hidden' + '_a')",
    ],
)
@pytest.mark.parametrize("spec", ["{folder}/own_a.py:f", "own_a:f"])
def test_a_module_whose_changes_would_not_be_seen_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: str, spec: str
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "hidden_a.py").write_text("")
    (tmp_path / "own_a.py").write_text(
        f"import sys\nfrom pathlib import Path\n{imported}\ndef f(s):\n    return s\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for _ in range(2):
        with pytest.raises(LossError, match=r"imports .*/lib/hidden_a\.py in a way that hides"):
            losses.build(spec.format(folder=tmp_path), 3)


def test_two_helpers_of_one_name_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"near_{folder}.py").write_text("from far_a import SIZE\n")
        (tmp_path / folder / "far_a.py").write_text(f"SIZE = {len(folder)}\n")
        (tmp_path / folder / "own.py").write_text(
            f"from near_{folder} import SIZE\ndef f(s):\n    return SIZE * s\n"
        )
    assert losses.build(f"{tmp_path}/one/own.py:f", 3)
    with pytest.raises(LossError, match=r"imports \S*/one/far_a\.py .* one of two of that name"):
        losses.build(f"{tmp_path}/two/own.py:f", 3)
    sys.modules.pop("far_a")


def test_a_file_may_import_from_the_projects_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below_a").mkdir()
    (tmp_path / "below_a" / "shared_a.py").write_text("SIZE = 2\n")
    (tmp_path / "below_a" / "own.py").write_text(
        "from below_a.shared_a import SIZE\ndef f(s):\n    return SIZE * s\n"
    )
    assert losses.build("below_a/own.py:f", 3).values(torch.ones(2, 3)).eq(2).all()


def test_what_is_installed_in_a_folder_is_not_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib" / "packed_a-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "lib" / "packed_a.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    path = tmp_path / "own.py"
    path.write_text("import packed_a\ndef f(s):\n    return s\n")
    assert own.sources(str(path)) == (path,)
    assert losses.build(f"{path}:f", 3)


READS = """
import importlib
from pathlib import Path

import torch
from torch import nn

HERE = Path("my")
{top}

def ramp(scores, *, margin: float = 0.9, table: str = "my/given.txt"):
    {body}
    return (margin - scores.softmax(-1)).clamp(min=0)


def net(num_classes, shape, table="my/given.txt"):
    {body}
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], num_classes))
"""


@pytest.mark.parametrize("kind", ["loss", "model"])
@pytest.mark.parametrize(
    ("top", "body", "said"),
    [
        ("", 'open("my/table.txt").read()', None),
        ("", 'open(HERE / "table.txt").read()', None),  # found from beside the file
        ("", "open(table).read()", None),
        ("", 'open(HERE / "deep" / ("t" + ".txt")).read()', r"reads \S+t\.txt, .*; write its path"),
        ('OF = HERE / "deep"', 'open(OF / "t.txt").read()', r"reads \S+t\.txt, of which no change"),
        ('open(HERE / "deep" / ("t" + ".txt")).read()', "pass", r"reads \S+t\.txt, of which no"),
        ("", 'importlib.import_module("late_" + "helper")', "in a way that hides its changes"),
    ],
)  # fmt: skip
def test_what_a_loss_or_network_reads_is_watched(
    kind: str,
    top: str,
    body: str,
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/deep").mkdir(parents=True)
    for name in ("table.txt", "given.txt", "deep/t.txt", "late_helper.py"):
        (tmp_path / "my" / name).write_text("")
    file = tmp_path / "my/own.py"  # by its whole name, since what it reads is known once for all
    file.write_text(READS.format(top=top, body=body))
    sys.modules.pop("late_helper", None)

    def built() -> object:
        if kind == "loss":
            return losses.build(f"{file}:ramp", 3)
        return models.build(f"{file}:net", 3, (1, 4, 4), table="my/given.txt")

    if said is None:
        built()
        return
    with pytest.raises(UserError, match=said):
        built()
