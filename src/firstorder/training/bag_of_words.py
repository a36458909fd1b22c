"""The baseline of every sequence classifier: logistic regression on word counts.

Its coefficients also say which words are positive, negative and neutral.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from firstorder.data.text.documents import UNKNOWN, Documents

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse strengths of the L2 penalty, of which the validation split chooses."""
ITERATIONS = 1000


@dataclass(frozen=True)
class BagOfWords:
    """A fitted baseline."""

    coefficients: np.ndarray
    """(V,): what one occurrence of each token adds to the logit."""
    intercept: float
    strength: float
    """The chosen one of STRENGTHS."""
    correct: np.ndarray
    """Whether each test document (D,) is classified correctly."""


def fit(
    vocabulary: int, documents: Documents, validation: Documents, test: Documents
) -> BagOfWords:
    """Fit on `documents`, choose the penalty on `validation`, evaluate on `test`."""
    from sklearn.linear_model import LogisticRegression

    train, held_out = counts(documents, vocabulary), counts(validation, vocabulary)
    best, best_accuracy = None, -1.0
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=ITERATIONS).fit(train, documents.labels)
        accuracy = model.score(held_out, validation.labels)
        if accuracy > best_accuracy:
            best, best_accuracy = model, accuracy
    assert best is not None
    correct = best.predict(counts(test, vocabulary)) == test.labels
    return BagOfWords(best.coef_[0], float(best.intercept_[0]), float(best.C), correct)


def counts(documents: Documents, vocabulary: int) -> scipy.sparse.csr_array:
    """How often each token occurs in each document, (D, V) sparse."""
    ones = np.ones(len(documents.tokens))
    found = scipy.sparse.csr_array(
        (ones, documents.tokens, documents.offsets), shape=(len(documents), vocabulary)
    )
    found.sum_duplicates()
    return found


@dataclass(frozen=True)
class WordClasses:
    """Tokens of three classes without a common one, most typical first."""

    positive: np.ndarray
    negative: np.ndarray
    neutral: np.ndarray


def word_classes(
    coefficients: np.ndarray, documents: Documents, size: int = 100, min_count: int = 10
) -> WordClasses:
    """The `size` most positive, most negative, and, by size, smallest coefficients (V,).

    Of tokens that occur at least `min_count` times in `documents`, so that a coefficient is small
    because the word is neutral, not because it is rare; of fewer than 3 `size` such tokens, a
    third for each class. Positive and negative are the coefficients of that sign alone.
    """
    frequency = np.bincount(documents.tokens, minlength=len(coefficients))
    frequency[: UNKNOWN + 1] = 0
    frequent = np.flatnonzero(frequency >= min_count)
    size = min(size, len(frequent) // 3)
    rising = frequent[np.argsort(coefficients[frequent], kind="stable")]
    positive, negative = rising[::-1][:size], rising[:size]
    positive = positive[coefficients[positive] > 0]
    negative = negative[coefficients[negative] < 0]
    rest = np.setdiff1d(frequent, np.concatenate([positive, negative]))
    by_size = rest[np.argsort(np.abs(coefficients[rest]), kind="stable")]
    return WordClasses(positive, negative, by_size[:size])
