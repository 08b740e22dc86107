"""How many groups are kept, and which samples that is."""

import doctest
from dataclasses import dataclass

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError
from secateur.core.mask import keep_count
from secateur.core.ranking import GroupRanking, group_sizes
from secateur.mapping import keep as module
from secateur.mapping.keep import Keep, KeepRule, group_mask, relabeling
from secateur.mapping.ranking import random_ranking, rank_groups

RATIOS = st.floats(0, 1, exclude_max=True)


@st.composite
def rankings(draw):
    num_groups = draw(st.integers(2, 12))
    lists = [draw(st.lists(st.integers(low, 6), min_size=num_groups, max_size=num_groups)) for low in (1, 0, 0)]
    size, votes, soft = (torch.tensor(values) for values in lists)
    return GroupRanking(size, votes, soft.double(), rank_groups(votes, soft.double()))


@given(rankings(), RATIOS, st.sampled_from(["groups", "samples", "min_samples"]), st.booleans())
def test_no_ranking_keeps_less_or_more_than_the_bounds(ranking, ratio, rule, reverse):
    keep = Keep(rule, reverse=reverse)
    try:
        kept = keep(ranking, ratio)
    except ConfigError:
        assume(False)
    fewest, most = keep.bounds(ranking.size, ratio)
    assert fewest <= kept.num_samples <= most <= int(ranking.size.sum())


def test_bounds_of_classes():
    size = torch.tensor([6, 1, 2, 1])
    assert Keep().bounds(size, 0.5) == (2, 8)
    assert Keep().bounds(torch.full((4,), 5), 0.5) == (10, 10)
    assert (Keep("samples").bounds(size, 0.5), Keep("min_samples").bounds(size, 0.5)) == ((0, 5), (5, 10))
    with pytest.raises(ConfigError, match="keeps what the votes say"):
        Keep("num_groups", num_groups=2).bounds(size, 0.5)


def unbalanced(**changes):
    parts = {"size": [6, 1, 2, 1], "votes": [3, 0, 6, 1], "order": [2, 0, 3, 1], **changes}
    return GroupRanking(soft_score=torch.zeros(4), **{name: torch.tensor(values) for name, values in parts.items()})


def rows_of(ranking):
    """Return the group of every row of a pool with these groups, mixed."""
    groups = torch.arange(len(ranking)).repeat_interleave(ranking.size)
    return groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(0))]


def kept(ranking, *args, ratio=None, **kwargs):
    return Keep(*args, **kwargs)(ranking, ratio).groups.tolist()


@given(rankings(), RATIOS)
def test_by_ratio_of_groups(ranking, ratio):
    count = round(len(ranking) * (1 - ratio))
    assume(count)
    found = Keep()(ranking, ratio)
    assert len(found) == count
    assert torch.equal(found.groups, ranking.order[:count])
    assert found.num_samples == sum(int(ranking.size[group]) for group in found.groups)


@given(rankings(), RATIOS)
def test_by_samples_never_keeps_more_and_could_not_keep_another_group(ranking, ratio):
    assume(round(ranking.num_samples * (1 - ratio)))
    budget = keep_count(ranking.num_samples, ratio)
    count, total = 0, 0
    for group in ranking.order.tolist():
        if total + int(ranking.size[group]) > budget:
            break
        count, total = count + 1, total + int(ranking.size[group])
    if not count:
        with pytest.raises(ConfigError, match="keep_by=samples may keep"):
            Keep("samples")(ranking, ratio)
        return
    found = Keep("samples")(ranking, ratio)
    assert (len(found), found.num_samples) == (count, total)


@given(rankings(), RATIOS)
def test_by_min_samples_reaches_the_count_and_needs_every_group(ranking, ratio):
    assume(round(ranking.num_samples * (1 - ratio)))
    budget = keep_count(ranking.num_samples, ratio)
    found = Keep("min_samples")(ranking, ratio)
    assert found.num_samples >= budget
    assert found.num_samples - int(ranking.size[found.groups[-1]]) < budget


@given(rankings(), st.integers(1, 100))
def test_by_coverage_holds_the_share_and_needs_every_group(ranking, percent):
    assume(ranking.voted)
    found = Keep("vote_coverage", vote_coverage=percent / 100)(ranking)
    votes = [int(ranking.votes[group]) for group in found.groups]
    assert 100 * sum(votes) >= percent * int(ranking.votes.sum()) > 100 * sum(votes[:-1])


@given(rankings(), RATIOS, RATIOS, st.sampled_from(["groups", "samples", "min_samples"]), st.booleans())
def test_what_a_higher_ratio_keeps_is_part_of_what_a_lower_one_keeps(ranking, first, second, rule, reverse):
    low, high = sorted((first, second))
    try:
        few = kept(ranking, rule, reverse=reverse, ratio=high)
    except ConfigError:
        return
    assert kept(ranking, rule, reverse=reverse, ratio=low)[: len(few)] == few


@given(rankings(), st.sampled_from(["groups", "samples", "min_samples"]), st.booleans())
def test_a_ratio_of_0_is_no_pruning(ranking, rule, reverse):
    groups = rows_of(ranking)
    found = Keep(rule, reverse=reverse)(ranking, 0.0)
    assert len(found) == len(ranking)
    assert bool(group_mask(ranking, found, groups, torch.arange(len(groups))).keep.all())


@given(rankings(), st.floats(0.5, 0.99))
def test_the_reverse_shares_no_group_with_the_first_half(ranking, ratio):
    assume(2 * round(len(ranking) * (1 - ratio)) in range(1, len(ranking) + 1))
    assert not set(kept(ranking, ratio=ratio)) & set(kept(ranking, reverse=True, ratio=ratio))


def test_reverse_takes_from_the_end():
    ranking = unbalanced()
    assert kept(ranking, reverse=True, ratio=0.5) == [1, 3]
    assert kept(ranking, "num_groups", num_groups=3, reverse=True) == [1, 3, 0]
    assert kept(ranking, "samples", reverse=True, ratio=0.5) == [1, 3]  # 2 of 5; the next one has 6
    assert kept(ranking, "min_samples", reverse=True, ratio=0.5) == [1, 3, 0]
    assert kept(ranking, "vote_coverage", vote_coverage=0.9, reverse=True) == [1, 3]  # as many as from the front


def test_rules_on_groups_of_unequal_size():
    ranking = unbalanced()
    assert kept(ranking, ratio=0.5) == [2, 0]
    assert kept(ranking, "samples", ratio=0.5) == [2]
    assert kept(ranking, "min_samples", ratio=0.5) == [2, 0]
    assert kept(ranking, "num_groups", num_groups=3) == [2, 0, 3]
    assert kept(ranking, "vote_coverage", vote_coverage=0.6) == [2]
    assert kept(ranking, "vote_coverage", vote_coverage=0.61) == [2, 0]
    assert kept(ranking, "vote_coverage", vote_coverage=1) == [2, 0, 3]


def test_shares_of_votes_that_floats_cannot_tell():
    ranking = GroupRanking(torch.ones(100).long(), torch.ones(100).long(), torch.zeros(100), torch.arange(100))
    assert 0.07 * 100 > 7
    for percent in range(1, 101):
        assert len(kept(ranking, "vote_coverage", vote_coverage=percent / 100)) == percent


def test_kept_groups_without_votes_are_counted():
    ranking = unbalanced(votes=[3, 0, 6, 0])
    found = [Keep("num_groups", num_groups=m)(ranking).num_zero_vote_groups for m in (1, 2, 3, 4)]
    assert found == [0, 0, 1, 2]
    assert Keep()(random_ranking(ranking.size, 0), 0.5).num_zero_vote_groups is None


def test_which_rules_read_the_ratio():
    assert [Keep(rule).reads_ratio for rule in ("groups", "samples", "min_samples")] == [True] * 3
    assert not Keep("num_groups", num_groups=1).reads_ratio
    assert not Keep("vote_coverage", vote_coverage=1.0).reads_ratio


@pytest.mark.parametrize(
    ("settings", "ratio", "error", "message"),
    [
        ({}, 0.9, ConfigError, r"would keep 0 of 4 groups\. Lower it, or set mapping\.keep_by"),
        ({}, 30, ConfigError, r"must be in \[0, 1\), got 30\. Did you mean 0\.3"),
        ({}, None, ConfigError, "keep_by=groups needs a pruning_ratio"),
        ({"keep_by": "samples"}, 0.9, ConfigError, "may keep 1 samples, but the first group alone has 2"),
        ({"keep_by": "num_groups", "num_groups": 5}, None, ConfigError, "num_groups=5, but the source has 4 groups"),
        ({"keep_by": "num_groups", "num_groups": 0}, None, ConfigError, "num_groups must be an integer >= 1, got 0"),
        ({"keep_by": "num_groups"}, None, ConfigError, "num_groups goes with keep_by=num_groups, and only there"),
        ({"num_groups": 2}, 0.5, ConfigError, "got keep_by=groups and num_groups=2"),
        ({"vote_coverage": 0.5}, 0.5, ConfigError, "vote_coverage goes with keep_by=vote_coverage"),
        ({"keep_by": "vote_coverage", "vote_coverage": 0.0}, None, ConfigError, r"in \(0, 1\], got 0.0"),
        ({"keep_by": "vote_coverage", "vote_coverage": 90}, None, ConfigError, r"in \(0, 1\], got 90"),
        ({"keep_by": "classes"}, 0.5, ConfigError, "keep_by must be one of groups, samples, .*; got 'classes'"),
    ],
)
def test_what_cannot_be_kept(settings, ratio, error, message):
    with pytest.raises(error, match=message):
        Keep(**settings)(unbalanced(), ratio)


@pytest.mark.parametrize(
    ("settings", "num_groups", "ratio", "message"),
    [
        ({"keep_by": "num_groups", "num_groups": 5}, 4, 0.0, "num_groups=5, but the source has 4 groups"),
        ({}, 4, 0.9, "would keep 0 of 4 groups"),
    ],
)
def test_what_the_number_of_groups_alone_rules_out(settings, num_groups, ratio, message):
    with pytest.raises(ConfigError, match=message):
        Keep(**settings).check(num_groups, ratio)


@given(rankings(), RATIOS, st.sampled_from(["groups", "samples", "min_samples"]))
def test_what_can_be_kept_passes_the_check_before(ranking, ratio, rule):
    try:
        Keep(rule)(ranking, ratio)
    except ConfigError:
        return
    Keep(rule).check(len(ranking), ratio)


def test_coverage_of_a_ranking_without_votes():
    with pytest.raises(DataError, match="vote_coverage needs votes"):
        Keep("vote_coverage", vote_coverage=0.5)(random_ranking(torch.tensor([1, 2, 3]), 0))


def test_kept_groups_that_are_all_empty():
    with pytest.raises(DataError, match="The 1 kept groups have no sample in the pool"):
        Keep("num_groups", num_groups=1)(unbalanced(size=[5, 5, 0, 5]))


@given(rankings(), RATIOS, st.integers(0, 50))
def test_the_mask_keeps_whole_groups_in_any_order_of_the_pool(ranking, ratio, seed):
    assume(round(len(ranking) * (1 - ratio)))
    groups = rows_of(ranking)
    found = Keep()(ranking, ratio)
    sample_id = torch.arange(len(groups)) * 3 + 1
    mask = group_mask(ranking, found, groups, sample_id)
    chosen = set(found.groups.tolist())
    expected = [i for i, group in zip(sample_id.tolist(), groups.tolist(), strict=True) if group in chosen]
    assert mask.kept_ids.tolist() == expected
    assert mask.num_kept == found.num_samples
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(group_mask(ranking, found, groups[order], sample_id).keep, mask.keep[order])


def test_the_mask_says_what_made_it():
    groups = rows_of(unbalanced())
    ranking = GroupRanking(
        group_sizes(groups, 4),
        torch.ones(4).long(),
        torch.zeros(4),
        torch.arange(4),
        fingerprint="f",
        metadata={"a": 1},
    )
    mask = group_mask(ranking, Keep()(ranking, 0.5), groups, torch.arange(10), {"b": 2})
    assert (mask.fingerprint, mask.metadata) == ("f", {"a": 1, "b": 2})


def test_groups_that_are_not_those_that_were_ranked():
    ranking = unbalanced()
    groups, found = rows_of(ranking), Keep()(ranking, 0.5)
    with pytest.raises(DataError, match="10 rows, groups"):
        group_mask(ranking, found, groups[:9], torch.arange(10))
    with pytest.raises(DataError, match="other sizes than those that were ranked"):
        group_mask(ranking, found, (groups + 1) % 4, torch.arange(10))


@given(st.sets(st.integers(0, 9), min_size=1))
def test_new_labels_are_dense_and_keep_their_order(groups):
    new = relabeling(torch.tensor(list(groups)), 10).tolist()
    assert [new[group] for group in sorted(groups)] == list(range(len(groups)))
    assert all(new[group] == -1 for group in set(range(10)) - groups)


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0


@dataclass(frozen=True)
class FirstHalf(KeepRule):
    """Keeps half of the groups, whatever the ratio is."""

    def count(self, ranking, order, pruning_ratio):
        return max(len(order) // 2, 1)


def test_a_rule_of_ones_own_needs_no_more_than_a_count():
    ranking = GroupRanking(torch.full((4,), 5), torch.tensor([3, 2, 1, 0]), torch.zeros(4), torch.arange(4))
    assert FirstHalf()(ranking, 0.9).groups.tolist() == [0, 1]
    assert FirstHalf(reverse=True)(ranking).groups.tolist() == [3, 2]
    assert (FirstHalf().follows_ratio, FirstHalf().name, FirstHalf().bounds(ranking.size, 0.9)) == (
        False,
        "FirstHalf",
        (0, 20),
    )
    assert [Keep(rule).follows_ratio for rule in ("groups", "samples", "min_samples")] == [True, True, False]
    assert not Keep("num_groups", num_groups=1).follows_ratio


@dataclass(frozen=True)
class OneMore(Keep):
    """Keeps one group more than the ratio says."""

    def count(self, ranking, order, pruning_ratio):
        return super().count(ranking, order, pruning_ratio) + 1


class Faithful(OneMore):
    """Says that what it keeps stands for the ratio all the same."""

    follows_ratio = True


class Renamed(Keep):
    """Counts as the package does."""


@pytest.mark.parametrize("keep_by", ["groups", "samples", "min_samples"])
def test_a_rule_that_counts_otherwise_inherits_nothing_that_keep_by_says(keep_by):
    size = torch.full((4,), 5)
    rule = OneMore(keep_by)
    assert (rule.follows_ratio, rule.name, rule.bounds(size, 0.5)) == (False, "OneMore", (0, 20))
    rule.check(4, 0.95)  # the ratio leaves no group, but the rule keeps one
    assert Faithful(keep_by).follows_ratio
    unchanged, shipped = Renamed(keep_by), Keep(keep_by)
    assert (unchanged.follows_ratio, unchanged.name) == (shipped.follows_ratio, keep_by)
    assert unchanged.bounds(size, 0.5) == shipped.bounds(size, 0.5)
