import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from secateur.report.data.statistics import (
    Comparison,
    Estimate,
    cautious,
    detectable,
    estimate,
    holm,
    paired_difference,
    sign_flip_p,
    verdict,
)

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
        (Comparison(0.3, 1), "n too small: one seed"),
        (Comparison(0.02, 3, 0.01, 0.001, 0.039), "above random"),
        (Comparison(-0.02, 3, 0.01, -0.039, -0.001), "below random"),
        (Comparison(0.002, 3, 0.01, 0.001, 0.003, p_equal=0.001), "above random"),
        (Comparison(0.002, 3, 0.01, -0.005, 0.009, p_equal=0.04), "ties random"),
        (Comparison(0.0, 3, 0.0, 0.0, 0.0, p_equal=0.0), "ties random"),
        (Comparison(0.002, 3, 0.01, -0.005, 0.011, p_equal=0.06), "undecided: interval too wide"),
        (Comparison(0.0, 2, 0.01, -0.09, 0.09), "undecided: interval too wide"),
    ],
)
def test_a_verdict_says_no_more_than_the_interval(difference, words):
    assert verdict(difference, "random") == words


def test_full_data_is_matched_not_tied():
    equal = paired_difference({0: 0.95, 1: 0.951, 2: 0.949}, {0: 0.951, 1: 0.951, 2: 0.948}).within(0.01)
    assert verdict(equal, "full", "matches") == "matches full"
    assert verdict(equal, "full", "matches", only="this mask") == "matches full (this mask)"


def test_half_an_interval_is_never_less_than_one_test_image():
    values, reference = {0: 0.99, 1: 0.98, 2: 0.97}, {0: 0.993, 1: 0.983, 2: 0.973}
    assert verdict(paired_difference(values, reference), "full") == "below full"
    held = paired_difference(values, reference, resolution=0.004).within(0.01)
    assert verdict(held, "full", "matches") == "matches full"


@given(ACCURACIES, st.floats(0.001, 0.1))
def test_equality_is_two_one_sided_t_tests(values, margin):
    difference = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.5)).within(margin)
    differences = np.subtract(values, 0.5)
    if difference.sd > 1e-6:
        lower = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
        upper = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        assert difference.p_equal == pytest.approx(max(lower, upper), abs=1e-9)
    else:
        assert difference.p_equal == (0.0 if abs(difference.mean) < margin - 1e-12 else 1.0)


@given(ACCURACIES, st.floats(0.001, 0.1), st.floats(1.0, 3.0))
def test_a_wider_margin_never_makes_equality_harder_to_show(values, margin, factor):
    difference = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.5))
    assert difference.within(factor * margin).p_equal <= difference.within(margin).p_equal + 1e-12


@given(st.integers(2, 40), st.floats(1e-4, 0.1))
def test_the_detectable_difference_is_found_in_80_percent(n, sd):
    error = sd / np.sqrt(n)
    critical = stats.t.ppf(0.975, n - 1)
    power = 1 - special.nctdtr(n - 1, detectable(error, n - 1) / error, critical)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_what_has_no_tests_has_no_verdict_to_correct():
    difference = paired_difference({0: 0.9, 1: 0.8, 2: 0.9}, {0: 0.7, 1: 0.7, 2: 0.6}).within(0.01).untested()
    assert (difference.p_t, difference.p_equal, difference.detectable) == (None, None, None)
    assert difference.low < difference.mean < difference.high


@pytest.mark.parametrize(
    ("words", "survives", "shown"),
    [
        ("above random", (False, None), "(above) random"),
        ("matches full (this mask)", (True, False), "(matches) full (this mask)"),
        ("matches full", (False, True), "matches full"),
        ("below full", (True, False), "below full"),
        ("undecided: interval too wide", (False, False), "undecided: interval too wide"),
    ],
)
def test_parentheses_are_of_the_test_that_the_word_stands_for(words, survives, shown):
    assert cautious(words, *survives) == shown


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=6, max_size=8))
def test_the_tests_agree_with_scipy(pairs):
    values, reference = ({i: pair[side] / 100 for i, pair in enumerate(pairs)} for side in (0, 1))
    result = paired_difference(values, reference)
    one, other = list(values.values()), list(reference.values())
    differences = np.subtract(one, other)
    if result.sd > 1e-6:
        assert result.p_t == pytest.approx(stats.ttest_rel(one, other).pvalue, abs=1e-9)
    exact = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert result.p_exact == pytest.approx(exact.pvalue, abs=1e-9)


def test_without_ties_the_sign_flip_test_of_ranks_is_wilcoxons():
    ranks = np.array([1, -2, 3, 4, 5, 6, 7, -8.0])
    assert sign_flip_p(ranks) == pytest.approx(stats.wilcoxon(ranks, method="exact").pvalue)


@pytest.mark.parametrize(("n", "known"), [(2, False), (5, False), (6, True), (20, True), (21, False)])
def test_an_exact_p_is_given_where_it_can_tell_something(n, known):
    difference = paired_difference({i: 0.9 + 0.001 * i for i in range(n)}, dict.fromkeys(range(n), 0.8))
    assert (difference.p_exact is not None) == known
    if known:
        assert difference.p_exact == 2.0 ** (1 - n)


@given(ACCURACIES, st.floats(0, 0.05))
def test_p_is_below_5_percent_exactly_where_the_interval_leaves_0_out(values, resolution):
    difference = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.5), resolution)
    outside = difference.low > 1e-9 or difference.high < -1e-9
    inside = difference.low < -1e-9 and difference.high > 1e-9
    assert not (outside and difference.p_t >= 0.05)
    assert not (inside and difference.p_t < 0.05)


def test_equal_and_constantly_different_pairs_have_a_p():
    equal, other = dict.fromkeys(range(3), 0.9), dict.fromkeys(range(3), 0.8)
    assert paired_difference(equal, equal).p_t == 1.0
    assert paired_difference(equal, other).p_t == 0.0
    assert paired_difference(equal, other, resolution=0.2).p_t > 0.05
    assert paired_difference({0: 0.9}, {0: 0.8}).p_t is None


def holm_by_definition(p_values):
    """Return the smallest level at which each hypothesis is rejected by Holm's procedure, tried out level by level."""
    levels = sorted({min((len(p_values) - i) * p, 1.0) for p in p_values for i in range(len(p_values))} | {1.0})

    def rejected(level):
        order = sorted(range(len(p_values)), key=lambda i: p_values[i])
        found = set()
        for rank, i in enumerate(order):
            if p_values[i] * (len(p_values) - rank) > level * (1 + 1e-12):
                break
            found.add(i)
        return found

    return [next((level for level in levels if i in rejected(level)), 1.0) for i in range(len(p_values))]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_its_definition_rejects(p_values):
    assert holm(p_values) == pytest.approx(holm_by_definition(p_values))


def test_holm_is_applied_over_a_table_and_each_reference_on_its_own(rows_of, record):
    records = [record("full", seed=seed, accuracy=0.95 + noise) for seed, noise in enumerate((0, 0.002, 0.001))]
    shifts = {"random": 0.04, "a": 0.03, "b": 0.002}
    for number, (score, drop) in enumerate(shifts.items()):
        for seed, noise in enumerate((0.0, 0.001, 0.0025)):
            method = ("random", None) if score == "random" else ("score", score)
            accuracy = 0.95 - drop + noise * (number + 1)
            records.append(record(*method, seed=seed, accuracy=accuracy))
    rows = rows_of(records)
    for which, count in (("vs_baseline", 2), ("vs_full", 3)):
        family = [getattr(row, which) for row in rows if getattr(row, which)]
        assert len(family) == count
        assert [one.p_holm for one in family] == pytest.approx(holm([one.p_t for one in family]))
        assert [one.survives_holm for one in family] == [one.p_holm < 0.05 for one in family]
        assert [one.p_equal_holm for one in family] == pytest.approx(holm([one.p_equal for one in family]))
