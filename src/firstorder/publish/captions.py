"""Text of the configuration in Snakemake's report, which would take it for markup or wildcards."""

from __future__ import annotations

import re


def literal(text: str) -> str:
    """A text in a caption (reStructuredText): no markup, no raw HTML."""
    return re.sub(r"([^\w\s])", r"\\\1", " ".join(text.split()))


def label(text: str) -> str:
    """A text in the report's script and lists: it ends no script and names no wildcard."""
    return re.sub(r"\{", "{\u200b", re.sub(r"<(?=[/!])", "< ", text))
