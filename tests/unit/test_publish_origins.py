"""Which runs stand behind a number, and which artefacts behind a claim, without knowing a study."""

from __future__ import annotations

from firstorder.publish import origins


def test_a_title_stands_for_the_parts_beside_it_in_every_row() -> None:
    rows = [
        {"model": "mlp", "label": "MLP", "seed": seed, "family": family}
        for seed in (1, 2)
        for family in ("binary", "nads")
    ]
    names = ["binary/mlp/1/network.csv", "nads/mlp/2/network.csv"]
    assert origins.aliases({"runs": rows}, names) == {"MLP": ["mlp"]}


def test_a_name_is_printed_as_its_row_says_unless_another_is_printed_alike() -> None:
    rows = [
        {"noise": "symmetric-0.4", "noise_label": "40 %", "loss": "ce", "label": "CE"},
        {"noise": "asymmetric-0.4", "noise_label": "40 %", "model": "mlp", "label": "MLP"},
    ]
    assert origins.titles({"rows": rows}) == {"ce": "CE"}


def test_artefacts_of_the_same_files_are_related_the_closest_first() -> None:
    found = origins.related(["a", "b"], {"far": ["a", "x", "y"], "near": ["a", "b"], "no": ["z"]})
    assert found == ["near", "far"]


def test_artefacts_of_the_same_runs_are_related_where_none_reads_the_same_files() -> None:
    found = origins.related(["r/1/scores.npz"], {"own": ["r/1/curve.csv"], "no": ["r/2/curve.csv"]})
    assert found == ["own"]


def test_what_is_of_the_place_that_a_claim_names_comes_first() -> None:
    artefacts = {"near": ["r/1/a"], "figure": ["r/1/b", "r/2/b"], "figure-of-others": ["r/3/b"]}
    found = origins.related(["r/1/a"], artefacts, ["figure", "figure-of-others"])
    assert found == ["figure", "near"]
