import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.report.statistics import Estimate, estimate, paired_difference, verdict

ACCURACIES = st.lists(st.integers(0, 10_000).map(lambda n: n / 10_000), min_size=2, max_size=8)


@given(ACCURACIES)
def test_an_estimate_agrees_with_scipy(values):
    result = estimate(values)
    assert result.n == len(values)
    assert result.mean == pytest.approx(np.mean(values))
    assert result.sd == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    if result.sd > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (result.low, result.high) == pytest.approx((low, high))
    else:
        assert result.low == pytest.approx(result.high)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_a_paired_difference_agrees_with_the_paired_t_test(pairs):
    values, reference = zip(*pairs, strict=True)
    result = paired_difference(dict(enumerate(values)), dict(enumerate(reference)))
    assert result.n == len(pairs)
    if result.sd > 1e-6:
        interval = stats.ttest_rel(values, reference).confidence_interval(0.95)
        assert (result.low, result.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_one_value_has_no_spread():
    assert estimate([0.9]) == Estimate(0.9, 1, None, None, None)


def test_equal_values_have_an_interval_of_length_0():
    assert estimate([0.25, 0.25, 0.25]) == Estimate(0.25, 3, 0.0, 0.25, 0.25)


def test_pairs_are_matched_by_seed():
    difference = paired_difference({0: 0.9, 1: 0.8, 5: 0.1}, {1: 0.7, 0: 0.75, 7: 0.0})
    assert difference.n == 2
    assert difference.mean == pytest.approx(0.125)
    assert paired_difference({0: 0.9}, {1: 0.9}) is None


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (None, "no seed in common with random"),
        (Estimate(0.3, 1), "n too small: one seed"),
        (Estimate(0.02, 3, 0.01, 0.001, 0.039), "above random"),
        (Estimate(-0.02, 3, 0.01, -0.039, -0.001), "below random"),
        (Estimate(0.002, 3, 0.01, -0.005, 0.009), "ties random"),
        (Estimate(0.0, 3, 0.0, 0.0, 0.0), "ties random"),
        (Estimate(0.002, 3, 0.01, -0.005, 0.011), "undecided: interval too wide"),
        (Estimate(0.0, 2, 0.01, -0.09, 0.09), "undecided: interval too wide"),
    ],
)
def test_a_verdict_says_no_more_than_the_interval(difference, words):
    assert verdict(difference, "random") == words


def test_full_data_is_matched_not_tied():
    assert verdict(Estimate(0.0, 3, 0.001, -0.002, 0.002), "full", "matches") == "matches full"


def test_half_an_interval_is_never_less_than_one_test_image():
    values, reference = {0: 0.99, 1: 0.98, 2: 0.97}, {0: 0.993, 1: 0.983, 2: 0.973}
    assert verdict(paired_difference(values, reference), "full") == "below full"
    assert verdict(paired_difference(values, reference, resolution=0.004), "full", "matches") == "matches full"
