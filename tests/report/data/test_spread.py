import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.report.data.spread import Spread, spread


def grid(seeds, masks, rng, train=1.0, score=2.0, residual=0.5):
    by_seed, by_mask = rng.normal(0, train, seeds), rng.normal(0, score, masks)
    return {(i, j): by_seed[i] + by_mask[j] + rng.normal(0, residual) for i in range(seeds) for j in range(masks)}


def test_components_are_recovered_in_the_mean():
    """Method of moments: unbiased for the variances where none is cut off at 0."""
    rng = np.random.default_rng(0)
    found = [spread(grid(6, 6, rng)) for _ in range(400)]
    variances = [
        np.mean([getattr(one, name) ** 2 for one in found]) for name in ("train_sd", "score_sd", "residual_sd")
    ]
    assert variances == pytest.approx([1.0, 4.0, 0.25], rel=0.1)


def test_nested_components_are_recovered_in_the_mean():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        masks = rng.normal(0, 2.0, 5)
        found.append(spread({(4 * j + i, j): masks[j] + rng.normal(0, 1.0) for j in range(5) for i in range(4)}))
    assert {one.design for one in found} == {"nested"}
    assert np.mean([one.train_sd**2 for one in found]) == pytest.approx(1.0, rel=0.1)
    assert np.mean([one.score_sd**2 for one in found]) == pytest.approx(4.0, rel=0.15)


def anova_by_hand(values):
    """One-way analysis of variance of a balanced design, as in a textbook."""
    groups = {}
    for (_, mask), value in values.items():
        groups.setdefault(mask, []).append(value)
    size = len(next(iter(groups.values())))
    within = sum(np.var(group, ddof=1) for group in groups.values()) / len(groups)
    between = size * np.var([np.mean(group) for group in groups.values()], ddof=1)
    return within, max((between - within) / size, 0.0)


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_a_balanced_nested_design_agrees_with_the_textbook(numbers):
    values = {(i, i // 2): number / 1000 for i, number in enumerate(numbers)}
    result = spread(values)
    within, between = anova_by_hand(values)
    assert (result.train_sd**2, result.score_sd**2) == pytest.approx((within, between), abs=1e-12)


@settings(max_examples=50)
@given(st.integers(2, 4), st.integers(2, 4), st.integers(0, 2**32 - 1), st.floats(-1, 1))
def test_a_shift_changes_nothing_and_roles_can_be_swapped(seeds, masks, state, shift):
    values = grid(seeds, masks, np.random.default_rng(state))
    one = spread(values)
    moved = spread({key: value + shift for key, value in values.items()})
    turned = spread({(mask, seed): value for (seed, mask), value in values.items()})
    assert (moved.train_sd, moved.score_sd) == pytest.approx((one.train_sd, one.score_sd), abs=1e-6)
    assert (turned.score_sd, turned.train_sd) == pytest.approx((one.train_sd, one.score_sd), abs=1e-9)


DESIGNS = {
    "one run": ({(0, 0): 0.9}, "one run"),
    "one mask": ({(0, 5): 0.9, (1, 5): 0.8}, "training only"),
    "no mask": ({(0, None): 0.9, (1, None): 0.8}, "training only"),
    "one training seed": ({(0, 0): 0.9, (0, 1): 0.8}, "masks only"),
    "seeds go together": ({(0, 0): 0.9, (1, 1): 0.8, (2, 2): 0.7}, "tied"),
    "crossed": ({(0, 0): 0.9, (1, 0): 0.8, (0, 1): 0.7, (1, 1): 0.6}, "crossed"),
    "nested": ({(0, 0): 0.9, (1, 0): 0.8, (2, 1): 0.7, (3, 1): 0.6}, "nested"),
    "nested, one mask alone": ({(0, 0): 0.9, (1, 0): 0.8, (2, 1): 0.7}, "nested"),
    "a hole": ({(0, 0): 0.9, (1, 0): 0.8, (0, 1): 0.7}, "incomplete"),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_what_a_design_can_tell(name):
    values, design = DESIGNS[name]
    result = spread(values)
    assert result.design == design
    told = {"one run": 0, "tied": 0, "incomplete": 0, "training only": 1, "masks only": 1, "nested": 2, "crossed": 3}
    assert sum(sd is not None for sd in (result.train_sd, result.score_sd, result.residual_sd)) == told[design]


def test_a_cell_of_the_report_has_it(rows_of, record):
    records = [
        record("score", "tdds", seed=seed, score_seed=mask, accuracy=0.9 + 0.01 * seed - 0.05 * mask)
        for seed in (0, 1)
        for mask in (0, 1)
    ]
    (row,) = rows_of(records)
    assert row.spread.design == "crossed"
    assert row.spread.train_sd == pytest.approx(0.01 / 2**0.5)
    assert row.spread.score_sd == pytest.approx(0.05 / 2**0.5)
    assert row.accuracy.n == 2  # training seeds are the unit
    assert Spread("one run").train_sd is None
