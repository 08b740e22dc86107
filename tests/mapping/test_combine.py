"""Several downstream sets, one ranking."""

import dataclasses
import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError
from secateur.core.ranking import GroupRanking
from secateur.mapping import combine as module
from secateur.mapping.combine import WAYS, combine, union_size
from secateur.mapping.ranking import rank_groups

every_way = pytest.mark.parametrize("how", WAYS)


def ranking_of(votes, soft=None, **about):
    votes = torch.tensor(votes)
    soft = torch.zeros(len(votes)).double() if soft is None else torch.tensor(soft).double()
    return GroupRanking(torch.ones(len(votes)).long(), votes, soft, rank_groups(votes, soft), **about)


@st.composite
def several(draw):
    num_groups = draw(st.integers(2, 10))
    numbers = st.lists(st.integers(0, 9), min_size=num_groups, max_size=num_groups)
    return [ranking_of(draw(numbers.filter(any)), draw(numbers)) for _ in range(draw(st.integers(2, 4)))]


def shares(ranking):
    """Return votes and soft scores as fractions of their sums."""
    soft = ranking.soft_score.tolist()
    total = sum(abs(value) for value in soft) or 1
    return [int(v) / int(ranking.votes.sum()) for v in ranking.votes], [value / total for value in soft]


@given(several())
def test_mean_and_max_in_slow_loops(rankings):
    for how, pick in {"mean": lambda values: sum(values) / len(values), "max": max}.items():
        found = combine(rankings, how)
        for k in range(len(found)):
            votes, soft = zip(*((shares(ranking)[0][k], shares(ranking)[1][k]) for ranking in rankings), strict=True)
            assert found.votes[k].item() == pytest.approx(pick(votes), rel=1e-14)
            assert found.soft_score[k].item() == pytest.approx(pick(soft), rel=1e-14)
        assert torch.equal(found.order, rank_groups(found.votes, found.soft_score))


@given(several())
def test_every_union_of_the_first_groups_is_a_prefix(rankings):
    order = combine(rankings, "union").order.tolist()
    assert sorted(order) == list(range(len(order)))
    for m in range(1, len(order) + 1):
        union = {group for ranking in rankings for group in ranking.order[:m].tolist()}
        assert set(order[: union_size(rankings, m)]) == union


@given(several(), st.randoms(), st.sampled_from(WAYS))
def test_the_order_of_the_sets_changes_no_bit(rankings, random, how):
    first, second = combine(rankings, how), combine(random.sample(rankings, len(rankings)), how)
    for name in ("votes", "soft_score", "order"):
        assert torch.equal(getattr(first, name), getattr(second, name))


@given(several(), st.sampled_from(WAYS))
def test_a_set_counts_as_much_as_a_larger_one(rankings, how):
    larger = [dataclasses.replace(rankings[0], votes=rankings[0].votes * 8), *rankings[1:]]
    assert torch.equal(combine(larger, how).order, combine(rankings, how).order)


def test_three_ways_by_hand():
    first = ranking_of([6, 4, 0, 0])  # 0.6 0.4 0 0, order 0 1 2 3
    second = ranking_of([0, 3, 0, 7])  # 0 0.3 0 0.7, order 3 1 0 2
    both = [first, second]
    assert combine(both, "mean").votes.tolist() == pytest.approx([0.3, 0.35, 0, 0.35])
    assert combine(both, "max").order.tolist() == [3, 0, 1, 2]
    assert combine(both, "union").order.tolist() == [3, 0, 1, 2]
    assert [union_size(both, m) for m in (1, 2, 3, 4)] == [2, 3, 4, 4]


def test_max_forgets_how_many_sets_like_a_group_and_union_takes_turns():
    one, two = [5, 4, 1, 0, 0], [0, 4, 0, 6, 0]
    sets = [ranking_of(one), ranking_of(one), ranking_of(two)]
    assert combine(sets, "mean").order.tolist() == [1, 0, 3, 2, 4]
    assert combine(sets, "max").order.tolist() == [3, 0, 1, 2, 4]
    assert combine(sets, "union").order.tolist() == [0, 3, 1, 2, 4]


def test_zero_votes_are_told_apart_by_the_soft_scores_of_all():
    near = ranking_of([9, 0, 0], [-1.0, -2.0, -3.0])
    wide = ranking_of([9, 0, 0], [-100.0, -500.0, -200.0])  # features of another scale
    assert combine([near, wide], "mean").order.tolist() == [0, 2, 1]
    assert combine([near, wide], "mean").num_zero_vote_groups == 2


@every_way
def test_a_single_set_is_itself(how):
    made = ranking_of([1, 5, 2], [0.1, 0.2, 0.3], metadata={"downstream": "mnist"})
    assert combine([made], how) is made
    assert combine([made], how, {"b": 2}).metadata == {"b": 2}


@every_way
def test_what_is_known_of_the_pool_is_kept_and_of_the_sets_is_not(how):
    about = {"fingerprint": "f", "kind": "cluster"}
    made = combine([ranking_of([1, 0], metadata={"a": 1}, **about), ranking_of([2, 1], **about)], how)
    assert (made.fingerprint, made.kind, made.metadata) == ("f", "cluster", {})


@pytest.mark.parametrize(
    "other",
    [
        ranking_of([1, 2]),
        ranking_of([1, 2, 3], fingerprint="b" * 64),
        ranking_of([1, 2, 3], kind="cluster"),
        dataclasses.replace(ranking_of([1, 2, 3]), size=torch.tensor([1, 1, 2])),
    ],
)
def test_rankings_of_other_groups(other):
    for function in (combine, lambda rankings: union_size(rankings, 1)):
        with pytest.raises(DataError, match="different source groups cannot be combined"):
            function([ranking_of([1, 2, 3]), other])


def test_nothing_to_combine():
    with pytest.raises(DataError, match="no ranking to combine"):
        combine([])
    with pytest.raises(ConfigError, match="combine must be one of mean, max, union; got 'sum'"):
        combine([ranking_of([1, 2])], "sum")


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
