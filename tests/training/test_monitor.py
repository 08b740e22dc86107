"""Monitors of features: scikit-learn's vote, and what collapse looks like."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from secateur.core.errors import ConfigError
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.monitor import FeatureMonitor, knn_accuracy, probe_accuracy, spread


class Identity(Backbone):
    """Its features are what it is shown."""

    def __init__(self, width):
        super().__init__()
        self.head = nn.Linear(width, 2)

    def features(self, x):
        return x


def batches(x, y, size=7):
    return [Batch(x[rows], y[rows], rows) for rows in torch.arange(len(y)).split(size)]


@pytest.mark.parametrize("k", [1, 5, 9])
def test_two_classes_vote_as_in_scikit_learn(k):
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(150, 6, generator=draw), torch.randint(2, (150,), generator=draw)
    x[:, 0] += 2 * y
    expected = KNeighborsClassifier(k, metric="cosine").fit(x[:100], y[:100]).score(x[100:], y[100:])
    assert knn_accuracy(Identity(6), batches(x[:100], y[:100]), batches(x[100:], y[100:]), k) == pytest.approx(expected)
    assert 0.5 < expected < 1


def test_among_equally_many_votes_the_nearest_decides():
    voters = torch.tensor([[1.0, 0.0], [1.0, 0.9], [1.0, 0.1], [1.0, 0.8]])
    classes = torch.tensor([2, 0, 2, 0])
    query = batches(torch.tensor([[1.0, 0.02]]), torch.tensor([2]))
    assert knn_accuracy(Identity(2), batches(voters, classes), query, k=4) == 1
    assert knn_accuracy(Identity(2), batches(voters[[0, 1, 3]], classes[[0, 1, 3]]), query, k=3) == 0


@pytest.mark.parametrize("k", [0, 4])
def test_a_vote_needs_as_many_voters(k):
    few = batches(torch.rand(3, 2), torch.zeros(3).long())
    with pytest.raises(ConfigError, match=f"between 1 and the 3 training samples, got {k}"):
        knn_accuracy(Identity(2), few, few, k=k)


def test_the_probe_is_least_squares_with_a_small_penalty():
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(3, (300,), generator=draw)
    x = 5 * torch.randn(300, 4, generator=draw) + 7 * torch.eye(4)[y]
    known, others = slice(0, 200), slice(200, 300)
    mean, deviation = x[known].double().mean(0), x[known].double().std(0, correction=0)
    scaled = (x.double() - mean) / deviation
    goal = 2 * torch.nn.functional.one_hot(y[known], 3).double() - 1
    penalty = 0.2 * torch.eye(4, dtype=torch.float64)  # a thousandth per voter
    weights = torch.linalg.solve(scaled[known].T @ scaled[known] + penalty, scaled[known].T @ (goal - goal.mean(0)))
    chosen = (scaled[others] @ weights + goal.mean(0)).argmax(1)
    expected = float((chosen == y[others]).double().mean())
    assert probe_accuracy(x[known], y[known], x[others], y[others]) == pytest.approx(expected)
    assert 0.4 < expected < 1


def test_a_probe_of_one_class_tells_nothing():
    assert probe_accuracy(torch.rand(9, 2), torch.full((9,), 4), torch.rand(2, 2), torch.tensor([4, 4])) is None


def test_the_monitor_measures_all_at_once_and_moves_no_stream():
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(3, (150,), generator=draw)
    x = torch.randn(150, 3, generator=draw) + 2 * torch.eye(3)[y]
    parts = (x[:100], y[:100]), (x[100:], y[100:])
    monitor = FeatureMonitor(*(lambda part=part: batches(*part) for part in parts))
    model, before = Identity(3), torch.get_rng_state()
    found = monitor(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert tuple(found) == FeatureMonitor.columns
    assert list(found.values()) == [
        knn_accuracy(Identity(3), batches(*parts[0]), batches(*parts[1]), 20),
        probe_accuracy(*parts[0], *parts[1]),
        spread(x[100:]),
    ]
    few = FeatureMonitor(lambda: batches(x[:3], y[:3]), lambda: batches(*parts[1]))(Identity(3))
    assert few["knn_accuracy"] == knn_accuracy(Identity(3), batches(x[:3], y[:3]), batches(*parts[1]), 3)


def test_features_that_are_not_finite_are_not_the_monitors_to_report():
    x, y = torch.rand(30, 2), torch.arange(30) % 2
    x[3, 1] = torch.nan
    monitor = FeatureMonitor(lambda: batches(x, y), lambda: batches(x[10:], y[10:]))
    assert monitor(Identity(2)) == dict.fromkeys(FeatureMonitor.columns)


def test_spread_is_one_on_a_sphere_and_zero_in_a_point():
    draw = torch.Generator().manual_seed(0)
    assert spread(torch.randn(5000, 16, generator=draw)) == pytest.approx(1, abs=0.02)
    assert spread(torch.rand(1, 16, generator=draw).expand(50, -1)) == pytest.approx(0, abs=1e-12)
    assert spread(torch.rand(50, 1, generator=draw) * torch.rand(1, 16, generator=draw)) < 1e-6
