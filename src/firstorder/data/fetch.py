"""Fetch raw files: from a local folder or over https, resumed, retried, verified.

A file reaches its final name only when its checksum is right. An interrupted download stays
beside it as NAME.part and goes on from there next time.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3
from tqdm import tqdm

from firstorder.config import File, is_allowed_url
from firstorder.data.checksums import mismatch
from firstorder.errors import DataError
from firstorder.files import replacing

ATTEMPTS = 4
"""Tries of one URL: after a failure that may pass, wait 1, 2, 4 seconds."""
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two pieces of the answer."""
BLOCK = 1 << 16
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which the same request may succeed."""


class _PassingError(Exception):
    """A failure after which another try may succeed."""


class _FinalError(Exception):
    """A failure of one source for good."""


def fetch(
    name: str,
    file: File,
    folders: Sequence[str | Path],
    destination: Path,
    help: str = "",
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Place the raw `file` of dataset `name` at `destination`.

    A right file that is already there stays. Otherwise the first of `folders` that has the file
    serves (relative folders lie beside `destination`), then the file's URLs in order. Raises one
    DataError that names the file, every source tried and why it failed, and `help`.
    """
    failures: list[str] = []
    if destination.is_file():
        found = mismatch(destination, file)
        if found is None:
            return
        failures.append(f"{destination} ({found})")
    sources: list[Path | str] = [
        *(destination.parent / Path(folder).expanduser() / file.name for folder in folders),
        *file.urls,
    ]
    for source in sources:
        try:
            if isinstance(source, Path):
                _copy(source, file, destination)
            else:
                _download(source, file, destination, sleep)
            return
        except _FinalError as failure:
            failures.append(f"{source} ({failure})")
    tried = "; ".join(failures) or "no source is declared"
    mend = " ".join(help.split()) or f"Place {file.name} at {destination}."
    raise DataError(f"{name}: cannot fetch {file.name}: tried {tried}. {mend}")


def _copy(source: Path, file: File, destination: Path) -> None:
    """Copy `source` to `destination` if it is the declared file."""
    if not source.is_file():
        raise _FinalError("not there")
    with replacing(destination) as temporary:
        shutil.copyfile(source, temporary)
        found = mismatch(temporary, file)
        if found is not None:
            raise _FinalError(found)


def _download(url: str, file: File, destination: Path, sleep: Callable[[float], None]) -> None:
    part = destination.with_name(f"{destination.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        resumed = part.is_file()
        try:
            _receive(url, file, part)
        except _PassingError as failure:
            reason = str(failure)
            continue
        found = mismatch(part, file)
        if found is None:
            with open(part, "rb") as stream:
                os.fsync(stream.fileno())
            part.replace(destination)
            return
        part.unlink()
        if not resumed:
            raise _FinalError(f"{found}; the server has another file or a proxy changed it")
        reason = found  # the part was from another file or time: start over
    raise _FinalError(f"gave up after {ATTEMPTS} tries: {reason}")


def _receive(url: str, file: File, part: Path) -> None:
    """Append to `part` what it lacks of `url`; on return the server has sent everything."""
    have = part.stat().st_size if part.is_file() else 0
    # Without `identity` a server may compress, and ranges would count compressed bytes.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=TIMEOUT, hooks={"response": _check_redirect}
        ) as response:
            span = response.headers.get("Content-Range", "")  # bytes 5-9/10, or bytes */10
            if response.status_code == 416 and have and span.endswith(f"/{have}"):
                return  # nothing is missing
            if response.status_code == 416 or (
                response.status_code == 206 and not span.startswith(f"bytes {have}-")
            ):
                part.unlink(missing_ok=True)
                raise _PassingError("the server did not resume where the part ends")
            if response.status_code in PASSING:
                raise _PassingError(f"HTTP {response.status_code}")
            if response.status_code not in (200, 206):
                raise _FinalError(f"HTTP {response.status_code}")
            if response.status_code == 200:
                have = 0
            _store(response, file, part, have)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _PassingError(_short(error)) from None
    except requests.RequestException as error:
        raise _FinalError(_short(error)) from None


def _store(response: requests.Response, file: File, part: Path, have: int) -> None:
    announced = response.headers.get("Content-Length")
    expected = have + int(announced) if announced else file.bytes
    with (
        open(part, "ab" if have else "wb") as stream,
        tqdm(
            total=expected, initial=have, unit="B", unit_scale=True, desc=file.name, disable=None
        ) as bar,
    ):
        # Bytes as sent: a file that is itself compressed must not be unpacked on the way.
        for block in response.raw.stream(BLOCK, decode_content=False):
            have += len(block)
            stream.write(block)
            bar.update(len(block))
            if file.bytes is not None and have > file.bytes:
                return  # more than was published: no need to receive the rest
    if expected is not None and have < expected:
        raise _PassingError(f"the connection ended after {have} of {expected} bytes")


def _check_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if not is_allowed_url(target):
            raise _FinalError(f"redirected to {target}, which is not https")


def _short(error: Exception) -> str:
    """The innermost cause, on one line."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
