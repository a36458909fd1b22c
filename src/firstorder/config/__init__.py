"""Typed configuration: what `config/` may hold, checked before any job is planned.

Every file is validated against its own model, so an error names the file, the key, the value
and what is allowed. What the files of one study hold is declared by that study, in
`firstorder.studies.NAME.settings`. Nothing here imports torch or Snakemake: the workflow reads
this package again in every job process.
"""

from firstorder.config.artefact import Artefact, Claim
from firstorder.config.dataset import (
    IN_PLACE,
    READERS,
    Content,
    Dataset,
    File,
    FileName,
    Noise,
    RawFiles,
    check_noise,
    is_allowed_url,
    is_loopback,
)
from firstorder.config.load import check_losses, load, of_plain, plain, study_files
from firstorder.config.loss import TUNED, Loss, LossChange
from firstorder.config.recipe import Recipe, check_augment, check_batch
from firstorder.config.settings import Config, Scale, Settings, StudyConfig
from firstorder.config.validation import SLUG, check_printed, choose, lookup
from firstorder.config.values import (
    ClaimId,
    Count,
    Distinct,
    Gibibytes,
    Place,
    Range,
    Rate,
    Scalar,
    Seed,
    Sha256,
    Slug,
    Some,
    Strict,
    Threads,
    Two,
    unread,
)
from firstorder.errors import ConfigError

__all__ = [
    "IN_PLACE",
    "READERS",
    "SLUG",
    "TUNED",
    "Artefact",
    "Claim",
    "ClaimId",
    "Config",
    "ConfigError",
    "Content",
    "Count",
    "Dataset",
    "Distinct",
    "File",
    "FileName",
    "Gibibytes",
    "Loss",
    "LossChange",
    "Noise",
    "Place",
    "Range",
    "Rate",
    "RawFiles",
    "Recipe",
    "Scalar",
    "Scale",
    "Seed",
    "Settings",
    "Sha256",
    "Slug",
    "Some",
    "Strict",
    "StudyConfig",
    "Threads",
    "Two",
    "check_augment",
    "check_batch",
    "check_losses",
    "check_noise",
    "check_printed",
    "choose",
    "is_allowed_url",
    "is_loopback",
    "load",
    "lookup",
    "of_plain",
    "plain",
    "study_files",
    "unread",
]
