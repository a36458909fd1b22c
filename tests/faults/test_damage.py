"""Files that were cut short or altered are refused by name, or made again; never believed."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from firstorder.data.prepared import read_prepared
from firstorder.errors import DataError
from firstorder.studies.symmetrization import read_labels

from .conftest import CELL, DATASET, LABELS, RUN, TANGENT, Project


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


@pytest.mark.parametrize("verb", ["labels", "train"])
def test_a_truncated_dataset_is_refused_by_name(project: Project, verb: str) -> None:
    cut(project.folder / DATASET)
    arguments = CELL if verb == "train" else ("digits", "symmetric-0.4")
    line = project.run(verb, *arguments).line()
    assert line.startswith(f"{DATASET}: truncated or not a dataset")
    assert line.endswith("delete it and prepare the dataset again")
    assert project.results() == {}


def test_a_dataset_cut_anywhere_is_refused(prepared: Project, tmp_path: Path) -> None:
    whole, path = (prepared.folder / DATASET).read_bytes(), tmp_path / "digits.safetensors"
    chance = random.Random(0)
    for length in [0, 1, 7, 8, 9, *chance.choices(range(len(whole)), k=100)]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"digits\.safetensors: "):
            read_prepared(path)


def test_an_altered_dataset_is_another_input_and_its_old_results_are_not_reused(
    trained: Project, undisturbed: Project
) -> None:
    flip(trained.folder / DATASET)  # one bit of one pixel
    done = trained.run("train", *CELL)
    assert done.status == 0, done.text
    assert "was finished before" not in done.text
    before, after = (
        project.results()["seed1/summary.json"]["inputs"][DATASET]
        for project in (undisturbed, trained)
    )
    assert before != after


def test_results_of_a_dataset_that_was_altered_since_say_so(trained: Project) -> None:
    flip(trained.folder / DATASET)
    done = trained.run("explain", f"{RUN}/seed1/summary.json")
    assert done.status == 0, done.text
    assert f"CHANGED since: {DATASET}" in done.text


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


def test_labels_that_are_damaged_foreign_or_no_classes_are_refused_by_name(
    project: Project,
) -> None:
    path = project.folder / LABELS
    whole = path.read_bytes()
    cut(path)
    line = project.run("train", *CELL).line()
    assert line.startswith(f"{LABELS}: damaged (") and line.endswith("delete it and run again")
    path.write_bytes(whole)
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, "clean": arrays["clean"][::-1]})
    assert "drawn for other labels than the dataset holds" in project.run("train", *CELL).line()
    np.savez(path, **{**arrays, "labels": arrays["labels"] + 90})
    assert f"{LABELS}: labels in [90, 99] instead of [0, 9]" in project.run("train", *CELL).line()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", b"\x80\x04]q\x00.")
    assert f"{LABELS}: damaged (" in project.run("train", *CELL).line()
    assert project.results() == {}


def test_weights_and_kernels_cut_short_are_refused_by_name(project: Project) -> None:
    for verb in (("kernel", "mlp", "digits", "1"), ("networks", "mlp", "1", "binary")):
        done = project.run(*verb)
        assert done.status == 0, done.text
    trained = f"{TANGENT}/runs/binary/network-64.safetensors"
    cases = [
        (trained, ("rotation", "mlp", "1", "binary")),
        (f"{TANGENT}/init.safetensors", ("networks", "mlp", "1", "binary")),
        (f"{TANGENT}/kernel.npy", ("spectrum", "mlp", "digits", "1")),
        (f"{TANGENT}/kernel.npy", ("tangent", "mlp", "1", "binary")),
    ]
    for name, verb in cases:
        path = project.folder / name
        whole = path.read_bytes()
        cut(path)
        line = project.run(*verb).line()
        assert line.startswith(f"{name}: damaged (") and line.endswith("delete it and run again")
        path.write_bytes(whole)
    tensors = load_file(project.folder / trained)
    save_file({name: value[:1].copy() for name, value in tensors.items()}, project.folder / trained)
    assert project.run("rotation", "mlp", "1", "binary").line().startswith(f"{trained}: damaged (")
    # Deleted as the message says, it is trained again: the damage was to the kept bytes as well.
    (project.folder / trained).unlink()
    assert project.run("networks", "mlp", "1", "binary").status == 0
    again = load_file(project.folder / trained)
    assert all(np.array_equal(again[name], tensors[name]) for name in tensors)
    assert project.run("rotation", "mlp", "1", "binary").status == 0


def test_a_kept_number_that_is_damaged_is_computed_again(project: Project) -> None:
    for verb in (("kernel", "mlp", "digits", "1"), ("networks", "mlp", "1", "binary")):
        assert project.run(*verb).status == 0
    assert project.run("rotation", "mlp", "1", "binary").status == 0
    result = project.folder / TANGENT / "runs/binary/retrained.csv"
    before = result.read_bytes()
    (kept,) = (project.folder / "results/tiny/checkpoints/finished").glob("*.json")
    cut(kept)
    result.unlink()
    done = project.run("rotation", "mlp", "1", "binary")
    assert done.status == 0, done.text
    assert result.read_bytes() == before
    assert json.loads(kept.read_text())


def test_a_plan_that_is_damaged_is_refused_by_name(project: Project) -> None:
    (project.folder / "plan.json").write_text('{"config": {')
    before = "import os; os.environ['FIRSTORDER_PLAN'] = 'plan.json'"
    line = project.run("train", *CELL, before=before).line()
    assert line == "plan.json: not a plan; start the workflow again to make one"
