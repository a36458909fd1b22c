"""Every bad input ends before a job is planned, in one line: file, key, value, what is allowed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import Project, load
from pydantic import TypeAdapter, ValidationError

from firstorder.config.validation import parse
from firstorder.errors import ConfigError
from firstorder.jobs import code, plan, signature
from firstorder.jobs.study import find, known_steps

SMOKE = "studies/symmetrization/smoke.yaml"
STUDY = "studies/symmetrization/study.yaml"
LINEAR = "studies/linearized/smoke.yaml"
NADS = {"kind": "nads", "models": ["mlp"], "seeds": [1], "recipe": "tangent-short", "tasks": [1]}
VARIANTS = {
    "losses": ["gce"],
    "vary": "parameter",
    "parameter": "q",
    "values": [0.2, 0.5],
    "slug": "{loss}-q{value}",
    "label": "{label}, q = {value}",
}
CLAIM = {"title": "t", "where": "w", "predicate": "memorises", "select": {}}
CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    # unknown keys, at every depth
    "top": ("config.yaml", {"skale": "smoke"}, ["skale: unknown key", "did you mean 'scale'?"]),
    "entry": (
        "recipes.yaml",
        {"digits.epoch": 3},
        ["digits.epoch: unknown key", "mean 'epochs'?"],
    ),
    "nested": (
        SMOKE,
        {"settings.digits.data": "digits"},
        ["settings.digits.data: unknown key", "'dataset'", "recipe"],
    ),
    "artefact": (
        STUDY,
        {"artefacts.accuracy-symmetric.select.loss": "all"},
        ["artefacts.accuracy-symmetric.select.loss: unknown key", "did you mean 'losses'?"],
    ),
    "dataset's change": (
        "losses.yaml",
        {"gce.datasets": {"digits": {"l2": 1}}},
        ["gce.datasets.digits.l2: unknown key", "weight_decay"],
    ),
    "misspelt among many": (
        "studies/symmetrization/smoke.yaml",
        {"losses.decay": ["cee"]},
        ["losses.decay: loss 'cee' is unknown", "did you mean 'ce'", "allowed: ce, ", " more"],
    ),
    # types and ranges
    "text for a number": (
        "recipes.yaml",
        {"digits.epochs": "many"},
        ["digits.epochs: 'many'", "integer"],
    ),
    "number for an entry": (
        "losses.yaml",
        {"ce": 3},
        ["ce: 3 is not allowed: expected `key: value`"],
    ),
    "nothing for an entry": (
        "losses.yaml",
        {"ce": None},
        ["ce: None", "expected `key: value` lines"],
    ),
    "zero epochs": (
        "recipes.yaml",
        {"digits.epochs": 0},
        ["digits.epochs: 0", "greater than or equal to 1"],
    ),
    "negative rate of learning": (
        "recipes.yaml",
        {"digits.lr": -0.1},
        ["digits.lr: -0.1", "greater than 0"],
    ),
    "unknown schedule": (
        "recipes.yaml",
        {"digits.schedule": "cosin"},
        ["digits.schedule: 'cosin'", "'cosine'", "'one-cycle'"],
    ),
    "unknown augmentation": (
        "recipes.yaml",
        {"digits.augment": {"zoom": 1}},
        ["digits.augment.zoom", "'crop'"],
    ),
    "unknown device": (
        "config.yaml",
        {"device": "tpu"},
        ["device: 'tpu'", "'auto', 'cpu' or 'cuda'"],
    ),
    "unknown study": (
        "config.yaml",
        {"studies": ["both"]},
        ["studies: 'both' is unknown", "allowed: line_attractor"],
    ),
    "either type": (
        "losses.yaml",
        {"ce.weight_decay": -1},
        ["ce.weight_decay: -1", "greater than or equal to 0 or 'tuned'"],
    ),
    "missing key": (
        "recipes.yaml",
        {"digits": {"model": "mlp", "lr": 0.1}},
        ["digits.epochs: missing"],
    ),
    "no seeds": (
        SMOKE,
        {"seeds": []},
        ["seeds: [] is not allowed: give at least one"],
    ),
    "a number for a list": (
        SMOKE,
        {"seeds": 3},
        ["seeds: 3 is not allowed: should be a list such as [a, b]"],
    ),
    "a scale that is called as the file of a study": (
        "scales.yaml",
        {"study": {"data": "mine", "hardware": "any"}},
        ["scales.yaml: 'study' is not allowed as a name: ", "name the scale otherwise"],
    ),
    "negative seed": (SMOKE, {"seeds": [-1]}, ["seeds.0: -1"]),
    "name of an entry": (
        "losses.yaml",
        {"My Loss": {"label": "x"}},
        ["'My Loss' is not allowed", "lower-case"],
    ),
    "name that is a path": (
        SMOKE,
        {"cells.symmetric.noises": ["../symmetric-0.1"]},
        ["cells.symmetric.noises.0: '../symmetric-0.1'", "lower-case"],
    ),
    "a number for the name of a class": (
        "datasets.yaml",
        {"digits.classes": [0, 1]},
        ["digits.classes.0: 0 is not allowed: should be a valid string; quote it"],
    ),
    "channels": (
        "datasets.yaml",
        {"digits.mean": [0.5, 0.5]},
        ["digits: mean and std need one value"],
    ),
    # references
    "unknown scale": (
        "config.yaml",
        {"scale": "smal"},
        ["scale 'smal' is unknown", "did you mean 'small'?"],
    ),
    "unknown loss": (
        STUDY,
        {"losses.comparison": ["ce", "sgcee"]},
        ["losses.comparison: loss 'sgcee' is unknown", "did you mean 'sgce'?"],
    ),
    "unknown loss at a scale": (
        SMOKE,
        {"losses": {"comparison": ["mean"]}},
        ["smoke.yaml: losses.comparison: loss 'mean' is unknown"],
    ),
    "unknown dataset": (
        SMOKE,
        {"settings.digits.dataset": "digit"},
        ["settings.digits: dataset 'digit' is unknown", "did you mean 'digits'?"],
    ),
    "crops larger than the images": (
        "recipes.yaml",
        {"digits.augment": {"resized-crop": 64}},
        ["recipes.yaml: digits.augment.resized-crop: 64 is not allowed", "images of 8 x 8 pixels"],
    ),
    "a mean for other channels": (
        "recipes.yaml",
        {"digits.mean": [0.5, 0.5, 0.5], "digits.std": [0.2, 0.2, 0.2]},
        ["digits.mean: [0.5, 0.5, 0.5] is not allowed", "1 channels"],
    ),
    "a mean in bytes": (
        "recipes.yaml",
        {"digits.mean": [127.5], "digits.std": [0.2]},
        ["digits.mean", "scaled to [0, 1]; perhaps divide by 255"],
    ),
    "a deviation in bytes": (
        "datasets.yaml",
        {"digits.std": [64.0]},
        ["digits.std", "scaled to [0, 1]; perhaps divide by 255"],
    ),
    "a name of a file that no rule matches": (
        "datasets.yaml",
        {"cifar10.files": [{"name": "my file.npz"}]},
        ["cifar10.files.0.name", "letters, digits"],
    ),
    "a name of a file that stands for others": (
        "datasets.yaml",
        {"cifar10.files": [{"name": "in-place"}]},
        ["cifar10.files.0.name", "give the file another name"],
    ),
    "the content of a split that there is not": (
        "datasets.yaml",
        {"digits.content": {"trian": {"count": 1, "sha256": "0" * 64}}},
        ["digits", "content: trian is no split; write train, test"],
    ),
    "a test set whose tensors have the names of others": (
        "datasets.yaml",
        {"digits.extra_tests": {"a_images": 6}},
        ["digits", "extra_tests: a_images: leave out its ending"],
    ),
    "a deviation of zero": (
        "recipes.yaml",
        {"digits.mean": [0.5], "digits.std": [0.0]},
        ["digits.std", "must be positive"],
    ),
    "an angle that is a text": (
        "recipes.yaml",
        {"digits.augment": {"rotate": "x"}},
        ["digits.augment", "rotate: 'x': write a number"],
    ),
    "a probability in percent": (
        "recipes.yaml",
        {"digits.augment": {"flip": 50}},
        ["digits.augment", "flip: 50: write a number from 0 to 1"],
    ),
    "half a pixel": (
        "recipes.yaml",
        {"digits.augment": {"crop": 4.5}},
        ["digits.augment", "crop: 4.5: write a whole number"],
    ),
    "a truth for a crop": (
        "recipes.yaml",
        {"digits.augment": {"resized-crop": True}},
        ["digits.augment", "resized-crop: True: write a whole number"],
    ),
    "a negative padding": (
        "recipes.yaml",
        {"digits.augment": {"crop": -2}},
        ["digits.augment", "crop: -2: write a number of 0 or more"],
    ),
    "colours of grey images": (
        "recipes.yaml",
        {"digits.augment": {"jitter": 0.4}},
        ["digits.augment.jitter: 0.4 is not allowed", "1 channels"],
    ),
    "fewer examples than classes": (
        "recipes.yaml",
        {"digits.train": 5},
        ["digits.train: 5 is not allowed", "10 classes"],
    ),
    "a further test set called train": (
        "datasets.yaml",
        {"digits.extra_tests": {"train": 5}},
        ["digits: extra_tests: train is no further test set"],
    ),
    "a published test set beside the test set": (
        "datasets.yaml",
        {"digits.extra_tests": {"published": 5}},
        ["extra_tests: published is for test_from: train"],
    ),
    "a class mistaken for itself": (
        "datasets.yaml",
        {"digits.asymmetric": {0: 0}},
        ["digits: asymmetric: 0 -> 0 changes nothing"],
    ),
    "a rate that instance noise cannot have": (
        SMOKE,
        {"cells.symmetric": {"settings": ["digits"], "noises": ["instance-0.05"]}},
        [
            "cells.symmetric.noises: instance-0.05: a rate of 0.05 cannot be realised",
            "the nearest that can is 0.17",
        ],
    ),
    "noise of another rate than its name says": (
        SMOKE,
        {
            "noises.symmetric-0": {"kind": "symmetric", "rate": 0.4},
            "cells.symmetric": {"settings": ["digits"], "noises": ["symmetric-0"]},
        },
        ["cells.symmetric.noises: symmetric-0: declared with rate: 0.4", "says 0.0; rename it"],
    ),
    "a file without its function": (
        "losses.yaml",
        {"mine": {"label": "mine", "function": "my/losses.py"}},
        ["mine.function: my/losses.py: name a function in it, my/losses.py:function"],
    ),
    "one class": (
        "datasets.yaml",
        {"digits.classes": ["zero"], "digits.asymmetric": {}},
        ["settings.digits: dataset 'digits' has one class"],
    ),
    "unknown initialisation": (
        "recipes.yaml",
        {"digits.model_parameters": {"init": "foo"}},
        ["recipes.yaml: digits.model_parameters.init: 'foo' is not allowed", "kaiming"],
    ),
    "a coloured network on grey images": (
        "recipes.yaml",
        {"digits.model": "torchvision:resnet18", "digits.model_parameters": {}},
        ["smoke.yaml: settings.digits: torchvision:resnet18 takes 3 channels", "have 1"],
    ),
    "unknown recipe": (
        SMOKE,
        {"settings.digits.recipe": "digts"},
        ["settings.digits: recipe 'digts' is unknown", "did you mean 'digits'?"],
    ),
    "unknown model": (
        LINEAR,
        {"families.binary.models": ["mpl"]},
        ["families.binary: model 'mpl' is unknown", "did you mean 'mlp'?"],
    ),
    "unknown setting": (
        SMOKE,
        {"cells.symmetric.settings": ["digit"]},
        ["cells.symmetric.settings: setting 'digit' is unknown", "allowed: digit_pairs, digits"],
    ),
    "unknown group of losses": (
        STUDY,
        {"artefacts.accuracy-symmetric.select.losses": "comparisons"},
        [
            "accuracy-symmetric.select.losses: group 'comparisons' is unknown",
            "did you mean 'comparison'?",
        ],
    ),
    "unknown group of cells": (
        STUDY,
        {"artefacts.accuracy-symmetric.select.cells": "symetric"},
        [
            "accuracy-symmetric.select.cells: group 'symetric' is unknown",
            "did you mean 'symmetric'?",
        ],
    ),
    "unknown dataset of a loss": (
        "losses.yaml",
        {"ce.datasets": {"cifar11": {"l1": 0.1}}},
        ["ce.datasets: dataset 'cifar11' is unknown", "did you mean 'cifar10'?"],
    ),
    "no labels": (
        SMOKE,
        {"settings.digits.dataset": "photo_patches"},
        ["settings.digits: dataset 'photo_patches' has no labels"],
    ),
    # noise
    "impossible symmetric rate": (
        SMOKE,
        {"cells.symmetric.noises": ["symmetric-0.95"]},
        ["cells.symmetric.noises: rate 0.95", "10 classes of digits", "[0, 0.9]"],
    ),
    "negative rate": (
        SMOKE,
        {"cells.symmetric.noises": ["symmetric--0.1"]},
        ["cells.symmetric.noises: noise 'symmetric--0.1'", "[0, 1]"],
    ),
    "negative rate of a declared noise": (
        SMOKE,
        {"noises": {"odd": {"kind": "symmetric", "rate": -0.1}}},
        ["noises.odd.rate: -0.1", "greater than or equal to 0"],
    ),
    "bad slug": (
        SMOKE,
        {"cells.symmetric.noises": ["symetric-0.1"]},
        ["cells.symmetric.noises: noise 'symetric-0.1'", "symmetric, asymmetric"],
    ),
    "no map": (
        "datasets.yaml",
        {"digits.asymmetric": {}},
        ["cells.asymmetric.noises: digits has no asymmetric map", "datasets.yaml"],
    ),
    "map beyond the labels": (
        "datasets.yaml",
        {"digits.asymmetric": {3: 10}},
        ["digits: asymmetric: 3 -> 10", "labels end at 9"],
    ),
    "unknown annotation": (
        SMOKE,
        {"cells.symmetric.noises": ["human-worst"]},
        ["cells.symmetric.noises: human annotation 'worst' is unknown for digits", "allowed: none"],
    ),
    "files for a reader of one's own": (
        "datasets.yaml",
        {"cifar10.reader": "my/reader.py:read"},
        ["cifar10: files are fetched for the ready readers"],
    ),
    # sizes and tasks
    "too many examples": (
        "recipes.yaml",
        {"digits.train": 60000},
        ["recipes.yaml: digits.train: 60000", "digits has", "training examples"],
    ),
    "support too large": (
        LINEAR,
        {"supports.digits.train": 99999},
        ["supports.digits.train: 99999", "digits has"],
    ),
    "watched but not trained": (
        LINEAR,
        {"families.eigenfunctions.watch": [7]},
        ["families.eigenfunctions: watch: [7] is not allowed: choose from tasks ["],
    ),
    "task beyond the support": (
        LINEAR,
        {"families.binary.tasks": [5000]},
        ["families.binary.tasks: 5000", "at most 1400"],
    ),
    "no tasks": (LINEAR, {"families.binary.tasks": []}, ["families.binary.tasks: []"]),
    "NADs on a support": (
        LINEAR,
        {"families.nads": {**NADS, "support": "digits"}},
        ["families.nads: support: ", "make their own inputs"],
    ),
    "binary tasks without a support": (
        LINEAR,
        {"families.binary.support": None},
        ["families.binary.support: missing", "digits"],
    ),
    "unknown kind of tasks": (
        LINEAR,
        {"families.binary.kind": "ternary"},
        ["families.binary.kind: 'ternary'", "'eigenfunctions', 'inductive', 'binary' or 'nads'"],
    ),
    "a number in quotes": (
        "recipes.yaml",
        {"digits.epochs": "3"},
        ["digits.epochs: '3'", "integer"],
    ),
    "a truth for a number": (
        "recipes.yaml",
        {"digits-brief-step.milestones": [2, True]},
        ["digits-brief-step.milestones.1: True", "integer"],
    ),
    "milestones that the schedule does not read": (
        "recipes.yaml",
        {"digits.milestones": [60]},
        ["digits: milestones: [60]", "schedule: cosine", "leave it out, or write []"],
    ),
    "a factor that the schedule does not read": (
        "recipes.yaml",
        {"tangent.gamma": 0.5},
        ["tangent: gamma: 0.5", "schedule: linear", "leave it out, or write 0.1"],
    ),
    "steps without a schedule": (
        "recipes.yaml",
        {"digits.schedule": "constant", "digits.schedule_unit": "step"},
        ['digits: schedule_unit: "step"', "schedule: constant", 'write "epoch"'],
    ),
    "Nesterov without momentum": (
        "recipes.yaml",
        {"digits.momentum": 0.0, "digits.nesterov": True},
        ["digits: nesterov: true", "momentum: 0", "write false"],
    ),
    "a schedule of steps without milestones": (
        "recipes.yaml",
        {"digits.schedule": "step"},
        ["digits: milestones: missing", "schedule: step needs one"],
    ),
    "a decay that the schedule does not read": (
        "studies/line_attractor/smoke.yaml",
        {"corpora.synthetic.recipe.schedule": "cosine", "corpora.synthetic.recipe.decay": 0.5},
        ["corpora.synthetic.recipe: decay: 0.5", "schedule: cosine", "write 0.2"],
    ),
    "folders beside a path": (
        "datasets.yaml",
        {"digits.path": "my", "digits.folders": ["other"]},
        ['digits: folders: ["other"]', "beside path", "write []"],
    ),
    "points of kernels that nobody watches": (
        "studies/linearized/smoke.yaml",
        {"families.binary.watch_points": 100},
        ["families.binary: watch_points: 100", "watch: []", "write 500"],
    ),
    "a number for a truth": (
        "recipes.yaml",
        {"digits.nesterov": 1},
        ["digits.nesterov: 1", "boolean"],
    ),
    # functions and their options
    "a number in quotes in a list of an option": (
        STUDY,
        {"claims.P5.options": {"pairs": [["mae", "sgce"]], "rates": [0.2, "0.4"]}},
        ["claims.P5.options.rates: ", "is not allowed", "number"],
    ),
    "option of a predicate": (
        STUDY,
        {"claims.P1.options": {"dropp": 0.9}},
        ["claims.P1.options.dropp: ", "has no such option", "did you mean 'drop'?"],
    ),
    "value of an option": (
        STUDY,
        {"claims.P1.options": {"drop": "abc"}},
        ["claims.P1.options.drop: 'abc' is not allowed", "number"],
    ),
    "unknown predicate": (
        STUDY,
        {"claims.P1.predicate": "no-such-predicate"},
        ["claims.P1.predicate: 'no-such-predicate' is unknown"],
    ),
    "unknown drawing": (
        STUDY,
        {"artefacts.learning-curves.draw": "learning-curve"},
        ["artefacts.learning-curves.draw: 'learning-curve' is unknown", "'learning-curves'?"],
    ),
    "a table's function for a figure": (
        STUDY,
        {"artefacts.learning-curves.kind": "table"},
        ["artefacts.learning-curves.draw: 'learning-curves' is unknown"],
    ),
    "option of a family": (
        LINEAR,
        {"families.nads.options": {"sampels": 16}},
        ["families.nads.options.sampels: unknown key", "did you mean 'samples'?"],
    ),
    "parameter of a network": (
        "recipes.yaml",
        {"digits.model_parameters": {"hiden": 100}},
        ["digits.model_parameters.hiden: ", "has no such option", "hidden, init"],
    ),
    "unknown network": (
        "recipes.yaml",
        {"digits.model": "cnn5"},
        ["digits.model: model 'cnn5' is unknown", "did you mean 'cnn8'?"],
    ),
    "unknown function of a loss": (
        "losses.yaml",
        {"mine": {"label": "Mine", "function": "gcee"}},
        ["mine.function: loss function 'gcee' is unknown", "did you mean 'gce'?"],
    ),
    "missing file of a loss": (
        "losses.yaml",
        {"mine": {"label": "Mine", "function": "nowhere.py:loss"}},
        ["mine.function: nowhere.py:loss: nowhere.py does not exist"],
    ),
    "parameter of a loss": (
        "losses.yaml",
        {"gce.parameters": {"qq": 0.4}},
        ["gce.parameters.qq: gce has no such option"],
    ),
    "type of a loss's parameter": (
        "losses.yaml",
        {"gce.parameters": {"q": "much"}},
        ["gce.parameters.q: 'much' is not allowed"],
    ),
    "published numbers": (
        STUDY,
        {"artefacts.accuracy-symmetric.published": "nowhere"},
        ["artefacts.accuracy-symmetric.published: ", "nowhere.csv does not exist"],
    ),
    # claims
    "a claim without a name": (
        STUDY,
        {"claims": {"": CLAIM}},
        ["claims.: '' is not allowed: use letters, digits"],
    ),
    "a claim named by signs": (
        STUDY,
        {"claims": {"T/ 1é<b>": CLAIM}},
        ["claims.T/ 1é<b>: 'T/ 1é<b>' is not allowed: use letters, digits"],
    ),
    "a claim named by a number": (STUDY, {"claims": {"12": CLAIM}}, ["'12' is not allowed"]),
    "a day in words": (
        STUDY,
        {"claims.P1.since": "tomorrow"},
        ["claims.P1.since: 'tomorrow' is not allowed: write a date as YYYY-MM-DD"],
    ),
    "a day that no month has": (STUDY, {"claims.P1.since": "2026-02-30"}, ["YYYY-MM-DD"]),
    # names twice
    "a seed twice": (SMOKE, {"seeds": [1, 1]}, ["seeds: [1, 1]", "1 stands there twice"]),
    "a seed of a family twice": (
        LINEAR,
        {"families.binary.seeds": [2, 2]},
        ["families.binary.seeds: [2, 2]", "2 stands there twice"],
    ),
    "a noise twice": (
        SMOKE,
        {"cells.symmetric.noises": ["symmetric-0.2", "symmetric-0.2"]},
        ["cells.symmetric.noises: ", "twice"],
    ),
    "two spellings of a noise": (
        SMOKE,
        {"cells.symmetric.noises": ["symmetric-0.2", "symmetric-0.20"]},
        ["noises 'symmetric-0.2' and 'symmetric-0.20' are both printed as 'symmetric, 20 %'"],
    ),
    "two losses with one label": (
        "losses.yaml",
        {"gce.label": "CE"},
        ["losses 'ce' and 'gce' are both printed as 'CE'"],
    ),
    "two datasets with one title": (
        SMOKE,
        {
            "settings.twin": {"dataset": "twin", "recipe": "digit_pairs"},
            "cells.many-classes.settings": ["digit_pairs", "twin"],
        },
        ["settings 'digit_pairs' and 'twin' are both printed as"],
    ),
    "two networks with one label": (
        "studies/linearized/study.yaml",
        {"models.twin": {"label": "MLP", "model": "mlp"}},
        ["models 'mlp' and 'twin' are both printed as 'MLP'"],
    ),
    # numbers that are none, sizes that no machine has
    "not a number": ("recipes.yaml", {"digits.lr": float("nan")}, ["digits.lr: nan", "finite"]),
    "infinite": ("recipes.yaml", {"digits.lr": float("inf")}, ["digits.lr: inf", "finite"]),
    "infinite in a list": (
        SMOKE,
        {"tuning.weight_decays": [float("inf")]},
        ["tuning.weight_decays.0: inf", "finite"],
    ),
    "infinite parameter": (
        "losses.yaml",
        {"gce.parameters": {"q": float("inf")}},
        ["gce.parameters.q: inf"],
    ),
    "too many threads": (
        "recipes.yaml",
        {"digits.threads": 100_000},
        ["digits.threads: 100000", "less than or equal to 1024"],
    ),
    "huge": ("recipes.yaml", {"digits.epochs": 10**40}, ["digits.epochs: 1000", "less than"]),
    "name too long": (
        "losses.yaml",
        {"ce.function": "x" * 3000 + ".py:f"},
        ["ce.function: 'xxx", "shorter name"],
    ),
    "unknown home": (
        SMOKE,
        {"noises": {"own": {"kind": "matrix", "path": "~nobody-of-this-name/a.csv"}}},
        ["noises.own.path: ", "home folder"],
    ),
    # variants
    "variants of an unknown loss": (
        STUDY,
        {"variants.v": {**VARIANTS, "losses": ["gee"]}},
        ["variants.v.losses: loss 'gee' is unknown", "did you mean 'gce'?"],
    ),
    "variants without a parameter": (
        STUDY,
        {"variants.v": {**VARIANTS, "parameter": None}},
        ["variants.v: `parameter` goes with `vary: parameter`"],
    ),
    "variants with one name": (
        STUDY,
        {"variants.v": {**VARIANTS, "slug": "{loss}-q"}},
        ["variants.v.slug: '{loss}-q'", "'gce-q' must be a new name"],
    ),
    "variants with a blank that takes a part": (
        STUDY,
        {"variants.v": {**VARIANTS, "slug": "{loss.name}-q"}},
        ["variants.v: ", "{loss} and {value}"],
    ),
    "variants with an unknown blank": (
        STUDY,
        {"variants.v": {**VARIANTS, "slug": "{los}-q"}},
        ["variants.v: 'los'", "{loss} and {value}"],
    ),
}


NAMED_ELSEWHERE = dict.fromkeys(
    ("two spellings of a noise", "two losses with one label", "two datasets with one title"), STUDY
) | dict.fromkeys(("no map", "no labels", "one class", "a coloured network on grey images"), SMOKE)
"""Cases whose message names another file than the changed one: that which cannot be any more."""


@pytest.mark.parametrize("case", CASES)
def test_a_bad_value_is_one_line_with_file_key_value_and_mend(edited: Any, case: str) -> None:
    file, changes, fragments = CASES[case]
    root = edited(file, changes)
    if case == "two datasets with one title":
        twin = yaml.safe_load((root / "datasets.yaml").read_text())
        (root / "datasets.yaml").write_text(yaml.safe_dump({**twin, "twin": twin["digit_pairs"]}))
    with pytest.raises(ConfigError) as caught:
        load(root)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 650
    named = NAMED_ELSEWHERE.get(case, file)
    for fragment in (named, *fragments):
        assert fragment in message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"s,t,d,n,ce,m,90,0.1,3,M\xf6ller", r"published/mine\.csv: not UTF-8"),
        (b"s,t,d,n,ce,m,90,0.1,3,Li, Wu", r"row 2: 11 fields instead of 10; quote texts"),
        (b"s,t,d,n,ce,m,91.5 %,0.1,3,Li", r"row 2: mean: '91\.5 %' is no number"),
        (b's,t,d,n,ce,m,90,0.1,3,"Li', r"mine\.csv: not a table of comma-separated values"),
    ],
)
def test_published_numbers_are_read_when_it_is_planned(edited: Any, row: bytes, said: str) -> None:
    root: Path = edited(STUDY, {"artefacts.accuracy-symmetric.published": "mine"})
    heading = b"study,artefact,dataset,noise,loss,metric,mean,std,n,source"
    (root / "published/mine.csv").write_bytes(b"\n".join([heading, row, b""]))
    with pytest.raises(ConfigError, match=said):
        load(root)


def test_an_unknown_key_on_the_command_line_names_the_command_line(edited: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"or the command line: seeds: unknown key; .*allowed: scale"
    ):
        load(edited(), {"seeds": 3})


def test_a_missing_file_is_named(edited: Any) -> None:
    root = edited()
    (root / "losses.yaml").unlink()
    with pytest.raises(ConfigError, match=r"losses\.yaml: no such file"):
        load(root)


MULTIPLIED_LISTS, MULTIPLIED_MERGES = (
    f"a0: &a0 {first}\n"
    + "".join(f"a{i}: &a{i} {format % ', '.join([f'*a{i - 1}'] * 9)}\n" for i in range(1, 10))
    for first, format in (("[x]", "[%s]"), ("{ x: 1 }", "{ <<: [%s] }"))
)
"""A few lines that stand for 9^9 values."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ce: { label: CE\ngce: 3\n", r"losses\.yaml: line \d+: not YAML"),
        ("ce: [\n", r"losses\.yaml: line \d+: not YAML"),
        ("ce: &x 1\ngce: &x 2\n", r"line 2: not YAML: found duplicate anchor"),
        ("- ce\n", r"losses\.yaml: expected `key: value` lines"),
        ("", r"losses\.yaml: expected `key: value` lines"),
        ("ce: { label: A }\nce: { label: B }\n", r"losses\.yaml: line 2: .*'ce' is given twice"),
        ("ce: !!python/object/apply:os.getcwd []\n", r"losses\.yaml: line 1: not YAML"),
        ("ce: 0x_\n", r"losses\.yaml: line 1: not YAML: '0x_' is not a value of type int"),
        ("ce:\n  label: 2020-99-99\n", r"line 2: not YAML: '2020-99-99' is not .* timestamp"),
        ("ce: !!float x\n", r"line 1: not YAML: 'x' is not a value of type float"),
        ("? [a, b]\n: 1\n", r"line 1: not YAML: a key must be a text or a number"),
        ("ce: " + "9" * 5000 + "\n", r"line 1: not YAML: '999"),
        ("[" * 100_000, r"line 1: nested deeper than 50"),
        ("ce: 0x" + "f" * 5000 + "\n", r"line 1: not YAML: '0xfff"),
        (MULTIPLIED_LISTS, r"line \d: its references stand for more than 1000000 values"),
        (MULTIPLIED_MERGES, r"line \d: its references stand for more than 1000000 values"),
        ("ce: &a [*a]\n", r"line 1: \*a stands within what it refers to"),
        ("ce: &a\n  <<: *a\n", r"line 2: \*a stands within what it refers to"),
        ("ce: { weight_decay: 010 }\n", r"line 1: '010' is read as an octal number .*: write 10$"),
        ("ce:\n  weight_decay: -0_7\n", r"line 2: '-0_7' is read as an octal .*: write -7$"),
        ("010: {}\n", r"line 1: '010' is read as an octal number by YAML 1.1: write 10$"),
        ("ce: [1:30]\n", r"line 1: '1:30' is read as a number to the base 60 .*: write a decimal"),
        ("ce: [3, 1:30.5]\n", r"line 1: '1:30.5' is read as a number to the base 60"),
        ("ce: { no: 1 }\n", r"line 1: key 'no' is read as true or false by YAML 1.1: quote it$"),
        ("on: {}\n", r"line 1: key 'on' is read as true or false by YAML 1.1: quote it$"),
        ('"a\\nb": {}\n', r"'a\\nb' is not allowed as a name"),
    ],
)
def test_a_file_that_is_not_yaml_names_the_line(edited: Any, text: str, expected: str) -> None:
    root: Path = edited()
    (root / "losses.yaml").write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        load(root)
    assert "\n" not in str(caught.value)


def test_numbers_that_mean_what_they_look_like_are_read() -> None:
    text = "[0, 0.5, 10, -3, 1_000, 0x10, 0b11, 1e-3, '010', '1:30']"
    assert parse(text, "") == [0, 0.5, 10, -3, 1000, 16, 3, 0.001, "010", "1:30"]


@pytest.mark.parametrize("file", ["config.yaml", "losses.yaml", STUDY])
def test_what_is_no_regular_file_is_named_and_does_not_hang(edited: Any, file: str) -> None:
    root: Path = edited()
    (root / file).unlink()
    os.mkfifo(root / file)
    with pytest.raises(ConfigError, match=f"{file}: not a regular file"):
        load(root)
    (root / file).unlink()
    (root / file).mkdir()
    with pytest.raises(ConfigError, match=f"{file}: cannot be read: Is a directory"):
        load(root)


@pytest.mark.parametrize(
    "content",
    [b"", b"- a\n", b"scale: [\n", b"scale: \xe9\n", b"x: " + b"9" * 5000, b"[" * 3000],
    ids=["empty", "a list", "not YAML", "Latin-1", "digits", "deep"],
)
def test_a_bad_config_yaml_is_one_line(edited: Any, content: bytes) -> None:
    root: Path = edited()
    (root / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load(root)
    assert str(refused.value).startswith(f"{root / 'config.yaml'}: ")
    assert len(str(refused.value).splitlines()) == 1


def test_a_bad_config_yaml_is_one_line_of_the_workflow(toy: Project) -> None:
    """Snakemake reads the file too, and ends in a traceback or without a line number."""
    (toy.folder / "config" / "config.yaml").write_text("scale: [\n")
    done = toy.snakemake("--dry-run", check=False)
    said = [each for each in done.stderr.splitlines() if not each.startswith("Using workflow")]
    assert done.returncode == 1 and len(said) == 1, done.stderr
    assert said[0].startswith("firstorder: config/config.yaml: ")


def test_a_file_that_is_not_text_is_named(edited: Any) -> None:
    root: Path = edited()
    (root / "losses.yaml").write_bytes(b"\xff\xfe\x00ce")
    with pytest.raises(ConfigError, match=r"losses\.yaml: not UTF-8 text"):
        load(root)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("matrix", "1 0\n0 1\n", "line 1: 2 numbers for the 10 classes"),
        ("matrix", f"nan{' 0' * 9}\n" * 10, "line 1: nan is no probability"),
        ("matrix", f"1.5 -0.5{' 0' * 8}\n" * 10, "line 1: 1.5 is no probability"),
        ("matrix", f"0.5{' 0' * 9}\n" * 10, "line 1: not probabilities that sum to 1"),
        ("matrix", f"0.5,{',0' * 8},0.5\n" * 10, "line 1: '0.5,,0.*' are not numbers"),
        ("labels", "3\n" * 4, r"4 labels for \d+ training images"),
        ("matrix", "a;b\n0.5;0.5\n", "line 1: 'a;b' are not .*, and a heading begins with #"),
        ("labels", "3\nfour\n", "line 2: 'four' is no class of the dataset$"),
        ("labels", "label\n3\n", "line 1: 'label' is no class .*; if it is a heading, remove it"),
    ],
)
def test_noise_of_ones_own_is_read_when_it_is_planned(
    edited: Any, monkeypatch: pytest.MonkeyPatch, kind: str, text: str, reason: str
) -> None:
    own = {"noises.own": {"kind": kind, "path": "noise.csv"}}
    root: Path = edited(SMOKE, {**own, "cells.symmetric.noises": ["own"]})
    monkeypatch.chdir(root.parent)
    Path("noise.csv").write_text(text)
    with pytest.raises(
        ConfigError, match=rf"smoke\.yaml: cells\.symmetric\.noises: noise\.csv: {reason}"
    ):
        load(root)


@pytest.mark.parametrize("name", ["noise.npz", "noise.pt", "noise.PKL"])
@pytest.mark.parametrize("kind", ["matrix", "labels"])
def test_noise_in_an_archive_of_arrays_is_told_how_to_save(
    edited: Any, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    own = {"noises.own": {"kind": kind, "path": name}}
    root: Path = edited(SMOKE, {**own, "cells.symmetric.noises": ["own"]})
    monkeypatch.chdir(root.parent)
    Path(name).write_bytes(b"PK\xff")
    with pytest.raises(ConfigError, match=f"{name}: save its array alone, as .npy, or as text"):
        load(root)


@pytest.mark.parametrize("studies", [None, 3, "toy"])
def test_studies_that_are_no_list_are_told_and_hide_no_verb(
    edited: Any, monkeypatch: pytest.MonkeyPatch, studies: object
) -> None:
    root: Path = edited("config.yaml", {"studies": studies})
    monkeypatch.chdir(root.parent)
    known_steps.cache_clear()
    assert "prepare" in known_steps()
    with pytest.raises(ConfigError, match=rf"config\.yaml: studies: {studies!r} is not allowed"):
        load(root)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
    ],
)
def test_a_study_that_cannot_be_imported_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    name = f"own_{reason[:4].lower()}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match=f"study '{name}': {name} cannot be imported: {reason}"
    ) as caught:
        find(name)
    assert "\n" not in str(caught.value)


PUBLISHED = [
    each.entry
    for each in code.registry("firstorder.studies")
    if each.decorator in ("table", "figure", "claim")
]
MAY_BE_EMPTY = {"firstorder.studies.symmetrization.claims_certain:only_convex": {"linear"}}


@pytest.mark.parametrize("entry", PUBLISHED)
def test_every_option_of_what_is_published_is_checked_and_no_empty_list(entry: str) -> None:
    known = signature.options(entry)
    assert [name for name, kind in known.items() if kind is None] == []
    empty = {name for name, kind in known.items() if kind is not None and allows(kind, [])}
    assert empty == MAY_BE_EMPTY.get(entry, set())


def allows(kind: TypeAdapter[Any], value: Any) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("what", ["a file", "a link to nothing"])
@pytest.mark.parametrize("folder", ["Taken", "Taken/below/it"])
def test_a_folder_that_is_none_is_named(
    edited: Any, monkeypatch: pytest.MonkeyPatch, folder: str, what: str
) -> None:
    root: Path = edited("config.yaml", {"results": folder})
    monkeypatch.chdir(root.parent)
    Path("Taken").touch() if what == "a file" else Path("Taken").symlink_to("/nowhere/at/all")
    with pytest.raises(
        ConfigError, match=f"results: '{folder}' is not allowed: Taken is {what}; name a folder"
    ):
        load(root)


@pytest.mark.parametrize("key", ["results", "resources"])
@pytest.mark.parametrize(
    "folder", ["config", "src/out", ".git", ".", "./", "{here}/config", "../{name}/src"]
)
def test_results_and_data_do_not_lie_among_the_projects_own_files(
    edited: Any, monkeypatch: pytest.MonkeyPatch, folder: str, key: str
) -> None:
    root: Path = edited()
    monkeypatch.chdir(root.parent)
    with pytest.raises(ConfigError, match=rf"{key}: .* is not allowed: the project's own files"):
        load(root, {key: folder.format(here=root.parent, name=root.parent.name)})
    assert getattr(load(root, {key: f"config-{key}"}).settings, key) == f"config-{key}"


@pytest.mark.parametrize("key", ["results", "resources"])
def test_a_folder_in_the_home_is_asked_for_by_its_whole_path(edited: Any, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: .* write the whole path of the home folder"):
        load(edited(), {key: "~/data"})


def test_a_step_of_a_study_that_is_not_chosen_is_named(toy: Project) -> None:
    with pytest.raises(ConfigError, match=r"studies: toy has no step 'train'; add the study"):
        plan.make("config", {}).job("train", "digits", "symmetric-0.0", "ce", "1")


def test_bytes_of_the_command_line_that_are_no_text_are_one_line(toy: Project) -> None:
    done = toy.firstorder("list", "--set", os.fsdecode(b"scale=\xff"), check=False)
    assert done.returncode == 1
    assert done.stderr == "firstorder: --set scale: '\\udcff' is not text; write it in UTF-8\n"
