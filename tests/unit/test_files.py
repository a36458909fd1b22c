"""Files appear whole under their names, or not at all."""

from __future__ import annotations

import json
import math
import os
import platform
import signal
from pathlib import Path

import pytest

from firstorder import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old\n")
    files.write_text(path, "new, with an é\n")
    assert path.read_bytes() == "new, with an é\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_first_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_write_of_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), files.replacing(path):
        pass
    assert path.read_text() == "old"


def test_readers_see_the_old_file_until_the_rename(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_the_temporary_name_lies_beside_the_file_and_keeps_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "figure.svg"
    with files.replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".svg"
        temporary.write_text("<svg/>")
    assert path.is_file()


@pytest.mark.parametrize("folder", [False, True])
def test_the_next_write_removes_what_a_killed_process_left(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "figure.svg"
    child = os.fork()
    if child == 0:
        with files.replacing(path) as temporary:
            temporary.mkdir() if folder else temporary.write_text("<sv")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(names(tmp_path)) == 1 and not path.exists()
    files.write_text(path, "<svg/>")
    assert names(tmp_path) == ["figure.svg"]


def test_a_write_leaves_alone_what_others_are_writing(tmp_path: Path) -> None:
    here = platform.node()
    others = [f".a.{here}-{os.getppid()}.tmp.svg", ".a.elsewhere-999999999.tmp.svg"]
    others += [f".b.{here}-999999999.tmp.svg", f".a.{here}-999999999.tmp.pdf", ".a.notes.tmp.svg"]
    for name in others:
        (tmp_path / name).write_text("half")
    files.write_text(tmp_path / "a.svg", "<svg/>")
    assert names(tmp_path) == sorted([*others, "a.svg"])


def test_the_bytes_are_on_disk_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def sync(descriptor: int) -> None:
        events.append("sync")

    def rename(source: Path, target: Path) -> None:
        events.append("rename")

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    files.write_bytes(tmp_path / "a", b"x")
    assert events == ["sync", "rename"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_json_cannot_hold(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"accuracy": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, {"accuracy": value})
    assert files.read_json(path) == {"accuracy": 1.0}


def test_json_bytes_do_not_depend_on_key_order(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": 0.1, "a": [1, None]})
    files.write_json(tmp_path / "b.json", {"a": [1, None], "b": 0.1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, None], "b": 0.1}


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(tmp_path / "a") == expected


def test_a_digest_depends_on_values_and_not_on_key_order() -> None:
    one = files.digest({"a": 1, "b": {"c": 2, "d": [3, 4]}})
    assert one == files.digest({"b": {"d": [3, 4], "c": 2}, "a": 1})
    assert one != files.digest({"a": 1, "b": {"c": 2, "d": [4, 3]}})
    assert len(one) == 12
