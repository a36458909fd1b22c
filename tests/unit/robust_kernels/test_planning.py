"""What is planned, and which mistakes are refused before."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstorder.config import ConfigError
from firstorder.jobs import plan
from firstorder.jobs.study import find
from firstorder.publish.registry import Results
from firstorder.studies.robust_kernels import frames
from firstorder.studies.robust_kernels.settings import NAME

from .made_up import configuration

STEPS = {step.name: step for step in find(NAME).steps}
SMOKE = f"studies/{NAME}/smoke.yaml"
STUDY = f"studies/{NAME}/study.yaml"
RECIPES = "recipes.yaml"


def test_a_kernel_is_computed_once_and_read_by_two_steps(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    made = STEPS["compute_scalar_kernel"].job(config, "tiny", "1")
    for name in ("classify_under_noise", "follow_paths"):
        job = STEPS[name].job(config, "tiny", "1")
        assert job.inputs["kernel.npy"] == made.outputs["kernel.npy"]
        assert "model" not in job.spec


def test_every_job_of_the_scale_is_listed(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    assert [*STEPS["follow_rotation"].every(config)] == [("tiny", "ce"), ("tiny", "mae")]
    assert [*STEPS["follow_paths"].every(config)] == [("tiny", "1")]


def test_an_artefact_of_a_part_that_the_scale_lacks_is_not_available(tmp_path: Path) -> None:
    config = configuration(tmp_path, networks={})
    artefacts = config.studies[NAME].declared.artefacts
    available = {
        name: find(NAME).select(config, each.select, ()).available
        for name, each in artefacts.items()
    }
    assert [name for name, there in available.items() if not there] == ["rotation"]


def test_a_claim_on_networks_is_judged_again_when_the_code_of_a_loss_changes(
    tmp_path: Path,
) -> None:
    config = configuration(tmp_path)
    selection = config.studies[NAME].declared.claims["R7"].select
    code = find(NAME).select(config, selection, ("rotation.csv",)).code
    assert {entry.rpartition(":")[2] for entry in code} >= {"ce", "mae"}


def test_kernels_of_one_model_and_dataset_are_printed_by_their_names(tmp_path: Path) -> None:
    (own,) = configuration(tmp_path).studies[NAME].scale.kernels.values()
    more = own.model_copy(update={"train": 40})
    config = configuration(tmp_path, kernels={"tiny": own, "tinier": more})
    selection = config.studies[NAME].declared.artefacts["accuracy"].select
    rows = find(NAME).select(config, selection, ("accuracy.csv",)).spec["rows"]
    assert [row["title"].rpartition(" ")[2] for row in rows] == ["(tiny)", "(tinier)"]


def test_ridge_regression_is_called_by_how_its_penalty_was_found(tmp_path: Path) -> None:
    expected = {
        (None, 0.0): ("leaving one out", "interpolating"),
        (500, 1e-4): ("generalised cross-validation", "penalty 0.0001"),
    }
    for (pairs, least), (chosen, other) in expected.items():
        config = configuration(tmp_path, eigenpairs=pairs, interpolation=least)
        selection = config.studies[NAME].declared.artefacts["accuracy"].select
        spec = find(NAME).select(config, selection, ("accuracy.csv",)).spec
        assert frames.classifiers(Results(spec, {})) == {
            "mean": "mean classifier",
            "best": f"ridge, penalty by {chosen}",
            "interpolating": f"ridge, {other}",
        }


def test_what_shows_no_loss_is_not_made_again_for_one(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    artefacts = config.studies[NAME].declared.artefacts
    for name, read in (("accuracy", "accuracy.csv"), ("paths", "paths.csv")):
        found = find(NAME).select(config, artefacts[name].select, (read,))
        assert bool(found.spec["losses"]) == (name == "paths")


def test_the_order_of_epochs_changes_no_training(tmp_path: Path) -> None:
    (own,) = configuration(tmp_path).studies[NAME].scale.networks.values()
    turned = own.model_copy(update={"epochs": own.epochs[::-1]})
    specs = [
        STEPS["follow_rotation"].job(configuration(tmp_path, networks={"tiny": each}), "tiny", "ce")
        for each in (own, turned)
    ]
    assert specs[0].spec == specs[1].spec


def test_names_and_titles_of_losses_are_in_no_spec(tmp_path: Path) -> None:
    spec = STEPS["follow_rotation"].job(configuration(tmp_path), "tiny", "mae").spec
    assert set(spec["loss"]) == {"function", "parameters", "score_norm"}


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (SMOKE, {"networks.digits.rate": 0.6}, r"networks\.digits\.rate: two classes"),
        (SMOKE, {"networks.digits.positive": [12]}, r"positive: name some of the classes 0 to 9"),
        (SMOKE, {"networks.digits.epochs": [500]}, r"last epoch, which is 80 of recipe digits"),
        (SMOKE, {"networks.digits.epochs": [0, 10]}, r"last epoch, which is 80 of recipe digits"),
        (SMOKE, {"networks.digits.points": 1401}, "1401 of 1400 training examples; lower it"),
        (SMOKE, {"kernels.digits.seeds": [0]}, r"kernels\.digits\.seeds"),
        (SMOKE, {"kernels.digits.train": 5000}, "train: digits has 1400, not 5000"),
        (SMOKE, {"kernels.digits.train": 9}, "digits has 10 classes, and each needs an example"),
        (SMOKE, {"threads": 10**6}, r"threads: 1000000 is not allowed"),
        (SMOKE, {"kernels.digits.model": "mpl"}, "did you mean 'mlp'"),
        (STUDY, {"models.mlp.model_parameters.init": "foo"}, r"init: 'foo' is not allowed"),
        (SMOKE, {"rates": [0.95]}, r"yaml: rates: rate 0\.95 is not allowed"),
        (SMOKE, {"paths.rates": [0.91]}, r"yaml: paths\.rates: rate 0\.91 is not allowed"),
        (SMOKE, {"ridge_rates": []}, r"ridge_rates: \[\] is not allowed"),
        (SMOKE, {"exact": 9}, "exact: 9; digits has 10 classes, and each needs an example"),
        (SMOKE, {"memory_gib": 1e300}, r"memory_gib: 1e\+300 is not allowed"),
        (STUDY, {"models.mlp.model": f"{'a' * 5000}.py:f"}, r"models\.mlp\.model: .* shorter name"),
        (STUDY, {"on_kernels": ["unhinged-l2"]}, "on_kernels: unhinged-l2 has score_norm: l2"),
        (
            RECIPES,
            {"digits.batch": 1401, "digits.drop_last": True},
            r"digits\.batch: 1401 is not allowed with drop_last: networks\.digits has 1400",
        ),
        (
            RECIPES,
            {"digits.augment": {"jitter": 0.4}},
            r"digits\.augment\.jitter: 0\.4 is not allowed: digits has 1 channels, it takes 3",
        ),
        (SMOKE, {"ridge_draws": 400}, "ridge_draws: 400 of 300 draws; lower it"),
        (
            STUDY,
            {"claims.R7.options": {"reference": "cf"}},
            r"R7\.options\.reference: loss 'cf' is un",
        ),
        (STUDY, {"on_kernels": ["nonesuch"]}, "loss 'nonesuch' is unknown"),
        (STUDY, {"losses.sgce.parameters": {}}, r"losses\.sgce\.parameters: one is tuned"),
        (STUDY, {"losses.sgce.parameters": {"p": 1.0, "q": 0.4}}, r"parameters\.p"),
        (STUDY, {"losses.sgce.label": "CE"}, "losses 'ce' and 'sgce' are both printed as 'CE'"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(edited, file, change, said) -> None:
    root = edited(file, change)
    with pytest.raises(ConfigError, match=said) as caught:
        plan.make(root, {"studies": [NAME]})
    assert "\n" not in str(caught.value) and Path(file).name in str(caught.value)


def test_what_no_scale_compares_may_be_printed_alike(edited) -> None:
    plan.make(edited(STUDY, {"models.lenet.label": "MLP"}), {"studies": [NAME]})
    root = edited(STUDY, {"losses.unhinged-l2.label": "Unhinged"})
    plan.make(root, {"studies": [NAME]})


def test_a_coloured_network_on_grey_images_is_refused(edited) -> None:
    root = edited(STUDY, {"models.mlp": {"label": "R", "model": "torchvision:resnet18"}})
    said = r"smoke\.yaml: kernels\.digits\.model: torchvision:resnet18 takes 3 channels"
    with pytest.raises(ConfigError, match=said):
        plan.make(root, {"studies": [NAME]})


@pytest.mark.parametrize("scale", ["smoke", "small", "cifar", "paper"])
def test_every_scale_is_planned(edited, scale: str) -> None:
    made = plan.make(edited(), {"studies": [NAME], "scale": scale})
    assert {job.step for job in made.jobs().values()} >= set(STEPS)


@pytest.mark.parametrize("seed", ["", "one", "-1", "0x1", "9" * 5000])
def test_a_seed_of_the_command_line_that_is_none_is_one_line(edited, seed: str) -> None:
    made = plan.make(edited(), {"studies": [NAME, "linearized"], "scale": "smoke"})
    for step, key in (("classify_under_noise", "digits"), ("compute_scalar_kernel", "digits")):
        with pytest.raises(ConfigError, match="has no seed"):
            made.job(step, key, seed)
    (support, *_) = made.config.studies["linearized"].scale.supports
    with pytest.raises(ConfigError, match=r"seed .* is not allowed"):
        made.job("compute_kernel", "mlp", support, seed)
