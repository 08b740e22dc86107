"""Invariants of the validation split, the long tail and label noise."""

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.core.seeds import generator
from secateur.data import splits
from secateur.data.splits import allocate, flip_labels, long_tail_rows, stratified_rows

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=120).map(lambda values: torch.tensor(values))
FRACTIONS = st.floats(0, 0.99)


@given(LABELS, FRACTIONS)
def test_allocation_is_exact_and_proportional(labels, fraction):
    counts = torch.bincount(labels)
    total = round(len(labels) * fraction)
    shares = allocate(counts, total)
    assert int(shares.sum()) == total
    assert bool((shares <= counts).all())
    assert bool(((shares - counts * total / len(labels)).abs() < 1).all())


@given(LABELS, FRACTIONS, st.integers(0, 5))
def test_stratified_rows_are_distinct_and_repeatable(labels, fraction, seed):
    total = round(len(labels) * fraction)
    rows = stratified_rows(labels, total, generator(seed, "s"))
    assert torch.equal(rows, stratified_rows(labels, total, generator(seed, "s")))
    assert torch.equal(rows, rows.unique())
    counts = torch.bincount(labels)
    assert torch.equal(torch.bincount(labels[rows], minlength=len(counts)), allocate(counts, total))


@given(LABELS, st.floats(1, 200), st.floats(1, 200))
def test_more_imbalance_keeps_a_subset(labels, first, second):
    low, high = sorted((first, second))
    more = long_tail_rows(labels, 5, low, generator(0, "t"))
    fewer = long_tail_rows(labels, 5, high, generator(0, "t"))
    assert set(fewer.tolist()) <= set(more.tolist())
    assert set(labels[fewer].tolist()) == set(labels.tolist())


@given(st.integers(1, 5), st.integers(20, 60), st.floats(1, 100))
def test_balanced_classes_follow_the_exponential_profile(num_classes, per_class, imbalance):
    labels = torch.arange(num_classes).repeat(per_class)
    counts = torch.bincount(labels[long_tail_rows(labels, num_classes, imbalance, generator(0, "t"))])
    expected = [
        max(1, round(per_class * imbalance ** (-target / max(num_classes - 1, 1)))) for target in range(num_classes)
    ]
    assert counts.tolist() == pytest.approx(expected, abs=1)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert counts[0] == per_class


@given(LABELS, FRACTIONS, st.integers(0, 5))
def test_exactly_the_asked_number_of_labels_is_flipped(labels, fraction, seed):
    noisy, flipped = flip_labels(labels, 5, fraction, generator(seed, "n"))
    assert int(flipped.sum()) == round(len(labels) * fraction)
    assert torch.equal(noisy != labels, flipped)
    assert bool(((noisy >= 0) & (noisy < 5)).all())


def test_flipped_labels_are_uniform_over_the_other_classes():
    labels = torch.zeros(20_000, dtype=torch.int64)
    noisy, _ = flip_labels(labels, 5, 0.9, generator(0, "n"))
    counts = torch.bincount(noisy, minlength=5)
    assert counts[0] == 2000
    assert counts[1:].tolist() == pytest.approx([4500] * 4, rel=0.06)


def test_noise_needs_a_second_class():
    with pytest.raises(ConfigError, match="two classes"):
        flip_labels(torch.zeros(10, dtype=torch.int64), 1, 0.5, generator(0, "n"))


def test_docstring_examples():
    assert doctest.testmod(splits).failed == 0
