"""Reading and checking the files of `config/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from firstorder.config.dataset import Dataset
from firstorder.config.loss import TUNED, Loss
from firstorder.config.recipe import Recipe
from firstorder.config.settings import Config, Scale, Settings, StudyConfig
from firstorder.config.validation import check, check_entries, choose, lookup, read
from firstorder.errors import ConfigError


class Models(Protocol):
    """What reading needs to know of a study."""

    @property
    def declared(self) -> type[BaseModel]: ...
    @property
    def scale(self) -> type[BaseModel]: ...
    @property
    def check(self) -> Callable[[Config, Path, Path], None]: ...


def load(
    root: str | Path,
    overrides: dict[str, Any] | None,
    study: Callable[[str], Models],
    shared: Callable[[Config], None] | None = None,
) -> Config:
    """Read and check the configuration below `root`; `study` finds the models of a study.

    `overrides` replaces keys of `config.yaml`. `shared` checks what all studies draw on, before
    they check what they make of it. Raises ConfigError with one line that names the
    file, the key, the value and what is allowed.
    """
    root = Path(root)
    main = {**read(root / "config.yaml"), **(overrides or {})}
    where = f"{root}/config.yaml" + (" or the command line" if overrides else "")
    settings = check(Settings, main, where)
    scales = check_entries(Scale, root / "scales.yaml")
    if "study" in scales:
        raise ConfigError(
            f"{root}/scales.yaml: 'study' is not allowed as a name: studies/NAME/study.yaml is "
            "what a study publishes; name the scale otherwise"
        )
    scale = lookup(scales, settings.scale, "scale", where)
    known = sorted(path.parent.name for path in (root / "studies").glob("*/study.yaml"))
    for name in settings.studies:
        if name not in known:
            raise ConfigError(f"{where}: studies: {name!r} is unknown; {choose(name, known)}")
    config = Config(
        settings=settings,
        scale=scale,
        datasets=check_entries(Dataset, root / "datasets.yaml"),
        losses=check_entries(Loss, root / "losses.yaml"),
        recipes=check_entries(Recipe, root / "recipes.yaml"),
        studies={
            name: _study(root, settings.scale, name, study(name)) for name in settings.studies
        },
        root=root,
    )
    check_losses(config)
    if shared is not None:
        shared(config)
    for name in settings.studies:
        study(name).check(config, *study_files(config, name))
    return config


def study_files(config: Config, name: str) -> tuple[Path, Path]:
    """The files that declare a study: what it publishes, and its part of the scale."""
    folder = config.root / "studies" / name
    return folder / "study.yaml", folder / f"{config.settings.scale}.yaml"


def _study(root: Path, scale: str, name: str, models: Models) -> StudyConfig:
    folder = root / "studies" / name
    file = folder / f"{scale}.yaml"
    if not file.is_file():
        raise ConfigError(
            f"{file}: no such file: {name} does not say what it runs at scale {scale!r}; write "
            f"it, or leave {name} out of `studies` in {root}/config.yaml"
        )
    declared = folder / "study.yaml"
    return StudyConfig(
        declared=check(models.declared, read(declared), declared),
        scale=check(models.scale, read(file), file),
    )


def plain(config: Config) -> dict[str, Any]:
    """A configuration as JSON-able values; the order of entries is that of their declaration."""
    named: dict[str, Mapping[str, BaseModel]] = {
        "datasets": config.datasets,
        "losses": config.losses,
        "recipes": config.recipes,
    }
    return {
        "settings": config.settings.model_dump(mode="json"),
        "scale": config.scale.model_dump(mode="json"),
        **{
            kind: {name: each.model_dump(mode="json") for name, each in own.items()}
            for kind, own in named.items()
        },
        "studies": {
            name: {
                "declared": each.declared.model_dump(mode="json"),
                "scale": each.scale.model_dump(mode="json"),
            }
            for name, each in config.studies.items()
        },
        "root": str(config.root),
    }


def of_plain(value: dict[str, Any], study: Callable[[str], Models]) -> Config:
    """The inverse of `plain`."""
    return Config(
        settings=Settings.model_validate(value["settings"]),
        scale=Scale.model_validate(value["scale"]),
        datasets={name: Dataset.model_validate(v) for name, v in value["datasets"].items()},
        losses={name: Loss.model_validate(v) for name, v in value["losses"].items()},
        recipes={name: Recipe.model_validate(v) for name, v in value["recipes"].items()},
        studies={
            name: StudyConfig(
                declared=study(name).declared.model_validate(v["declared"]),
                scale=study(name).scale.model_validate(v["scale"]),
            )
            for name, v in value["studies"].items()
        },
        root=Path(value["root"]),
    )


def check_losses(config: Config) -> None:
    """Refuse losses that name unknown datasets, and parameters to tune without choices."""
    for name, loss in config.losses.items():
        where = f"{config.root}/losses.yaml: {name}"
        if loss.tuned_parameters:
            raise ConfigError(
                f"{where}.parameters.{loss.tuned_parameters[0]}: `{TUNED}` is not allowed here: "
                "the loss is also drawn from its definition; give a value, and tune under datasets"
            )
        for dataset in loss.datasets:
            lookup(config.datasets, dataset, "dataset", f"{where}.datasets")
            for parameter in loss.on(dataset).tuned_parameters:
                if parameter not in loss.choices:
                    raise ConfigError(
                        f"{where}.choices.{parameter}: missing: {dataset} has it `{TUNED}`; list "
                        "the values to choose from"
                    )
