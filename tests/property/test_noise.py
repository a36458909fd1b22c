"""Label noise: exact counts, rates, and what a seed fixes."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from firstorder.config import Dataset, File, Noise, check_noise
from firstorder.config.dataset import READS
from firstorder.data import noise as noise_module
from firstorder.data.noise import corrupt, realised_matrix, transition_matrix
from firstorder.data.samplers import CHANGED, draw, sequential_matrix
from firstorder.errors import ConfigError, DataError
from firstorder.studies.symmetrization import claims_noise

CLAIM = settings(derandomize=True, deadline=None, max_examples=15)
SAMPLERS = ["remainder", "floor", "class", "iid"]
KINDS = ["symmetric", "asymmetric", "pairflip"]
CIFAR10 = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}
SYMMETRIC = {"kind": "symmetric", "rate": 0.4}
PAIRFLIP = {"kind": "pairflip"}
# fmt: off
COARSE = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13,
    15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4,
    17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9,
    13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)
# fmt: on
"""Super-class of the 100 classes of CIFAR-100."""


def dataset(classes: int, **changes) -> Dataset:
    return Dataset(
        title="made up",
        reader="cifar",
        shape=(1, 4, 4),
        train=1,
        test=1,
        classes=tuple(str(i) for i in range(classes)),
        mean=(0.5,),
        std=(0.25,),
        source="test",
        **changes,
    )


def balanced(classes: int, each: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(classes), each))


def counts(clean: np.ndarray, noisy: np.ndarray, classes: int) -> np.ndarray:
    table = np.zeros((classes, classes), dtype=int)
    np.add.at(table, (clean, noisy), 1)
    return table


NOISES = st.one_of(
    st.builds(
        Noise,
        kind=st.just("symmetric"),
        rate=st.floats(0, 0.66),
        sampler=st.sampled_from(SAMPLERS),
        include_true_class=st.booleans(),
    ),
    st.builds(
        Noise,
        kind=st.sampled_from(["asymmetric", "pairflip"]),
        rate=st.floats(0, 1),
        sampler=st.sampled_from(SAMPLERS),
    ),
    st.builds(Noise, kind=st.just("instance"), rate=st.floats(0, 1)),
)


@CLAIM
@given(noise=NOISES, seed=st.integers(0, 1000), sizes=st.lists(st.integers(0, 300), min_size=3))
def test_noise_changes_labels_only_as_its_record_says(noise, seed, sizes):
    data = dataset(len(sizes), asymmetric={0: 1, 1: 2})
    clean = np.repeat(np.arange(len(sizes)), sizes)
    images = np.random.default_rng(seed).integers(0, 256, (len(clean), 1, 4, 4), dtype=np.uint8)
    before = clean.copy()
    try:
        result = corrupt(clean, noise, data, seed, images=images)
    except DataError as refused:
        assert noise.sampler != "iid" or noise.kind == "instance"
        assert "cannot be realised" in str(refused)
        return
    assert np.array_equal(clean, before)
    assert result.labels.dtype == np.int64
    assert set(result.labels) <= set(range(len(sizes)))
    assert np.array_equal(result.flipped, result.labels != clean)
    np.testing.assert_allclose(result.realised.sum(1), 1, atol=1e-12)
    assert np.array_equal(result.realised, realised_matrix(clean, result.labels, len(sizes)))
    again = corrupt(clean, noise, data, seed, images=images)
    assert np.array_equal(again.labels, result.labels)


@CLAIM
@given(noise=NOISES.filter(lambda noise: noise.kind != "instance"))
def test_transition_matrices_are_stochastic_with_the_rate_off_the_diagonal(noise):
    matrix = transition_matrix(noise, dataset(10, asymmetric=CIFAR10))
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    assert (matrix >= -1e-15).all()
    wrong = 1 - np.diag(matrix)
    if noise.kind == "asymmetric":
        expected = np.where(np.isin(np.arange(10), list(CIFAR10)), noise.rate, 0)
    else:
        expected = noise.rate * (0.9 if noise.include_true_class else 1)
    np.testing.assert_allclose(wrong, expected, atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "classes, each, rate, pair, realised",
    [
        (10, 5000, 0.2, 111, 0.1998),
        (10, 5000, 0.4, 222, 0.3996),
        (10, 5000, 0.6, 333, 0.5994),
        (10, 5000, 0.8, 444, 0.7992),
        (100, 500, 0.2, 1, 0.198),
        (100, 500, 0.4, 2, 0.396),
        (100, 500, 0.6, 3, 0.594),
        (100, 500, 0.8, 4, 0.792),
    ],
)
def test_symmetric_noise_moves_an_exact_count_per_ordered_pair(
    classes, each, rate, pair, realised, seed
):
    clean = balanced(classes, each)
    noise = Noise(kind="symmetric", rate=rate, sampler="floor")
    result = corrupt(clean, noise, dataset(classes), seed)
    table = counts(clean, result.labels, classes)
    off = ~np.eye(classes, dtype=bool)
    assert (table[off] == pair).all()
    assert np.isclose(result.flipped.mean(), realised, atol=1e-12)


def test_whole_expected_counts_are_not_lost_to_rounding():
    """0.3 / 9 of 90 is 3, but less than 3 in floating point for some orders of operations."""
    for each in (90, 180, 270, 900, 4500):
        clean = balanced(10, each)
        for sampler in ("floor", "remainder"):
            noise = Noise(kind="symmetric", rate=0.3, sampler=sampler)
            result = corrupt(clean, noise, dataset(10), 1)
            assert result.flipped.sum() == 10 * 9 * (each // 30)


LARGE = st.lists(st.integers(50, 300), min_size=3, max_size=12)


@CLAIM
@given(
    sizes=LARGE,
    rate=st.just(0.0) | st.floats(0.01, 0.66),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(KINDS),
)
def test_by_largest_remainder_each_class_is_within_half_a_label_of_its_rate(
    sizes, rate, seed, kind
):
    data = dataset(len(sizes), asymmetric={0: 1, 1: 2})
    clean = np.repeat(np.arange(len(sizes)), sizes)
    noise = Noise(kind=kind, rate=rate, sampler="remainder")
    result = corrupt(clean, noise, data, seed)
    table = counts(clean, result.labels, len(sizes))
    expected = transition_matrix(noise, data) * np.array(sizes)[:, None]
    assert np.abs(np.diag(table) - np.diag(expected)).max() <= 0.5 + 1e-6
    assert np.abs(table - expected).max() < 1 + 1e-6
    assert result.rate == result.flipped.mean()


def test_by_largest_remainder_the_published_rates_are_realised_exactly():
    """The protocol's flooring would give .77 of .8 on digits, nothing of .19 on 100 classes."""
    sizes = np.array([139, 142, 138, 143, 141, 142, 141, 140, 136, 138])
    for clean, classes in (
        (np.repeat(np.arange(10), sizes), 10),
        (balanced(10, 5000), 10),
        (balanced(100, 500), 100),
    ):
        for rate in (0.05, 0.1, 0.19, 0.2, 0.4, 0.6, 0.8):
            noise = Noise(kind="symmetric", rate=rate, sampler="remainder")
            assert abs(corrupt(clean, noise, dataset(classes), 1).rate - rate) < 0.004


@pytest.mark.parametrize("sampler", ["floor", "remainder"])
def test_the_claim_about_counts_notices_another_sampler(sampler):
    expected = np.full((10, 10), 100 * 0.4 / 9)
    np.fill_diagonal(expected, 0)
    floored = np.floor(expected)
    rounded = floored.copy()
    rounded[~np.eye(10, dtype=bool)] += np.tile([1, 1, 1, 1, 0, 0, 0, 0, 0], 10)
    right, wrong = (floored, rounded) if sampler == "floor" else (rounded, floored)
    assert claims_noise._beyond(sampler, right, expected) == 0
    assert claims_noise._beyond(sampler, wrong, expected) >= 1


def test_equal_remainders_prefer_no_class():
    noise = Noise(kind="symmetric", rate=0.01, sampler="remainder")  # one label of 100
    clean = balanced(10, 100)
    got = sum(counts(clean, corrupt(clean, noise, dataset(10), s).labels, 10) for s in range(200))
    received = got[~np.eye(10, dtype=bool)].reshape(10, 9)
    assert received.sum() == 2000 and received.min() >= 8 and received.max() <= 42


def test_a_rate_that_small_classes_cannot_realise_is_refused_with_the_nearest():
    noise = Noise(kind="symmetric", rate=0.05, sampler="remainder")
    with pytest.raises(DataError, match=r"0\.05 cannot be realised .*nearest that can is 0\.19;"):
        corrupt(balanced(10, 5), noise, dataset(10), 1)
    accepted = Noise(kind="symmetric", rate=0.19, sampler="remainder")
    assert corrupt(balanced(10, 5), accepted, dataset(10), 1).rate == 0.2


def test_noise_that_changes_no_label_is_refused_however_small_it_is():
    noise = Noise(kind="symmetric", rate=0.005, sampler="remainder")
    with pytest.raises(DataError, match=r"it would be 0\.000; the nearest that can is 0\.015;"):
        corrupt(balanced(10, 40), noise, dataset(10), 1)
    assert corrupt(balanced(10, 40), noise.model_copy(update={"rate": 0.015}), dataset(10), 1)


@CLAIM
@given(
    sizes=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    kind=st.sampled_from([SYMMETRIC, SYMMETRIC | {"include_true_class": True}, PAIRFLIP]),
    sampler=st.sampled_from(list(CHANGED)),
    rate=st.integers(1, 1000),
)
def test_the_rate_that_is_named_is_the_nearest_that_is_accepted(sizes, kind, sampler, rate):
    """Against trying rates one after the other, in thousandths."""
    data = dataset(len(sizes))

    def message(rate):
        noise = Noise(**{**kind, "rate": rate, "sampler": sampler})
        try:
            check_noise(noise, data, "these", "here")
            corrupt(np.repeat(np.arange(len(sizes)), sizes), noise, data, 1)
        except (ConfigError, DataError) as error:
            return str(error)
        return ""

    said = message(rate / 1000)
    named = re.search(r"the nearest that can is ([\d.]+)", said)
    if named:
        assert message(float(named[1])) == ""
    elif "cannot be realised" not in said:
        return
    nearer = abs(float(named[1]) - rate / 1000) if named else 1
    between = [each for each in range(1, 1001) if abs(each - rate) / 1000 < nearer - 1e-9]
    assert all(message(each / 1000) for each in between)


@CLAIM
@given(sizes=LARGE, rate=st.floats(0, 0.66), sampler=st.sampled_from(list(CHANGED)))
def test_the_counts_that_are_checked_are_those_that_are_drawn(sizes, rate, sampler):
    clean, data = np.repeat(np.arange(len(sizes)), sizes), dataset(len(sizes))
    noise = Noise(kind="symmetric", rate=rate, sampler=sampler)
    matrix = transition_matrix(noise, data)
    noisy = draw(clean, matrix, sampler, np.random.default_rng(0))
    changed = np.bincount(clean[noisy != clean], minlength=len(sizes))
    assert np.array_equal(changed, noise_module._changed(matrix, np.array(sizes), noise, data))


@pytest.mark.parametrize(
    "values, classes, each, reason",
    [
        (SYMMETRIC | {"sampler": "floor"}, 100, 40, "0.000; take .*remainder"),
        (SYMMETRIC | {"sampler": "floor"}, 10, 140, "0.386; .* can is 0.3957; or take .*remainder"),
        (SYMMETRIC | {"sampler": "class", "rate": 0.1}, 100, 5, "0.000; .* or take `sampler: iid`"),
        ({"kind": "asymmetric", "rate": 0.1, "sampler": "floor"}, 10, 5, "0.000"),
        ({"kind": "asymmetric", "rate": 0.1, "sampler": "sequential"}, 10, 5, "0.000"),
        ({"kind": "matrix"}, 10, 5, "0.000; take `sampler: iid`"),
    ],
)
def test_no_sampler_by_counts_misses_its_rate_without_a_word(
    values, classes, each, reason, tmp_path
):
    if values["kind"] == "matrix":
        np.save(tmp_path / "m.npy", 0.9 * np.eye(10) + 0.01)
        values = {**values, "path": str(tmp_path / "m.npy")}
    data = dataset(classes, asymmetric=CIFAR10 if classes == 10 else {})
    with pytest.raises(DataError, match=f"cannot be realised by .* {each} .* would be {reason}"):
        corrupt(balanced(classes, each), Noise(**values), data, 1)


def test_the_nearest_rate_that_is_named_can_be_realised_as_it_is_printed():
    noise = Noise(kind="symmetric", rate=0.3858, sampler="floor")
    assert corrupt(balanced(10, 140), noise, dataset(10), 1).rate == pytest.approx(54 / 140)


@pytest.mark.parametrize("rate, mean, nearest", [(0.05, 0.101, 0.17), (0.9, 0.871, 0.83)])
def test_rates_of_instance_noise_that_its_cut_moves_are_refused(rate, mean, nearest):
    images = np.zeros((20, 1, 4, 4), np.uint8)
    with pytest.raises(DataError, match=f"mean is {mean}; the nearest that can is {nearest}$"):
        corrupt(balanced(10, 2), Noise(kind="instance", rate=rate), dataset(10), 1, images=images)
    near = Noise(kind="instance", rate=nearest)
    assert corrupt(balanced(10, 2), near, dataset(10), 1, images=images).flipped.any()


@pytest.mark.parametrize("seed", [1, 2])
def test_flipping_class_after_class_turns_some_cats_back(seed):
    """eps-softmax's CIFAR-10 noise: at .4, 24 % of the cats and 18.4 % of all labels are wrong."""
    clean = balanced(10, 5000)
    noise = Noise(kind="asymmetric", rate=0.4, sampler="sequential")
    data = dataset(10, asymmetric=CIFAR10)
    result = corrupt(clean, noise, data, seed)
    assert abs(result.rate - 0.184) < 0.002
    np.testing.assert_allclose(result.realised, transition_matrix(noise, data), atol=0.01)
    assert transition_matrix(noise, data)[3, 5] == pytest.approx(0.24)
    released = sequential_matrix(10, [(9, 1), (2, 0), (3, 5), (5, 3), (4, 7)], 0.4)
    np.testing.assert_allclose(transition_matrix(noise, data), released, atol=1e-12)
    stored = dataset(10, asymmetric=dict(sorted(CIFAR10.items())))
    assert np.array_equal(corrupt(clean, noise, stored, seed).labels, result.labels)


# Noise of one's own


def test_a_matrix_of_ones_own_is_realised(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# cat, dog, cow\n0.7,0.2,0.1\n0.25,0.75,0\n0 0 1\n")
    np.save(tmp_path / "t.npy", [[0.7, 0.2, 0.1], [0.25, 0.75, 0], [0, 0, 1]])
    clean = balanced(3, 200)
    for each in (path, tmp_path / "t.npy"):
        noise = Noise(kind="matrix", path=str(each), sampler="remainder")
        result = corrupt(clean, noise, dataset(3), 1)
        assert np.array_equal(
            counts(clean, result.labels, 3), [[140, 40, 20], [50, 150, 0], [0, 0, 200]]
        )
    np.save(tmp_path / "t.npy", np.eye(3) / 2)
    with pytest.raises(DataError, match=r"t\.npy: row 1: not probabilities that sum to 1"):
        corrupt(clean, noise, dataset(3), 1)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("1,0\n0,1\n", "line 1: 2 numbers for the 3 classes"),
        ("1,0,0\n0,1,0\n", "2 rows for the 3 classes"),
        ("1,0,0\n0,1,0\n0,0.5,0.4\n", "line 3: not probabilities that sum to 1"),
        ("1,0,0\n0,nan,0\n0,0,1\n", "line 2: nan is no probability"),
        ("1,0,0\n0,1.5,-0.5\n0,0,1\n", "line 2: 1.5 is no probability"),
        ("1,0,0\n0,x,0\n0,0,1\n", "line 2: .* are not numbers"),
    ],
)
def test_what_is_no_transition_matrix_is_refused_by_line(tmp_path, text, reason):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        corrupt(balanced(3, 20), Noise(kind="matrix", path=str(path)), dataset(3), 1)


def test_labels_of_ones_own_are_taken(tmp_path):
    clean, given_labels = balanced(3, 4), (balanced(3, 4) + 1) % 3
    (tmp_path / "l.txt").write_text("".join(f"{label}\r\n" for label in given_labels))
    np.save(tmp_path / "l.npy", given_labels)
    for name in ("l.txt", "l.npy"):
        noise = Noise(kind="labels", path=str(tmp_path / name))
        assert np.array_equal(corrupt(clean, noise, dataset(3), 1).labels, given_labels)
        assert transition_matrix(noise, dataset(3)) is None
        with pytest.raises(DataError, match="12 labels for 9 training images"):
            corrupt(balanced(3, 3), noise, dataset(3), 1)
    (tmp_path / "l.txt").write_text("0\n1\ndog\n")
    with pytest.raises(DataError, match=r"l\.txt: line 3: 'dog' is no class"):
        corrupt(balanced(3, 1), Noise(kind="labels", path=str(tmp_path / "l.txt")), dataset(3), 1)


@pytest.mark.parametrize(
    "text, labels",
    [("0\n1\n1\n", [0, 1, 1]), ("1\n2\n1\n", [0, 1, 0]), ("0\n1\n2\n", "line 1: '0' is no class")],
)
def test_labels_are_all_names_or_all_numbers(text, labels, tmp_path):
    (tmp_path / "l.txt").write_text(text)
    noise = Noise(kind="labels", path=str(tmp_path / "l.txt"))
    data = dataset(2).model_copy(update={"classes": ("1", "2")})
    if isinstance(labels, str):
        with pytest.raises(DataError, match=labels):
            corrupt(np.zeros(3, int), noise, data, 1)
    else:
        assert corrupt(np.zeros(3, int), noise, data, 1).labels.tolist() == labels


@pytest.mark.parametrize(
    "values, said",
    [
        ({"kind": "matrix"}, "matrix needs the key path"),
        ({"kind": "human"}, "human needs the key annotation"),
        ({"kind": "symmetric", "path": "x"}, "symmetric reads no path"),
        ({"kind": "symmetric", "blocks": "semantic"}, "symmetric reads no blocks"),
        ({"kind": "symmetric", "rate": 0.2, "sampler": "sequential"}, "is for asymmetric noise"),
        ({"kind": "asymmetric", "include_true_class": True}, "reads no include_true_class"),
        ({"kind": "pairflip", "include_true_class": True}, "reads no include_true_class"),
        ({"kind": "instance", "rate": 0.2, "sampler": "floor"}, "instance reads no sampler"),
        ({"kind": "human", "annotation": "worst", "rate": 0.4}, "human reads no rate"),
        ({"kind": "human", "annotation": "worst", "sampler": "iid"}, "human reads no sampler"),
        ({"kind": "labels", "path": "x", "sampler": "iid"}, "labels reads no sampler"),
        ({"kind": "labels", "path": "x", "rate": 0.2}, "labels reads no rate"),
    ],
)
def test_noise_whose_parts_do_not_fit_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        Noise(**values)


def test_what_a_noise_reads_is_said_of_every_kind():
    assert tuple(READS) == get_args(Noise.model_fields["kind"].annotation)
    assert {name for read in READS.values() for name in read} | {"kind"} == set(Noise.model_fields)


def test_the_class_sampler_moves_an_exact_count_per_class():
    clean = balanced(10, 503)
    noise = Noise(kind="symmetric", rate=0.4, sampler="class")
    result = corrupt(clean, noise, dataset(10), 1)
    table = counts(clean, result.labels, 10)
    assert (503 - np.diag(table) == 201).all()
    off = table[~np.eye(10, dtype=bool)]
    assert off.min() < 503 * 0.4 / 9 < off.max()


def test_the_independent_sampler_has_the_rate_on_average():
    clean = balanced(10, 5000)
    noise = Noise(kind="symmetric", rate=0.4, sampler="iid")
    result = corrupt(clean, noise, dataset(10), 1)
    assert np.isclose(result.flipped.mean(), 0.4, atol=0.01)
    assert len(set(np.diag(counts(clean, result.labels, 10)))) > 1


def test_redrawing_from_all_classes_lowers_the_real_rate():
    noise = Noise(kind="symmetric", rate=0.5, include_true_class=True)
    result = corrupt(balanced(10, 5000), noise, dataset(10), 1)
    assert np.isclose(result.flipped.mean(), 0.45, atol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3, 0.4])
def test_asymmetric_noise_changes_exactly_five_classes_of_cifar10(rate):
    """Counts come from the original labels: no cat turned dog turns back."""
    clean = balanced(10, 5000)
    result = corrupt(clean, Noise(kind="asymmetric", rate=rate), dataset(10, asymmetric=CIFAR10), 2)
    expected = 5000 * np.eye(10, dtype=int)
    for source, target in CIFAR10.items():
        expected[source, source] -= round(5000 * rate)
        expected[source, target] += round(5000 * rate)
    assert np.array_equal(counts(clean, result.labels, 10), expected)
    assert np.isclose(result.flipped.mean(), rate / 2)


def test_index_blocks_turn_each_class_into_the_next_of_five():
    clean = balanced(100, 50)
    data = dataset(100, asymmetric="blocks", semantic_groups=COARSE)
    result = corrupt(clean, Noise(kind="asymmetric", rate=0.4), data, 1)
    assert np.isclose(result.flipped.mean(), 0.4)
    matrix = transition_matrix(Noise(kind="asymmetric", rate=0.4), data)
    assert matrix[0, 1] == matrix[3, 4] == matrix[4, 0] == matrix[99, 95] == 0.4


def test_semantic_blocks_stay_within_super_classes():
    data = dataset(100, asymmetric="blocks", semantic_groups=COARSE)
    noise = Noise(kind="asymmetric", rate=0.4, blocks="semantic")
    source, target = np.nonzero(transition_matrix(noise, data) == 0.4)
    groups = np.array(COARSE)
    assert len(source) == 100
    assert (groups[source] == groups[target]).all()
    assert sorted(target) == list(range(100))
    index = transition_matrix(Noise(kind="asymmetric", rate=0.4), data)
    crossing = groups[np.arange(100)] != groups[index.argsort(1)[:, -2]]
    assert crossing.mean() > 0.8, "blocks by index are alphabetical, not semantic"


def test_semantic_blocks_are_refused_where_a_map_would_be_read():
    data = dataset(10, asymmetric=CIFAR10, semantic_groups=tuple(range(10)))
    noise = Noise(kind="asymmetric", rate=0.4, blocks="semantic")
    with pytest.raises(ConfigError, match="`blocks: semantic` needs `asymmetric: blocks` of d"):
        check_noise(noise, data, "d", "noises")


def test_pair_flips_go_to_the_next_class():
    clean = balanced(10, 100)
    result = corrupt(clean, Noise(kind="pairflip", rate=0.45), dataset(10), 1)
    expected = 55 * np.eye(10, dtype=int) + 45 * np.roll(np.eye(10, dtype=int), 1, axis=1)
    assert np.array_equal(counts(clean, result.labels, 10), expected)


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
def test_instance_noise_has_its_rate_and_depends_on_the_image(rate):
    clean = balanced(10, 600)
    images = np.random.default_rng(1).integers(0, 256, (6000, 1, 4, 4), dtype=np.uint8)
    images[: len(images) // 2] = images[0]
    noise, data = Noise(kind="instance", rate=rate), dataset(10)
    result = corrupt(clean, noise, data, 1, images=images)
    assert np.isclose(result.flipped.mean(), rate, atol=0.02)
    same = np.arange(6000) < 3000
    for true in range(10):
        share = [
            np.bincount(result.labels[part & (clean == true) & result.flipped], minlength=10)
            for part in (same, ~same)
        ]
        assert share[0].max() / share[0].sum() > share[1].max() / share[1].sum()
        assert share[0][true] == share[1][true] == 0


def test_instance_noise_does_not_depend_on_the_size_of_its_blocks(monkeypatch):
    clean = balanced(5, 40)
    images = np.random.default_rng(1).integers(0, 256, (200, 1, 4, 4), dtype=np.uint8)
    noise, data = Noise(kind="instance", rate=0.5), dataset(5)
    whole = corrupt(clean, noise, data, 1, images=images)
    monkeypatch.setattr(noise_module, "BLOCK", 16 * 3)
    assert np.array_equal(corrupt(clean, noise, data, 1, images=images).labels, whole.labels)


def test_a_seed_fixes_the_noise_and_another_changes_it():
    clean, noise = balanced(10, 200), Noise(kind="symmetric", rate=0.4)
    first, again, other = (corrupt(clean, noise, dataset(10), s).labels for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric", "pairflip", "instance"])
def test_rate_zero_changes_nothing(kind):
    clean = balanced(10, 20)
    images = np.zeros((200, 1, 4, 4), dtype=np.uint8)
    result = corrupt(clean, Noise(kind=kind), dataset(10), 1, images=images)
    assert not result.flipped.any()
    assert np.array_equal(result.realised, np.eye(10))


def test_the_matrix_of_instance_and_human_noise_is_only_known_afterwards():
    data = dataset(10, human={"worst": "worse_label"}, human_file=File(name="labels.pt"))
    assert transition_matrix(Noise(kind="instance", rate=0.4), data) is None
    assert transition_matrix(Noise(kind="human", annotation="worst"), data) is None


def test_impossible_noise_is_refused():
    with pytest.raises(ConfigError, match=r"rate 0\.95 is not allowed"):
        transition_matrix(Noise(kind="symmetric", rate=0.95), dataset(10))
    for kind in ("matrix", "labels"):
        with pytest.raises(ConfigError, match="absent: no such file"):
            check_noise(Noise(kind=kind, path="absent"), dataset(3), "made up", "noises")
    with pytest.raises(DataError, match="needs the training images"):
        corrupt(balanced(10, 2), Noise(kind="instance", rate=0.4), dataset(10), 1)
    with pytest.raises(DataError, match="unlabelled images"):
        corrupt(np.array([-1, 0]), Noise(kind="symmetric", rate=0.4), dataset(10), 1)
