"""Monitors of features: scikit-learn's vote, and what collapse looks like."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from secateur.core.errors import ConfigError
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.monitor import knn_accuracy, spread


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


def test_spread_is_one_on_a_sphere_and_zero_in_a_point():
    draw = torch.Generator().manual_seed(0)
    assert spread(torch.randn(5000, 16, generator=draw)) == pytest.approx(1, abs=0.02)
    assert spread(torch.rand(1, 16, generator=draw).expand(50, -1)) == pytest.approx(0, abs=1e-12)
    assert spread(torch.rand(50, 1, generator=draw) * torch.rand(1, 16, generator=draw)) < 1e-6
