"""Typed configuration: what `config/` may hold, merged and checked before any job is planned.

Every file is validated against its own model, so an error names the file, the key, the value
and what is allowed. `load` then checks what spans files (does every run name a known loss, is
every rate possible for its dataset). Nothing here imports torch or Snakemake: the workflow
reads this package again in every job process.
"""

from firstorder.config.checks import (
    check_noise,
)
from firstorder.config.datasets import (
    Dataset,
    File,
    Noise,
    is_allowed_url,
)
from firstorder.config.load import (
    load,
)
from firstorder.config.resolve import (
    Cell,
    all_cells,
    artefacts,
    cell,
    cell_notes,
    channel_statistics,
    human_files,
    label_seeds,
    loss_group,
    loss_named,
    losses,
    noise,
    selected_cells,
    selections,
    tangents,
    tuning_cell,
    tuning_grids,
    tuning_trainings,
    variant_names,
)
from firstorder.config.scales import (
    Cells,
    Config,
    Family,
    LinearizedScale,
    Scale,
    Setting,
    Settings,
    Support,
    SymmetrizationScale,
    Tuning,
)
from firstorder.config.studies import (
    Artefact,
    Claim,
    LinearizedStudy,
    Selection,
    Studies,
    SymmetrizationStudy,
    TangentModel,
    Variants,
)
from firstorder.config.training import (
    TUNED,
    Loss,
    LossChange,
    Recipe,
)
from firstorder.config.values import (
    FAMILIES,
    Count,
    FamilyName,
    Item,
    Rate,
    Scalar,
    Seed,
    Sha256,
    Slug,
    Some,
    Strict,
)
from firstorder.errors import ConfigError
from firstorder.validation import SLUG, choose, lookup

__all__ = [
    "FAMILIES",
    "SLUG",
    "TUNED",
    "Artefact",
    "Cell",
    "Cells",
    "Claim",
    "Config",
    "ConfigError",
    "Count",
    "Dataset",
    "Family",
    "FamilyName",
    "File",
    "Item",
    "LinearizedScale",
    "LinearizedStudy",
    "Loss",
    "LossChange",
    "Noise",
    "Rate",
    "Recipe",
    "Scalar",
    "Scale",
    "Seed",
    "Selection",
    "Setting",
    "Settings",
    "Sha256",
    "Slug",
    "Some",
    "Strict",
    "Studies",
    "Support",
    "SymmetrizationScale",
    "SymmetrizationStudy",
    "TangentModel",
    "Tuning",
    "Variants",
    "all_cells",
    "artefacts",
    "cell",
    "cell_notes",
    "channel_statistics",
    "check_noise",
    "choose",
    "human_files",
    "is_allowed_url",
    "label_seeds",
    "load",
    "lookup",
    "loss_group",
    "loss_named",
    "losses",
    "noise",
    "selected_cells",
    "selections",
    "tangents",
    "tuning_cell",
    "tuning_grids",
    "tuning_trainings",
    "variant_names",
]
