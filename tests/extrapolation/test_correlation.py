import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from secateur.core.errors import DataError
from secateur.extrapolation.correlation import pearson, ranks, spearman

VALUES = arrays(np.float64, st.integers(2, 40), elements=st.integers(-5, 5).map(float))


def pair(seed, n=50, tied=False):
    stream = np.random.default_rng(seed)
    a, b = stream.normal(size=(2, n))
    b += a
    return (a.round(0), b.round(0)) if tied else (a, b)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_against_scipy(seed, tied):
    a, b = pair(seed, tied=tied)
    assert pearson(torch.tensor(a), torch.tensor(b)) == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-14)
    assert spearman(torch.tensor(a), torch.tensor(b)) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-14)


@given(VALUES)
def test_ranks_are_scipys_mid_ranks(values):
    result = ranks(torch.tensor(values))
    assert result.dtype == torch.float64
    assert result.tolist() == stats.rankdata(values, method="average").tolist()


@given(VALUES, st.integers(0, 2**31))
def test_spearman_sees_only_the_order(values, seed):
    assume(len(set(values)) > 1)
    a = torch.tensor(values)
    b = torch.tensor(np.random.default_rng(seed).normal(size=len(values)))
    expected = spearman(a, b)
    assert spearman(a.exp(), b) == pytest.approx(expected, abs=1e-12)
    assert spearman(a, b**3) == pytest.approx(expected, abs=1e-12)
    assert spearman(-a, b) == pytest.approx(-expected, abs=1e-12)
    assert spearman(b, a) == pytest.approx(expected, abs=1e-12)
    assert spearman(a, a) == pytest.approx(1.0, abs=1e-12)


@given(VALUES, st.floats(0.1, 10), st.floats(-10, 10))
def test_pearson_sees_neither_scale_nor_offset(values, scale, offset):
    assume(len(set(values)) > 1)
    a = torch.tensor(values)
    assert pearson(a, scale * a + offset) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales(scale):
    a, b = pair(3)
    assert pearson(torch.tensor(a * scale), torch.tensor(b)) == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)


@pytest.mark.parametrize("function", [pearson, spearman])
@pytest.mark.parametrize(
    "a",
    [
        torch.full((7,), 0.1),  # its mean is not exactly 0.1
        torch.full((7,), 0.1, dtype=torch.float64),
        torch.tensor([1.0, 2.0, math.nan, 4.0, 5.0, 6.0, 7.0]),
        torch.tensor([1.0, 2.0, math.inf, 4.0, 5.0, 6.0, 7.0]),
    ],
)
def test_undefined_is_nan(function, a):
    b = torch.arange(7.0)
    assert math.isnan(function(a, b))
    assert math.isnan(function(b, a))


@pytest.mark.parametrize("function", [pearson, spearman])
def test_short_vectors_are_nan(function):
    assert math.isnan(function(torch.tensor([1.0]), torch.tensor([2.0])))
    assert math.isnan(function(torch.empty(0), torch.empty(0)))
    assert function(torch.tensor([1.0, 2.0]), torch.tensor([5.0, 3.0])) == pytest.approx(-1.0)


@pytest.mark.parametrize("function", [pearson, spearman])
def test_wrong_shapes(function):
    with pytest.raises(DataError, match=r"\[3\] and \[4\]"):
        function(torch.zeros(3), torch.zeros(4))
    with pytest.raises(DataError, match="vectors"):
        function(torch.zeros(3, 1), torch.zeros(3, 1))


def test_integers_and_half_precision_are_compared_in_float64():
    a, b = torch.tensor([1, 2, 3, 5]), torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float16)
    assert pearson(a, b) == pytest.approx(1.0, abs=1e-15)
    assert spearman(a, b) == pytest.approx(1.0, abs=1e-15)
