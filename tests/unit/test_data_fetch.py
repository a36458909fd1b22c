"""Fetching: what arrives under the final name is the published file, or nothing is."""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import ValidationError

from firstorder.config import File
from firstorder.data import download
from firstorder.data.download import ATTEMPTS, FinalError, shown
from firstorder.data.fetch import arrive, place
from firstorder.errors import DataError

CONTENT = bytes(range(256)) * 2000


class Publisher:
    """An HTTP server on loopback whose behaviour is a list of steps, the last one for ever."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.steps = ["serve"]
        self.requests: list[str] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                pass  # a client that has enough hangs up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/raw.bin"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        span = request.headers.get("Range", "")
        self.requests.append(span)
        if step.isdecimal():
            return request.send_error(int(step))
        if step.startswith("redirect "):
            request.send_response(302)
            request.send_header("Location", step.removeprefix("redirect "))
            request.end_headers()
            return None
        if step.startswith("wait "):
            request.send_response(503)
            request.send_header("Retry-After", step.removeprefix("wait "))
            request.end_headers()
            return None
        if step in ("drip", "endless"):
            request.send_response(200)
            request.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    request.wfile.write(b"x" * (1 if step == "drip" else 1 << 20))
                    time.sleep(0.02 if step == "drip" else 0)
            return None
        if step == "headers":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            with contextlib.suppress(OSError):
                for _ in range(100):
                    request.wfile.write(b"x")
                    time.sleep(0.02)
            return None
        start = int(span[6:-1]) if span and step != "no-ranges" else 0
        if start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.end_headers()
            return None
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if step == "less" and start:  # than was asked for, which is allowed
            body = body[: len(body) // 2 + 1]
        if step == "empty":
            body = b""
        if step == "mislabelled":
            request.send_header("Content-Encoding", "gzip")
        length = step.removeprefix("length ") if step.startswith("length ") else str(len(body))
        request.send_header("Content-Length", length)
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if step == "cut" else body)
        return None


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()
    yield publisher
    publisher.server.shutdown()
    publisher.server.server_close()


def published(*urls: str, content: bytes = CONTENT, **changes: object) -> File:
    values = {
        "name": "raw.bin",
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": hashlib.md5(content).hexdigest(),
        "bytes": len(content),
        "urls": urls,
    }
    return File.model_validate({**values, **changes})


def fetch(
    name: str,
    file: File,
    folders: Sequence[str | Path],
    destination: Path,
    help: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Place `file` at `destination` for a dataset with `folders` and `help`."""
    assert destination.name == file.name
    assert place(name, file, destination.parent, folders, help, sleep=sleep) == destination


def part_of(folder: Path, content: bytes) -> Path:
    """What a process that ended has left of a download."""
    part = folder / ".raw.bin.1-0000.part"
    part.write_bytes(content)
    return part


class Naps(list[float]):
    """A sleep that only remembers for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def test_a_download_arrives_verified_and_leaves_nothing_beside_it(
    publisher: Publisher, tmp_path: Path
) -> None:
    destination = tmp_path / "data" / "raw.bin"
    fetch("data", published(publisher.url), [], destination)
    assert destination.read_bytes() == CONTENT
    assert list(destination.parent.iterdir()) == [destination]


def test_a_cut_connection_is_resumed_where_it_ended(publisher: Publisher, tmp_path: Path) -> None:
    publisher.steps = ["cut", "serve"]
    naps = Naps()
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=naps)
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert publisher.requests == ["", f"bytes={len(CONTENT) // 2}-"]
    assert naps == [1.0]


def test_a_part_of_an_earlier_process_is_resumed(publisher: Publisher, tmp_path: Path) -> None:
    part_of(tmp_path, CONTENT[:1000])
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert publisher.requests == ["bytes=1000-"]


@pytest.mark.parametrize("bytes_known", [True, False])
def test_a_complete_part_needs_no_more_bytes(
    publisher: Publisher, tmp_path: Path, bytes_known: bool
) -> None:
    part_of(tmp_path, CONTENT)
    file = published(publisher.url, bytes=len(CONTENT) if bytes_known else None)
    fetch("data", file, [], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * (len(CONTENT) + 5)], ids=["short", "long"])
def test_a_part_of_another_file_is_started_over(
    publisher: Publisher, tmp_path: Path, part: bytes
) -> None:
    part_of(tmp_path, part)
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_file_again(publisher: Publisher, tmp_path: Path) -> None:
    publisher.steps = ["no-ranges"]
    part_of(tmp_path, CONTENT[:1000])
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_after_growing_waits(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.steps = ["503", "503", "serve"]
    naps = Naps()
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=naps)
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert naps == [1.0, 2.0]


def test_compressed_files_are_stored_as_sent(publisher: Publisher, tmp_path: Path) -> None:
    publisher.content = gzip.compress(CONTENT)
    publisher.steps = ["mislabelled"]
    file = published(publisher.url, content=publisher.content)
    fetch("data", file, [], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == publisher.content


@pytest.mark.parametrize("length", [len(CONTENT), None], ids=["bytes declared", "nothing"])
def test_a_file_without_a_checksum_is_never_put_together_from_two_answers(
    publisher: Publisher, tmp_path: Path, length: int | None
) -> None:
    part_of(tmp_path, b"x" * 1000)
    publisher.steps = ["cut", "503", "serve"]
    naps = Naps()
    file = published(publisher.url, sha256=None, md5=None, bytes=length)
    fetch("data", file, [], tmp_path / "raw.bin", sleep=naps)
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert publisher.requests == ["", "", ""]
    assert naps == [1.0, 1.0]


def test_a_file_without_a_checksum_is_given_up_after_as_many_tries(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.steps = ["cut"]
    naps = Naps()
    file = published(publisher.url, sha256=None, md5=None)
    with pytest.raises(DataError, match=f"gave up after {ATTEMPTS} tries: "):
        fetch("data", file, [], tmp_path / "raw.bin", sleep=naps)
    assert naps == [1.0, 1.0, 2.0, 4.0]


def test_a_file_without_a_checksum_is_not_stored_as_the_server_packs_it(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.steps = ["mislabelled"]
    file = published(publisher.url, sha256=None, md5=None, bytes=None)
    with pytest.raises(DataError, match=r"packed \(Content-Encoding: gzip\); declare a sha256"):
        fetch("data", file, [], tmp_path / "raw.bin", sleep=Naps())
    assert len(publisher.requests) == 1 and not list(tmp_path.iterdir())


def test_an_empty_answer_is_no_file(publisher: Publisher, tmp_path: Path) -> None:
    publisher.steps = ["empty"]
    file = published(publisher.url, sha256=None, md5=None, bytes=None)
    with pytest.raises(DataError, match="the server sent an empty file"):
        fetch("data", file, [], tmp_path / "raw.bin", sleep=Naps())
    assert len(publisher.requests) == 1 and not list(tmp_path.iterdir())


def test_a_wrong_checksum_names_file_expected_got_and_leaves_nothing(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.content = CONTENT[:-1] + b"!"
    file = published(publisher.url)
    got = hashlib.sha256(publisher.content).hexdigest()
    with pytest.raises(DataError) as raised:
        fetch("data", file, [], tmp_path / "raw.bin", "Ask the library.", sleep=Naps())
    message = str(raised.value)
    assert "\n" not in message
    for part in ("raw.bin", f"expected SHA-256 {file.sha256}", f"got {got}", "Ask the library."):
        assert part in message
    assert list(tmp_path.iterdir()) == []
    assert len(publisher.requests) == 1


def test_more_bytes_than_published_are_not_received(publisher: Publisher, tmp_path: Path) -> None:
    publisher.content = CONTENT * 100
    with pytest.raises(DataError, match=f"expected {len(CONTENT)} bytes"):
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())
    assert list(tmp_path.iterdir()) == []


def test_the_second_mirror_serves_when_the_first_is_down(
    publisher: Publisher, tmp_path: Path
) -> None:
    file = published("http://127.0.0.1:9/raw.bin", publisher.url)
    fetch("data", file, [], tmp_path / "raw.bin", sleep=Naps())
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


def test_when_nothing_serves_one_line_names_every_source_and_the_mend(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.steps = ["404"]
    naps = Naps()
    file = published("http://127.0.0.1:9/raw.bin", publisher.url)
    with pytest.raises(DataError) as raised:
        fetch("mnist", file, [tmp_path / "local"], tmp_path / "raw.bin", "Place it.", sleep=naps)
    message = str(raised.value)
    assert "\n" not in message
    for part in ("mnist", "raw.bin", "local/raw.bin (not there)", *file.urls, "404", "Place it."):
        assert part in message
    assert len(naps) == ATTEMPTS - 1
    assert not (tmp_path / "raw.bin").exists()


def test_a_redirect_to_an_unencrypted_server_is_refused(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.steps = ["redirect http://example.org/raw.bin"]
    with pytest.raises(DataError, match="not https"):
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())


def test_a_local_folder_is_tried_before_the_network(publisher: Publisher, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    (local / "raw.bin").write_bytes(CONTENT)
    fetch("data", published(publisher.url), [local], tmp_path / "data" / "raw.bin")
    assert (tmp_path / "data" / "raw.bin").read_bytes() == CONTENT
    assert publisher.requests == []


def test_a_relative_folder_lies_beside_the_destination(tmp_path: Path) -> None:
    (tmp_path / "info").mkdir()
    (tmp_path / "info" / "raw.bin").write_bytes(CONTENT)
    fetch("data", published(), ["info"], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


def test_a_damaged_local_copy_is_passed_over(publisher: Publisher, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    (local / "raw.bin").write_bytes(CONTENT[:-1])
    fetch("data", published(publisher.url), [local], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


def test_a_repacked_copy_of_the_same_content_is_accepted(tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    (local / "raw.bin").write_bytes(gzip.compress(CONTENT, compresslevel=1))
    file = published(
        content=gzip.compress(CONTENT), content_sha256=hashlib.sha256(CONTENT).hexdigest()
    )
    fetch("data", file, [local], tmp_path / "raw.bin")
    assert gzip.decompress((tmp_path / "raw.bin").read_bytes()) == CONTENT
    (local / "raw.bin").write_bytes(gzip.compress(CONTENT[:-1]))
    (tmp_path / "raw.bin").unlink()
    with pytest.raises(DataError, match="cannot fetch"):
        fetch("data", file, [local], tmp_path / "raw.bin")


def test_a_file_of_which_only_the_content_is_declared_is_checked_by_it(tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    content = hashlib.sha256(CONTENT).hexdigest()
    file = published(content_sha256=content, sha256=None, md5=None, bytes=None)
    (local / "raw.bin").write_bytes(gzip.compress(CONTENT[:-1]))
    with pytest.raises(DataError, match=f"expected content of SHA-256 {content}, got "):
        fetch("data", file, [local], tmp_path / "raw.bin")
    (local / "raw.bin").write_bytes(gzip.compress(CONTENT))
    fetch("data", file, [local], tmp_path / "raw.bin")
    assert gzip.decompress((tmp_path / "raw.bin").read_bytes()) == CONTENT


def test_a_right_file_stays_untouched(publisher: Publisher, tmp_path: Path) -> None:
    destination = tmp_path / "raw.bin"
    destination.write_bytes(CONTENT)
    os.utime(destination, ns=(1, 1))
    destination.chmod(0o400)
    before = destination.stat()
    fetch("data", published(publisher.url), [], destination)
    after = destination.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, 1)
    assert publisher.requests == []


@pytest.mark.parametrize("kind", ["wrong", "empty", "link to a wrong one", "dangling link"])
def test_a_wrong_file_that_a_person_placed_stays_and_is_named(
    publisher: Publisher, tmp_path: Path, kind: str
) -> None:
    destination = tmp_path / "data" / "raw.bin"
    destination.parent.mkdir()
    other = tmp_path / "other"
    if "link" in kind:
        destination.symlink_to(other)
        if kind == "link to a wrong one":
            other.write_bytes(b"mine")
    else:
        destination.write_bytes(b"mine" if kind == "wrong" else b"")
    with pytest.raises(DataError, match=r"raw\.bin: .*; it stays: move it away") as raised:
        fetch("data", published(publisher.url), [], destination)
    assert "\n" not in str(raised.value)
    assert os.path.lexists(destination) and destination.is_symlink() == ("link" in kind)
    if kind != "dangling link":
        assert destination.read_bytes() == (b"" if kind == "empty" else b"mine")
    assert publisher.requests == []


def test_a_file_that_appears_during_the_download_stays(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content, reason in ((CONTENT, None), (b"mine", "appeared meanwhile")):
        destination = tmp_path / str(reason) / "raw.bin"
        receive = download._receive

        def meanwhile(
            *arguments: Any, where: Path = destination, what: bytes = content, then: Any = receive
        ) -> None:
            where.write_bytes(what)
            then(*arguments)

        monkeypatch.setattr(download, "_receive", meanwhile)
        if reason is None:
            fetch("data", published(publisher.url), [], destination)
        else:
            with pytest.raises(DataError, match=reason):
                fetch("data", published(publisher.url), [], destination)
        monkeypatch.setattr(download, "_receive", receive)
        assert destination.read_bytes() == content


@pytest.mark.parametrize("there", [None, CONTENT, b"mine"])
def test_without_hard_links_what_is_there_is_looked_at_too(
    there: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    part, destination = tmp_path / "part", tmp_path / "raw.bin"
    part.write_bytes(CONTENT)
    if there is not None:
        destination.write_bytes(there)
    if there == b"mine":
        with pytest.raises(FinalError, match=r"raw\.bin appeared meanwhile: .*; it stays"):
            arrive(part, published(), destination)
    else:
        arrive(part, published(), destination)
    assert destination.read_bytes() == (there or CONTENT)
    assert part.exists() == (there == b"mine")


def test_a_server_of_another_file_is_given_up_also_where_it_cuts_the_line(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.content = bytes(len(CONTENT))
    publisher.steps = ["cut", "serve"] * 3
    naps = Naps()
    with pytest.raises(DataError, match="the server has another file"):
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=naps)
    assert len(publisher.requests) == 4 and not list(tmp_path.iterdir())


def test_a_server_that_sends_less_than_it_was_asked_for_is_asked_for_the_rest(
    publisher: Publisher, tmp_path: Path
) -> None:
    part_of(tmp_path, CONTENT[:1000])
    publisher.steps = ["less", "less", "serve"]
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert len(publisher.requests) == 3 and "" not in publisher.requests


def test_a_full_disk_is_told_by_the_file_that_did_not_fit(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_store", full)
    with pytest.raises(OSError, match="No space left") as raised:
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin")
    assert raised.value.filename == str(tmp_path / "raw.bin")


def test_a_server_that_begins_anew_each_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter([500, *[100, 200] * ATTEMPTS])

    def receive(url: str, file: File, stream: io.BufferedRandom, deadline: float) -> None:
        stream.truncate(0)
        stream.seek(0)
        stream.write(CONTENT[: next(sizes)])
        raise download.PassingError("cut")

    monkeypatch.setattr(download, "_receive", receive)
    naps = Naps()
    with pytest.raises(DataError, match=f"gave up after {ATTEMPTS} tries: cut"):
        fetch("data", published("http://127.0.0.1:9/x"), [], tmp_path / "raw.bin", sleep=naps)
    assert len(naps) == ATTEMPTS


def test_progress_is_not_measured_by_what_was_left_of_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part_of(tmp_path, b"x" * len(CONTENT))
    step, asked = len(CONTENT) // (2 * ATTEMPTS), []

    def receive(url: str, file: File, stream: io.BufferedRandom, deadline: float) -> None:
        start = stream.seek(0, os.SEEK_END)
        asked.append(start)
        stream.write(CONTENT[start : start + step])
        if start + step < len(CONTENT):
            raise download.PassingError("cut")

    monkeypatch.setattr(download, "_receive", receive)
    fetch("data", published("http://127.0.0.1:9/x"), [], tmp_path / "raw.bin", sleep=Naps())
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert asked[0] == len(CONTENT) and asked[1] == 0 and len(asked) > ATTEMPTS + 1


def test_downloads_of_one_file_at_once_agree(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together([lambda: fetch("data", published(publisher.url), [], tmp_path / "raw.bin")] * 8)
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["raw.bin"]

    def at_once(url: str, file: File, stream: io.BufferedRandom, deadline: float) -> None:
        stream.write(CONTENT[stream.seek(0, os.SEEK_END) :])

    # Threads take turns at every step: a search meets parts that are new, taken and gone.
    monkeypatch.setattr(download, "_receive", at_once)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for round in range(100):
            file = tmp_path / str(round) / "raw.bin"
            together([partial(fetch, "data", published(publisher.url), [], file)] * 8)
            assert file.read_bytes() == CONTENT
            assert os.listdir(file.parent) == ["raw.bin"]
    finally:
        sys.setswitchinterval(interval)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Make all calls at once, each in its thread; raises what the first of them raised."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()


def test_the_part_of_a_living_process_is_left_alone(publisher: Publisher, tmp_path: Path) -> None:
    part = part_of(tmp_path, CONTENT[:1000])
    hold = (
        "import fcntl, sys; stream = open(sys.argv[1], 'r+b');"
        "fcntl.flock(stream, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, part], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        holder.stdout.readline()
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin")
        holder.stdin.close()
    assert publisher.requests == [""]
    assert part.read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("kind", ["symbolic link", "second link", "folder"])
def test_a_part_that_leads_elsewhere_is_not_followed(
    publisher: Publisher, tmp_path: Path, kind: str
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    part = tmp_path / "data" / ".raw.bin.1-0000.part"
    part.parent.mkdir()
    {"symbolic link": part.symlink_to, "second link": part.hardlink_to}.get(
        kind, lambda _: part.mkdir()
    )(other)
    fetch("data", published(publisher.url), [], tmp_path / "data" / "raw.bin")
    assert other.read_bytes() == b"mine"
    assert (tmp_path / "data" / "raw.bin").read_bytes() == CONTENT


def test_only_tries_without_progress_are_counted(publisher: Publisher, tmp_path: Path) -> None:
    publisher.steps = ["cut"] * (2 * ATTEMPTS) + ["serve"]
    naps = Naps()
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=naps)
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert naps == [1.0] * (2 * ATTEMPTS)


@pytest.mark.parametrize("date", [False, True])
def test_a_server_that_says_when_to_come_back_is_obeyed(
    publisher: Publisher, tmp_path: Path, date: bool
) -> None:
    soon = email.utils.formatdate(time.time() + 31, usegmt=True)
    publisher.steps = [f"wait {soon if date else 30}", "serve"]
    naps = Naps()
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=naps)
    assert len(naps) == 1 and 28 <= naps[0] <= 31
    publisher.steps = ["wait 86400"]
    with pytest.raises(DataError, match="HTTP 503; it asks to come back in 86400 s"):
        fetch("data", published(publisher.url), [], tmp_path / "x" / "raw.bin", sleep=naps)
    assert len(naps) == 1


@pytest.mark.parametrize("length", ["many", "-5", "1_0", "9" * 40, "٣"])
def test_a_content_length_that_is_no_number_is_one_line(
    publisher: Publisher, tmp_path: Path, length: str
) -> None:
    if not length.isascii():
        length = length.encode().decode("latin1")
    publisher.steps = [f"length {length}"]
    with pytest.raises(DataError, match="cannot fetch") as raised:
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())
    assert "\n" not in str(raised.value)


def test_a_body_that_drips_is_given_up(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    monkeypatch.setattr(download, "SLOWEST", 1e12)
    publisher.steps = ["drip"]
    begun = time.monotonic()
    with pytest.raises(DataError, match="too slow"):
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())
    assert time.monotonic() - begun < 10


def test_headers_that_drip_are_given_up(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER", 0.2)
    publisher.steps = ["headers"]
    with pytest.raises(DataError, match=r"gave up after 4 tries: no whole answer in 0 s"):
        fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())


def test_an_endless_body_is_given_up(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST", 10_000_000)
    publisher.steps = ["endless"]
    with pytest.raises(DataError, match="expected SHA-256"):
        fetch("data", published(publisher.url, bytes=None), [], tmp_path / "raw.bin", sleep=Naps())
    assert os.listdir(tmp_path) == []


def test_a_server_elsewhere_cannot_lead_to_this_machine() -> None:
    for target in ("http://localhost/x", "https://127.0.0.1/x", "http://example.org/x"):
        response = requests.Response()
        response.status_code = 302
        response.url = "https://example.org/raw.bin"
        response.headers["location"] = target
        with pytest.raises(download.FinalError, match="redirected to"):
            download.check_redirect(response)
    response.headers["location"] = "https://example.org/other"
    download.check_redirect(response)


def test_secrets_of_an_address_are_not_printed(tmp_path: Path) -> None:
    url = "http://user:hunter2@127.0.0.1:9/raw.bin?token=s3cret"
    assert shown(url) == "http://127.0.0.1:9/raw.bin"
    with pytest.raises(DataError) as raised:
        fetch("data", published(url), [], tmp_path / "raw.bin", sleep=Naps())
    message = str(raised.value)
    assert "http://127.0.0.1:9/raw.bin (gave up" in message
    for secret in ("user", "hunter2", "token", "s3cret"):
        assert secret not in message


def test_a_packed_file_that_unpacks_to_far_too_much_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    (tmp_path / "raw.bin").write_bytes(bomb)
    file = published(content=b"x", content_sha256=hashlib.sha256(bytes(50_000_000)).hexdigest())
    with pytest.raises(DataError, match="expected 1 bytes"):
        fetch("data", file, [], tmp_path / "raw.bin")


@pytest.mark.parametrize("name", ["../raw.bin", "/etc/passwd", "a/b", "..", "", "c:raw", "a\\b"])
def test_a_file_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="plain file name"):
        File(name=name)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "ftp://example.org/x",
        "file:///etc/passwd",
        "https:///x",
        "http://evil.example\\@localhost/x",
        "https://evil.example\\@good.example/x",
        "https://good.example /x",
        "https://good.example\n/x",
        "https://[::1/x",
        "https://good.example:port/x",
    ],
)
def test_only_encrypted_or_loopback_urls_may_be_declared(url: str) -> None:
    with pytest.raises(ValidationError, match="only https"):
        File(name="x", urls=(url,))


def test_a_folder_elsewhere_is_not_copied_for_a_file_without_a_checksum(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "raw.tar").mkdir(parents=True)
    with pytest.raises(DataError, match=r"raw\.tar \(not a regular file\)"):
        place("set", File(name="raw.tar"), tmp_path / "here", [tmp_path / "elsewhere"])


def test_only_a_name_without_an_ending_may_be_that_of_a_folder(tmp_path: Path) -> None:
    for name in ("corpus", "labels.pt"):
        (tmp_path / name).mkdir()
    assert place("set", File(name="corpus"), tmp_path) == tmp_path / "corpus"
    with pytest.raises(DataError, match=r"labels\.pt: not a regular file"):
        place("set", File(name="labels.pt"), tmp_path)
