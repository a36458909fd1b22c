"""Readers of labelled text: what they read, and what they refuse in one line."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from firstorder.data import archives
from firstorder.data.text import reviews, tables, trees
from firstorder.errors import DataError

TREES = """\
(4 (2 A) (4 (3 (2 truly) (4 lovely)) (2 film)))
(2 (2 It) (2 (2 exists) (2 .)))

(1 (2 -LRB-) (1 (0 Dreadful) (2 1\\/2)))
"""


def refused(error: pytest.ExceptionInfo[DataError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_sentences_of_a_treebank_have_their_roots_label(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text(TREES)
    sentences = trees.read_trees(tmp_path / "dev.txt")
    assert [sentence.label for sentence in sentences] == [4, 2, 1]
    assert sentences[0].words == ["a", "truly", "lovely", "film"]
    assert sentences[2].words == ["(", "dreadful", "1/2"]


def test_binary_sentiment_leaves_neutral_sentences_out(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text(TREES)
    texts, labels = trees.binary(trees.read_trees(tmp_path / "dev.txt"))
    assert labels == [1, 0]
    assert texts[1] == ["(", "dreadful", "1/2"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("(3 (2 a) (2 b)", "a bracket is not closed"),
        ("(3 (2 a)))", "outside of brackets"),
        ("(7 (2 a))", "label '7' is not one of 0 to 4"),
        ("(3 (a))", "label 'a' is not one of 0 to 4"),
        ("(3 a) (2 b)", "more than one tree"),
        ("(3)", "no words"),
        ("word", "outside of brackets"),
        ("(", "label '' is not"),
    ],
)
def test_a_broken_tree_is_named_by_its_line(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "train.txt"
    path.write_text(f"(2 fine)\n{line}\n")
    with pytest.raises(DataError, match="line 2") as error:
        trees.read_trees(path)
    assert reason in refused(error)
    assert str(path) in refused(error)


def test_a_file_without_trees_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\n\n")
    with pytest.raises(DataError, match="no trees"):
        trees.read_trees(tmp_path / "train.txt")
    with pytest.raises(DataError, match="no such file"):
        trees.read_trees(tmp_path / "none.txt")


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes("(3 good)\n(2 caf\xe9)\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8: byte 0xe9 in line 2") as error:
        trees.read_trees(path)
    refused(error)


REVIEWS = {
    "train/pos/10_9.txt": "Later and fine",
    "train/pos/2_8.txt": "First.<br /><br />Good",
    "train/neg/0_1.txt": "Bad",
    "test/pos/0_10.txt": "Gut, schön",
    "test/neg/0_4.txt": "Poor",
    "train/unsup/0_0.txt": "Not labelled",
    "imdb.vocab": "words",
}


def folder(root: Path) -> Path:
    for name, text in REVIEWS.items():
        path = root / "aclImdb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "aclImdb"


def archive(path: Path, extra: dict[str, tarfile.TarInfo | str] | None = None) -> Path:
    members: dict[str, tarfile.TarInfo | str] = {f"aclImdb/{k}": v for k, v in REVIEWS.items()}
    with tarfile.open(path, "w:gz") as out:
        for name, content in [*members.items(), *(extra or {}).items()]:
            if isinstance(content, tarfile.TarInfo):
                out.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            out.addfile(info, io.BytesIO(content.encode()))
    return path


def test_reviews_come_from_a_folder_or_an_archive_alike(tmp_path: Path) -> None:
    found = reviews.read_reviews(folder(tmp_path))
    assert found["train"][0] == ["Bad", "First.<br /><br />Good", "Later and fine"]
    assert found["train"][1] == [0, 1, 1]
    assert found["test"][0] == ["Poor", "Gut, schön"]
    assert reviews.read_reviews(tmp_path) == found
    assert reviews.read_reviews(archive(tmp_path / "a.tar.gz")) == found


def test_an_archive_cannot_reach_outside_of_itself(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    links = []
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = tarfile.TarInfo(f"aclImdb/train/pos/{len(links) + 90}_9.txt")
        link.type, link.linkname = kind, str(secret)
        links.append(link)
    extra: dict[str, tarfile.TarInfo | str] = {
        "../aclImdb/train/pos/50_9.txt": "up",
        "/aclImdb/train/pos/51_9.txt": "root",
        "aclImdb/train/pos/../neg/52_1.txt": "across",
        **{link.name: link for link in links},
    }
    path = archive(tmp_path / "a.tar.gz", extra)
    before = sorted(tmp_path.rglob("*"))
    assert reviews.read_reviews(path) == reviews.read_reviews(archive(tmp_path / "b.tar.gz"))
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "b.tar.gz"])


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    (root / "train" / "pos" / "77_9.txt").symlink_to(tmp_path / "secret.txt")
    assert "secret" not in reviews.read_reviews(root)["train"][0]


def test_damaged_and_foreign_archives_are_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar.gz").read_bytes()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.tar\.gz: damaged archive") as error:
        reviews.read_reviews(cut)
    refused(error)
    with pytest.raises(DataError, match="is in it twice"):
        reviews.read_reviews(
            archive(tmp_path / "two.tar.gz", {"./aclImdb/train/pos/2_3.txt": "again"})
        )
    with pytest.raises(DataError, match="not a review"):
        reviews.read_reviews(
            archive(tmp_path / "big.tar.gz", {"aclImdb/train/pos/3_9.txt": "x" * 2**21})
        )
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no reviews train/pos"):
        reviews.read_reviews(empty)
    with pytest.raises(DataError, match="no such file or folder"):
        reviews.read_reviews(tmp_path / "none")


def test_reviews_that_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "a.tar.gz", {"x": "0" * 10**6})
    monkeypatch.setattr(archives, "LARGEST", 10**5)
    with pytest.raises(DataError, match=r"a\.tar\.gz: unpacks to more than"):
        reviews.read_reviews(path)


def test_a_review_that_is_in_a_folder_twice_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "train" / "pos" / "2_3.txt").write_text("again")
    with pytest.raises(DataError, match="is in it twice"):
        reviews.read_reviews(root)


@pytest.mark.parametrize("read", [tables.read_table, tables.read_yelp, trees.read_trees])
def test_what_is_no_regular_file_is_refused_and_does_not_hang(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path / "a")


def test_a_users_table_may_order_and_spell_its_columns_freely(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('\ufeffLabel,id,Text\n1,a,"good, really\nso"\nnegative,b,bad\n\nPOS,c,fine\n')
    assert tables.read_table(path) == (["good, really\nso", "bad", "fine"], [1, 0, 1])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text,sentiment\nx,1\n", "must name the columns text and label"),
        ("", "must name the columns"),
        ("text,label,Label\nx,1,0\n", "line 1: two columns are called label"),
        ("text,label\nx,2\n", "line 2: label '2'; allowed: 0, 1, negative"),
        ("text,label\nx, y,1\n", "line 2: 3 fields instead of 2"),
        ("text,label\n ,1\n", "line 2: the text is empty"),
        ('text,label\n"x" y,1\n', "line 2: not CSV"),
        ("text,label\n", "no texts"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_by_line(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        tables.read_table(path)
    assert reason in refused(error)
    assert str(path) in refused(error)


def test_yelp_polarity_is_read_as_published(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text('"1","Awful.\\nNever ""again""."\n"2","Nice, \\nyes"\n')
    assert tables.read_yelp(path) == (['Awful.\nNever "again".', "Nice, \nyes"], [0, 1])
    path.write_text('"3","Fine"\n')
    with pytest.raises(DataError, match="line 1: label '3'; allowed: 1, 2"):
        tables.read_yelp(path)
