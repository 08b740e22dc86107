"""Sums that no order and no batch changes: against fractions, which are exact."""

import doctest
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core import exact_sum as module
from secateur.core.errors import DataError, NumericalError
from secateur.core.exact_sum import ExactSum

FLOATS = st.lists(st.floats(-1e30, 1e30, allow_subnormal=False), min_size=1, max_size=30)


def total_of(values, batch_size):
    total = ExactSum(1)
    for rows in torch.tensor(values, dtype=torch.float64)[:, None].split(batch_size):
        total.add(rows)
    return total.compute()


@given(FLOATS, st.randoms(), st.integers(1, 30))
def test_no_order_and_no_batch_size_changes_a_bit(values, random, batch_size):
    shuffled = random.sample(values, len(values))
    assert torch.equal(total_of(values, len(values)), total_of(shuffled, batch_size))


@given(st.lists(st.floats(1e-20, 1e20), min_size=1, max_size=30))
def test_terms_of_one_sign_are_summed_to_the_last_bit_but_one(values):
    exact = sum(Fraction(value) for value in values)
    assert abs(Fraction(float(total_of(values, 4))) / exact - 1) < Fraction(2, 2**53)


@given(FLOATS)
def test_mixed_signs_are_as_exact_as_their_size_allows(values):
    error = abs(Fraction(float(total_of(values, 7))) - sum(Fraction(value) for value in values))
    assert error <= sum(abs(Fraction(value)) for value in values) * Fraction(4, 2**53) + Fraction(30, 2**128)


def test_float64_itself_would_depend_on_the_order():
    values = [1e16, 1.0, -1e16, 1.0]
    assert sum(values) != sum(sorted(values))
    assert total_of(values, 1).item() == total_of(sorted(values), 2).item() == 2.0


def test_terms_go_to_their_rows():
    terms, rows = torch.rand(50, 3), torch.randint(4, (50,), generator=torch.Generator().manual_seed(0))
    total = ExactSum(4, 3)
    total.add(terms, rows)
    for row in range(4):
        expected = [math.fsum(column) for column in terms[rows == row].double().T.tolist()]
        assert total.compute()[row].tolist() == expected


def test_many_rows_are_cut_in_parts():
    terms = torch.rand(3000, 40)
    total = ExactSum(40)
    total.add(terms)
    assert total.compute().tolist() == [math.fsum(column) for column in terms.double().T.tolist()]


def test_merged_and_restored_is_as_if_summed_at_once():
    terms = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-20, 1e20])
    whole, first, second, restored = (ExactSum(2) for _ in range(4))
    whole.add(terms)
    first.add(terms[:13])
    second.add(terms[13:])
    restored.load_state_dict(first.state_dict())
    restored.merge([second])
    assert torch.equal(restored.compute(), whole.compute())
    assert not torch.equal(first.compute(), whole.compute())  # what was restored does not share memory


def test_the_state_is_a_copy():
    total = ExactSum(1)
    total.add(torch.ones(1, 1))
    state = total.state_dict()
    total.add(torch.ones(1, 1))
    total.load_state_dict(state)
    total.add(torch.ones(1, 1))
    assert total.compute().item() == 2
    assert state["level_0"].item() == 1


def test_nothing_sums_to_zero():
    total = ExactSum(3)
    total.add(torch.empty(0, 3))
    assert total.compute().tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0**128])
def test_terms_that_cannot_be_summed(value):
    with pytest.raises(NumericalError, match="finite terms below 2\\^128"):
        ExactSum(2).add(torch.tensor([[1.0, value]], dtype=torch.float64))


@pytest.mark.parametrize("state", [{"level_0": torch.zeros(3).long()}, {"level_1": torch.zeros(2).long()}])
def test_a_state_of_something_else(state):
    with pytest.raises(DataError, match="is none of a sum"):
        ExactSum(2).load_state_dict(state)


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
