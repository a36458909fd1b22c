"""A made-up project with the symmetrization study alone: its configuration and its records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from firstorder import config as configuration
from firstorder.config import Config
from firstorder.jobs import signature
from firstorder.jobs import study as studies
from firstorder.jobs.context import Context
from firstorder.publish import declared, figures, registry, tables
from firstorder.publish.steps import STEPS
from firstorder.publish.verdict import Verdict
from firstorder.streams import numpy_stream
from firstorder.studies.symmetrization import frames
from firstorder.studies.symmetrization.settings import NAME, Select

EPOCHS = 20
LABELS = {"unhinged": "Unhinged", "alpha_mae": "α-MAE"}
COMPARISON = ["ce", "mae", "gce", "sce", "nce+rce", "unhinged", "sgce", "alpha_mae"]
FINAL = {
    "ce": 0.62, "mae": 0.71, "gce": 0.79, "sce": 0.75, "nce+rce": 0.83, "unhinged": 0.84,
    "sgce": 0.88, "alpha_mae": 0.86,
}  # fmt: skip
SHARE = {"caption": "What it shows.", "where": "beyond the paper"}
CURVES = {"cells": "curves", "losses": "comparison"}
SYMMETRIC = {"cells": "symmetric", "losses": "comparison"}
ARTEFACTS: dict[str, dict[str, Any]] = {
    "accuracy-symmetric": {
        "kind": "table", "draw": "accuracy", "published": "anchors", "select": SYMMETRIC,
    },
    "pairs": {
        "kind": "table", "draw": "pairs", "options": {"pairs": [["gce", "sgce"]]},
        "select": SYMMETRIC,
    },
    "cost": {"kind": "table", "draw": "cost-table", "select": CURVES},
    "test-sets": {"kind": "table", "draw": "test-sets", "published": "anchors", "select": CURVES},
    "fixed-tuned": {
        "kind": "table", "draw": "fixed-tuned", "options": {"variants": "tuned"},
        "select": {"cells": "curves", "losses": "decay"},
    },
    "tuned-values": {
        "kind": "table", "draw": "chosen", "select": {"cells": "curves", "losses": "tuned"},
    },
    "learning-curves": {"kind": "figure", "draw": "learning-curves", "select": CURVES},
    "by-noise": {"kind": "figure", "draw": "accuracy-by-noise", "select": SYMMETRIC},
    "cost-bars": {"kind": "figure", "draw": "cost-bars", "select": CURVES},
    "sensitivity": {
        "kind": "figure", "draw": "sensitivity", "options": {"variants": ["q"]},
        "select": {"cells": "curves", "losses": "q"},
    },
    "norms": {
        "kind": "figure", "draw": "score-norms", "options": {"variants": "norms"},
        "select": {"cells": "curves", "losses": "norms"},
    },
    "ranks": {"kind": "figure", "draw": "critical-difference", "select": SYMMETRIC},
    "loss-shapes": {
        "kind": "figure", "draw": "loss-shapes", "select": SYMMETRIC,
    },
}  # fmt: skip


def write_config(root: Path) -> None:
    """A small configuration that declares every kind of artefact."""
    pixels = {"mean": [0.3], "std": [0.3], "source": "made up"}
    documents = {
        "config.yaml": {"scale": "tiny", "studies": [NAME]},
        "scales.yaml": {"tiny": {"data": "made-up data", "hardware": "any"}},
        "losses.yaml": {
            name: {"label": LABELS.get(name, name.upper()),
                   "parameters": {"q": 0.7} if name in ("gce", "sgce") else {},
                   "score_norm": "bn" if name == "unhinged" else "none"}
            for name in COMPARISON
        },
        "recipes.yaml": {"short": {"model": "mlp", "epochs": EPOCHS, "lr": 0.1}},
        "datasets.yaml": {
            "cifar10": {**pixels, "title": "Made-up images", "reader": "cifar", "shape": [1, 8, 8],
                        "train": 1000, "test": 200, "classes": [str(i) for i in range(10)],
                        "asymmetric": {9: 1}},
            "others": {**pixels, "title": "Made-up others", "reader": "idx", "shape": [1, 8, 8],
                       "train": 300, "test": 100, "classes": [str(i) for i in range(10)]},
        },
        f"studies/{NAME}/tiny.yaml": {
            "seeds": [1, 2, 3],
            "settings": {"images": {"dataset": "cifar10", "recipe": "short"}},
            "cells": {
                "symmetric": {"settings": ["images"], "noises": [
                    "symmetric-0.0", "symmetric-0.2", "symmetric-0.4", "symmetric-0.8"]},
                "curves": {"settings": ["images"], "noises": ["symmetric-0.4", "symmetric-0.8"]},
            },
            "tuning": {"weight_decays": [0.0, 0.01], "budget": {"configurations": 3}},
        },
        f"studies/{NAME}/study.yaml": {
            "title": "Symmetrized losses", "paper": "A paper.",
            "cells": ["symmetric", "curves", "asymmetric"],
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
                "equal": {"losses": ["ce", "sgce", "unhinged"], "vary": "budget",
                          "values": ["tuned"], "slug": "{loss}-equal",
                          "label": "{label}, equal budget"},
            },
            "artefacts": {
                name: {**SHARE, "title": f"Made-up {name}", **entry}
                for name, entry in ARTEFACTS.items()
            },
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


def load() -> Config:
    """The configuration of the working folder."""
    return configuration.load("config", {}, studies.find)


def edit(file: str, changes: dict[str, Any]) -> Config:
    """The configuration with values of a file (below config/) changed, by dotted keys."""
    path = Path("config", file)
    content = yaml.safe_load(path.read_text())
    for dotted, value in changes.items():
        *parents, key = dotted.split("|") if "|" in dotted else dotted.split(".")
        target = content
        for parent in parents:
            target = target.setdefault(parent, {})
        target[key] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return load()


def job(config: Config, artefact: str) -> Any:
    """The job of a table or figure."""
    kind = config.studies[NAME].declared.artefacts[artefact].kind
    (step,) = (step for step in STEPS if step.name == kind)
    return step.job(config, NAME, artefact)


def make(config: Config, artefact: str) -> dict[str, Path]:
    """Make a table or figure; its files by format."""
    found = job(config, artefact)
    build = {"table": tables.table, "figure": figures.figure}[found.step]
    build(found.spec, found.inputs, found.outputs, Context())
    return {suffix: Path(path) for suffix, path in found.outputs.items()}


def results(config: Config, *reads: str, **select: str) -> registry.Results:
    """What a selection of cells and losses leads to."""
    selected = studies.find(NAME).select(config, Select(**select), reads)
    return registry.Results(selected.spec, selected.files)


def judge(config: Config, predicate: str, select: Select, **options: Any) -> Verdict:
    """The verdict of a predicate on a selection, with checked options; effects as printed."""
    found, selected = declared.resolve(config, NAME, "claim", predicate, select)
    signature.check(found.entry, options, "options")
    verdict: Verdict = registry.call(declared.spec(found, selected, options), selected.files)
    named = [effect.name for effect in verdict.effects]
    assert not [each for each in named if re.search(r"[a-z]_[a-z]|metric-\d", each)], named
    assert not set(named) & set(config.losses), named
    return verdict


def write_records(config: Config) -> None:
    """Every file that the artefacts of `config` read, smooth curves with a little noise."""
    wanted = {
        path
        for name in ARTEFACTS
        for path in job(config, name).inputs.values()
        if path.startswith("results/")
    }
    for path in sorted(wanted):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if "/runs/" in path:
            _write_run(Path(path))
        elif "/cost/" in path:
            seconds = {name: [1e-3 + 1e-4 * len(name), 2e-3, 3e-3] for name in COMPARISON}
            Path(path).write_text(json.dumps({"seconds_per_step": seconds, "device": "cpu"}))
        else:
            Path(path).write_text(json.dumps(tuned(0.01)))


def tuned(value: float, tied: tuple[float, ...] = ()) -> dict[str, Any]:
    """The record of a tuning that chose a weight decay, with those that are as good."""
    values = [0.0, 0.001, 0.01]
    stage = {
        "candidates": [{"weight_decay": each} for each in values],
        "default": 0,
        "chosen": values.index(value),
        "tied": [values.index(each) for each in (tied or (value,))],
        "accuracy": [0.7, 0.72, 0.75],
        "wins": [0.1, 0.2, 0.7],
        "kept": [0.2, 0.2, 0.6],
        "p": [1.0 if each in (tied or (value,)) else 0.001 for each in values],
    }
    return {"chosen": {"weight_decay": value}, "validation_accuracy": 0.75, "stages": [stage]}


def write_correct(path: Path, accuracy: float, *, diverged: bool = False) -> None:
    """Which of 200 test examples are right: the easiest ones, the same for every training."""
    right = np.zeros(0 if diverged else 200, bool)
    right[: round(200 * accuracy)] = True
    np.savez(path, correct=np.packbits(right), count=len(right))


def _write_run(path: Path) -> None:
    noise, loss, seed = path.parts[-4:-1]
    rate, random = float(noise.split("-")[1]), numpy_stream(int(seed[4:]), f"{noise} {loss}")
    base = loss.split("-q")[0].split("-")[0] if loss not in FINAL else loss
    epoch = np.arange(1, EPOCHS + 1)
    final = FINAL[base] + 0.1 - 0.35 * rate * (1.2 - FINAL[base]) + random.normal(0, 0.002)
    rise = 1 - np.exp(-epoch / 3)
    fitted = (1 - FINAL[base]) * 2 * np.clip((epoch - 5) / EPOCHS, 0, 1)
    accuracy = np.clip(final * rise + 0.3 * rate * rise * (1 - epoch / EPOCHS), 0.0, 1.0)
    history = pd.DataFrame(dict.fromkeys(frames.HISTORY, 0.5), index=range(EPOCHS))
    history = history.assign(epoch=epoch, test_accuracy=accuracy, score_max=10.0 * epoch,
                             wrong_fitted=fitted if rate else np.nan)  # fmt: skip
    history.to_csv(path.parent / "history.csv", index=False)
    diverged = loss == "unhinged-none" and seed == "seed2"
    last = {key: None if pd.isna(value) else value for key, value in history.iloc[-1].items()}
    summary = {
        "spec": {},
        "seed": int(seed[4:]),
        "status": "diverged" if diverged else "finished",
        "epochs_run": EPOCHS,
        "last": last,
        "best": {"epoch": int(epoch[accuracy.argmax()]), "test_accuracy": float(accuracy.max())},
        "final": {}
        if diverged
        else {
            "train_accuracy": 0.5,
            "clean_accuracy": 0.6,
            "wrong_fitted": float(fitted[-1]) if rate else None,
            "wrong_corrected": 0.3 if rate else None,
        },
        "seconds": 1.5,
        "kappa": 0.5,
        "effective_steps": 12.0,
        "device": "cpu",
        "peak_memory_bytes": 1,
        "versions": {"torch": "2.11"},
        "commit": "unknown",
        "code": "0123456789ab",
        "inputs": {},
    }
    (path.parent / "summary.json").write_text(json.dumps(summary))
    top1 = float(accuracy[-1])
    write_correct(path.parent / "correct.npz", 0.0 if diverged else top1, diverged=diverged)
    tests = {"last_accuracy": top1, "top5_accuracy": 0.5 + top1 / 2, "other_accuracy": top1 / 2}
    (path.parent / "tests.json").write_text(json.dumps({"accuracies": tests}))


def lose(*losses: str, at: int = 1, noise: str = "", seeds: str = "123") -> None:
    """Let trainings with `losses` diverge in epoch `at`, as `train` writes it."""
    for path in Path("results").rglob("summary.json"):
        of, loss, seed = path.parts[-4:-1]
        if loss not in losses or noise not in of or seed[4:] not in seeds:
            continue
        history = pd.read_csv(path.parent / "history.csv")
        history = history[history["epoch"] < at]
        history.to_csv(path.parent / "history.csv", index=False)
        rows = history.astype(object).where(history.notna(), None).to_dict("records")
        best = max(rows, key=lambda row: row["test_accuracy"], default=None)
        summary = json.loads(path.read_text())
        summary |= {
            "status": "diverged",
            "epochs_run": len(rows),
            "last": rows[-1] if rows else None,
            "best": best and {name: best[name] for name in ("epoch", "test_accuracy")},
            "final": dict.fromkeys(summary["final"]),
        }
        path.write_text(json.dumps(summary))
        write_correct(path.parent / "correct.npz", 0.0, diverged=True)
