"""Claims: what the papers say, as predicates over results, each with an effect size.

A predicate is a function `(config, claim) -> Verdict`, registered by name and declared in
config/studies with its thresholds as options.
"""

from __future__ import annotations

from firstorder.publish.claims import (
    kernels,
    tangents,
)
from firstorder.publish.claims.judge import build, verify
from firstorder.publish.verdict import Verdict

__all__ = [
    "Verdict",
    "build",
    "kernels",
    "tangents",
    "verify",
]
