"""A configuration of the study that cannot be meant is refused before anything is planned."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from firstorder.config import ConfigError, load
from firstorder.jobs import study as studies
from firstorder.publish import declared
from firstorder.publish.declared import artefacts

from .small import ROOT

SMOKE, STUDY = "studies/linearized/smoke.yaml", "studies/linearized/study.yaml"


def checked(root: Path) -> None:
    """Load and check as the plan does."""
    declared.check(load(root, {"scale": "smoke", "studies": ["linearized"]}, studies.find))


def edited(folder: Path, file: str, keys: str, value: Any) -> Path:
    """A copy of `config/` with one key changed."""
    root = folder / "config"
    shutil.copytree(ROOT / "config", root)
    content = yaml.safe_load((root / file).read_text())
    *parents, key = keys.split("/")
    target = content
    for parent in parents:
        target = target.setdefault(parent, {})
    target[key] = value
    (root / file).write_text(yaml.safe_dump(content, sort_keys=False))
    return root


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_the_project_s_own_configuration_is_accepted(scale: str) -> None:
    config = load(ROOT / "config", {"scale": scale, "studies": ["linearized"]}, studies.find)
    declared.check(config)


@pytest.mark.parametrize(
    ("file", "keys", "value", "message"),
    [
        (SMOKE, "families/nads/options/sampels", 16, r"smoke\.yaml: families\.nads\.options\."
         r"sampels: unknown key; did you mean 'samples'\?"),
        (SMOKE, "families/nads/options/amplitude", "ful", "should be 'half' or 'full'"),
        (SMOKE, "families/nads/support", "digits", "NAD tasks make their own inputs"),
        (SMOKE, "families/nads/tasks", [1, 257], r"nads\.tasks: 257 is not allowed: at most 256"),
        (SMOKE, "families/binary/options", {"size": 8}, "tasks of kind binary have none"),
        (SMOKE, "families/binary/kind", "binry", r"families\.binary\.kind"),
        (SMOKE, "families/binary/support", "digit", "support 'digit' is unknown; did you mean"),
        (SMOKE, "families/binary/support", "photo_patches", "has no labels"),
        (SMOKE, "families/binary/support", None, r"binary\.support: missing; name one of photo"),
        (SMOKE, "families/binary/tasks", [50, 1401], "at most 1400"),
        (SMOKE, "families/binary/recipe", "tangent-shrt", "recipe 'tangent-shrt' is unknown"),
        (SMOKE, "families/binary/recipe", "cifar10", "recipe: cifar10 has weight_decay; a linear"),
        (SMOKE, "families/binary/models", ["mpl"], "model 'mpl' is unknown; did you mean 'mlp'"),
        (SMOKE, "families/eigenfunctions/tasks", [30, 201], "at most 200: as many eigenvectors are"
         " kept; raise eigenvectors"),
        (SMOKE, "families/eigenfunctions/steps", 10, "kind eigenfunctions take the recipe's"),
        (SMOKE, "families/inductive/watch", [3], "kind inductive are not watched"),
        (SMOKE, "families/inductive/tasks", [3, 401], "at most 400: the support has as many train"),
        (SMOKE, "families/eigenfunctions/watch", [11], r"watch: \[11\] is not allowed"),
        (SMOKE, "families/eigenfunctions/rotated", [11], r"rotated: \[11\] is not allowed"),
        (SMOKE, "families/inductive/rotated", [3], "kind inductive it is not chosen"),
        (SMOKE, "supports/digits/train", 1_000_000, "is not allowed: digits has"),
        (SMOKE, "supports/digits/train", 1e3, "should be a valid integer"),
        (SMOKE, "supports/digits/dataset", "digit", "dataset 'digit' is unknown"),
        (STUDY, "models/mlp/model_parameters/hiden", 100, r"models\.mlp\.model_parameters\.hiden"),
        (STUDY, "models/mlp/model_parameters/hidden", "wide", r"model_parameters\.hidden: 'wide'"),
        (STUDY, "models/mlp/model_parameters/init", "lecum", "did you mean 'lecun'"),
        (STUDY, "models/mlp/model", "mpl", "model 'mpl' is unknown"),
        (STUDY, "artefacts/width/select/models", ["mlp-wid"], "model 'mlp-wid' is unknown"),
        (STUDY, "artefacts/nads/select/family", "nadz", r"artefacts\.nads\.select: family 'nadz'"),
        (STUDY, "artefacts/reference/select/dataset", "photo", "dataset 'photo' is unknown"),
        (STUDY, "claims/E1/options/eror", 0.1, r"claims\.E1\.options\.eror"),
        (STUDY, "claims/E1/options/error", "abc", r"claims\.E1\.options\.error: 'abc'"),
        (STUDY, "claims/reference/options", {}, "needs reference"),
        (STUDY, "claims/E17/options/part", "tran", r"claims\.E17\.options\.part: 'tran'"),
        (STUDY, "claims/E17/options/tasks", [3], r"claims\.E17\.options\.tasks"),
        (STUDY, "claims/E17/predicate", "spikes", "'spikes' is unknown; did you mean 'spike'"),
        (STUDY, "artefacts/training-metrics/options/epoch", [5], r"training-metrics\.options"),
        (STUDY, "artefacts/rotated-kernel/options/model", "lenett",
         r"rotated-kernel\.options\.model: model 'lenett' is unknown; did you mean 'lenet'"),
        (STUDY, "artefacts/rotated-kernel/options/model", 3, r"options\.model: 3 is not allowed"),
        (STUDY, "artefacts/nads/select/files", ["nads.npz"], "files: unknown key"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, file: str, keys: str, value: Any, message: str
) -> None:
    root = edited(tmp_path, file, keys, value)
    with pytest.raises(ConfigError, match=message) as error:
        checked(root)
    assert "\n" not in str(error.value) and file.rpartition("/")[2] in str(error.value)


def test_a_coloured_network_on_grey_images_is_refused(tmp_path: Path) -> None:
    network = {"label": "R", "model": "torchvision:resnet18"}
    said = r"smoke\.yaml: families\.\w+\.models: torchvision:resnet18 takes 3 channels"
    with pytest.raises(ConfigError, match=said):
        checked(edited(tmp_path, STUDY, "models/mlp", network))


def test_a_scale_may_leave_out_families_and_supports(tmp_path: Path) -> None:
    root = edited(tmp_path, SMOKE, "families", {})
    checked(root)
    config = load(root, {"scale": "smoke", "studies": ["linearized"]}, studies.find)
    assert not list(artefacts(config))


def test_families_may_have_any_name(tmp_path: Path) -> None:
    root = edited(tmp_path, SMOKE, "families/my-own", {
        "kind": "binary", "support": "digits", "models": ["mlp"], "seeds": [1],
        "recipe": "tangent-short", "tasks": [20],
    })  # fmt: skip
    checked(root)
