"""Files that were cut short or altered are refused by name, or made again; never believed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from firstorder.data.prepared import read_prepared
from firstorder.errors import DataError
from firstorder.studies.symmetrization.labels import read_labels

from .conftest import CELL, DATASET, FAMILY, KERNEL, LABELS, RUN, TANGENT, Project


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, at: int = -100) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_checkpoint_is_warned_of_and_the_result_is_the_same(
    project: Project, undisturbed: Project, damage: object
) -> None:
    project.interrupt()
    (checkpoint,) = project.checkpoints()
    assert callable(damage)
    damage(checkpoint)
    done = project.run("train", *CELL)
    assert done.status == 0, done.text
    (warning,) = [line for line in done.text.splitlines() if "unreadable checkpoint" in line]
    assert warning.startswith(f"results/tiny/checkpoints/{checkpoint.name}: ")
    assert warning.endswith("training from the start") and "resumed" not in done.text
    assert project.results() == undisturbed.results()


@pytest.mark.parametrize("name", ["history.csv", "summary.json", "weights.safetensors"])
def test_a_damaged_result_is_not_put_back_from_where_it_was_kept(
    trained: Project, undisturbed: Project, name: str
) -> None:
    kept = next((trained.folder / "results/tiny/checkpoints/finished").glob(f"*/{name}"))
    flip(kept)
    for path in (trained.folder / RUN).rglob(name):
        path.unlink()
    done = trained.run("train", *CELL)
    assert done.status == 0, done.text
    assert done.text.count("was finished before") == 1 and done.text.count("epoch 8/8") == 1
    assert trained.results() == undisturbed.results()


@pytest.mark.parametrize("verb", ["corrupt", "train"])
def test_a_truncated_dataset_is_refused_by_name(project: Project, verb: str) -> None:
    cut(project.folder / DATASET)
    arguments = CELL if verb == "train" else ("digits", "symmetric-0.4")
    line = project.run(verb, *arguments).line()
    assert line == f"{DATASET}: not what `prepare/digits` wrote; delete it and run again"
    assert project.results() == {}


def test_a_dataset_cut_anywhere_is_refused(prepared: Project, tmp_path: Path) -> None:
    whole, path = (prepared.folder / DATASET).read_bytes(), tmp_path / "digits.safetensors"
    chance = random.Random(0)
    for length in [0, 1, 7, 8, 9, *chance.choices(range(len(whole)), k=100)]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"digits\.safetensors: "):
            read_prepared(path)


def test_an_altered_dataset_is_refused_and_its_results_say_so(trained: Project) -> None:
    flip(trained.folder / DATASET)  # one bit of one pixel
    line = trained.run("train", *CELL).line()
    assert line == f"{DATASET}: not what `prepare/digits` wrote; delete it and run again"
    done = trained.run("explain", f"{RUN}/seed1/summary.json")
    assert done.status == 1, done.text
    assert f"CHANGED since {RUN}/seed1/summary.json was made: {DATASET}" in done.text


def test_another_dataset_is_another_input_and_its_old_results_are_not_reused(
    trained: Project, undisturbed: Project
) -> None:
    trained.edit("datasets.yaml", digits__classes=list("abcdefghij"))
    for verb in (("prepare", "digits"), ("corrupt", "digits", "symmetric-0.4"), ("train", *CELL)):
        done = trained.run(*verb)
        assert done.status == 0, done.text
    assert "was finished before" not in done.text
    before, after = (
        project.results()["seed1/summary.json"]["inputs"][DATASET]
        for project in (undisturbed, trained)
    )
    assert before != after


def test_labels_with_any_bit_flipped_are_the_same_labels_or_refused(
    prepared: Project, tmp_path: Path
) -> None:
    whole, path = (prepared.folder / LABELS).read_bytes(), tmp_path / "seed1.npz"
    path.write_bytes(whole)
    expected = read_labels(str(path))
    chance, refused = random.Random(0), 0
    for position in chance.choices(range(len(whole)), k=300):
        path.write_bytes(whole)
        flip(path, position)
        try:
            found = read_labels(str(path))
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: damaged (")
            assert "\n" not in str(error)
        else:
            assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert refused > 250


def test_labels_that_are_damaged_foreign_or_another_cells_are_refused_by_name(
    project: Project,
) -> None:
    path = project.folder / LABELS
    whole = path.read_bytes()
    other = path.with_name("seed2.npz").read_bytes()
    refused = f"{LABELS}: not what `corrupt/digits/symmetric-0.4` wrote; delete it and run again"
    for content in (whole[: len(whole) // 2], other, b""):
        path.write_bytes(content)
        assert project.run("train", *CELL).line() == refused
    path.unlink()
    line = project.run("train", *CELL).line()
    assert line == f"{LABELS}: no such file; `snakemake {LABELS}` makes it"
    assert project.results() == {}


def test_without_its_entry_in_the_ledger_a_file_is_not_believed(project: Project) -> None:
    entry = project.folder / "results/tiny/ledger/corrupt/digits/symmetric-0.4.json"
    whole = entry.read_text()
    for content in (whole[:-10], whole.replace('"corrupt"', '"currupt"', 1), ""):
        entry.write_text(content)
        line = project.run("train", *CELL).line()
        assert line.startswith(f"{LABELS}: the ledger has no whole entry of `corrupt/digits/")
    entry.write_text(whole)
    assert project.run("train", *CELL).status == 0


def test_weights_and_kernels_cut_short_are_refused_by_name(project: Project) -> None:
    for verb in (("prepare", "digits"), KERNEL, ("fit", *FAMILY)):
        done = project.run(*verb)
        assert done.status == 0, done.text
    trained = f"{TANGENT}/runs/binary/networks.safetensors"
    cases = [
        (trained, "fit/mlp/digits/1/binary", ("rotate", *FAMILY)),
        (f"{TANGENT}/init.safetensors", "compute_kernel/mlp/digits/1", ("fit", *FAMILY)),
        (f"{TANGENT}/kernel.npy", "compute_kernel/mlp/digits/1", ("linearize", *FAMILY)),
    ]
    for name, maker, verb in cases:
        path = project.folder / name
        whole = path.read_bytes()
        for damage in (cut, flip):
            damage(path)
            line = project.run(*verb).line()
            assert line == f"{name}: not what `{maker}` wrote; delete it and run again"
            path.write_bytes(whole)
    tensors = load_file(project.folder / trained)
    # Deleted as the message says, it is made again from what was kept, or by training.
    (project.folder / trained).unlink()
    assert project.run("fit", *FAMILY).status == 0
    again = load_file(project.folder / trained)
    assert sorted(again) == sorted(tensors)
    assert all(np.array_equal(again[name], tensors[name]) for name in tensors)
    assert project.run("rotate", *FAMILY).status == 0


def test_a_kept_number_that_is_damaged_is_computed_again(project: Project) -> None:
    for verb in (KERNEL, ("fit", *FAMILY), ("rotate", *FAMILY)):
        assert project.run(*verb).status == 0
    result = project.folder / TANGENT / "runs/binary/retrained.csv"
    before = result.read_bytes()
    for kept in (project.folder / "results/tiny/checkpoints/finished").glob("*.json"):
        cut(kept)
    result.unlink()
    done = project.run("rotate", *FAMILY)
    assert done.status == 0, done.text
    assert result.read_bytes() == before


def test_a_plan_that_is_damaged_is_refused_by_name(project: Project) -> None:
    (project.folder / "plan.json").write_text('{"config": {')
    before = "import os; os.environ['FIRSTORDER_PLAN'] = 'plan.json'"
    line = project.run("train", *CELL, before=before).line()
    assert line == "plan.json: not the plan that was made; start the workflow again to make one"
