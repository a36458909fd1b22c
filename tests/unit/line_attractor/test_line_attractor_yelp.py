"""Yelp from its server to tokens: fetched, verified, read."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from firstorder import files
from firstorder.errors import DataError

from . import small


def archive(path: Path) -> None:
    """An archive like the published one, with a few reviews."""
    with tarfile.open(path, "w:gz") as stream:
        for split, count in (("train", 40), ("test", 10)):
            rows = [
                f'"{1 + i % 2}","{("bad", "good")[i % 2]} food,\\n ""really"" {i}"'
                for i in range(count)
            ]
            data = ("\n".join(rows) + "\n").encode()
            member = tarfile.TarInfo(f"yelp_review_polarity_csv/{split}.csv")
            member.size = len(data)
            stream.addfile(member, io.BytesIO(data))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the archive."""
    folder = tmp_path / "served"
    folder.mkdir()
    archive(folder / "yelp_review_polarity_csv.tgz")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/yelp_review_polarity_csv.tgz"
        running.shutdown()
        thread.join()


def declared(folder: Path, file: dict[str, Any]) -> None:
    """A project whose scale runs Yelp, from `file`."""
    project = small.project(folder)

    def declare(study: dict[str, Any]) -> None:
        study["corpora"]["yelp"]["files"] = [file]

    def run(scale: dict[str, Any]) -> None:
        chosen = scale["corpora"].pop("synthetic")
        text = {"validation": 0.1, "min_count": 2, "longest": 4}
        scale["corpora"]["yelp"] = {**chosen, "text": text}

    project.edit("studies/line_attractor/study.yaml", declare)
    project.edit("studies/line_attractor/tiny.yaml", run)


def test_yelp_is_fetched_verified_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    served = tmp_path / "served" / "yelp_review_polarity_csv.tgz"
    right = {"name": served.name, "sha256": files.sha256(served), "urls": [server]}
    declared(tmp_path / "project", right)
    monkeypatch.chdir(tmp_path / "project")
    config = small.config(Path.cwd())
    small.run(config, "fetch_text", "yelp", served.name)
    assert Path("resources/yelp", served.name).read_bytes() == served.read_bytes()
    job = small.run(config, "read_text", "yelp")
    record = files.read_json(job.outputs["corpus.json"])["splits"]
    assert {name: each["documents"] for name, each in record.items()} == {
        "train": 36,
        "validation": 4,
        "test": 10,
    }
    assert record["test"]["longest"] == 4 and record["test"]["cut_share"] == 1.0


def test_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    name = "yelp_review_polarity_csv.tgz"
    declared(tmp_path / "project", {"name": name, "sha256": "0" * 64, "urls": [server]})
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(DataError, match="cannot fetch"):
        small.run(small.config(Path.cwd()), "fetch_text", "yelp", name)
    assert not Path("resources/yelp", name).exists()
