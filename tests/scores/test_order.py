"""The share of a score's ranks that the orders explain, against a regression by the book."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.scores.order import chance_spread, is_too_ordered, mean_ranks, order_r2


def places(num_epochs, num_samples, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(num_samples, generator=draw) for _ in range(num_epochs)])


def slow_ranks(values):
    return [(sum(v < one for v in values) + sum(v <= one for v in values) - 1) / 2 for one in values]


def slow_adjusted_r2(score, positions):
    """Ordinary least squares with an intercept, by numpy's solver; redundant columns are counted once."""
    ranks = np.array(slow_ranks(score.tolist()))
    design = np.column_stack([np.ones(len(ranks)), *positions.double().numpy()])
    fitted = design @ np.linalg.lstsq(design, ranks, rcond=None)[0]
    left, total = np.square(ranks - fitted).sum(), np.square(ranks - ranks.mean()).sum()
    num_regressors = np.linalg.matrix_rank(design) - 1
    return 1 - (left / (len(ranks) - num_regressors - 1)) / (total / (len(ranks) - 1))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    num_samples=st.integers(12, 60),
    num_epochs=st.integers(1, 8),
    weight=st.floats(0, 3),
    ties=st.booleans(),
)
def test_equals_a_regression_by_the_book(seed, num_samples, num_epochs, weight, ties):
    positions = places(num_epochs, num_samples, seed)
    draw = torch.Generator().manual_seed(seed + 1)
    score = torch.randn(num_samples, generator=draw) + weight * positions[-1] / num_samples
    score = (score * 3).round() if ties else score
    if score.max() > score.min():
        assert order_r2(score, positions) == pytest.approx(slow_adjusted_r2(score, positions), abs=1e-9)


@pytest.mark.parametrize("change", ["repeated", "reversed", "unshuffled", "sum"])
def test_positions_that_say_the_same_count_once(change):
    positions = places(3, 50)
    extra = {
        "repeated": positions[:1],
        "reversed": 49 - positions[:1],
        "unshuffled": torch.zeros(1, 50, dtype=torch.int64),
        "sum": positions[:1] + positions[1:2],
    }[change]
    score = torch.randn(50, generator=torch.Generator().manual_seed(4)) + positions[1] / 20
    assert order_r2(score, torch.cat([positions, extra])) == pytest.approx(order_r2(score, positions), abs=1e-12)
    assert order_r2(score, torch.cat([positions, extra])) == pytest.approx(
        slow_adjusted_r2(score, torch.cat([positions, extra])), abs=1e-9
    )


def test_the_ends_of_the_scale():
    positions = places(4, 400)
    assert order_r2(positions[2].float(), positions) == pytest.approx(1)
    assert order_r2(torch.ones(400), positions) == 0
    assert math.isnan(order_r2(torch.randn(5), places(4, 5)))
    assert math.isnan(order_r2(torch.randn(3), torch.stack([torch.arange(3), torch.tensor([1, 0, 2])])))


def test_only_ranks_count_and_the_order_of_samples_does_not():
    positions, score = places(4, 80), torch.randn(80, generator=torch.Generator().manual_seed(1))
    shuffled = torch.randperm(80)
    assert order_r2(score.exp(), positions) == order_r2(score, positions)
    assert order_r2(score[shuffled], positions[:, shuffled]) == pytest.approx(order_r2(score, positions), abs=1e-12)


def test_unrelated_scores_average_to_nothing_with_the_spread_that_is_told():
    draw = torch.Generator().manual_seed(0)
    values = [order_r2(torch.randn(150, generator=draw), places(12, 150, seed)) for seed in range(400)]
    spread = chance_spread(150, 12)
    assert abs(np.mean(values)) < 4 * spread / 20
    assert np.std(values) == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize(
    ("r2", "num_samples", "num_epochs", "warned"),
    [
        (0.11, 1000, 12, True),
        (0.09, 1000, 12, False),
        (0.2, 60, 20, False),
        (0.9, 60, 20, True),
        (math.nan, 5, 9, False),
    ],
)
def test_what_is_warned_of(r2, num_samples, num_epochs, warned):
    assert is_too_ordered(r2, num_samples, num_epochs) == warned


def test_ranks_share_ties():
    values = torch.tensor([3.0, 1.0, 3.0, 2.0, 3.0])
    assert mean_ranks(values).tolist() == slow_ranks(values.tolist()) == [3, 0, 3, 1, 3]


@pytest.mark.parametrize(("score", "positions"), [(torch.zeros(3, 1), places(2, 3)), (torch.zeros(3), torch.arange(3))])
def test_a_wrong_shape_is_refused(score, positions):
    with pytest.raises(ConfigError, match=r"order_r2: .* must have shape"):
        order_r2(score, positions)
