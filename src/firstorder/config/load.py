"""Reading and checking the files of `config/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstorder.config.checks import check_references
from firstorder.config.datasets import Dataset
from firstorder.config.scales import Config, Scale, Settings
from firstorder.config.studies import LinearizedStudy, Studies, SymmetrizationStudy
from firstorder.config.training import Loss, Recipe
from firstorder.validation import check, check_entries, lookup, read


def load(root: str | Path = "config", overrides: dict[str, Any] | None = None) -> Config:
    """Read and check the configuration below `root`.

    `overrides` replaces keys of `config.yaml`. Raises ConfigError with one line that names the
    file, the key, the value and what is allowed.
    """
    root = Path(root)
    main = read(root / "config.yaml")
    for key, value in (overrides or {}).items():
        main[key] = value
    where = f"{root}/config.yaml" + (" or the command line" if overrides else "")
    scale = str(main.get("scale", Settings().scale))
    lookup({path.stem: path for path in (root / "scales").glob("*.yaml")}, scale, "scale", where)
    settings = check(Settings, main, where)
    scale_file = root / "scales" / f"{settings.scale}.yaml"
    config = Config(
        settings=settings,
        scale=check(Scale, read(scale_file), scale_file),
        datasets=check_entries(Dataset, root / "datasets.yaml"),
        losses=check_entries(Loss, root / "losses.yaml"),
        recipes=check_entries(Recipe, root / "recipes.yaml"),
        studies=Studies(
            symmetrization=check(
                SymmetrizationStudy,
                read(root / "studies" / "symmetrization.yaml"),
                root / "studies" / "symmetrization.yaml",
            ),
            linearized=check(
                LinearizedStudy,
                read(root / "studies" / "linearized.yaml"),
                root / "studies" / "linearized.yaml",
            ),
        ),
    )
    check_references(config, root, scale_file)
    return config
