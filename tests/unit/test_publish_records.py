"""A made-up tree of results in the documented formats, and the records read from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from firstorder import config as configuration
from firstorder.config import Config, Selection
from firstorder.errors import DataError
from firstorder.publish import needs, records
from firstorder.streams import numpy_stream

EPOCHS = 20
LABELS = {"unhinged": "Unhinged", "alpha_mae": "α-MAE"}
COMPARISON = ["ce", "mae", "gce", "sce", "nce+rce", "unhinged", "sgce", "alpha_mae"]
FINAL = {
    "ce": 0.62, "mae": 0.71, "gce": 0.79, "sce": 0.75, "nce+rce": 0.83, "unhinged": 0.84,
    "sgce": 0.88, "alpha_mae": 0.86,
}  # fmt: skip
EIGENFUNCTION_FILES = [f"runs/eigenfunctions/{arm}.{suffix}" for arm in ("network", "linear")
                       for suffix in ("csv", "json")]  # fmt: skip
EACH_FAMILY = [f"runs/FAMILY/{arm}.{suffix}" for arm in ("network", "linear")
               for suffix in ("csv", "json")]  # fmt: skip
REFERENCE = [[2, 0.95, 0.92, 0.91], [10, 0.85, 0.75, 0.74], [50, 0.7, 0.55, 0.54],
             [1000, 0.5, 0.5, 0.5]]  # fmt: skip
ARTEFACTS: dict[str, dict[str, dict]] = {
    "symmetrization": {
        "accuracy-symmetric": {
            "kind": "table", "draw": "accuracy", "published": "anchors",
            "select": {"cells": "symmetric", "losses": "comparison", "files": ["summary.json"]},
        },
        "pairs": {
            "kind": "table", "draw": "pairs", "options": {"pairs": [["gce", "sgce"]]},
            "select": {"cells": "symmetric", "losses": "comparison", "files": ["summary.json"]},
        },
        "cost": {
            "kind": "table", "draw": "cost-table",
            "select": {"cells": "curves", "losses": "comparison", "files": ["summary.json"]},
        },
        "test-sets": {
            "kind": "table", "draw": "test-sets", "published": "anchors",
            "select": {"cells": "curves", "losses": "comparison", "files": ["tests.json"]},
        },
        "fixed-tuned": {
            "kind": "table", "draw": "fixed-tuned", "options": {"variants": "tuned"},
            "select": {"cells": "curves", "losses": "decay", "files": ["summary.json"]},
        },
        "tuned-values": {
            "kind": "table", "draw": "chosen",
            "select": {"cells": "curves", "losses": "tuned", "files": ["tuning.json"]},
        },
        "learning-curves": {
            "kind": "figure", "draw": "learning-curves",
            "select": {"cells": "curves", "losses": "comparison", "files": ["history.csv"]},
        },
        "by-noise": {
            "kind": "figure", "draw": "accuracy-by-noise",
            "select": {"cells": "symmetric", "losses": "comparison", "files": ["summary.json"]},
        },
        "cost-bars": {
            "kind": "figure", "draw": "cost-bars",
            "select": {"cells": "curves", "losses": "comparison", "files": ["summary.json"]},
        },
        "sensitivity": {
            "kind": "figure", "draw": "sensitivity", "options": {"variants": ["q"]},
            "select": {"cells": "curves", "losses": "q", "files": ["summary.json"]},
        },
        "norms": {
            "kind": "figure", "draw": "score-norms", "options": {"variants": "norms"},
            "select": {"cells": "curves", "losses": "norms", "files": ["summary.json"]},
        },
        "loss-shapes": {
            "kind": "figure", "draw": "loss-shapes", "options": {"losses": "comparison"},
            "select": {},
        },
    },
    "linearized": {
        "eigenfunctions": {
            "kind": "figure", "draw": "eigenfunction-accuracy",
            "select": {"family": "eigenfunctions", "files": [
                *EIGENFUNCTION_FILES, "runs/binary/network.csv", "runs/binary/linear.csv"]},
        },
        "all-models": {
            "kind": "figure", "draw": "eigenfunction-accuracy",
            "select": {"family": "eigenfunctions", "also": ["architectures"], "files": [
                "runs/FAMILY/network.csv", "runs/FAMILY/network.json", "runs/FAMILY/linear.csv",
                *(f"runs/{family}/{arm}.csv" for family in ("binary", "architectures-binary")
                  for arm in ("network", "linear"))]},
        },
        "training-metrics": {
            "kind": "figure", "draw": "training-metrics",
            "select": {"family": "eigenfunctions", "files": EIGENFUNCTION_FILES},
        },
        "binary-size": {
            "kind": "figure", "draw": "binary-size",
            "select": {"family": "binary", "also": ["architectures-binary"], "files": [
                "runs/FAMILY/network.csv", "runs/FAMILY/linear.csv"]},
        },
        "end-alignment": {
            "kind": "figure", "draw": "end-alignment",
            "select": {"family": "eigenfunctions", "files": ["runs/eigenfunctions/alignment.csv"]},
        },
        "spectrum": {
            "kind": "figure", "draw": "kernel-spectrum",
            "select": {"family": "eigenfunctions", "files": ["spectrum.npz"]},
        },
        "kernel-evolution": {
            "kind": "figure", "draw": "kernel-evolution",
            "select": {"family": "eigenfunctions", "files": [
                "runs/eigenfunctions/evolution.csv", "runs/eigenfunctions/energy.csv"]},
        },
        "rotated-kernel": {
            "kind": "figure", "draw": "rotated-kernel",
            "select": {"family": "eigenfunctions", "files": [
                f"runs/eigenfunctions/{arm}.csv" for arm in ("network", "linear0", "retrained")]},
        },
        "rotated-kernel-table": {
            "kind": "table", "draw": "rotated-kernel-table",
            "options": {"families": ["eigenfunctions", "binary"]},
            "select": {"family": "eigenfunctions", "files": [
                f"runs/{family}/{name}" for family in ("eigenfunctions", "binary")
                for name in ("network.csv", "network.json", "linear0.csv", "retrained.csv")]},
        },
        "eigenfunction-table": {
            "kind": "table", "draw": "eigenfunction-table",
            "select": {"family": "eigenfunctions", "files": EIGENFUNCTION_FILES},
        },
        "spikes": {
            "kind": "table", "draw": "spike-table",
            "select": {"family": "eigenfunctions", "files": ["runs/eigenfunctions/alignment.csv"]},
        },
        "alignment-accuracy": {
            "kind": "figure", "draw": "alignment-accuracy",
            "select": {"family": "eigenfunctions", "also": [
                "architectures", "binary", "architectures-binary", "nads"], "files": EACH_FAMILY},
        },
        "nads": {
            "kind": "figure", "draw": "nads",
            "select": {"family": "nads", "files": [
                "nads.npz", "runs/nads/network.csv", "runs/nads/linear.csv"]},
        },
        "nad-table": {
            "kind": "table", "draw": "nad-table",
            "select": {"family": "nads", "files": [
                "nads.npz", "runs/nads/network.csv", "runs/nads/linear.csv"]},
        },
        "models": {
            "kind": "figure", "draw": "model-comparison",
            "select": {"family": "width", "also": ["eigenfunctions"],
                       "files": ["spectrum.npz", *EACH_FAMILY]},
        },
        "reference": {
            "kind": "table", "draw": "reference-table",
            "options": {"reference": REFERENCE},
            "select": {"family": "eigenfunctions", "models": ["lenet"], "dataset": "photos",
                       "files": [f"runs/eigenfunctions/{arm}.csv"
                                 for arm in ("network", "linear", "retrained")]},
        },
    },
}  # fmt: skip


def write_config(root: Path) -> None:
    """A small configuration that declares every kind of artefact."""
    pixels = {"mean": [0.3], "std": [0.3], "source": "made up"}
    classes = [str(i) for i in range(10)]
    share = {"title": "Made-up {}", "caption": "What it shows.", "where": "beyond the paper"}
    artefacts = {
        study: {name: {**share, **entry, "title": f"Made-up {name}"} for name, entry in of.items()}
        for study, of in ARTEFACTS.items()
    }
    documents = {
        "config.yaml": {"scale": "tiny"},
        "losses.yaml": {
            name: {"label": LABELS.get(name, name.upper()),
                   "parameters": {"q": 0.7} if name in ("gce", "sgce") else {},
                   "score_norm": "bn" if name == "unhinged" else "none"}
            for name in COMPARISON
        },
        "recipes.yaml": {
            "short": {"model": "mlp", "epochs": EPOCHS, "lr": 0.1},
            "tangent": {"model": "scalar", "epochs": EPOCHS, "lr": 0.05},
        },
        "datasets.yaml": {
            "cifar10": {**pixels, "title": "Made-up images", "reader": "cifar", "shape": [1, 8, 8],
                        "train": 1000, "test": 200, "classes": classes, "asymmetric": {9: 1}},
            "photos": {**pixels, "title": "Made-up photos", "reader": "photo_patches",
                       "shape": [1, 8, 8], "train": 300, "test": 100},
        },
        "scales/tiny.yaml": {
            "title": "tiny", "data": "made-up data", "hardware": "any",
            "symmetrization": {
                "seeds": [1, 2, 3],
                "settings": {"images": {"dataset": "cifar10", "recipe": "short"}},
                "cells": {
                    "symmetric": {"settings": ["images"], "noises": [
                        "symmetric-0.0", "symmetric-0.2", "symmetric-0.4", "symmetric-0.8"]},
                    "curves": {"settings": ["images"],
                               "noises": ["symmetric-0.4", "symmetric-0.8"]},
                },
                "tuning": {"weight_decays": [0.0, 0.01]},
            },
            "linearized": {
                "supports": {"photos": {"dataset": "photos", "train": 300, "test": 100},
                             "digits": {"dataset": "cifar10", "train": 1000, "test": 200},
                             "few": {"dataset": "cifar10", "train": 80, "test": 40}},
                "families": {
                    "eigenfunctions": {"support": "photos", "models": ["mlp", "lenet"],
                                       "seeds": [1, 2], "recipe": "tangent",
                                       "tasks": [2, 5, 10, 20, 50, 100], "watch": [10, 50]},
                    "binary": {"support": "digits", "models": ["mlp", "lenet"], "seeds": [1, 2],
                               "recipe": "tangent", "tasks": [50, 200, 1000]},
                    "nads": {"models": ["lenet", "mlp"], "seeds": [1, 2], "recipe": "tangent",
                             "tasks": [1, 5, 20, 60]},
                    "width": {"support": "photos", "models": ["narrow", "wide"], "seeds": [1, 2],
                              "recipe": "tangent", "tasks": [5, 20, 100]},
                    "architectures": {"support": "few", "models": ["lenet", "residual"],
                                      "seeds": [1, 2], "recipe": "tangent", "tasks": [2, 10]},
                    "architectures-binary": {"support": "few", "models": ["residual"],
                                             "seeds": [1], "recipe": "tangent", "tasks": [50, 80]},
                },
            },
        },
        "studies/symmetrization.yaml": {
            "title": "Symmetrized losses", "paper": "A paper.",
            "losses": {"comparison": COMPARISON, "decay": ["ce", "gce", "tuned"]},
            "variants": {
                "q": {"losses": ["sgce"], "vary": "parameter", "parameter": "q",
                      "values": [0.1, 0.4, 0.7, 1.0], "slug": "{loss}-q{value}",
                      "label": "{label} (q = {value})"},
                "norms": {"losses": ["unhinged", "sgce"], "vary": "score_norm",
                          "values": ["none", "l2", "bn"], "slug": "{loss}-{value}",
                          "label": "{label}, {value}"},
                "tuned": {"losses": ["ce", "gce"], "vary": "weight_decay", "values": ["tuned"],
                          "slug": "{loss}-{value}", "label": "{label}, tuned"},
            },
            "artefacts": artefacts["symmetrization"],
        },
        "studies/linearized.yaml": {
            "title": "Linearized networks", "paper": "Another paper.",
            "models": {"narrow": {"label": "MLP, 25 wide", "model": "mlp"},
                       "mlp": {"label": "MLP", "model": "mlp"},
                       "wide": {"label": "MLP, 400 wide", "model": "mlp"},
                       "lenet": {"label": "LeNet", "model": "lenet"},
                       "residual": {"label": "ResNet-18", "model": "resnet18"}},
            "artefacts": artefacts["linearized"],
        },
    }  # fmt: skip
    for name, document in documents.items():
        path = root / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    published = root / "config" / "published" / "anchors.csv"
    published.parent.mkdir(parents=True)
    published.write_text(
        "study,artefact,dataset,noise,loss,metric,mean,std,n,source\n"
        "symmetrization,accuracy-symmetric,cifar10,symmetric-0.4,ce,last_accuracy,58.46,0.21,3,T\n"
        "symmetrization,accuracy-symmetric,cifar10,symmetric-0.4,gce,last_accuracy,82.24,0.25,3,T\n"
        "symmetrization,accuracy-symmetric,cifar10,symmetric-0.8,gce,last_accuracy,25.8,1.03,3,T\n"
    )


def write_results(config: Config) -> None:
    """Every file that the artefacts of `config` read, smooth curves with a little noise."""
    wanted = {
        path
        for study, of in ARTEFACTS.items()
        for name in of
        for path in needs.inputs(config, study, name)
        if path.startswith("results/")
    }
    for path in sorted(wanted):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if "/symmetrization/runs/" in path:
            _write_run(Path(path))
        elif "/symmetrization/tuning/" in path:
            chosen = {"chosen": {"weight_decay": 0.01}, "validation_accuracy": 0.75}
            Path(path).write_text(json.dumps(chosen))
        else:
            _write_tangent(Path(path))


def _write_run(path: Path) -> None:
    noise, loss, seed = path.parts[-4:-1]
    rate, random = float(noise.split("-")[1]), numpy_stream(int(seed[4:]), f"{noise} {loss}")
    base = loss.split("-q")[0].split("-")[0] if loss not in FINAL else loss
    epoch = np.arange(1, EPOCHS + 1)
    final = FINAL[base] + 0.1 - 0.35 * rate * (1.2 - FINAL[base]) + random.normal(0, 0.01)
    rise = 1 - np.exp(-epoch / 3)
    fitted = (1 - FINAL[base]) * 2 * np.clip((epoch - 5) / EPOCHS, 0, 1)
    accuracy = np.clip(final * rise + 0.3 * rate * rise * (1 - epoch / EPOCHS), 0.0, 1.0)
    history = pd.DataFrame(dict.fromkeys(records.HISTORY, 0.5), index=range(EPOCHS))
    history = history.assign(epoch=epoch, test_accuracy=accuracy, score_max=10.0 * epoch,
                             wrong_fitted=fitted if rate else np.nan)  # fmt: skip
    history.to_csv(path.parent / "history.csv", index=False)
    diverged = loss == "unhinged-none" and seed == "seed2"
    spec = {"loss": {"weight_decay": None}, "recipe": {"weight_decay": 1e-4}}
    last = {key: None if pd.isna(value) else value for key, value in history.iloc[-1].items()}
    summary = {
        "spec": spec,
        "seed": int(seed[4:]),
        "status": "diverged" if diverged else "finished",
        "epochs_run": EPOCHS,
        "last": last,
        "best": {"epoch": int(epoch[accuracy.argmax()]), "test_accuracy": float(accuracy.max())},
        "final": {
            "train_accuracy": 0.5,
            "clean_accuracy": 0.6,
            "wrong_fitted": float(fitted[-1]) if rate else None,
            "wrong_corrected": 0.3 if rate else None,
        },
        "seconds": 1.5,
        "seconds_per_step": 0.001 + 0.0001 * len(loss),
        "device": "cpu",
        "peak_memory_bytes": 1,
        "versions": {"torch": "2.11"},
        "commit": "unknown",
        "code": "0123456789ab",
        "inputs": {},
    }
    (path.parent / "summary.json").write_text(json.dumps(summary))
    top1 = float(accuracy[-1])
    tests = {"last_accuracy": top1, "top5_accuracy": 0.5 + top1 / 2, "other_accuracy": top1 / 2}
    (path.parent / "tests.json").write_text(json.dumps({"accuracies": tests}))


def _write_tangent(path: Path) -> None:
    seed = int(next(part for part in path.parts if part.startswith("seed"))[4:])
    random = numpy_stream(seed, str(path.parent))
    indices = np.arange(1, 201)
    eigenvalues = 1000.0 / indices**1.6
    if path.name == "spectrum.npz":
        np.savez(path, eigenvalues=eigenvalues, eigenvectors=np.eye(200, 400),
                 trace=eigenvalues.sum() * 1.02, n_train=300)  # fmt: skip
    elif path.name == "nads.npz":
        directions = np.linalg.qr(random.normal(size=(64, 64)))[0]
        values = np.exp(-np.arange(64) / 10)
        np.savez(path, singular_values=values, directions=directions,
                 expectation_singular_values=values, expectation_directions=directions,
                 gradient_directions=directions[::-1])  # fmt: skip
    elif path.name == "alignment.csv":
        parts = []
        for task in (2, 5, 10, 20, 50, 100):
            for part, lift in (("train", 20.0), ("test", 20.0 / task**0.5), ("all", 15.0)):
                level = eigenvalues if part == "all" else eigenvalues * 0.9
                trained = 500 * level * np.exp(random.normal(0, 0.2, 200))
                trained[task - 1] *= 1 + lift
                parts.append(pd.DataFrame({"task": task, "k": indices, "part": part,
                                           "initial": level, "trained": trained}))  # fmt: skip
        pd.concat(parts).to_csv(path, index=False)
    elif path.name in ("evolution.csv", "energy.csv"):
        _evolution(path)
    else:
        _write_arm(path, random)


def _evolution(path: Path) -> None:
    rows: list[dict] = []
    for task in (10, 50):
        for part, gain in (("train", 8.0), ("test", 3.0)):
            for epoch in range(0, EPOCHS + 1, 2):
                relative = 0.01 * (1 + gain * (1 - np.exp(-epoch / 4)))
                rows.append(
                    {"family": "eigenfunctions", "task": task, "epoch": epoch, "part": part,
                     "alignment": relative * 50, "trace": 50, "relative": relative}
                )  # fmt: skip
    if path.name == "energy.csv":
        rows = [
            {"family": "eigenfunctions", "task": task, "moment": moment, "part": "train",
             "components": k, "energy": 1 - np.exp(-k * rate / 100)}
            for task in (10, 50)
            for moment, rate in (("init", 0.5), ("mid", 4.0), ("end", 9.0))
            for k in (1, 2, 5, 10, 20, 50, 100, 200)
        ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)


def _write_arm(path: Path, random: np.random.Generator) -> None:
    family, arm = path.parent.name, path.stem
    tasks = {"eigenfunctions": [2, 5, 10, 20, 50, 100], "binary": [50, 200, 1000],
             "nads": [1, 5, 20, 60], "width": [5, 20, 100], "architectures": [2, 10],
             "architectures-binary": [50, 80]}[family]  # fmt: skip
    drop = {"network": 0.11, "linear": 0.07, "linear0": 0.07, "retrained": 0.112}[arm]
    epochs, rows = np.arange(0, EPOCHS + 1), []
    for task in tasks:
        final = 1.0 - drop * np.log(task)
        if family.endswith("binary"):
            final = 0.7 + (0.06 if arm == "network" else 0.04) * np.log10(task)
        speed = (20.0 if arm == "retrained" else 6.0) / (1 + np.log(task))
        done = 1 - np.exp(-epochs * speed / 10)
        rows.append(pd.DataFrame({
            "task": task, "epoch": epochs, "train_loss": 0.69 * (1 - done) + 0.001,
            "train_accuracy": 0.5 + 0.5 * done,
            "test_loss": 0.7, "test_accuracy": 0.5 + (final - 0.5) * done + random.normal(0, 0.01),
            "distance": 100 * done * np.log(task + 1),
        }))  # fmt: skip
    if path.suffix == ".csv":
        pd.concat(rows).to_csv(path, index=False)
        return
    about = {
        str(task): {
            "status": "finished", "steps_to_0.01": 40 * task if task <= 20 else None,
            "steps_to_0.1": 10 * task, "majority_train": 0.53, "majority_test": 0.5 + 0.1 / task,
            "alignment": 100 / task, "relative_alignment": 0.1 / task, "seconds": 1.0,
        }
        for task in tasks
    }  # fmt: skip
    record = {"tasks": about, "device": "cpu", "versions": {}, "commit": "unknown", "inputs": {}}
    path.write_text(json.dumps(record))


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete made-up tree, made once."""
    root = tmp_path_factory.mktemp("tree")
    write_config(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_results(configuration.load("config"))
    return root


@pytest.fixture
def tiny(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a copy of the made-up tree; the working folder holds it."""
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return configuration.load("config")


def test_runs_are_one_row_per_cell_and_seed_in_the_order_of_the_configuration(tiny: Config) -> None:
    select = Selection(cells="symmetric", losses="comparison", files=("summary.json",))
    runs = records.symmetrization_runs(tiny, select)
    assert len(runs) == 4 * len(COMPARISON) * 3
    assert list(dict.fromkeys(runs["loss"])) == COMPARISON
    assert runs["last_accuracy"].between(0, 1).all()


def test_a_clean_run_has_no_share_of_wrong_labels(tiny: Config) -> None:
    select = Selection(cells="symmetric", losses="comparison")
    runs = records.symmetrization_runs(tiny, select)
    assert runs[runs["rate"] == 0]["wrong_fitted"].isna().all()
    assert runs[runs["rate"] > 0]["wrong_fitted"].notna().all()


def test_a_diverged_run_is_kept_and_says_so(tiny: Config) -> None:
    runs = records.symmetrization_runs(tiny, Selection(cells="curves", losses="norms"))
    diverged = runs[runs["status"] == "diverged"]
    assert set(diverged["loss"]) == {"unhinged-none"}
    assert len(diverged) == 2


def test_a_missing_record_is_named(tiny: Config) -> None:
    path = needs.inputs(tiny, "symmetrization", "accuracy-symmetric")[7]
    Path(path).unlink()
    with pytest.raises(DataError, match=path):
        records.symmetrization_runs(tiny, Selection(cells="symmetric", losses="comparison"))


@pytest.mark.parametrize(
    ("study", "artefact"),
    [("symmetrization", "cost"), ("symmetrization", "learning-curves"), ("linearized", "spectrum"),
     ("linearized", "end-alignment")],
)  # fmt: skip
def test_a_truncated_record_is_named(tiny: Config, study: str, artefact: str) -> None:
    from firstorder.publish import figures, tables

    path = Path(needs.inputs(tiny, study, artefact)[0])
    path.write_bytes(path.read_bytes()[:20])
    build = tables.build if artefact == "cost" else figures.build
    with pytest.raises(DataError, match=path.name):
        build(tiny, study, artefact)


def test_a_model_is_taken_from_the_first_family_of_a_kind(tiny: Config) -> None:
    select = Selection(
        family="eigenfunctions",
        also=("architectures", "binary"),
        files=("runs/FAMILY/network.csv", "runs/nads/linear.csv"),
    )
    runs = records.linearized_runs(tiny, select, None, "network")
    found = dict.fromkeys(zip(runs["family"], runs["model"], strict=True))
    assert list(found) == [
        ("eigenfunctions", "mlp"),
        ("eigenfunctions", "lenet"),
        ("architectures", "residual"),
        ("binary", "mlp"),
        ("binary", "lenet"),
    ]
    needed = needs.selected(tiny, "linearized", select)
    assert "results/tiny/linearized/residual/few/seed1/runs/architectures/network.csv" in needed
    assert "results/tiny/linearized/lenet/gaussian/seed2/runs/nads/linear.csv" in needed
    assert len(needed) == 10 + 4


def test_an_artefact_without_its_family_is_absent(tiny: Config) -> None:
    families = {k: v for k, v in tiny.scale.linearized.families.items() if k != "width"}
    linearized = tiny.scale.linearized.model_copy(update={"families": families})
    without = tiny.model_copy(
        update={"scale": tiny.scale.model_copy(update={"linearized": linearized})}
    )
    names = {name for _, name, _ in configuration.artefacts(without)}
    assert "models" not in names  # though `eigenfunctions`, which it also takes, is there
    assert {name for _, name, _ in configuration.artefacts(tiny)} - names == {"models"}


def test_a_family_that_the_scale_lacks_is_not_available(tiny: Config) -> None:
    families = {k: v for k, v in tiny.scale.linearized.families.items() if k != "nads"}
    linearized = tiny.scale.linearized.model_copy(update={"families": families})
    scale = tiny.scale.model_copy(update={"linearized": linearized})
    without = tiny.model_copy(update={"scale": scale})
    select = tiny.studies.linearized.artefacts["nads"].select
    assert needs.available(tiny, "linearized", select)
    assert not needs.available(without, "linearized", select)
    assert needs.inputs(without, "linearized", "nads") == []


def test_what_an_artefact_needs_is_known_without_pandas_or_torch() -> None:
    import subprocess
    import sys

    heavy = "{'torch', 'pandas', 'matplotlib', 'numpy', 'scipy'}"
    code = f"import sys, firstorder.publish.needs; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
