"""Download one file: resumed, retried, bounded in bytes and time.

What has arrived lies beside the destination as `.NAME.PROCESS-RANDOM.part`, held by a lock of the
operating system while its process lives. The part of a process that ended is taken over by the
next download of the file; that of another living one is left alone.
"""

from __future__ import annotations

import fcntl
import glob
import io
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from tqdm import tqdm

from firstorder.config import File, is_allowed_url, is_loopback
from firstorder.data.checksums import mismatch

ATTEMPTS = 4
"""Tries without a new byte, after which a URL is given up; before each wait 1, 2, 4 seconds."""
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two pieces of the answer."""
ANSWER = 120.0
"""Seconds until the headers of an answer are there, behind all redirects."""
PATIENCE = 600.0
"""Seconds for a file of any size."""
SLOWEST = 20_000.0
"""Bytes a second; a file may take its size over this in addition to PATIENCE."""
LONGEST_WAIT = 120.0
"""Seconds of a Retry-After that are waited; a server that asks for more is given up."""
LARGEST = 2**33
"""Bytes of a file whose size is not declared."""
BLOCK = 1 << 16
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which the same request may succeed."""

Arrive = Callable[[Path, File, Path], None]
"""Gives a right part its final name."""


class FinalError(Exception):
    """A failure of one source for good."""


class PassingError(Exception):
    """A failure after which another try may succeed."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait
        """Seconds that the server asks for."""


def download(
    url: str, file: File, destination: Path, arrive: Arrive, sleep: Callable[[float], None]
) -> None:
    """Receive `url` and hand it to `arrive`; FinalError where it cannot be had or is wrong."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE + (file.bytes or LARGEST) / SLOWEST
    with _part(destination) as (part, stream):
        idle, most, again = 0, _size(stream), False
        reason = ""
        while idle < ATTEMPTS:
            if not file.has_checksum:
                stream.truncate(0)  # nothing would tell that the rest is of another file or time
            before = _size(stream)
            try:
                _receive(url, file, stream, deadline)
            except PassingError as failure:
                reason = str(failure)
                # Only tries that bring nothing new count: a long file over a bad line goes on,
                # one that begins anew each time does not.
                idle = 0 if _size(stream) > most else idle + 1
                most = max(most, _size(stream))
                if idle < ATTEMPTS:
                    sleep(max(failure.wait, 2.0 ** max(idle - 1, 0)))
                continue
            stream.flush()
            found = mismatch(part, file)
            if found is None:
                arrive(part, file, destination)
                return
            stream.truncate(0)
            most = 0
            if again or not before:
                part.unlink(missing_ok=True)
                raise FinalError(f"{found}; the server has another file or a proxy changed it")
            reason, again = found, True  # the part was from another file or time: start over
            idle += 1
        raise FinalError(f"gave up after {ATTEMPTS} tries: {reason}")


@contextmanager
def _part(destination: Path) -> Iterator[tuple[Path, io.BufferedRandom]]:
    """A part that belongs to this process alone, with what an ended process left in it.

    It stays if something has arrived, for the next try.
    """
    path, stream = _left_behind(destination) or _new(destination)
    with stream:
        try:
            yield path, stream
        finally:
            if _size(stream) == 0:
                path.unlink(missing_ok=True)


def _left_behind(destination: Path) -> tuple[Path, io.BufferedRandom] | None:
    """The largest part that no living process holds."""
    parts = destination.parent.glob(f".{glob.escape(destination.name)}.*.part")
    for path in sorted(parts, key=_length, reverse=True):
        try:
            # A link would lead the download elsewhere.
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # it is gone, a link, or another user's
            continue
        with suppress(OSError):  # a file system without locks does not say whether one holds it
            if _hold(descriptor, path):
                return path, os.fdopen(descriptor, "r+b")
        os.close(descriptor)
    return None


def _new(destination: Path) -> tuple[Path, io.BufferedRandom]:
    while True:
        name = f".{destination.name}.{os.getpid()}-{secrets.token_hex(4)}.part"
        path = destination.with_name(name)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            mine = _hold(descriptor, path)
        except OSError:  # a file system without locks: nobody takes over what is there
            mine = True
        if mine:
            return path, os.fdopen(descriptor, "r+b")
        os.close(descriptor)  # another took it for left behind before the lock


def _hold(descriptor: int, path: Path) -> bool:
    """Lock an open part; False where another holds or held it, or it is no regular file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Its holder may have given it its final name between the opening and the lock.
    # A second link is the finished file of a process that was killed there.
    found = os.fstat(descriptor)
    if not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
        return False
    try:
        return found.st_ino == os.lstat(path).st_ino
    except FileNotFoundError:
        return False


def _length(path: Path) -> int:
    """Bytes of a part; -1 where its holder took it away meanwhile."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return -1


def _size(stream: io.BufferedRandom) -> int:
    stream.flush()
    return os.fstat(stream.fileno()).st_size


def _receive(url: str, file: File, stream: io.BufferedRandom, deadline: float) -> None:
    """Append to the part what it lacks of `url`; on return the server has sent everything."""
    have = _size(stream)
    # Without `identity` a server may compress, and ranges would count compressed bytes.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with _answer(url, headers) as response:
            span = response.headers.get("Content-Range", "")  # bytes 5-9/10, or bytes */10
            if response.status_code == 416 and have and span.endswith(f"/{have}"):
                return  # nothing is missing
            if response.status_code == 416 or (
                response.status_code == 206 and not span.startswith(f"bytes {have}-")
            ):
                stream.truncate(0)
                raise PassingError("the server did not resume where the part ends")
            if response.status_code in PASSING:
                raise PassingError(f"HTTP {response.status_code}", _retry_after(response))
            if response.status_code not in (200, 206):
                raise FinalError(f"HTTP {response.status_code}")
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding.lower() != "identity" and not file.has_checksum:
                raise FinalError(
                    f"the server sent it packed (Content-Encoding: {encoding[:40]}); "
                    "declare a sha256 if the file is stored as it is sent"
                )
            if response.status_code == 200:
                stream.truncate(0)
                have = 0
            _store(response, file, stream, have, deadline)
            have, whole = _size(stream), span.rpartition("/")[2]
            if not have:
                raise FinalError("the server sent an empty file")
            if whole.isdecimal() and have < int(whole[:16]):  # it sent less than it was asked for
                raise PassingError(f"the server sent {have} of {whole} bytes")
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise PassingError(_short(error, url)) from None
    except (requests.RequestException, ValueError) as error:  # ValueError: a header of nonsense
        raise FinalError(_short(error, url)) from None


def _answer(url: str, headers: dict[str, str]) -> requests.Response:
    """The answer of a server, its headers whole; where these drip, no timeout of a socket ends."""
    answers: SimpleQueue[requests.Response | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(
                requests.get(
                    url,
                    headers=headers,
                    stream=True,
                    timeout=TIMEOUT,
                    hooks={"response": check_redirect},
                )
            )
        except Exception as error:  # it is raised below
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        found = answers.get(timeout=ANSWER)
    except Empty:
        raise PassingError(f"no whole answer in {ANSWER:.0f} s") from None
    if isinstance(found, Exception):
        raise found
    return found


def _store(
    response: requests.Response, file: File, stream: io.BufferedRandom, have: int, deadline: float
) -> None:
    announced = response.headers.get("Content-Length", "")
    if announced and not (announced.isascii() and announced.isdecimal() and len(announced) < 16):
        raise PassingError(f"Content-Length {announced[:40]!r} is no number")
    expected = have + int(announced) if announced else file.bytes
    most = file.bytes if file.bytes is not None else LARGEST
    stream.seek(have)
    with tqdm(
        total=expected, initial=have, unit="B", unit_scale=True, desc=file.name, disable=None
    ) as bar:
        for block in _blocks(response):
            have += len(block)
            stream.write(block)
            bar.update(len(block))
            if have > most:
                return  # more than was published: no need to receive the rest
            if time.monotonic() > deadline:
                raise FinalError(f"too slow: {have} bytes in all the time that is allowed")
    if expected is not None and have < expected:
        raise PassingError(f"the connection ended after {have} of {expected} bytes")


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """The body as sent: a file that is itself compressed must not be unpacked on the way.

    Each piece as soon as it is there, so that the time is looked at also where bytes drip.
    """
    read = getattr(response.raw, "read1", response.raw.read)  # urllib3 before 2.1 has no read1
    while block := read(BLOCK, decode_content=False):
        yield block


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server asks to wait, from a number or a date; 0 where it says nothing."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        wait = float(text[:9])
    else:
        try:
            wait = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    if wait > LONGEST_WAIT:
        raise FinalError(f"HTTP {response.status_code}; it asks to come back in {wait:.0f} s")
    return max(wait, 0.0)


def check_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    """Refuse to be led from https to anything else, or from the network to the own machine."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        local = is_loopback(urlsplit(response.url).hostname or "")
        if not is_allowed_url(target):
            raise FinalError(f"redirected to {shown(target)}, which is not https")
        if is_loopback(urlsplit(target).hostname or "") and not local:
            raise FinalError(f"redirected to {shown(target)}, this machine")


def shown(url: str) -> str:
    """A URL, or a path, without what may be secret: user, password and query."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    path = path.partition("?")[0].partition("#")[0]
    host = authority.rpartition("@")[2].partition("?")[0].partition("#")[0]
    return f"{scheme}://{host}{slash}{path}"


def _short(error: Exception, url: str) -> str:
    """The innermost cause, on one line, without the secrets of a URL."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    text = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
    secrets_of = (urlsplit(url).password, urlsplit(url).username, urlsplit(url).query)
    for secret in (url, *secrets_of):
        if secret:
            text = text.replace(secret, shown(url) if secret == url else "...")
    return text[:300]
