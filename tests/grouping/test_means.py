"""Streaming group means: exact, and blind to order, batches and processes."""

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError, NumericalError
from secateur.grouping import means as module
from secateur.grouping.means import GroupMeans, group_means


def sample(num_samples=60, width=5, num_groups=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    groups = torch.cat(
        [torch.arange(num_groups), torch.randint(num_groups, (num_samples - num_groups,), generator=draw)]
    )
    return torch.randn(num_samples, width, generator=draw), groups


def streamed(features, groups, num_groups, batch_size):
    means = GroupMeans(num_groups)
    for rows in torch.arange(len(features)).split(batch_size):
        means.update(features[rows], groups[rows])
    return means


def test_the_mean_of_every_group_in_a_slow_loop():
    features, groups = sample()
    found = group_means(features, groups, 4)
    assert found.dtype == torch.float64
    for group in range(4):
        for column in range(5):
            values = [float(x[column]) for x, g in zip(features, groups, strict=True) if g == group]
            assert found[group, column].item() == pytest.approx(math.fsum(values) / len(values), rel=1e-15)


@given(st.integers(0, 100), st.integers(1, 60))
def test_no_order_and_no_batch_size_changes_a_bit(seed, batch_size):
    features, groups = sample(seed=seed)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    expected = group_means(features, groups, 4)
    assert torch.equal(streamed(features[order], groups[order], 4, batch_size).compute(), expected)


@given(st.permutations(range(4)))
def test_renaming_the_groups_renames_the_means(names):
    features, groups = sample()
    names = torch.tensor(names)
    assert torch.equal(group_means(features, names[groups], 4)[names], group_means(features, groups, 4))


def test_merged_and_restored_is_as_if_seen_at_once():
    features, groups = sample()
    first, second = streamed(features[:23], groups[:23], 4, 10), streamed(features[23:], groups[23:], 4, 10)
    restored = GroupMeans(4)
    restored.load_state_dict(first.state_dict())
    restored.merge([second, GroupMeans(4)])
    assert torch.equal(restored.compute(), group_means(features, groups, 4))
    assert torch.equal(restored.counts, torch.bincount(groups))


def test_an_empty_state_is_restored_too():
    means = GroupMeans(2)
    means.load_state_dict(GroupMeans(2).state_dict())
    means.update(torch.ones(2, 1), torch.tensor([0, 1]))
    assert means.compute().tolist() == [[1], [1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_features_are_summed_exactly(dtype):
    features, groups = sample(2000)
    features = (features + 100).to(dtype)
    assert torch.equal(group_means(features, groups, 4), group_means(features.double(), groups, 4))


def test_the_state_does_not_grow_with_the_samples():
    features, groups = sample(4000, width=8)

    def size(num_samples):
        means = streamed(features[:num_samples], groups[:num_samples], 4, 100)
        return sum(values.numel() for values in means.state_dict().values())

    assert size(4000) == size(400) <= 4 + 5 * 4 * 8


def test_a_group_without_samples_is_named():
    means = GroupMeans(4)
    with pytest.raises(DataError, match="4 of 4 groups have no sample"):
        means.compute()
    means.update(torch.ones(3, 2), torch.tensor([0, 1, 3]))
    with pytest.raises(DataError, match="1 of 4 groups have no sample and so no mean; the first is group 2"):
        means.compute()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_feature_that_is_not_finite(value):
    features, groups = sample()
    features[7, 2] = value
    with pytest.raises(NumericalError, match="1 of 60 rows are not finite; row 7 first"):
        group_means(features, groups, 4)


@pytest.mark.parametrize(
    ("features", "groups", "message"),
    [
        (torch.ones(3), torch.zeros(3).long(), r"features \[B, D\]"),
        (torch.ones(3, 2).long(), torch.zeros(3).long(), r"features \[B, D\]"),
        (torch.ones(3, 2), torch.zeros(2).long(), "3 rows, groups"),
        (torch.ones(3, 2), torch.full((3,), 4), "numbered 0 to 3, got 4"),
        (torch.ones(3, 3), torch.zeros(3).long(), "of 2 features were given 3"),
    ],
)
def test_batches_that_do_not_fit(features, groups, message):
    means = GroupMeans(4)
    means.update(torch.ones(1, 2), torch.tensor([0]))
    with pytest.raises(DataError, match=message):
        means.update(features, groups)


def test_an_empty_batch_changes_nothing():
    means = GroupMeans(2)
    means.update(torch.empty(0, 3), torch.empty(0).long())
    assert means.counts.tolist() == [0, 0]


def test_means_of_other_groups_or_features_do_not_join():
    means = streamed(*sample(), 4, 60)
    with pytest.raises(DataError, match="Means of 5 groups cannot join those of 4"):
        means.merge([GroupMeans(5)])
    with pytest.raises(DataError, match="not those of 5 groups"):
        GroupMeans(5).load_state_dict(means.state_dict())
    with pytest.raises(DataError, match="of 5 features were given 6"):
        means.merge([streamed(*sample(width=6), 4, 60)])


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
