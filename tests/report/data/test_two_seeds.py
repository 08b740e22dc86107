import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.report.data.statistics import estimate, paired_difference
from secateur.report.data.two_seeds import by_seed, compare_runs, estimate_runs, standard_error

NUMBERS = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=2, max_size=8)


@given(NUMBERS, st.sampled_from(["own", "one", "none"]))
def test_with_a_mask_each_or_one_for_all_the_seed_is_the_unit(numbers, masks):
    mask = {"own": lambda seed: seed, "one": lambda seed: 7, "none": lambda seed: None}[masks]
    values = {(seed, mask(seed)): number for seed, number in enumerate(numbers)}
    plain, result = estimate(numbers), estimate_runs(values)
    for name in ("mean", "n", "sd", "low", "high"):
        assert getattr(result, name) == pytest.approx(getattr(plain, name), abs=1e-12)
    reference = {(seed, mask(seed)): 0.5 for seed in range(len(numbers))}
    old = paired_difference(dict(enumerate(numbers)), dict.fromkeys(range(len(numbers)), 0.5), 0.001)
    new = compare_runs(values, reference, 0.001)
    for name in ("mean", "n", "sd", "low", "high", "p_t", "p_exact"):
        assert getattr(new, name) == pytest.approx(getattr(old, name), abs=1e-12)


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_of_several_trainings_of_each_mask_the_mask_is_the_unit(numbers):
    values = {(seed, seed // 2): number / 1000 for seed, number in enumerate(numbers)}
    means = [(values[2 * mask, mask] + values[2 * mask + 1, mask]) / 2 for mask in range(3)]
    error, freedom = standard_error(values)
    assert freedom == 2
    assert error >= np.std(means, ddof=1) / np.sqrt(3) - 1e-12


def coverage(make, draws=1500):
    """Return the share of 95 % intervals that hold the true mean, 0, over new masks and new seeds."""
    rng = np.random.default_rng(0)
    found = [estimate_runs(make(rng)) for _ in range(draws)]
    return np.mean([one.low <= 0 <= one.high for one in found])


@pytest.mark.parametrize(("train", "score"), [(1.0, 0.0), (0.1, 1.0), (1.0, 1.0)])
def test_an_interval_of_a_crossed_design_holds_for_new_masks_and_new_seeds(train, score):
    def crossed(rng):
        seeds, masks = rng.normal(0, train, 4), rng.normal(0, score, 3)
        return {(i, j): seeds[i] + masks[j] + rng.normal(0, 0.3) for i in range(4) for j in range(3)}

    assert coverage(crossed) > 0.94


def test_an_interval_of_a_nested_design_holds_for_new_masks():
    def nested(rng):
        masks = rng.normal(0, 1.0, 4)
        return {(3 * j + i, j): masks[j] + rng.normal(0, 0.3) for j in range(4) for i in range(3)}

    assert coverage(nested) > 0.94


def test_runs_are_paired_by_both_seeds_where_both_are_there():
    method = {(seed, mask): 0.9 + 0.02 * mask for seed in range(2) for mask in range(2)}
    reference = {(seed, mask): 0.8 + 0.02 * mask for seed in range(2) for mask in range(2)}
    both = compare_runs(method, reference, 0.001)
    assert (both.mean, both.low, both.high) == pytest.approx((0.1, 0.099, 0.101))
    other = compare_runs(method, {(0, 5): 0.8, (1, 6): 0.8}, 0.001)
    assert other.mean == pytest.approx(0.11)
    assert other.high - other.low > 0.2  # two masks differ by 0.02: a third may be anywhere
    assert both.p_exact is None
    assert compare_runs(method, {(9, 0): 0.8}) is None
    assert compare_runs({(0, 0): 0.9}, {(0, None): 0.8}).low is None


def test_the_mean_weighs_seeds_alike():
    assert by_seed({(0, 0): 1.0, (0, 1): 0.0, (1, 0): 1.0}) == {0: 0.5, 1: 1.0}
    assert estimate_runs({(0, 0): 1.0, (0, 1): 0.0, (1, 0): 1.0}).mean == 0.75


def test_a_t_test_agrees_with_scipy():
    one, other = [0.9, 0.92, 0.93], [0.8, 0.83, 0.8]
    difference = compare_runs(*({(i, i): v for i, v in enumerate(values)} for values in (one, other)))
    assert difference.p_t == pytest.approx(stats.ttest_rel(one, other).pvalue)


def test_a_reference_drawn_for_every_seed_does_not_hide_how_the_masks_of_a_crossed_method_differ():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        masks, seeds = rng.normal(0, 0.6, 3), range(10)
        values = {(i, j): masks[j] + rng.normal(0, 0.3) for i in seeds for j in range(3)}
        reference = {(i, 0): rng.normal(0, 0.6) for i in seeds}
        drawn = {(i, 0): f"drawn for {i}" for i in seeds}
        found.append(compare_runs(values, reference, reference_masks=drawn))
    assert {one.freedom for one in found} == {2}
    assert np.mean([one.low <= 0 <= one.high for one in found]) > 0.93


def test_masks_of_the_reference_that_recur_join_those_that_they_were_compared_with():
    values = {(i, j): 0.9 + 0.01 * j + 0.001 * i for i in range(3) for j in range(4)}
    pairs = {key: key[1] // 2 for key in values}  # two masks of the method to one of the reference
    paired = compare_runs(values, dict.fromkeys(values, 0.9), reference_masks=pairs)
    assert paired.freedom == 1
    one = compare_runs(values, {(i, 9): 0.9 for i in range(3)}, reference_masks={(i, 9): "all" for i in range(3)})
    assert one.freedom == 2  # the same for all runs: conditional on it
    chained = {(i, j): (j + 1) % 4 // 2 if i else j // 2 for i, j in values}
    assert compare_runs(values, dict.fromkeys(values, 0.9), reference_masks=chained).freedom == 2  # not one cluster
