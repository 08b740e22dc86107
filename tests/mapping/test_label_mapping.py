"""Label mapping: a vote per downstream sample, whoever comes first and however many at a time."""

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError, NumericalError
from secateur.mapping import label_mapping as module
from secateur.mapping.label_mapping import LabelVotes, label_soft_scores, label_votes

SIZES = st.tuples(st.integers(1, 40), st.integers(2, 9), st.integers(0, 1000))


def logits_of(num_samples=50, num_groups=7, seed=0):
    """Whole logits, so that equal largest ones are frequent."""
    return torch.randint(-3, 4, (num_samples, num_groups), generator=torch.Generator().manual_seed(seed)).double()


def slow(logits):
    """Return votes and soft scores by loops over samples and classes."""
    num_groups = logits.shape[1]
    votes, soft = [0] * num_groups, [[] for _ in range(num_groups)]
    for row in logits.tolist():
        best = 0
        for k in range(num_groups):
            best = k if row[k] > row[best] else best
            soft[k].append(math.exp(row[k]) / math.fsum(math.exp(value) for value in row))
        votes[best] += 1
    return votes, [math.fsum(values) for values in soft]


@given(SIZES)
def test_votes_and_soft_scores_in_slow_loops(sizes):
    logits = logits_of(*sizes)
    votes, soft = slow(logits)
    assert label_votes(logits).tolist() == votes
    assert label_soft_scores(logits).tolist() == pytest.approx(soft, rel=1e-14)


@given(SIZES)
def test_everybody_votes_once(sizes):
    logits = logits_of(*sizes)
    assert label_votes(logits).dtype == torch.int64
    assert int(label_votes(logits).sum()) == len(logits)
    assert float(label_soft_scores(logits).sum()) == pytest.approx(len(logits))


@given(SIZES, st.integers(1, 50))
def test_no_order_and_no_batch_size_changes_a_bit(sizes, batch_size):
    logits = logits_of(*sizes)
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(sizes[-1]))
    counter = LabelVotes(logits.shape[1])
    for rows in order.split(batch_size):
        counter.update(logits[rows])
    found = counter.compute()
    assert found.num_samples == len(logits)
    assert torch.equal(found.votes, label_votes(logits))
    assert torch.equal(found.soft_scores, label_soft_scores(logits))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_batch_size_changes_a_bit_in_other_types(dtype):
    logits = torch.randn(300, 37, generator=torch.Generator().manual_seed(0)).to(dtype)
    counter = LabelVotes(37)
    for rows in logits.split(7):
        counter.update(rows)
    assert torch.equal(counter.compute().soft_scores, label_soft_scores(logits))
    assert counter.compute().soft_scores.dtype == torch.float64


def test_more_samples_than_are_worked_on_at_a_time(monkeypatch):
    logits = logits_of()
    expected = LabelVotes(7)
    expected.update(logits)
    monkeypatch.setattr("secateur.mapping.votes._CHUNK_VALUES", 20)
    assert torch.equal(label_votes(logits), expected.compute().votes)
    assert torch.equal(label_soft_scores(logits), expected.compute().soft_scores)


@given(st.permutations(range(7)))
def test_renaming_the_classes_renames_the_votes(names):
    logits = torch.randn(60, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(label_votes(logits[:, names]), label_votes(logits)[names])
    assert torch.allclose(label_soft_scores(logits[:, names]), label_soft_scores(logits)[names], rtol=1e-14)


def test_equal_logits_go_to_the_lower_class():
    assert label_votes(torch.ones(5, 4)).tolist() == [5, 0, 0, 0]


def test_merged_and_restored_is_as_if_counted_at_once():
    logits = logits_of()
    parts = []
    for rows in (logits[:8], logits[8:9], logits[9:]):
        parts.append(LabelVotes(7))
        parts[-1].update(rows)
    restored = LabelVotes(7)
    restored.load_state_dict(parts[0].state_dict())
    restored.merge([*parts[1:], LabelVotes(7)])
    assert torch.equal(restored.compute().votes, label_votes(logits))
    assert torch.equal(restored.compute().soft_scores, label_soft_scores(logits))
    assert parts[0].num_samples == 8


def test_a_state_is_a_copy():
    counter, other = LabelVotes(7), LabelVotes(7)
    counter.update(logits_of())
    state, expected = counter.state_dict(), counter.compute()
    other.load_state_dict(state)
    for changed in (counter, other):
        changed.update(logits_of(seed=1))
    other.load_state_dict(state)
    assert torch.equal(other.compute().votes, expected.votes)
    assert torch.equal(other.compute().soft_scores, expected.soft_scores)


def test_an_empty_downstream_set():
    with pytest.raises(DataError, match="The downstream set is empty"):
        label_votes(torch.empty(0, 5))
    counter = LabelVotes(5)
    counter.update(torch.empty(0, 5))
    with pytest.raises(DataError, match="The downstream set is empty"):
        counter.compute()


def test_one_class():
    with pytest.raises(DataError, match="at least 2 groups, got 1"):
        label_votes(torch.ones(3, 1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite(value):
    logits = logits_of()
    logits[4, 2] = value
    with pytest.raises(NumericalError, match="1 of 50 downstream samples are not finite; row 4 first"):
        label_votes(logits)


@pytest.mark.parametrize("logits", [torch.ones(3), torch.ones(3, 4).long(), torch.ones(1, 3, 4)])
def test_logits_must_be_a_matrix_of_floats(logits):
    with pytest.raises(DataError, match=r"must be floats \[n, K\]"):
        label_votes(logits)


def test_logits_of_another_head():
    with pytest.raises(DataError, match=r"floats \[n, 5\] \(one per source class\), got torch.float32 \[3, 4\]"):
        LabelVotes(5).update(torch.ones(3, 4))


def test_votes_for_other_groups_do_not_join():
    with pytest.raises(DataError, match="Votes for 4 groups cannot join votes for 5"):
        LabelVotes(5).merge([LabelVotes(4)])
    with pytest.raises(DataError, match="saved votes are not for 5 groups"):
        LabelVotes(5).load_state_dict(LabelVotes(4).state_dict())


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
