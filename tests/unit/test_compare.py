"""Two folders of results compared: numbers, claims, and why they differ."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from firstorder.cli import commands
from firstorder.errors import UserError
from firstorder.files import sha256
from firstorder.publish import compare
from firstorder.publish.manifest import VERSION

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Makes a folder of results with one table of two numbers, one claim, one prepared file."""

    def make(
        name: str,
        mean: float = 80.0,
        std: float = 1.0,
        status: str = "holds",
        flip: float = 0.0,
        time: float = 1.0,
        **manifest: Any,
    ) -> Path:
        root = tmp_path / name
        (root / "tables").mkdir(parents=True)
        row = {"section": "Digits", "row": "CE", "column": "20 %", "corner": "Loss"}
        number = {**row, "mean": mean, "std": std, "n": 4, "text": f"{mean}"}
        pd.DataFrame([number]).to_csv(root / "tables/a.csv", index=False)
        timed = {**number, "mean": time, "time": True}
        pd.DataFrame([timed]).to_csv(root / "tables/cost.csv", index=False)
        claim = {"study": "a", "claim": "H1", "status": status, "flip": flip}
        pd.DataFrame([claim]).to_csv(root / "claims.csv", index=False)
        job = {"spec": "1", "code": "2", "inputs": [], "outputs": ["digits"]}
        own = {**job, "data": [manifest.pop("data", "ab")], **manifest.pop("job", {})}
        jobs = {"read_text/words": own, "train/ce": {**job, "data": None}}
        value = {"version": VERSION, "scale": "smoke", "commit": "f", "device": "cpu"}
        made = (root / "claims.csv", root / "tables/a.csv", root / "tables/cost.csv")
        hashes = {f"results/smoke/{path.relative_to(root)}": sha256(path) for path in made}
        value |= {"packages": {"torch": "2"}, "files": hashes, "jobs": jobs, **manifest}
        (root / "manifest.json").write_text(json.dumps(value))
        return root

    return make


def test_a_folder_is_the_same_as_itself_and_nothing_explains_a_difference(folder: Folder) -> None:
    path = str(folder("one"))
    found = compare.compare(path, path)
    assert found.status == 0 and found.numbers == {compare.SAME: 1}
    assert found.reasons == ["scale, commit, device, packages, data, spec and code are the same"]


@pytest.mark.parametrize(
    ("mean", "expected"),
    [(80.0, compare.SAME), (82.1, compare.WITHIN), (82.2, compare.DIFFERS)],
)
def test_means_may_lie_three_standard_errors_apart(
    folder: Folder, mean: float, expected: str
) -> None:
    # sqrt(1/4 + 1/4) * 3 = 2.12
    found = compare.compare(str(folder("one")), str(folder("two", mean=mean)))
    assert found.numbers == {expected: 1}
    assert found.status == (expected == compare.DIFFERS)
    assert any("Digits, CE, 20 %: 80 and 82.2" in line for line in found.differing) == (
        expected == compare.DIFFERS
    )


def test_one_seed_has_a_relative_tolerance(folder: Folder) -> None:
    one = folder("one", std=float("nan"))
    for name, mean, status in (("near", 83.9, 0), ("far", 84.3, 1)):
        other = folder(name, mean=mean, std=float("nan"))
        assert compare.compare(str(one), str(other)).status == status


def test_folders_without_a_number_in_common_are_not_the_same(folder: Folder) -> None:
    one, other = folder("one"), folder("other")
    (other / "tables/a.csv").rename(other / "tables/b.csv")
    found = compare.compare(str(one), str(other))
    assert found.claims == {compare.SAME: 1} and found.status == 2


def test_times_are_not_compared(folder: Folder) -> None:
    assert compare.compare(str(folder("one")), str(folder("two", time=9.0))).status == 0


@pytest.mark.parametrize(
    ("status", "flip", "expected"),
    [
        ("holds", 0.0, {compare.SAME: 1}),
        ("fails", 0.0, {compare.DIFFERS: 1}),
        ("fails", 0.2, {compare.WITHIN: 1}),
        ("not resolved", 0.0, {compare.WITHIN: 1}),
        ("not run", 0.0, {}),
    ],
)
def test_verdicts_differ_unless_one_of_them_is_unsure(
    folder: Folder, status: str, flip: float, expected: dict[str, int]
) -> None:
    found = compare.compare(str(folder("one")), str(folder("two", status=status, flip=flip)))
    assert found.claims == expected


def test_what_differs_in_the_making_is_told(folder: Folder) -> None:
    changes = {"commit": "e", "device": "cuda", "packages": {"torch": "3"}, "data": "cd"}
    other = folder("two", job={"code": "3"}, **changes)
    assert compare.compare(str(folder("one")), str(other)).reasons == [
        "commit: f and e",
        "device: cpu and cuda",
        "torch: 2 and 3",
        "code of 1 jobs: read_text (1)",
        "data: read_text/words made other files",
    ]


@pytest.mark.parametrize("changed", ["claims.csv", "tables/a.csv"])
def test_a_manifest_of_an_earlier_run_explains_nothing(folder: Folder, changed: str) -> None:
    one, other = folder("one"), folder("two")
    text = (other / changed).read_text()
    (other / changed).write_text(text.replace("80.0", "81.0").replace("holds", "fails"))
    found = compare.compare(str(one), str(other))
    assert found.reasons == [
        f"{other}/manifest.json does not describe {changed}; run the workflow to its end"
    ]


def test_files_that_a_manifest_does_not_describe_are_counted(folder: Folder) -> None:
    one, other = folder("one"), folder("two", device="cuda")
    for name in ("a", "cost"):
        (other / f"tables/{name}.csv").rename(other / f"tables/{name}2.csv")
    assert compare.compare(str(one), str(other)).reasons == [
        f"{other}/manifest.json does not describe tables/a2.csv and 1 more; run the workflow to "
        "its end",
        "device: cpu and cuda",
    ]


def test_a_reference_that_was_kept_is_compared_like_its_source(folder: Folder) -> None:
    source, other = folder("one"), folder("two", data="cd", mean=90.0)
    target = source.parent / "kept"
    compare.keep(str(source), str(target))
    shutil.rmtree(source)
    found = compare.compare(str(target), str(other))
    assert found.status == 1 and found.reasons == ["data: read_text/words made other files"]


def test_a_reference_that_is_kept_again_holds_no_table_of_before(folder: Folder) -> None:
    source = folder("one")
    target = source.parent / "kept"
    compare.keep(str(source), str(target))
    (source / "tables/a.csv").rename(source / "tables/b.csv")
    path = source / "manifest.json"
    path.write_text(path.read_text().replace("tables/a.csv", "tables/b.csv"))
    compare.keep(str(source), str(target))
    assert {path.name for path in (target / "tables").iterdir()} == {"b.csv", "cost.csv"}
    assert compare.compare(str(source), str(target)).alone == 0


def test_results_that_their_manifest_does_not_describe_are_not_kept(folder: Folder) -> None:
    source = folder("one")
    (source / "tables/a.csv").rename(source / "tables/b.csv")
    with pytest.raises(
        UserError, match=r"does not describe tables/b\.csv; run the workflow to its"
    ):
        compare.keep(str(source), str(source.parent / "kept"))
    assert not (source.parent / "kept").exists()


def test_results_are_not_kept_in_their_own_folder(folder: Folder) -> None:
    source = folder("one")
    before = (source / "manifest.json").read_bytes()
    (source.parent / "link").symlink_to(source)
    for target in (source, source / "tables/..", source.parent / "link"):
        with pytest.raises(UserError, match="themselves lie there; name another folder"):
            compare.keep(str(source), str(target))
    assert (source / "manifest.json").read_bytes() == before


def test_a_reference_needs_the_verdicts(folder: Folder) -> None:
    (folder("one") / "claims.csv").unlink()
    done = CliRunner().invoke(
        commands, ["compare", "--keep", str(folder("two").parent / "one"), "x"]
    )
    assert done.exit_code == 2 and "claims.csv: no such file" in done.output


def test_what_is_told_fits_one_screen(folder: Folder) -> None:
    def many(root: Path, shift: float) -> str:
        shared = {"section": "", "column": "20 %", "corner": "Loss", "std": 0.1, "n": 4, "text": ""}
        rows = [{**shared, "row": f"loss {i}", "mean": 10.0 + i + shift} for i in range(200)]
        pd.DataFrame(rows).to_csv(root / "tables/a.csv", index=False)
        return str(root)

    jobs = {f"step{i}/{j}": {"spec": "1", "code": "2"} for i in range(9) for j in range(9)}
    other = {name: {"spec": "3", "code": "4"} for name in jobs}
    found = compare.compare(
        many(folder("one", jobs=jobs), 0.0), many(folder("two", jobs=other, device="cuda"), 5.0)
    )
    assert found.status == 1 and len(found.differing) == 200
    lines = list(found.lines())
    assert len(lines) <= 24 and "and 188 more" in lines


def test_the_exit_status_tells_same_different_and_not_comparable(folder: Folder) -> None:
    run = CliRunner().invoke
    one, two, empty = folder("one"), folder("two", mean=99.0), folder("empty")
    shutil.rmtree(empty / "tables")
    (empty / "claims.csv").unlink()
    assert run(commands, ["compare", str(one), str(one)]).exit_code == 0
    differing = run(commands, ["compare", str(one), str(two)])
    assert differing.exit_code == 1 and "numbers  0 the same" in differing.output
    assert run(commands, ["compare", str(one), str(empty)]).exit_code == 2
    (empty / "manifest.json").unlink()
    done = run(commands, ["compare", str(one), str(empty)])
    assert done.exit_code == 2 and "manifest.json: no such file" in done.output


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"jobs": []},
            {"jobs": None},
            {"jobs": {"a": 1}},
            {"jobs": {"train/ce": {}}},
            {"version": 1},
        ),
        *({"packages": [1]}, {"packages": "x"}, {"files": [1]}),
    ],
)
def test_a_manifest_of_another_form_is_one_line(folder: Folder, changes: dict[str, Any]) -> None:
    good, other = folder("good"), folder("other")
    value = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**value, **changes}))
    for first, second in ((good, other), (other, good)):
        with pytest.raises(UserError, match=r"manifest\.json: of an older form"):
            compare.compare(str(first), str(second))


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("tables/a.csv", "80.0,1.0", "x80.0,1.0"),
        ("tables/a.csv", "80.0,1.0", "80.0,y"),
        ("claims.csv", "status", "stat"),
        ("claims.csv", "study", "\0"),
        ("claims.csv", "holds,0.0", "fails,z"),
    ],
)
def test_tables_and_claims_of_another_form_are_one_line(
    folder: Folder, file: str, before: str, after: str
) -> None:
    good, other = folder("good"), folder("other")
    text = (other / file).read_text()
    assert before in text
    (other / file).write_text(text.replace(before, after, 1))
    for first, second in ((good, other), (other, good)):
        with pytest.raises(UserError, match=rf"{file}: not as the workflow writes it"):
            compare.compare(str(first), str(second))


def test_a_manifest_that_is_no_regular_file_does_not_hang(folder: Folder) -> None:
    good, other = folder("good"), folder("other")
    (other / "manifest.json").unlink()
    os.mkfifo(other / "manifest.json")
    with pytest.raises(UserError, match=r"manifest\.json: no such file"):
        compare.compare(str(good), str(other))


def test_an_infinite_number_is_not_the_same_as_a_finite_one() -> None:
    finite, infinite = (pd.Series({"mean": mean}) for mean in (80.0, float("inf")))
    assert compare.number(finite, infinite) == compare.DIFFERS
    assert compare.number(infinite, infinite) == compare.SAME
