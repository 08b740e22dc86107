import math
import statistics

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.base import Signal
from secateur.scores.moderate import Moderate, moderate


def by_hand(features, target, rank_within):
    """The definition with lists: distance to the class median, mean rank, closeness to the middle."""
    rows = [row.tolist() for row in features]
    labels = target.tolist()
    distance = []
    for row, label in zip(rows, labels, strict=True):
        members = [other for other, its in zip(rows, labels, strict=True) if its == label]
        center = [statistics.median(values) for values in zip(*members, strict=True)]
        distance.append(math.dist(row, center))
    scores = []
    for own, label in zip(distance, labels, strict=True):
        group = [d for d, its in zip(distance, labels, strict=True) if rank_within == "all" or its == label]
        rank = sum(d < own for d in group) + (sum(d == own for d in group) - 1) / 2
        scores.append(-abs((2 * rank + 1) / len(group) - 1))
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize("rank_within", ["class", "all"])
def test_oracle(rank_within):
    torch.manual_seed(0)
    features, target = torch.randn(37, 3, dtype=torch.float64), torch.randint(4, (37,))
    result = moderate(features, target, rank_within)
    torch.testing.assert_close(result, by_hand(features, target, rank_within), rtol=1e-12, atol=1e-12)


def test_equal_distances_share_their_rank():
    features = torch.tensor([[-1.0], [1.0], [0.0], [5.0]], dtype=torch.float64)
    target = torch.zeros(4, dtype=torch.int64)
    result = moderate(features, target)
    torch.testing.assert_close(result, by_hand(features, target, "class"))


def test_unseen_rows_move_nothing():
    torch.manual_seed(1)
    features, target = torch.randn(12, 3), torch.randint(2, (12,))
    more = torch.cat((features, torch.full((2, 3), torch.nan)))
    result = moderate(more, torch.cat((target, torch.tensor([0, -1]))))
    assert torch.equal(result[:12], moderate(features, target))
    assert torch.isnan(result[12:]).all()


def test_declares_what_it_needs():
    assert Moderate.needs == {Signal.FEATURES}
    with pytest.raises(ConfigError, match="rank_within"):
        Moderate(rank_within="group")
