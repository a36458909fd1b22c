"""Records that were cut, altered or exchanged by hand change no table, figure, claim or verdict."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path

import pytest
from projects import Project as Workflow

from firstorder.errors import DataError
from firstorder.jobs import ledger, plan
from firstorder.jobs.paths import paths

from .conftest import RUN, Project

TABLE = ("table", "symmetrization", "accuracy-symmetric")
FIGURE = ("figure", "symmetrization", "learning-curves")
DAMAGES = 3000 if os.environ.get("FIRSTORDER_FUZZ") else 60


def damaged(content: bytes, others: list[bytes], randomness: random.Random) -> bytes:
    """Other content: cut, one bit flipped, a line lost or doubled, or another run's file."""
    kind = randomness.choice(["cut", "flip", "lose", "double", "exchange"])
    lines = content.splitlines(keepends=True)
    at = randomness.randrange(len(lines))
    if kind == "cut":
        return content[: randomness.randrange(len(content))]
    if kind == "flip":
        changed = bytearray(content)
        changed[randomness.randrange(len(content))] ^= 1 << randomness.randrange(8)
        return bytes(changed)
    if kind == "lose":
        return b"".join(lines[:at] + lines[at + 1 :])
    if kind == "double":
        return b"".join(lines[: at + 1] + lines[at:])
    return randomness.choice(others)


def test_no_damage_to_a_record_is_believed(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.folder)
    randomness, made = random.Random(1), plan.of_job({})
    root, makers = paths(made.config).root, made.makers()
    jobs = [made.job(*TABLE), made.job(*FIGURE)]
    for job in jobs:
        ledger.check(root, job, makers)
    for _ in range(DAMAGES):
        job = randomness.choice(jobs)
        path = Path(randomness.choice([each for each in job.inputs.values() if each in makers]))
        before = path.read_bytes()
        others = [each.read_bytes() for each in path.parents[1].rglob(path.name)]
        after = damaged(before, [each for each in others if each != before], randomness)
        # A hard link to the kept training: write a file of its own.
        path.unlink()
        path.write_bytes(after)
        with pytest.raises(DataError) as caught:
            ledger.check(root, job, makers)
        message = str(caught.value)
        assert message.startswith(f"{path}: not what `train/") and "\n" not in message
        path.write_bytes(before)
    for job in jobs:
        ledger.check(root, job, makers)


@pytest.mark.parametrize("verb", [TABLE, FIGURE])
@pytest.mark.parametrize("value", ["5.39", "-1", "1e999", "0.5"])
def test_an_accuracy_written_by_hand_is_refused_in_one_line(
    trained: Project, verb: tuple[str, ...], value: str
) -> None:
    assert trained.run(*verb).status == 0
    name = "summary.json" if verb is TABLE else "history.csv"
    path = trained.folder / RUN / "seed1" / name
    text = path.read_text()
    if verb is TABLE:
        number = text.partition('"last_accuracy": ')[2].partition(",")[0]
    else:
        number = text.splitlines()[-1].split(",")[-1]
    assert number in text
    path.unlink()
    path.write_text(text.replace(number, value))
    done = trained.run(*verb)
    assert done.status == 1
    assert done.text == (
        f"firstorder: {RUN}/seed1/{name}: not what `train/digits/symmetric-0.4/gce` wrote; "
        "delete it and run again\n"
    )


def test_the_record_of_another_cell_is_refused(trained: Project) -> None:
    runs = trained.folder / RUN
    for name in ("summary.json", "history.csv", "correct.npz"):
        (runs / "seed1" / name).unlink()
        shutil.copy(runs / "seed2" / name, runs / "seed1" / name)
    done = trained.run(*TABLE)
    assert done.status == 1 and done.text.count("\n") == 1
    assert "seed1/summary.json: not what `train/" in done.text


@pytest.mark.parametrize("verb", ["claims", "verify"])
def test_claims_and_verify_believe_no_altered_record(made_toy: Workflow, verb: str) -> None:
    (record,) = made_toy.folder.glob("results/smoke/toy/**/*.json")
    assert made_toy.firstorder(verb).returncode == 0
    record.write_text(record.read_text().replace("0.", "0.9", 1))
    done = made_toy.firstorder(verb, check=False)
    assert done.returncode == 1 and "not what `measure/" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_altered_entry_of_the_ledger_makes_its_files_unbelievable(made_toy: Workflow) -> None:
    (entry,) = made_toy.folder.glob("results/smoke/ledger/measure/**/*.json")
    entry.write_text(entry.read_text().replace('"cpu', '"CPU', 1))
    done = made_toy.firstorder("table", "toy", "pixels", check=False)
    assert done.returncode == 1 and "no whole entry of `measure/" in done.stderr


@pytest.mark.parametrize("content", ["[]", '{"files": [1]}', '{"files": null}', "[" * 100_000, "{"])
def test_explain_compares_nothing_with_a_damaged_manifest(made_toy: Workflow, content: str) -> None:
    (made_toy.folder / "results/smoke/manifest.json").write_text(content)
    done = made_toy.firstorder("explain", "results/smoke/paper.pdf", check=False)
    assert done.returncode == 1 and "unchanged" not in done.stdout
    assert done.stderr.count("\n") == 1 and re.fullmatch(
        r"firstorder: results/smoke/manifest\.json: (damaged \(.*\)|of an older form); "
        "delete it and run again\n",
        done.stderr,
    )
