"""Feature mapping: the nearest group mean of every downstream sample, as a double loop finds it."""

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError, NumericalError
from secateur.mapping import feature_mapping as module
from secateur.mapping.feature_mapping import FeatureVotes, feature_soft_scores, feature_votes

SIZES = st.tuples(st.integers(1, 40), st.integers(2, 9), st.integers(0, 1000))


def points_of(num_samples=50, num_groups=7, seed=0, width=3):
    """Whole coordinates, so that equal distances and equal means are frequent."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randint(-2, 3, (num_samples, width), generator=draw).double()
    return features, torch.randint(-2, 3, (num_groups, width), generator=draw).double()


def slow(features, means):
    """Return votes and soft scores by a loop over samples and groups."""
    votes, distances = [0] * len(means), [[] for _ in means]
    for point in features.tolist():
        nearest = 0
        for k, mean in enumerate(means.tolist()):
            distances[k].append(math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(point, mean, strict=True))))
            nearest = k if distances[k][-1] < distances[nearest][-1] else nearest
        votes[nearest] += 1
    return votes, [-math.fsum(values) / len(features) for values in distances]


@given(SIZES)
def test_votes_and_soft_scores_in_a_slow_double_loop(sizes):
    features, means = points_of(*sizes)
    votes, soft = slow(features, means)
    assert feature_votes(features, means).tolist() == votes
    assert feature_soft_scores(features, means).tolist() == pytest.approx(soft, rel=1e-13)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_real_features_of_any_type(dtype):
    draw = torch.Generator().manual_seed(0)
    features, means = torch.randn(200, 16, generator=draw).to(dtype), torch.randn(30, 16, generator=draw).to(dtype)
    votes, soft = slow(features, means)
    assert feature_votes(features, means).tolist() == votes
    assert feature_soft_scores(features, means).tolist() == pytest.approx(soft, rel=1e-13)
    counter = FeatureVotes(means)
    counter.update(features)
    assert counter.compute().votes.tolist() == votes


@given(SIZES, st.integers(1, 50))
def test_no_order_and_no_batch_size_changes_a_bit(sizes, batch_size):
    features, means = points_of(*sizes)
    features = features + 0.1 * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(sizes[-1]))
    counter = FeatureVotes(means)
    for rows in order.split(batch_size):
        counter.update(features[rows])
    found = counter.compute()
    assert int(found.votes.sum()) == found.num_samples == len(features)
    assert torch.equal(found.votes, feature_votes(features, means))
    assert torch.equal(found.soft_scores, feature_soft_scores(features, means))


@given(st.permutations(range(7)))
def test_renaming_the_groups_renames_the_votes(names):
    features, means = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), points_of(width=4)[1]
    means += torch.arange(7.0)[:, None] / 100  # no two equal
    assert torch.equal(feature_votes(features, means[names]), feature_votes(features, means)[names])
    assert torch.equal(feature_soft_scores(features, means[names]), feature_soft_scores(features, means)[names])


def test_groups_with_one_mean_are_one_to_the_soft_score_too():
    features = torch.randn(33, 5, generator=torch.Generator().manual_seed(0))
    soft = feature_soft_scores(features, torch.randn(1, 5).expand(6, 5))
    assert len(soft.unique()) == 1
    assert feature_votes(features, torch.zeros(6, 5)).tolist() == [33, 0, 0, 0, 0, 0]


def test_distances_far_from_the_origin_do_not_cancel():
    means = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64) + 1e9
    assert feature_soft_scores(means[1:2], means).tolist() == [-1.0, 0.0, -2.0]
    assert feature_votes(means[1:2], means).tolist() == [0, 1, 0]


def released_votes(features_by_class, means):
    """The release's loop, in our own words: distances go to the place of the sample, not of the group."""
    votes = [0] * len(means)
    for features in features_by_class:
        for i, point in enumerate(features):
            distance_score = [0.0] * len(means)
            for mean in means:
                distance_score[i] = float((point - mean).norm())
            votes[min(range(len(means)), key=lambda k, scores=distance_score: scores[k])] += 1
    return votes


def three_classes(size):
    """Three downstream classes around source groups 5, 6 and 7 of ten."""
    means = 10 * torch.eye(10)
    noise = 0.1 * torch.randn(3, size, 10, generator=torch.Generator().manual_seed(0))
    return means[5:8, None] + noise, means


def test_the_released_loop_piles_all_votes_on_groups_0_and_1():
    by_class, means = three_classes(8)
    assert released_votes(by_class, means) == [21, 3, 0, 0, 0, 0, 0, 0, 0, 0]
    assert feature_votes(by_class.flatten(0, 1), means).tolist() == [0, 0, 0, 0, 0, 8, 8, 8, 0, 0]


def test_more_samples_per_downstream_class_than_groups_stop_only_the_released_loop():
    by_class, means = three_classes(11)
    with pytest.raises(IndexError):
        released_votes(by_class, means)
    assert feature_votes(by_class.flatten(0, 1), means).tolist() == [0, 0, 0, 0, 0, 11, 11, 11, 0, 0]


def test_more_samples_than_are_worked_on_at_a_time(monkeypatch):
    features, means = points_of()
    expected = feature_soft_scores(features, means)
    monkeypatch.setattr("secateur.mapping.votes._CHUNK_VALUES", 20)
    assert torch.equal(feature_soft_scores(features, means), expected)


def test_merged_and_restored_is_as_if_counted_at_once():
    features, means = points_of()
    first, second, restored = FeatureVotes(means), FeatureVotes(means), FeatureVotes(means)
    first.update(features[:13])
    second.update(features[13:])
    restored.load_state_dict(first.state_dict())
    restored.merge([second])
    assert torch.equal(restored.compute().votes, feature_votes(features, means))
    assert torch.equal(restored.compute().soft_scores, feature_soft_scores(features, means))


def test_distances_to_other_means_do_not_join():
    _, means = points_of()
    with pytest.raises(DataError, match="nearest of other group means"):
        FeatureVotes(means).merge([FeatureVotes(means + 1)])


def test_an_empty_downstream_set():
    _, means = points_of()
    for function in (feature_votes, feature_soft_scores):
        with pytest.raises(DataError, match="The downstream set is empty"):
            function(torch.empty(0, 3), means)


def test_one_group():
    with pytest.raises(DataError, match="at least 2 groups, got 1"):
        feature_votes(torch.ones(3, 2), torch.ones(1, 2))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_and_means_that_are_not_finite(value):
    features, means = points_of()
    features[4, 2] = value
    for function in (feature_votes, feature_soft_scores):
        with pytest.raises(NumericalError, match="features of 1 of 50 downstream samples are not finite; row 4 first"):
            function(features, means)
    means[3, 0] = value
    with pytest.raises(NumericalError, match="means of 1 groups are not finite; group 3 first"):
        feature_votes(points_of()[0], means)


@pytest.mark.parametrize("features", [torch.ones(3), torch.ones(3, 4), torch.ones(3, 3).long()])
def test_features_of_another_shape_than_the_means(features):
    _, means = points_of()
    for function in (feature_votes, feature_soft_scores):
        with pytest.raises(DataError, match=r"Downstream features must be floats \[n, 3\] \(as wide as the group"):
            function(features, means)


@pytest.mark.parametrize("means", [torch.ones(3), torch.ones(3, 0), torch.ones(3, 4).long()])
def test_means_must_be_a_matrix_of_floats(means):
    with pytest.raises(DataError, match=r"group_means must be floats \[K, D\]"):
        feature_votes(torch.ones(3, 4), means)


def test_the_examples_in_the_text():
    assert doctest.testmod(module).failed == 0
