"""Losses and networks that the configuration names: where their code is, which options they take.

A name is registered below `firstorder.losses` or `firstorder.models`, or it is a user's own
`file.py:function` or `package.module:function`. Everything is read from the source: planning
imports neither torch nor a user's file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from firstorder.config import TUNED, Config, ConfigError, choose
from firstorder.jobs import code, signature

Kind = Literal["losses", "models"]
TORCHVISION = "torchvision:"
INITIALISERS = ("as-built", "kaiming", "lecun", "torch", "torchvision")
"""What `init` of a network may be: as its builder draws it, or one of
`firstorder.models.initialisers`, which imports torch (a test compares them)."""
REGISTERED = re.compile(r"@register_model\(\)\n(?:@.*\n)*def (\w+)\(")
CALLED = {"losses": "loss function", "models": "model"}
TAKES = {"losses": ("scores",), "models": ("num_classes", "shape")}
"""What a user's own function gets by position."""


def entries(kind: Kind, name: str, where: str = "") -> tuple[str, ...]:
    """The code entries of a loss or a model. ConfigError at `where` when there is none."""
    place = f"{where}: " if where else ""
    if kind == "models" and name.startswith(TORCHVISION):
        network, known = name.removeprefix(TORCHVISION), _torchvision_models()
        if network not in known:
            allowed = choose(network, known)
            raise ConfigError(f"{place}torchvision has no network {network!r}; {allowed}")
        return ("firstorder.models.registry:of_torchvision",)
    if ":" in name:
        found = code.definition(name)
        if found is None:
            file, _, function = name.rpartition(":")
            absent = f"defines no {function!r} by `def` or `class`"
            what = absent if code.file_of(name) else "does not exist"
            raise ConfigError(f"{place}{name}: {file} {what}")
        if kind == "losses" and isinstance(found, ast.ClassDef):
            raise ConfigError(f"{place}{name}: a class; name a function from scores to values")
        signature.check_positional(name, TAKES[kind], f"{place}{CALLED[kind]} {name}")
        return (name,)
    registered = code.registered(f"firstorder.{kind}", name)
    if name.endswith(".py"):
        raise ConfigError(f"{place}{name}: name a function in it, {name}:function")
    if not registered:
        known = sorted(each.name for each in code.registry(f"firstorder.{kind}"))
        raise ConfigError(f"{place}{CALLED[kind]} {name!r} is unknown; {choose(name, known)}")
    return registered


def check_model(name: str, parameters: Mapping[str, Any], where: str) -> None:
    """Refuse a network that does not exist, or parameters that it does not take."""
    (entry, *_) = entries("models", name, f"{where}.model")
    signature.check(entry, parameters, f"{where}.model_parameters", besides=("init",))
    init = parameters.get("init", INITIALISERS[0])
    if init not in INITIALISERS:
        raise ConfigError(
            f"{where}.model_parameters.init: {init!r} is not allowed: "
            f"{choose(str(init), list(INITIALISERS))}"
        )


def check_channels(name: str, channels: int, where: str) -> None:
    """Refuse a network of torchvision on images that are not coloured."""
    if name.startswith(TORCHVISION) and channels != 3:
        raise ConfigError(f"{where}: {name} takes 3 channels, the images have {channels}")


def check_losses_and_recipes(config: Config) -> None:
    """Refuse what `losses.yaml` and `recipes.yaml` name and nobody defines."""
    for name, loss in config.losses.items():
        where = f"{config.root}/losses.yaml: {name}"
        (entry, *_) = entries("losses", loss.function or name, f"{where}.function")
        signature.check(entry, _fixed(loss.parameters), f"{where}.parameters")
        for key, values in loss.choices.items():
            for value in values:
                signature.check(entry, {key: value}, f"{where}.choices", complete=False)
        for dataset, change in loss.datasets.items():
            place = f"{where}.datasets.{dataset}.parameters"
            signature.check(entry, _fixed(change.parameters), place, complete=False)
    for name, recipe in config.recipes.items():
        if recipe.model is not None:
            check_model(
                recipe.model, recipe.model_parameters, f"{config.root}/recipes.yaml: {name}"
            )


@cache
def _torchvision_models() -> list[str]:
    """The networks that torchvision registers, from its source."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return []
    sources = sorted((Path(spec.origin).parent / "models").glob("*.py"))
    found = (REGISTERED.findall(path.read_text(encoding="utf-8")) for path in sources)
    return sorted(name for names in found for name in names)


def _fixed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with a value; what tuning is to choose is checked by its choices."""
    return {key: value for key, value in parameters.items() if value != TUNED}
