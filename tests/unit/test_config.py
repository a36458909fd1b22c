"""What is shipped loads; variants, overrides and noises mean what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firstorder import config
from firstorder.errors import ConfigError
from firstorder.losses import registry

SCALES = ("smoke", "small", "paper")


@pytest.mark.parametrize("scale", SCALES)
def test_every_shipped_scale_loads(project: Path, scale: str) -> None:
    loaded = config.load(project / "config", {"scale": scale})
    assert loaded.settings.scale == scale
    assert list(config.all_cells(loaded))


def test_every_scale_has_the_same_artefacts(project: Path) -> None:
    ids = [
        [
            (study, name)
            for study, name, _ in config.artefacts(
                config.load(project / "config", {"scale": scale})
            )
        ]
        for scale in SCALES
    ]
    assert ids[0] == ids[1] == ids[2]


@pytest.mark.parametrize("scale", SCALES)
def test_every_cell_resolves_and_has_a_folder_of_its_own(project: Path, scale: str) -> None:
    loaded = config.load(project / "config", {"scale": scale})
    names = list(config.all_cells(loaded))
    assert len(set(names)) == len(names)
    for setting, noise, loss in names:
        cell = config.cell(loaded, setting, noise, loss)
        assert cell.loss.function
        assert not cell.loss.datasets, "what a dataset changes is merged in"


def test_the_command_line_overrides_config_yaml(edited: Any) -> None:
    root = edited("config.yaml", {"device": "cpu", "checkpoint_seconds": 60})
    loaded = config.load(root, {"device": "cuda"})
    assert loaded.settings.device == "cuda"
    assert loaded.settings.checkpoint_seconds == 60


def test_a_scale_may_be_added_as_a_file(edited: Any, project: Path) -> None:
    root = edited()
    (root / "scales" / "mine.yaml").write_text((root / "scales" / "smoke.yaml").read_text())
    assert config.load(root, {"scale": "mine"}).settings.scale == "mine"


def test_scientific_notation_without_a_dot_is_a_number(edited: Any) -> None:
    root = edited()
    with (root / "losses.yaml").open("a") as stream:
        stream.write("\nmine: { label: Mine, function: gce, parameters: { q: 1e-3 }, l1: 5e-7 }\n")
    loss = config.load(root).losses["mine"]
    assert loss.parameters["q"] == 0.001
    assert loss.l1 == 5e-7


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("symmetric-0.4", config.Noise(kind="symmetric", rate=0.4)),
        ("symmetric-0.0", config.Noise(kind="symmetric", rate=0.0)),
        ("asymmetric-0.25", config.Noise(kind="asymmetric", rate=0.25)),
        ("pairflip-0.45", config.Noise(kind="pairflip", rate=0.45)),
        ("instance-0.2", config.Noise(kind="instance", rate=0.2)),
        ("human-worst", config.Noise(kind="human", annotation="worst")),
        ("human-random-1", config.Noise(kind="human", annotation="random-1")),
    ],
)
def test_a_slug_names_a_noise(slug: str, expected: config.Noise) -> None:
    assert config.Noise.parse(slug) == expected


@pytest.mark.parametrize(
    "slug",
    ["symmetric", "symmetric-", "symmetric--0.1", "symmetric-1.5", "symmetric-nan", "swap-0.1"],
)
def test_a_bad_slug_is_refused_with_the_right_spelling(slug: str) -> None:
    with pytest.raises(ConfigError, match=f"noise '{slug}': write KIND-RATE"):
        config.Noise.parse(slug)


VARIANTS = {
    "losses": ["gce", "ce"],
    "vary": "score_norm",
    "values": ["none", "l2"],
    "slug": "{loss}-of-{value}",
    "label": "{label} ({value})",
}


def test_variants_become_losses_with_names_of_their_own(edited: Any) -> None:
    loaded = config.load(edited("studies/symmetrization.yaml", {"variants.norms": VARIANTS}))
    group = config.loss_group(loaded, "norms")
    # Neither loss normalises its scores, so the variant `none` of each is the loss itself.
    assert group == ("gce", "gce-of-l2", "ce", "ce-of-l2")
    assert config.loss_named(loaded, "gce-of-none") == "gce"
    assert "gce-of-none" not in config.losses(loaded)
    varied = config.losses(loaded)["gce-of-l2"]
    assert varied.score_norm == "l2"
    assert varied.parameters == loaded.losses["gce"].parameters
    assert varied.label == f"{loaded.losses['gce'].label} (l2)"


def test_a_group_may_hold_groups_and_families_and_no_loss_twice(edited: Any) -> None:
    edited("studies/symmetrization.yaml", {"variants.norms": VARIANTS})
    root = edited(
        "studies/symmetrization.yaml",
        {"losses.some": ["ce", "mae"], "losses.more": ["some", "norms", "sgce"]},
    )
    members = config.loss_group(config.load(root), "more")
    assert members == ("ce", "mae", "gce", "gce-of-l2", "ce-of-l2", "sgce")
    with pytest.raises(ConfigError, match="a group cannot hold itself"):
        config.load(edited("studies/symmetrization.yaml", {"losses.some": ["more"]}))


def test_the_smoke_scale_trains_every_registered_loss(project: Path) -> None:
    loaded = config.load(project / "config", {"scale": "smoke"})
    known = config.losses(loaded)
    trained = {known[loss].function or loss for _, _, loss in config.all_cells(loaded)}
    assert trained >= set(registry.names())


def test_cells_may_be_a_list_of_products(edited: Any) -> None:
    cells = [
        {"settings": ["digits"], "noises": ["symmetric-0.2"], "note": "one"},
        {"settings": ["digits"], "noises": ["symmetric-0.6"], "note": "two"},
    ]
    loaded = config.load(edited("scales/smoke.yaml", {"symmetrization.cells.instance": cells}))
    select = config.Selection(cells="instance", losses="comparison")
    found = {noise for _, noise, _ in config.selected_cells(loaded, select)}
    assert found == {"symmetric-0.2", "symmetric-0.6"}
    assert config.cell_notes(loaded, "instance") == ("one", "two")


def test_a_varied_parameter_outlives_what_a_dataset_changes(edited: Any) -> None:
    variants = {
        **VARIANTS,
        "losses": ["gce"],
        "vary": "parameter",
        "parameter": "q",
        "values": [0.2],
    }
    root = edited("studies/symmetrization.yaml", {"variants.powers": variants})
    edited("losses.yaml", {"gce.datasets": {"digits": {"parameters": {"q": 0.9}, "l1": 0.5}}})
    loss = config.losses(config.load(root))["gce-of-0.2"].on("digits")
    assert loss.parameters["q"] == 0.2
    assert loss.l1 == 0.5


def test_a_dataset_changes_only_what_it_says(edited: Any) -> None:
    root = edited("losses.yaml", {"gce.datasets": {"digits": {"weight_decay": 0.01}}})
    loss = config.load(root).losses["gce"]
    assert loss.on("digits").weight_decay == 0.01
    assert loss.on("digits").parameters == loss.parameters
    assert loss.on("mnist").weight_decay == loss.weight_decay


def test_the_configuration_loads_without_torch_pandas_and_snakemake(project: Path) -> None:
    code = (
        "import sys; import firstorder.config, firstorder.paths; "
        "print(sorted({'torch', 'torchvision', 'pandas', 'numpy', 'snakemake'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project / "src",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.strip() == "[]"
