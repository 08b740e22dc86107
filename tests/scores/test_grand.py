import pytest
import torch

from secateur.core.errors import ConfigError, DataError
from secateur.scores.base import BatchSignals, Signal
from secateur.scores.grand import GraNd, grand


def test_equals_the_gradient_of_the_last_layer():
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4).double()
    features, target = torch.randn(9, 6, dtype=torch.float64), torch.randint(4, (9,))
    expected = []
    for row in range(9):
        layer.zero_grad()
        torch.nn.functional.cross_entropy(layer(features[row : row + 1]), target[row : row + 1]).backward()
        expected.append((layer.weight.grad.square().sum() + layer.bias.grad.square().sum()).sqrt())
    result = grand(layer(features).detach(), target, features)
    torch.testing.assert_close(result, torch.stack(expected), rtol=1e-10, atol=1e-14)


def test_needs_features():
    assert GraNd.needs == {Signal.LOGITS, Signal.FEATURES}
    score = GraNd()
    score.setup(2, 5)
    with pytest.raises(DataError, match="features"):
        score.update(BatchSignals(torch.arange(2), torch.tensor([0, 1]), 0, torch.zeros(2, 2)))
    with pytest.raises(ConfigError, match=r"shape \[N, D\]"):
        grand(torch.zeros(2, 2), torch.tensor([0, 1]), torch.zeros(2))
