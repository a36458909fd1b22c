"""Tokens, vocabulary, flat arrays, and the synthetic corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firstorder.data.text import documents as texts
from firstorder.data.text import synthetic, words
from firstorder.data.text.documents import UNKNOWN, Documents
from firstorder.errors import DataError
from firstorder.streams import numpy_stream


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A good film.", ["a", "good", "film", "."]),
        (
            "Why?! No: yes; well, then",
            ["why", "?", "!", "no", ":", "yes", ";", "well", ",", "then"],
        ),
        ("at 3.5 stars", ["at", "3.5", "stars"]),  # only at a word's end
        ("one<br /><br/>two<BR>three", ["one", "two", "three"]),
        (" . ", ["."]),
        ("Don't (really)", ["don't", "(really)"]),
        ("", []),
    ],
)
def test_punctuation_is_split_from_the_ends_of_lower_case_words(
    text: str, expected: list[str]
) -> None:
    assert words.tokenise(text) == expected


TEXTS = [["the", "film", "the"], ["a", "film"], ["rare", "<unk>"]]


def test_a_vocabulary_is_ordered_by_frequency_and_then_by_letter() -> None:
    assert words.vocabulary(TEXTS).words == ("<pad>", "<unk>", "film", "the", "a", "rare")
    assert words.vocabulary(TEXTS, min_count=2).words == ("<pad>", "<unk>", "film", "the")
    assert words.vocabulary(TEXTS, max_size=3).words == ("<pad>", "<unk>", "film")


def test_words_that_are_not_known_become_one_token_and_are_counted() -> None:
    known = words.vocabulary(TEXTS, min_count=2)
    found = known.encode([["the", "new", "film"], ["a"]], [1, 0])
    assert found.tokens.tolist() == [3, UNKNOWN, 2, UNKNOWN]
    assert found.offsets.tolist() == [0, 3, 4]
    told = texts.statistics(found)
    assert told["unknown_share"] == 0.5
    assert told["mean_length"] == 2
    assert (told["documents"], told["tokens"], told["longest"]) == (2, 4, 3)
    with pytest.raises(DataError, match="document 2 of 2 has no words"):
        known.encode([["the"], []], [1, 0])


def corpus() -> Documents:
    return texts.documents([[5, 6, 7], [8], [9, 5]], [1, 0, 1])


def test_documents_are_taken_in_any_order_and_cut() -> None:
    found = corpus().take(np.array([2, 0]))
    assert found.tokens.tolist() == [9, 5, 5, 6, 7]
    assert found.labels.tolist() == [1, 1]
    assert corpus().take(np.array([False, True, False])).tokens.tolist() == [8]
    assert corpus().up_to(2).tokens.tolist() == [5, 6, 8, 9, 5]
    with pytest.raises(DataError, match="do not belong together"):
        Documents(np.zeros(3, np.int32), np.array([0, 2]), np.array([1]))


def test_saved_documents_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "text.npz"
    known = ("<pad>", "<unk>", "schön", *(f"w{i}" for i in range(7)))
    texts.save(path, known, {"train": corpus(), "test": corpus().take(np.array([1]))})
    found_words, found = texts.load(path)
    assert found_words == known
    assert list(found) == ["train", "test"]
    for part in ("tokens", "offsets", "labels"):
        one, two = getattr(found["train"], part), getattr(corpus(), part)
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)


def test_damaged_files_of_documents_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "text.npz"
    with pytest.raises(DataError, match="no such file"):
        texts.load(path)
    texts.save(path, ("<pad>", "<unk>"), {"train": corpus()})
    with pytest.raises(DataError, match="train has tokens beyond its 2 words"):
        texts.load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="not prepared text") as error:
        texts.load(path)
    assert "\n" not in str(error.value)


def slowly(tokens: list[int]) -> int:
    """The sum of a document, as the rule reads."""
    valence, negation = synthetic.valences(), len(synthetic.valences()) - 1
    total = 0
    for i, token in enumerate(tokens):
        value = int(valence[token])
        if value:
            for j in range(i - 1, max(i - synthetic.REACH, 0) - 1, -1):
                if valence[tokens[j]]:
                    break
                if tokens[j] == negation:
                    value = -value
                    break
        total += value
    return total


def test_synthetic_labels_are_the_signs_of_sums_in_which_not_turns_the_next_word() -> None:
    found = synthetic.sample(400, numpy_stream(3, "text"))
    for d in range(len(found)):
        tokens = found.tokens[found.offsets[d] : found.offsets[d + 1]].tolist()
        total = slowly(tokens)
        assert total != 0
        assert found.labels[d] == (total > 0)


def test_not_reaches_three_words_and_only_the_first_that_has_a_valence() -> None:
    known = synthetic.vocabulary().tokens
    text = "not plain0 plain1 good0 good1 bad0 not great0 awful0 not plain0 plain1 plain2 good2"
    tokens = np.array([[known[word] for word in text.split()]])
    assert synthetic.scores(tokens)[0].tolist() == [0, 0, 0, -1, 1, -1, 0, -2, -2, *[0] * 4, 1]


def test_the_synthetic_corpus_has_its_proportions() -> None:
    found = synthetic.sample(20_000, numpy_stream(1, "text"))
    assert len(synthetic.vocabulary()) == 2 + 117
    assert (found.lengths.min(), found.lengths.max()) == (25, 50)
    assert found.lengths.mean() == pytest.approx(37.5, abs=0.2)
    valence = synthetic.valences()[found.tokens]
    assert (valence != 0).mean() == pytest.approx(0.3, abs=0.005)
    assert (np.abs(valence) == 2).mean() == pytest.approx(0.075, abs=0.003)
    assert (found.tokens == 118).mean() == pytest.approx(0.06, abs=0.002)
    assert found.labels.mean() == pytest.approx(0.5, abs=0.02)
    assert not np.isin(found.tokens, (0, 1)).any()
    accuracy = (synthetic.bag_of_words(found) == found.labels).mean()
    assert 0.86 < accuracy < 0.90  # blind to "not"


def test_the_same_stream_gives_the_same_documents() -> None:
    one, two = (synthetic.sample(50, numpy_stream(1, "text")) for _ in range(2))
    assert np.array_equal(one.tokens, two.tokens)
    assert len(one) == 50
    other = synthetic.sample(50, numpy_stream(2, "text"))
    assert not np.array_equal(one.tokens[:20], other.tokens[:20])
