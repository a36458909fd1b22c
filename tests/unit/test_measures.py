"""Numbers drawn from frames are those of their definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from firstorder.publish.measures import number_range, over_seeds, spearman


def test_rank_correlation_is_that_of_its_definition() -> None:
    assert spearman(np.array([1, 2, 3]), np.array([10, 20, 15])) == pytest.approx(0.5)
    assert np.isnan(spearman(np.array([1, 1, 1]), np.array([1, 2, 3])))
    assert np.isnan(spearman(np.array([1, 2]), np.array([1, 2])))


def test_means_over_seeds_keep_the_order_of_names_and_sort_numbers() -> None:
    frame = pd.DataFrame(
        {"arm": ["b", "b", "a", "b"], "task": [10, 10, 2, 2], "value": [1.0, 2.0, 5.0, 7.0]}
    )
    found = over_seeds(frame, ["arm", "task"], "value")
    assert found[["arm", "task"]].to_numpy().tolist() == [["b", 2], ["b", 10], ["a", 2]]
    assert found["mean"].tolist() == [7.0, 1.5, 5.0]
    assert found["count"].tolist() == [1, 2, 1]
    assert found["std"].iloc[1] == pytest.approx(0.5**0.5)


def test_a_range_is_one_number_where_its_ends_print_alike() -> None:
    assert number_range(np.array([3.14, 5.62, np.nan]), 1) == "3.1 to 5.6"
    assert number_range(np.array([3.14, 3.11]), 1) == "3.1"
    assert number_range(np.array([-1.0, np.nan]), 0) == "−1"
    assert number_range(np.array([np.nan]), 0) == "no"
