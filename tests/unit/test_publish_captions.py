"""Text of the configuration is shown as written by Snakemake's report."""

from __future__ import annotations

import pytest
from snakemake.io import apply_wildcards

from firstorder.publish import captions

TEXTS = ("$\\frac{1}{2}$", "{study}", "{ study }", "{study,.*}", "{{study}}", "{", "}{", "{loss}")


@pytest.mark.parametrize("text", TEXTS)
def test_braces_of_a_title_are_no_wildcards(text: str) -> None:
    label = captions.label(text)
    assert apply_wildcards(label, {"study": "toy"}) == label
    assert label.replace("\u200b", "") == text


def test_a_title_ends_no_script() -> None:
    label = captions.label("a</script><!--<b>")
    assert "</" not in label and "<!" not in label


def test_a_caption_has_no_markup_and_no_new_line() -> None:
    assert captions.literal("a\n\n.. raw:: html\n |x|_") == r"a \.\. raw\:\: html \|x\|_"
