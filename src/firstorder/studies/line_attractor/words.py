"""The step that fits the bag of words, and chooses the words that the analysis asks about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstorder import arrays, files
from firstorder.errors import DataError
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec

if TYPE_CHECKING:
    from firstorder.data.text.documents import Documents

CLASSES = ("positive", "negative", "neutral", "strong_positive", "strong_negative")
"""The last two are of the synthetic corpus: words that count twice."""


def count_words(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    """Write words.npz and words.json.

    words.npz: coefficients (V,), correct (D,) for every test document, and the tokens of each of
    CLASSES, most typical first. words.json: test accuracy, strength of the penalty, the ten first
    words of each class; of the synthetic corpus also the accuracy with the true valences.
    """
    from firstorder.data.text import documents, synthetic
    from firstorder.training import bag_of_words

    words, splits = documents.load(inputs["documents"])
    train = splits["train"]
    fewer = train.take(np.arange(len(train))[: spec["bag"]])
    if len(set(fewer.labels.tolist())) < 2:
        raise DataError(
            f"{inputs['documents']}: the first {len(fewer)} training documents, of which the bag "
            "of words is fitted, have one label; raise text.bag or text.train"
        )
    fitted = bag_of_words.fit(len(words), fewer, splits["validation"], splits["test"])
    classes = (
        valence_classes()
        if spec["valences"]
        else chosen(fitted.coefficients, splits["train"], spec["classes"], spec["class_min_count"])
    )
    if not any(map(len, classes.values())):
        raise DataError(
            f"{inputs['documents']}: fewer than three words occur {spec['class_min_count']} times "
            "in the training documents; lower text.class_min_count"
        )
    arrays.write(
        outputs["words.npz"],
        coefficients=fitted.coefficients,
        correct=fitted.correct,
        **classes,
    )
    record = {
        "spec": dict(spec),
        "accuracy": float(fitted.correct.mean()),
        "strength": fitted.strength,
        "words": {
            name: [words[token] for token in tokens[:10]] for name, tokens in classes.items()
        },
    }
    if spec["valences"]:
        guessed = synthetic.bag_of_words(splits["test"])
        record["accuracy_of_valences"] = float((guessed == splits["test"].labels).mean())
    files.write_json(outputs["words.json"], record | context.record(inputs.values()))


def valence_classes() -> dict[str, np.ndarray]:
    """The classes of the synthetic corpus: by the true valence, "not" and reserved left out."""
    from firstorder.data.text import synthetic
    from firstorder.data.text.words import RESERVED

    valence, words = synthetic.valences(), synthetic.vocabulary().words
    plain = np.arange(len(words)) >= len(RESERVED)
    plain &= np.array(words) != synthetic.NOT
    of = {"positive": 1, "negative": -1, "neutral": 0, "strong_positive": 2, "strong_negative": -2}
    return {name: np.flatnonzero(plain & (valence == of[name])) for name in CLASSES}


def chosen(
    coefficients: np.ndarray, train: Documents, size: int, min_count: int
) -> dict[str, np.ndarray]:
    """The classes of a real corpus, by the coefficients of the bag of words."""
    from firstorder.training import bag_of_words

    found = bag_of_words.word_classes(coefficients, train, size, min_count)
    none = np.zeros(0, np.int64)
    return {name: getattr(found, name, none) for name in CLASSES}
