"""A small configuration that declares every artefact of the study, and made-up results of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from firstorder.config import Config, load
from firstorder.jobs import study as studies
from firstorder.publish import declared, registry
from firstorder.publish.registry import Results
from firstorder.publish.verdict import Verdict, not_run
from firstorder.streams import numpy_stream
from firstorder.studies.linearized.grid import ROTATED
from firstorder.studies.linearized.settings import Judged, Select

EPOCHS = 20
REFERENCE = [[2, 0.95, 0.92, 0.91], [10, 0.85, 0.75, 0.74], [50, 0.7, 0.55, 0.54],
             [1000, 0.5, 0.5, 0.5]]  # fmt: skip
EIGENFUNCTIONS: dict[str, Any] = {"family": "eigenfunctions"}
ARTEFACTS: dict[str, dict[str, Any]] = {
    "eigenfunctions": {
        "kind": "figure", "draw": "eigenfunction-accuracy",
        "select": {**EIGENFUNCTIONS, "baselines": ["binary"]},
    },
    "all-models": {
        "kind": "figure", "draw": "eigenfunction-accuracy",
        "select": {**EIGENFUNCTIONS, "also": ["architectures"],
                   "baselines": ["binary", "architectures-binary"]},
    },
    "training-metrics": {
        "kind": "figure", "draw": "training-metrics", "select": EIGENFUNCTIONS,
    },
    "binary-size": {
        "kind": "figure", "draw": "binary-size",
        "select": {"family": "binary", "also": ["architectures-binary"]},
    },
    "end-alignment": {"kind": "figure", "draw": "end-alignment", "select": EIGENFUNCTIONS},
    "spectrum": {"kind": "figure", "draw": "kernel-spectrum", "select": EIGENFUNCTIONS},
    "kernel-evolution": {"kind": "figure", "draw": "kernel-evolution", "select": EIGENFUNCTIONS},
    "rotated-kernel": {"kind": "figure", "draw": "rotated-kernel", "select": EIGENFUNCTIONS},
    "rotated-kernel-table": {
        "kind": "table", "draw": "rotated-kernel-table",
        "select": {**EIGENFUNCTIONS, "also": ["binary"]},
    },
    "eigenfunction-table": {
        "kind": "table", "draw": "eigenfunction-table", "select": EIGENFUNCTIONS,
    },
    "inductive-table": {
        "kind": "table", "draw": "eigenfunction-table", "select": {"family": "inductive"},
    },
    "binary-table": {
        "kind": "table", "draw": "eigenfunction-table",
        "select": {"family": "binary", "also": ["architectures-binary"]},
    },
    "spikes": {"kind": "table", "draw": "spike-table", "select": EIGENFUNCTIONS},
    "alignment-accuracy": {
        "kind": "figure", "draw": "alignment-accuracy",
        "select": {**EIGENFUNCTIONS,
                   "also": ["architectures", "binary", "architectures-binary", "nads"]},
    },
    "nads": {"kind": "figure", "draw": "nads", "select": {"family": "nads"}},
    "nad-table": {"kind": "table", "draw": "nad-table", "select": {"family": "nads"}},
    "models": {
        "kind": "figure", "draw": "model-comparison",
        "select": {"family": "width", "also": ["eigenfunctions"]},
    },
    "reference": {
        "kind": "table", "draw": "reference-table", "options": {"reference": REFERENCE},
        "select": {**EIGENFUNCTIONS, "models": ["lenet"], "dataset": "photos"},
    },
}  # fmt: skip
PIXELS: dict[str, Any] = {"mean": [0.3], "std": [0.3], "source": "made up", "shape": [1, 8, 8]}
DOCUMENTS: dict[str, Any] = {
    "config.yaml": {"scale": "tiny", "studies": ["linearized"]},
    "scales.yaml": {"tiny": {"data": "made-up data", "hardware": "any"}},
    "losses.yaml": {},
    "recipes.yaml": {"tangent": {"epochs": EPOCHS, "lr": 0.05}},
    "datasets.yaml": {
        "images": {**PIXELS, "title": "Made-up images", "reader": "cifar", "train": 1000,
                   "test": 200, "classes": [str(i) for i in range(10)]},
        "photos": {**PIXELS, "title": "Made-up photos", "reader": "photo_patches", "train": 300,
                   "test": 100},
    },
    "studies/linearized/tiny.yaml": {
        "supports": {"photos": {"dataset": "photos", "train": 300, "test": 100},
                     "digits": {"dataset": "images", "train": 1000, "test": 200},
                     "few": {"dataset": "images", "train": 80, "test": 40}},
        "families": {
            "eigenfunctions": {"kind": "eigenfunctions", "support": "photos",
                               "models": ["mlp", "lenet"], "seeds": [1, 2], "recipe": "tangent",
                               "tasks": [2, 5, 10, 20, 50, 100], "watch": [10, 50]},
            "binary": {"kind": "binary", "support": "digits", "models": ["mlp", "lenet"],
                       "seeds": [1, 2], "recipe": "tangent", "tasks": [50, 200, 1000]},
            "inductive": {"kind": "inductive", "support": "photos", "models": ["mlp"],
                          "seeds": [1, 2], "recipe": "tangent", "tasks": [5, 20]},
            "nads": {"kind": "nads", "models": ["lenet", "mlp"], "seeds": [1, 2],
                     "recipe": "tangent", "tasks": [1, 3, 5, 10, 20, 60],
                     "options": {"train": 400, "test": 400}},
            "width": {"kind": "eigenfunctions", "support": "photos", "models": ["narrow", "wide"],
                      "seeds": [1, 2], "recipe": "tangent", "tasks": [5, 20, 100]},
            "architectures": {"kind": "eigenfunctions", "support": "few",
                              "models": ["lenet", "residual"], "seeds": [1, 2],
                              "recipe": "tangent", "tasks": [2, 10]},
            "architectures-binary": {"kind": "binary", "support": "few", "models": ["residual"],
                                     "seeds": [1], "recipe": "tangent", "tasks": [50, 80]},
        },
    },
    "studies/linearized/study.yaml": {
        "title": "Linearized networks", "paper": "A paper.",
        "models": {"narrow": {"label": "MLP, 25 wide", "model": "mlp"},
                   "mlp": {"label": "MLP", "model": "mlp"},
                   "wide": {"label": "MLP, 400 wide", "model": "mlp"},
                   "lenet": {"label": "LeNet", "model": "lenet"},
                   "residual": {"label": "ResNet-18", "model": "resnet18"}},
        "artefacts": {
            name: {"title": f"Made-up {name}", "caption": "What it shows.",
                   "where": "beyond the paper", **entry}
            for name, entry in ARTEFACTS.items()
        },
    },
}  # fmt: skip


def write_config(root: Path) -> None:
    """Write the configuration below `root`."""
    for name, document in DOCUMENTS.items():
        path = root / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def read_config() -> Config:
    """The configuration below the working folder."""
    return load("config", None, studies.find)


def write_results(config: Config) -> None:
    """Make up every file that a job of the configuration writes and an artefact may read."""
    for step in studies.find("linearized").steps:
        for key in step.every(config):
            for name, path in step.job(config, *key).outputs.items():
                if not name.endswith((".safetensors", ".npy")):
                    _write(Path(path))


def results(config: Config, kind: str, function: str, select: dict[str, Any]) -> Results:
    """What a function of the study is given for a selection."""
    chosen = Select.model_validate(select)
    _, selected = declared.resolve(config, "linearized", kind, function, chosen)
    assert selected.available
    return Results(selected.spec, selected.files)


def judged(
    config: Config, predicate: str, select: dict[str, Any] | None = None, **options: Any
) -> Verdict:
    """The verdict of a predicate on a selection."""
    chosen = Judged.model_validate(select or {})
    found, selected = declared.resolve(config, "linearized", "claim", predicate, chosen)
    if not selected.available:
        return not_run("This scale does not run what the claim is about.")
    verdict = registry.call(declared.spec(found, selected, options), selected.files)
    assert isinstance(verdict, Verdict)
    return verdict


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int(next(part for part in path.parts if part.startswith("seed"))[4:])
    random = numpy_stream(seed, "/".join(path.parts[-6:-1]))
    indices = np.arange(1, 201)
    eigenvalues = 1000.0 / indices**1.6
    if path.name == "spectrum.npz":
        np.savez(path, eigenvalues=eigenvalues, eigenvectors=np.eye(200, 400),
                 trace=eigenvalues.sum() * 1.02, n_train=300)  # fmt: skip
    elif path.name == "gradients.csv":
        pd.DataFrame({"k": [1], "eigenvalue": [1.0], "alignment": [1.0]}).to_csv(path, index=False)
    elif path.name == "nads.npz":
        directions = np.linalg.qr(random.normal(size=(64, 64)))[0]
        values = np.exp(-np.arange(64) / 10)
        np.savez(path, singular_values=values, directions=directions,
                 expectation_singular_values=values, expectation_directions=directions,
                 gradient_directions=directions[::-1])  # fmt: skip
    elif path.name == "alignment.csv":
        _alignment(path, eigenvalues, random)
    elif path.name == "inductive.npz":
        np.savez(path, eigenvalues=np.zeros(0), eigenvectors=np.zeros((0, 0)))
    elif path.name in ("evolution.csv", "energy.csv"):
        _evolution(path)
    else:
        _arm(path, random)


def _alignment(path: Path, eigenvalues: np.ndarray, random: np.random.Generator) -> None:
    parts = []
    for task in (2, 5, 10, 20, 50, 100) if path.parent.name == "eigenfunctions" else ():
        for part, lift in (("train", 20.0), ("test", 20.0 / task**0.5), ("all", 15.0)):
            level = eigenvalues if part == "all" else eigenvalues * 0.9
            trained = 500 * level * np.exp(random.normal(0, 0.2, 200))
            trained[task - 1] *= 1 + lift
            parts.append(pd.DataFrame({"task": task, "k": np.arange(1, 201), "part": part,
                                       "initial": level, "trained": trained}))  # fmt: skip
    header = pd.DataFrame(columns=["task", "k", "part", "initial", "trained"])
    (pd.concat(parts) if parts else header).to_csv(path, index=False)


def _evolution(path: Path) -> None:
    rows: list[dict[str, Any]] = []
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


DROP = {
    "network": 0.11, "linear": 0.07, "linear0": 0.07, "converged": 0.075, "ridge": 0.09,
    "converged0": 0.075, "retrained": 0.112, "retrained-scaled": 0.11, "linear0-scaled": 0.07,
    "retrained-converged": 0.112, "random": 0.0,
}  # fmt: skip
"""How fast the test accuracy of an arm falls with the index."""
LEAD = {"network": 0.06, "retrained-converged": 0.06, "ridge": 0.05}
"""How fast that on labelled images grows with their number; 0.04 of other arms."""
SOLVED = ("converged", "converged0", "ridge", "retrained-converged")
FASTER = {"retrained": 4, "retrained-scaled": 2, "linear0-scaled": 2}
"""How many times fewer steps an arm takes."""


def _final(arm: str, family: str, task: int) -> float:
    """The test accuracy that is made up for an arm on a task."""
    if family.endswith("binary"):
        return 0.7 + LEAD.get(arm, 0.04) * float(np.log10(task))
    return max(0.5, 1.0 - DROP[arm] * float(np.log(task)))


def _arm(path: Path, random: np.random.Generator) -> None:
    family, arm = path.parent.name, path.stem
    scale = DOCUMENTS["studies/linearized/tiny.yaml"]
    declared = scale["families"][family]
    tasks = declared.get("watch", []) if arm == "random" else declared["tasks"]
    if arm in ROTATED and declared["kind"] == "binary":
        tasks = tasks[-1:]
    epochs, rows = np.arange(0, 1 if arm in SOLVED else EPOCHS + 1), []
    if path.suffix == ".npz":
        support = scale["supports"].get(declared.get("support"), {"test": 400})
        _bits(path, {task: _final(arm, family, task) for task in tasks}, support["test"], random)
        return
    for task in tasks:
        final = _final(arm, family, task)
        speed = (20.0 if arm.startswith("retrained") else 6.0) / (1 + np.log(task))
        done = 1 - np.exp(-epochs * speed / 10) if len(epochs) > 1 else np.ones(1)
        rows.append(pd.DataFrame({
            "task": task, "epoch": epochs, "train_loss": 0.69 * (1 - done) + 0.001,
            "train_accuracy": 0.5 + 0.5 * done,
            "test_loss": 0.7, "test_accuracy": 0.5 + (final - 0.5) * done + random.normal(0, 0.01),
            "distance": 100 * done * np.log(task + 1),
        }))  # fmt: skip
    columns = ["task", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
               "distance"]  # fmt: skip
    if path.suffix == ".csv":
        (pd.concat(rows) if rows else pd.DataFrame(columns=columns)).to_csv(path, index=False)
        return
    taken = {task: 40 * task / FASTER.get(arm, 1) for task in tasks}
    about = {
        str(task): {
            "status": "finished", "steps_to_0.01": 40 * task if task <= 20 else None,
            "steps_to_0.1": taken[task], "steps": 8000,
            "majority_train": 0.53, "majority_test": 0.5 + 0.1 / task,
            "alignment": 100 / task, "relative_alignment": 0.1 / task, "seconds": 1.0,
        }
        for task in tasks
    }  # fmt: skip
    record = {"tasks": about, "device": "cpu", "versions": {}, "commit": "unknown", "inputs": {}}
    path.write_text(json.dumps(record))


def _bits(
    path: Path, accuracies: dict[int, float], examples: int, random: np.random.Generator
) -> None:
    """Test examples of which so many are right, the same first: arms of a seed are paired."""
    order = numpy_stream(0, "made-up examples").permutation(examples)
    right = []
    for accuracy in accuracies.values():
        count = round(examples * accuracy) + int(random.integers(-1, 2))
        right.append(np.packbits(np.isin(np.arange(examples), order[:count])))
    np.savez(path, tasks=np.array(list(accuracies), dtype=np.int64),
             correct=np.array(right, dtype=np.uint8), examples=examples)  # fmt: skip


def lose(
    model: str, tasks: list[int], at: int = 6, family: str = "eigenfunctions", seeds: str = "12"
) -> None:
    """Let networks diverge in epoch `at`, as `fit` and `rotate` write it."""
    lost = ("network", "retrained", "retrained-scaled", "linear0-scaled", "retrained-converged")
    for path in Path().rglob(f"{model}/**/{family}/*.*"):
        if not any(f"seed{seed}" in path.parts for seed in seeds):
            continue
        if path.suffix == ".npz" and path.stem in lost:
            with np.load(path) as stored:
                kept = ~np.isin(stored["tasks"], tasks)
                left = {name: stored[name][kept] for name in ("tasks", "correct")}
                np.savez(path, **left, examples=stored["examples"])
        elif path.suffix == ".csv" and path.stem in lost:
            frame = pd.read_csv(path)
            gone = frame["task"].isin(tasks)
            until = at if path.stem == "network" else 0
            ends = [{"task": task, "epoch": until} for task in tasks]
            frame = frame[~gone | (frame["epoch"] < until)]
            pd.concat([frame, pd.DataFrame(ends)]).to_csv(path, index=False)
        elif path.suffix == ".json" and path.stem in lost:
            record = json.loads(path.read_text())
            for task in {*map(str, tasks)} & record["tasks"].keys():
                record["tasks"][task] |= {"status": "diverged", "steps_to_0.1": None}
                record["tasks"][task] |= {"steps_to_0.01": None}
            path.write_text(json.dumps(record))
        elif path.suffix == ".csv" and path.stem in ("alignment", "evolution", "energy"):
            frame = pd.read_csv(path)
            after = {
                "alignment": lambda frame: frame["task"] > 0,
                "evolution": lambda frame: frame["epoch"] >= at,
                "energy": lambda frame: frame["moment"] != "init",
            }[path.stem]
            frame[~(frame["task"].isin(tasks) & after(frame))].to_csv(path, index=False)
