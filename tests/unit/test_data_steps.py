"""The steps that place and prepare data, in whatever container they are."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from containers import (
    COLOUR,
    binary_files,
    declaration,
    idx_files,
    splits,
    webvision_folder,
    write_files,
)

from firstorder import doctor
from firstorder.config import IN_PLACE
from firstorder.data import steps
from firstorder.data.prepared import read_prepared
from firstorder.errors import DataError, UserError
from firstorder.files import sha256
from firstorder.jobs import plan as plans
from firstorder.jobs.job import Job
from firstorder.jobs.plan import Plan
from firstorder.jobs.run import run
from firstorder.studies.symmetrization import grid, selection


@pytest.fixture
def planned(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Plan]:
    """The plan of a project that declares the made-up dataset as `made`."""
    monkeypatch.chdir(tmp_path)

    def make(*, read: bool = False, **changes: Any) -> Plan:
        if read:  # by a setting of the scale
            setting = {"settings.made": {"dataset": "made", "recipe": "digits"}}
            cells = {"cells.curves": {"settings": ["made"], "noises": ["symmetric-0.4"]}}
            tuning = {"tuning.noise": "symmetric-0.4"}
            edited("studies/symmetrization/smoke.yaml", setting | cells | tuning)
        reader, channels = changes.pop("reader", "cifar"), changes.pop("channels", 3)
        entry = declaration(reader, splits(channels), **changes).model_dump(mode="json")
        edited("datasets.yaml", {"made": entry})
        folders = {name: str(tmp_path / name) for name in ("results", "resources")}
        return plans.make("config", folders)

    return make


def prepared(plan: Plan, name: str = "made") -> bytes:
    """The prepared dataset, after its steps have run."""
    for file in steps.raw_names(plan.config, name):
        run(plan, plan.job("fetch", name, file))
    job = plan.job("prepare", name)
    run(plan, job)
    return Path(job.outputs["dataset"]).read_bytes()


@pytest.mark.parametrize("container", ["binary unpacked", "npz", "image folder", "csv"])
def test_a_container_in_place_is_used_without_fetching(
    container: str, planned: Callable[..., Plan], tmp_path: Path
) -> None:
    for folder in ("resources/made", "other"):
        (tmp_path / folder).mkdir(parents=True)
    COLOUR[container][1](splits(), tmp_path / "resources/made")
    found = prepared(planned())
    COLOUR["python unpacked"][1](splits(), tmp_path / "other")
    assert found == prepared(planned(folders=["../../other"]))
    (found_again,) = steps.raw_names(planned().config, "made")
    assert found_again == IN_PLACE


def packed_idx_files() -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """Packed idx files by their names, and how `datasets.yaml` declares them."""
    packed = {f"{n}.gz": gzip.compress(content) for n, content in idx_files(splits(1)).items()}
    return packed, [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in packed.items()
    ]


@pytest.mark.parametrize("reader", ["idx", "npz"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_the_root_folder_of_torchvision_is_used_as_torchvision_leaves_it(
    reader: str, unpacked: bool, planned: Callable[..., Plan], tmp_path: Path
) -> None:
    """Packed files and, usually, what they unpack to, below the name of the dataset."""
    packed, declared = packed_idx_files()
    files = idx_files(splits(1)) if unpacked else {}
    write_files(tmp_path / "resources/made/madeX/raw", {**packed, **files})
    plan = planned(reader=reader, channels=1, files=declared, title="made-X")
    assert steps.raw_names(plan.config, "made") == (IN_PLACE,)
    found = prepared(plan)
    write_files(tmp_path / "resources/made", packed)
    plan = planned(reader="idx", channels=1, files=declared)
    assert IN_PLACE not in steps.raw_names(plan.config, "made")
    assert found == prepared(plan)


def test_the_title_of_bundled_data_is_no_part_of_what_they_are(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = plans.make("config", {}).job("prepare", "digits").digest
    edited("datasets.yaml", {"digits.title": "another title"})
    assert plans.make("config", {}).job("prepare", "digits").digest == before


@pytest.mark.parametrize("lists", ["elsewhere/info", "elsewhere", "resources/made"])
def test_webvision_may_lie_in_a_folder_elsewhere_as_a_whole_or_in_part(
    lists: str, edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = webvision_folder(tmp_path / "elsewhere").model_dump(mode="json")
    (tmp_path / lists).mkdir(parents=True, exist_ok=True)
    for path in sorted((tmp_path / "elsewhere").glob("*.txt")):
        path.rename(tmp_path / lists / path.name)
    edited("datasets.yaml", {"made": {**entry, "folders": ["info", "../../elsewhere"]}})
    places = {name: str(tmp_path / name) for name in ("results", "resources")}
    prepared(plans.make("config", places))
    images = read_prepared(tmp_path / "results/smoke/datasets/made.safetensors")
    assert images.train_labels.tolist() == [0, 1, 1]


def test_a_container_that_nothing_verifies_does_not_stand_for_files_with_checksums(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    (tmp_path / "resources/made").mkdir(parents=True)
    COLOUR["npz"][1](splits(), tmp_path / "resources/made")
    declared = [{"name": "a.npz", "sha256": "0" * 64}]
    plan = planned(reader="npz", files=declared, content={})
    assert steps.raw_names(plan.config, "made") == ("a.npz",)
    assert steps.raw_names(planned(reader="npz", files=declared).config, "made") == (IN_PLACE,)


def test_a_container_that_is_not_the_published_data_is_named_with_the_mend(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    (tmp_path / "resources/made").mkdir(parents=True)
    stray = tmp_path / "resources/made/features.npz"
    np.savez(stray, features=np.zeros(3))
    with pytest.raises(UserError, match=r"features\.npz: no train_images.* made: move it away"):
        prepared(planned())
    arrays = {f"{k}_{p}": getattr(s, p) for k, s in splits().items() for p in s._fields}
    np.savez(stray, **arrays | {"train_images": 255 - arrays["train_images"]})
    for receipt in (tmp_path / "results").rglob("in-place.json"):
        receipt.unlink()
    with pytest.raises(UserError, match=r"features\.npz \(reader npz\): train: .*move it away"):
        prepared(planned())


def test_damaged_files_are_not_in_place(planned: Callable[..., Plan], tmp_path: Path) -> None:
    folder = tmp_path / "resources/made"
    write_files(folder, binary_files(splits()))
    whole = (folder / "data_batch_3.bin").read_bytes()
    (folder / "data_batch_3.bin").write_bytes(whole[:-5000])
    plan = planned(read=True)
    with pytest.raises(UserError, match=r"data_batch_3\.bin: .*replace it"):
        run(plan, plan.job("fetch", "made", IN_PLACE))
    text, ready = doctor.examine(plan)
    assert "data_batch_3.bin" in text and "made: in place" not in text and not ready
    (folder / "data_batch_3.bin").write_bytes(whole)
    assert "made: in place" in doctor.examine(planned(read=True))[0]
    assert prepared(planned(read=True))


def test_raw_files_in_two_folders_are_one_line(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    packed, declared = packed_idx_files()
    write_files(tmp_path / "all", packed)
    changes: dict[str, Any] = {"reader": "idx", "channels": 1, "files": declared}
    plan = planned(**changes, folders=[str(tmp_path / "all")])
    names = steps.raw_names(plan.config, "made")
    for file in names[:2]:
        run(plan, plan.job("fetch", "made", file))
    places = {"results": str(tmp_path / "results"), "resources": str(tmp_path / "large")}
    moved = plans.make("config", places)
    for file in names[2:]:
        run(moved, moved.job("fetch", "made", file))
    with pytest.raises(UserError, match=r"resources/made and .*large/made; delete .* and run"):
        run(moved, moved.job("prepare", "made"))


def test_files_that_changed_since_their_receipt_are_refused(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    write_files(tmp_path / "resources/made", binary_files(splits()))
    plan = planned()
    prepared(plan)
    write_files(tmp_path / "resources/made", {"test_batch.bin": bytes(3073 * 6)})
    with pytest.raises(UserError, match="not the files that"):
        run(plan, plan.job("prepare", "made"))


def test_without_any_container_the_published_files_are_asked_for(
    planned: Callable[..., Plan],
) -> None:
    plan = planned()
    assert steps.raw_names(plan.config, "made") == ("not-published.tar.gz",)
    with pytest.raises(DataError, match="cannot fetch not-published"):
        run(plan, plan.job("fetch", "made", "not-published.tar.gz"))


def test_raw_files_may_lie_in_another_datasets_folder(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    write_files(tmp_path / "resources/shared", binary_files(splits()))
    prepared(planned(raw="shared", train=14, test=6, test_from="train"))
    images = read_prepared(tmp_path / "results/smoke/datasets/made.safetensors")
    assert np.bincount(images.test_labels).tolist() == [2, 2, 2]
    human = planned(raw="shared").job("fetch", "cifar10", "CIFAR-10_human.pt")
    assert Path(human.aside["path"]) == Path("resources/cifar10/CIFAR-10_human.pt")


def test_data_of_ones_own_that_are_not_there_are_refused_before_planning(
    planned: Callable[..., Plan],
) -> None:
    with pytest.raises(UserError, match=r"made: no such file: absent/.*correct `path: absent`"):
        planned(read=True, path="absent", reader="npz", files=(), content={})


def test_data_of_ones_own_that_nothing_reads_may_be_absent(planned: Callable[..., Plan]) -> None:
    assert planned(path="absent", reader="npz", files=(), content={}).jobs()


def test_a_bundled_reader_takes_no_path(planned: Callable[..., Plan]) -> None:
    changes: dict[str, Any] = {"shape": (1, 8, 8), "mean": (0.5,), "std": (0.2,), "files": ()}
    with pytest.raises(UserError, match="made: reader digits reads no files; leave out `path`"):
        planned(read=True, path="my", reader="digits", content={}, **changes)


def test_a_declared_file_without_a_checksum_is_known_by_its_bytes(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    def arrays(value: int) -> None:
        (tmp_path / "resources/made").mkdir(parents=True, exist_ok=True)
        found = {f"{k}_{p}": getattr(s, p) for k, s in splits().items() for p in s._fields}
        found["train_images"] = np.full_like(found["train_images"], value)
        np.savez(tmp_path / "resources/made/a.npz", **found)

    def make() -> Plan:
        return planned(reader="npz", files=[{"name": "a.npz"}], content={})

    arrays(1)
    before, spec = prepared(make()), make().job("fetch", "made", "a.npz").spec_digest
    arrays(2)
    assert make().job("fetch", "made", "a.npz").spec_digest != spec
    assert prepared(make()) != before


def test_data_of_ones_own_are_known_by_their_bytes(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    """Others are planned again, wherever they lie; the same ones elsewhere, or touched, are not."""

    def spec(folder: str) -> str:
        plan = planned(path=folder, files=(), content={}, reader="cifar_binary")
        return plan.job("fetch", "made", steps.IN_PLACE).spec_digest

    for folder in ("one", "two"):
        write_files(tmp_path / folder, binary_files(splits()))
    before = spec("one")
    os.utime(tmp_path / "one/test_batch.bin", ns=(5, 5))
    assert spec("one") == spec("two") == spec(str(tmp_path / "two")) == before
    changed = (tmp_path / "one/test_batch.bin").read_bytes()[::-1]
    write_files(tmp_path / "one", {"test_batch.bin": changed})
    assert spec("one") != before and spec("two") == before


def test_data_of_ones_own_that_were_moved_are_prepared_from_where_they_lie(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    """Their receipt is not written again, since they are known by their bytes."""
    own: dict[str, Any] = {"files": (), "content": {}, "reader": "cifar_binary"}
    write_files(tmp_path / "one", binary_files(splits()))
    before = prepared(planned(path="one", **own))
    (tmp_path / "one").rename(tmp_path / "two")
    plan = planned(path="two", **own)
    job = plan.job("prepare", "made")
    Path(job.outputs["dataset"]).unlink()
    run(plan, job)
    assert Path(job.outputs["dataset"]).read_bytes() == before


def test_a_picture_of_a_list_counts(planned: Callable[..., Plan], tmp_path: Path) -> None:
    COLOUR["csv"][1](splits(), tmp_path / "one")

    def spec() -> str:
        plan = planned(path="one", files=(), content={}, reader="csv_labels")
        return plan.job("fetch", "made", steps.IN_PLACE).spec_digest

    before, picture = spec(), next((tmp_path / "one").rglob("*.png"))
    assert prepared(planned(path="one", files=(), content={}, reader="csv_labels"))
    picture.write_bytes(picture.read_bytes() + b"more")
    assert spec() != before


def test_what_a_linked_folder_holds_counts(planned: Callable[..., Plan], tmp_path: Path) -> None:
    COLOUR["image folder"][1](splits(), tmp_path / "store")
    for split in ("train", "test"):
        (tmp_path / "one" / split).mkdir(parents=True)
        for place in (tmp_path / "store" / split).glob("[!.]*/"):
            (tmp_path / "one" / split / place.name).symlink_to(place)
    (tmp_path / "store/train/ant/circle").symlink_to(tmp_path / "one/train")

    def spec() -> str:
        plan = planned(path="one", files=(), content={}, reader="image_folder")
        return plan.job("fetch", "made", steps.IN_PLACE).spec_digest

    before, picture = spec(), next((tmp_path / "store/train/bee").glob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"more")
    assert spec() != before


def test_data_without_a_path_lie_in_their_folder_below_resources(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    own: dict[str, Any] = {"files": (), "content": {}, "reader": "image_folder"}
    with pytest.raises(UserError, match=r"made: no such file: \S*resources/made/train.*place it"):
        planned(read=True, **own)
    COLOUR["image folder"][1](splits(), tmp_path / "resources/made")
    assert prepared(planned(**own))
    before = planned(**own).job("fetch", "made", steps.IN_PLACE).spec_digest
    picture = next((tmp_path / "resources/made/train/ant").glob("[0-9]*.png"))
    picture.write_bytes(b"another")
    assert planned(**own).job("fetch", "made", steps.IN_PLACE).spec_digest != before


def test_errors_of_preparing_say_the_name(planned: Callable[..., Plan], tmp_path: Path) -> None:
    write_files(tmp_path / "one", binary_files(splits()))
    own = {"path": "one", "files": (), "content": {}, "reader": "cifar_binary"}
    with pytest.raises(UserError, match=r"made: train: images \(20, .*, but 15 are declared"):
        prepared(planned(**own, train=9, test_from="train"))


def test_a_reader_of_ones_own_sees_what_is_declared(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    text = """
import numpy as np

def read(dataset, folder):
    assert (dataset.title, dataset.mean, dataset.std) == ("made-up", (0.5,) * 3, (0.25,) * 3)
    counts = {"train": dataset.train, "test": dataset.test}
    return {k: (np.zeros((n, 3, 32, 32), np.uint8), np.arange(n) % 3) for k, n in counts.items()}
"""
    write_files(tmp_path, {"my/reader.py": text.encode()})
    assert prepared(planned(reader="my/reader.py:read", path="my", files=(), content={}))


def test_data_that_change_after_they_were_planned_are_refused(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    write_files(tmp_path / "one", binary_files(splits()))
    plan = planned(path="one", files=(), content={}, reader="cifar_binary")
    job = plan.job("fetch", "made", steps.IN_PLACE)
    write_files(tmp_path / "one", {"test_batch.bin": bytes(3073 * 6)})
    with pytest.raises(UserError, match="one: changed since it was planned; start again"):
        run(plan, job)


def test_placing_again_touches_nothing(planned: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    source = tmp_path / "local" / "raw.bin"
    source.write_bytes(b"published")
    file = {"name": "raw.bin", "sha256": sha256(source)}
    plan = planned(files=[file], folders=[str(tmp_path / "local")], content={})
    job = plan.job("fetch", "made", "raw.bin")
    run(plan, job)
    placed = tmp_path / "resources/made/raw.bin"
    os.utime(placed, ns=(5, 5))
    before = placed.stat()
    Path(job.outputs["receipt"]).unlink()
    run(plan, job)
    assert (placed.stat().st_ino, placed.stat().st_mtime_ns) == (before.st_ino, 5)
    assert source.read_bytes() == placed.read_bytes() == b"published"
    finding = doctor._source(job)
    assert finding.text == "made: raw.bin is in place" and not finding.mend
    placed.write_bytes(b"half")
    finding = doctor._source(job)
    assert "expected SHA-256" in finding.text and "move it away" in finding.mend
    with pytest.raises(UserError, match="it stays: move it away"):
        run(plan, job)
    assert placed.read_bytes() == b"half"


def test_a_noise_that_only_names_its_sampler_keeps_its_heading(project: Path) -> None:
    config = plans.make(project / "config", {"scale": "paper"}).config
    noise = grid.noise(config, "symmetric-0.2")
    assert (noise.rate, noise.sampler) == (0.2, "floor")
    assert selection._noise_label(config, "symmetric-0.2") == "20 %"
    assert grid.noise(config, "asymmetric-0.2").sampler == "remainder"


def test_noise_of_ones_own_is_known_by_its_bytes(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes the place of another may be older; its name is no pattern."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c{x}.csv"
    own = {"noises.own": {"kind": "matrix", "path": path.name}}
    root = edited("studies/symmetrization/smoke.yaml", {**own, "cells.symmetric.noises": ["own"]})

    def job() -> Job:
        return plans.make(root, {}).job("corrupt", "digits", "own")

    np.savetxt(path, np.full((10, 10), 0.1), delimiter=",")
    before = job()
    np.savetxt(path, np.eye(10), delimiter=",")
    os.utime(path, ns=(5, 5))
    assert job().spec_digest != before.spec_digest
    assert path.name not in "".join(before.inputs.values())
