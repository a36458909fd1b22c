"""A loss looks the same in every figure, and no two of the comparison look alike."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import yaml

from firstorder.publish import page
from firstorder.publish.looks import loss_look


def test_every_declared_loss_has_a_look_of_its_own(project) -> None:  # type: ignore[no-untyped-def]
    names = list(yaml.safe_load((project / "config/losses.yaml").read_text()))
    looks = [loss_look(name) for name in names]
    assert len({(look.color, look.marker) for look in looks}) == len(names) >= 34


def test_losses_of_the_comparison_differ_in_colour_or_in_marker_and_line(project) -> None:  # type: ignore[no-untyped-def]
    study = yaml.safe_load((project / "config/studies/symmetrization/study.yaml").read_text())
    compared = study["losses"]["comparison"]
    for a, b in itertools.combinations(map(loss_look, compared), 2):
        assert a.color != b.color or (a.marker != b.marker and a.linestyle != b.linestyle)


def test_a_variant_has_the_colour_and_marker_of_its_base_and_another_line() -> None:
    base, variant = loss_look("ce"), loss_look("ce-tuned")
    assert (variant.color, variant.marker) == (base.color, base.marker)
    assert variant.linestyle != base.linestyle
    assert loss_look("mae-l1").marker != loss_look("mae").marker


def test_a_loss_of_the_users_own_looks_the_same_every_time() -> None:
    """Whatever the process: `hash` of a text differs from one to the next."""
    code = "from firstorder.publish.looks import loss_look; print(loss_look('mine'))"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == str(loss_look("mine"))


def test_curves_of_the_page_have_the_looks_of_the_figures() -> None:
    columns = {
        "loss": {"texts": ["ce-tuned", "mae"], "codes": [0, 1, 1]},
        "label": {"texts": ["CE, tuned decay", "MAE"], "codes": [0, 1, 1]},
    }
    found = page._looks([{"frame": {"length": 3, "columns": columns}}, {"frame": None}])
    assert found["MAE"] == found["mae"] == {"color": "#D55E00", "marker": "s", "dash": ""}
    tuned = loss_look("ce-tuned")
    assert found["CE, tuned decay"]["color"] == tuned.color
    assert found["CE, tuned decay"]["dash"] == " ".join(f"{2 * n:g}" for n in tuned.linestyle[1])
