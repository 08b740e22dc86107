import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from secateur.core.errors import DataError, NumericalError
from secateur.extrapolation.calibration import quantile_match

FINITE = st.floats(-1e6, 1e6)
FEW = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 3.0])


def vectors(min_size, elements):
    sizes = st.integers(min_size, 30)
    return sizes.flatmap(lambda n: arrays(np.float64, n, elements=elements)).map(torch.from_numpy)


def by_hand(predicted, observed):
    """Definition 7 with lists: the mean rank among equals, and numpy's quantile of the same fraction."""
    values, result = predicted.tolist(), []
    for own in values:
        rank = sum(v < own for v in values) + (sum(v == own for v in values) - 1) / 2
        fraction = 0.5 if len(values) == 1 else rank / (len(values) - 1)
        result.append(np.quantile(observed.numpy(), fraction, method="linear"))
    return torch.tensor(result, dtype=torch.float64)


@given(vectors(1, FINITE | FEW), vectors(1, FINITE | FEW))
def test_oracle(predicted, observed):
    torch.testing.assert_close(quantile_match(predicted, observed), by_hand(predicted, observed), rtol=1e-9, atol=1e-9)


@given(vectors(0, FINITE | FEW), vectors(1, FINITE | FEW))
def test_order_ties_and_range(predicted, observed):
    matched = quantile_match(predicted, observed)
    assert matched.shape == predicted.shape
    assert matched.dtype == torch.float64
    below = predicted[:, None] < predicted[None]
    assert (matched[:, None] <= matched[None])[below].all()
    assert (matched[:, None] == matched[None])[predicted[:, None] == predicted[None]].all()
    assert ((matched >= observed.min()) & (matched <= observed.max())).all()


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_different_predictions_stay_different_and_reach_both_ends(num_predicted, num_observed, random):
    predicted = torch.tensor(random.sample(range(1000), num_predicted)).double()
    observed = torch.tensor(random.sample(range(1000), num_observed)).double()
    matched = quantile_match(predicted, observed)
    if num_observed > 1:
        assert torch.equal(matched.argsort(), predicted.argsort())
    if num_predicted > 1:
        assert (matched.min(), matched.max()) == (observed.min(), observed.max())


@given(st.integers(1, 40), st.randoms(use_true_random=False), st.sampled_from([torch.float32, torch.float64]))
def test_as_many_predictions_as_observations_give_exactly_these(num, random, dtype):
    predicted = torch.tensor(random.sample(range(1000), num), dtype=dtype)
    observed = torch.tensor([random.uniform(-9, 9) for _ in range(num)], dtype=dtype)
    matched = quantile_match(predicted, observed)
    assert torch.equal(matched[predicted.argsort()], observed.sort().values)


@pytest.mark.parametrize("num_predicted", [1, 2, 5])
@pytest.mark.parametrize(("observed", "median"), [([4.0], 4.0), ([1.0, 2.0, 8.0], 2.0), ([8.0, 1.0, 3.0, 2.0], 2.5)])
def test_constant_predictions_become_the_median(num_predicted, observed, median):
    matched = quantile_match(torch.full((num_predicted,), 0.7), torch.tensor(observed))
    assert torch.equal(matched, torch.full((num_predicted,), median))


def test_distribution_becomes_the_observed_one():
    torch.manual_seed(0)
    observed = torch.randn(500, dtype=torch.float64).exp()
    matched = quantile_match(0.5 + 0.01 * torch.randn(2000, dtype=torch.float64), observed)
    fractions = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    torch.testing.assert_close(matched.quantile(fractions), observed.quantile(fractions), rtol=5e-3, atol=0)


def test_dtypes_and_inputs_left_alone():
    predicted, observed = torch.tensor([0.2, 0.1]), torch.tensor([3.0, 1.0, 2.0])
    assert quantile_match(predicted, observed).dtype == torch.float32
    assert quantile_match(predicted, observed.double()).dtype == torch.float64
    assert observed.tolist() == [3.0, 1.0, 2.0]
    assert quantile_match(torch.empty(0, dtype=torch.float64), observed).shape == (0,)


@pytest.mark.parametrize(
    ("predicted", "observed", "error", "message"),
    [
        (torch.zeros(2), torch.empty(0), DataError, "at least one observed"),
        (torch.zeros(2, 1), torch.zeros(2), DataError, r"\[2, 1\]"),
        (torch.zeros(2).long(), torch.zeros(2), DataError, "int64"),
        (torch.tensor([0.0, float("nan")]), torch.zeros(2), NumericalError, "first row 1"),
        (torch.zeros(2), torch.tensor([float("inf")]), NumericalError, "observed"),
    ],
)
def test_errors(predicted, observed, error, message):
    with pytest.raises(error, match=message):
        quantile_match(predicted, observed)
