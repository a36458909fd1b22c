"""How networks are trained, as the paper prints it, is the configuration's."""

from __future__ import annotations

import pytest
from projects import ROOT, load

from firstorder import models
from firstorder.jobs import study as studies
from firstorder.publish.protocol import COLUMNS, NETWORKS


@pytest.mark.parametrize("scale", ["smoke", "cifar", "paper"])
def test_every_study_that_trains_says_how(scale: str) -> None:
    config = load(ROOT / "config", {"scale": scale})
    for study in studies.chosen(config):
        rows = list(study.protocol(config))
        assert rows, study.name
        assert all(tuple(row) == COLUMNS and all(row.values()) for row in rows)


def test_every_network_of_the_project_has_a_name_to_print() -> None:
    assert set(NETWORKS) == set(models.names())


def test_a_row_has_the_values_of_its_recipe() -> None:
    config = load(ROOT / "config", {"scale": "smoke", "studies": ["symmetrization"]})
    rows = {row["Trained"]: row for row in studies.find("symmetrization").protocol(config)}
    recipe = config.recipes["digits"]
    own = rows["digits"]
    assert own["Epochs"] == str(recipe.epochs) and own["Rate"] == f"{recipe.lr:g}"
    assert own["Decay"] == f"{recipe.weight_decay:g}" and own["Schedule"] == recipe.schedule
