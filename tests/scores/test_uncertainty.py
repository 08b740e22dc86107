"""Entropy, margin and least confidence: three views of one prediction."""

import math

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.entropy import entropy
from secateur.scores.least_confidence import least_confidence
from secateur.scores.margin import margin


def softmax(values):
    exponents = [math.exp(value - max(values)) for value in values]
    return sorted((value / sum(exponents) for value in exponents), reverse=True)


ORACLES = {
    entropy: lambda p: -sum(value * math.log(value) for value in p),
    margin: lambda p: p[1] - p[0],
    least_confidence: lambda p: 1 - p[0],
}


@pytest.mark.parametrize("score", ORACLES, ids=lambda score: score.__name__)
def test_oracle(score):
    torch.manual_seed(0)
    logits = torch.randn(30, 5, dtype=torch.float64) * 3
    expected = torch.tensor([ORACLES[score](softmax(row.tolist())) for row in logits], dtype=torch.float64)
    torch.testing.assert_close(score(logits), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("score", ORACLES, ids=lambda score: score.__name__)
def test_the_unsure_come_first(score):
    logits = torch.tensor([[50.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert score(logits).argsort().tolist() == [0, 1, 2]
    assert torch.isfinite(score(torch.tensor([[1e4, -1e4, 0.0]]))).all()


@pytest.mark.parametrize("score", ORACLES, ids=lambda score: score.__name__)
def test_wrong_shape(score):
    with pytest.raises(ConfigError, match=r"shape \[N, C\]"):
        score(torch.zeros(3))


def test_margin_needs_two_classes():
    with pytest.raises(ConfigError, match="at least 2 classes"):
        margin(torch.zeros(3, 1))
