"""Fetching: what arrives under the final name is the published file, or nothing is."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from firstorder.config import File
from firstorder.data.fetch import ATTEMPTS, fetch
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
        if step == "redirect":
            request.send_response(302)
            request.send_header("Location", "http://example.org/raw.bin")
            request.end_headers()
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
        if step == "mislabelled":
            request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(body)))
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
    (tmp_path / "raw.bin.part").write_bytes(CONTENT[:1000])
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT
    assert publisher.requests == ["bytes=1000-"]


@pytest.mark.parametrize("bytes_known", [True, False])
def test_a_complete_part_needs_no_more_bytes(
    publisher: Publisher, tmp_path: Path, bytes_known: bool
) -> None:
    (tmp_path / "raw.bin.part").write_bytes(CONTENT)
    file = published(publisher.url, bytes=len(CONTENT) if bytes_known else None)
    fetch("data", file, [], tmp_path / "raw.bin")
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * (len(CONTENT) + 5)], ids=["short", "long"])
def test_a_part_of_another_file_is_started_over(
    publisher: Publisher, tmp_path: Path, part: bytes
) -> None:
    (tmp_path / "raw.bin.part").write_bytes(part)
    fetch("data", published(publisher.url), [], tmp_path / "raw.bin", sleep=Naps())
    assert (tmp_path / "raw.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_file_again(publisher: Publisher, tmp_path: Path) -> None:
    publisher.steps = ["no-ranges"]
    (tmp_path / "raw.bin.part").write_bytes(CONTENT[:1000])
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
    publisher.steps = ["redirect"]
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


def test_a_right_file_stays_and_a_wrong_one_is_replaced(
    publisher: Publisher, tmp_path: Path
) -> None:
    destination = tmp_path / "raw.bin"
    destination.write_bytes(CONTENT)
    fetch("data", published(publisher.url), [], destination)
    assert publisher.requests == []
    destination.write_bytes(b"damaged")
    fetch("data", published(publisher.url), [], destination)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../raw.bin", "/etc/passwd", "a/b", "..", "", "c:raw", "a\\b"])
def test_a_file_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="plain file name"):
        File(name=name)


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "https:///x"]
)
def test_only_encrypted_or_loopback_urls_may_be_declared(url: str) -> None:
    with pytest.raises(ValidationError, match="only https"):
        File(name="x", urls=(url,))
