"""Orders of groups: by votes, by soft score, by index; by scores and by chance."""

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.tables import ScoreTable
from secateur.mapping import ranking as module
from secateur.mapping.ranking import (
    group_mean_scores,
    random_ranking,
    rank_groups,
    score_ranking,
    tie_break_scores,
    vote_ranking,
)
from secateur.mapping.votes import Votes

VALUES = st.integers(2, 30).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(0, 3), min_size=size, max_size=size) for _ in range(2)))
)
SIZE = torch.tensor([3, 1, 2, 4])


def votes_of(votes=(0, 2, 0, 1), soft=(0.1, 0.2, 0.4, 0.3)):
    votes = torch.tensor(votes)
    return Votes(votes, torch.tensor(soft, dtype=torch.float64), int(votes.sum()))


@given(VALUES)
def test_the_order_is_pythons_sort(values):
    votes, soft = values
    expected = sorted(range(len(votes)), key=lambda k: (-votes[k], -soft[k], k))
    assert rank_groups(torch.tensor(votes), torch.tensor(soft).double()).tolist() == expected
    shares = torch.tensor(votes).double() / 7
    assert rank_groups(shares, torch.tensor(soft).double()).tolist() == expected


def test_a_thousand_groups_of_which_four_have_votes():
    votes = torch.zeros(1000, dtype=torch.int64)
    votes[[281, 282, 283, 151]] = torch.tensor([5, 9, 5, 1])
    order = rank_groups(votes, torch.zeros(1000)).tolist()
    assert order[:7] == [282, 281, 283, 151, 0, 1, 2]


@pytest.mark.parametrize(
    ("votes", "soft", "error", "message"),
    [
        (torch.ones(3), torch.ones(4), DataError, r"\[K\] both, got \[3\] \[4\]"),
        (torch.ones(3, 1), torch.ones(3, 1), DataError, r"\[K\] both"),
        (torch.ones(1), torch.ones(1), DataError, "at least 2 groups"),
        (torch.ones(2), torch.tensor([0, math.nan]), NumericalError, "soft scores of 1 of 2 groups .* group 1 first"),
        (torch.tensor([math.inf, 0]), torch.ones(2), NumericalError, "votes of 1 of 2 groups .* group 0 first"),
    ],
)
def test_what_cannot_be_ranked(votes, soft, error, message):
    with pytest.raises(error, match=message):
        rank_groups(votes, soft)


def test_a_ranking_by_votes():
    made = vote_ranking(votes_of(), SIZE, kind="cluster", fingerprint="f", metadata={"method": "x"})
    assert made.order.tolist() == [1, 3, 2, 0]
    assert (made.kind, made.fingerprint, made.metadata) == ("cluster", "f", {"method": "x"})
    assert (made.num_samples, made.num_zero_vote_groups) == (10, 2)


def test_tie_breaks():
    assert vote_ranking(votes_of(), SIZE, tie_break="index").order.tolist() == [1, 3, 0, 2]
    orders = {tuple(vote_ranking(votes_of(), SIZE, tie_break="random", seed=s).order.tolist()) for s in range(20)}
    assert orders == {(1, 3, 0, 2), (1, 3, 2, 0)}
    again = tie_break_scores(torch.zeros(9), "random", 3)
    assert torch.equal(again, tie_break_scores(torch.ones(9), "random", 3))
    with pytest.raises(ConfigError, match="tie_break must be soft, index or random; got 'none'"):
        tie_break_scores(torch.zeros(4), "none")


def test_votes_for_other_groups_than_the_pool_has():
    with pytest.raises(DataError, match="voted for 4 groups, but the source pool has 3"):
        vote_ranking(votes_of(), SIZE[:3])


def test_a_ranking_by_scores_has_no_votes():
    made = score_ranking(torch.tensor([0.5, -2.0, 0.5, 3.0]), SIZE)
    assert made.order.tolist() == [3, 0, 2, 1]
    assert made.num_zero_vote_groups is None


def test_random_rankings_are_drawn_by_the_seed():
    size = torch.ones(50, dtype=torch.int64)
    first, again, other = (random_ranking(size, seed).order for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.sort().values.tolist() == list(range(50))


def test_every_group_is_first_about_as_often():
    firsts = torch.tensor([int(random_ranking(SIZE, seed).order[0]) for seed in range(400)])
    assert int((torch.bincount(firsts, minlength=4) - 100).abs().max()) < 40


def table_of(score):
    size = len(score)
    flags = torch.ones(size, dtype=torch.bool)
    return ScoreTable(torch.arange(size), torch.zeros(size), torch.as_tensor(score), flags)


@given(st.integers(0, 100))
def test_mean_scores_in_a_slow_loop(seed):
    draw = torch.Generator().manual_seed(seed)
    score, groups = (
        torch.randn(40, generator=draw),
        torch.cat([torch.arange(4), torch.randint(4, (36,), generator=draw)]),
    )
    found = group_mean_scores(table_of(score), groups, 4)
    order = torch.randperm(40, generator=draw)
    for group in range(4):
        values = [float(s) for s, g in zip(score, groups, strict=True) if g == group]
        assert found[group].item() == pytest.approx(math.fsum(values) / len(values), rel=1e-14)
    assert torch.equal(group_mean_scores(table_of(score[order]), groups[order], 4), found)


def test_mean_scores_need_a_group_per_row_and_a_row_per_group():
    with pytest.raises(DataError, match="3 rows, groups"):
        group_mean_scores(table_of([1.0, 2.0, 3.0]), torch.tensor([0, 1]), 2)
    with pytest.raises(DataError, match="1 groups have no sample and so no mean score; group 1 first"):
        group_mean_scores(table_of([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2]), 3)


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
