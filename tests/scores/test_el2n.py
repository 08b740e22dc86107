import math

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.el2n import EL2N, el2n


def by_hand(logits, label):
    exponents = [math.exp(value - max(logits)) for value in logits]
    probs = [value / sum(exponents) for value in exponents]
    return math.sqrt(sum((p - (c == label)) ** 2 for c, p in enumerate(probs)))


def test_oracle():
    torch.manual_seed(0)
    logits, target = torch.randn(40, 7, dtype=torch.float64) * 3, torch.randint(7, (40,))
    expected = [by_hand(row.tolist(), int(label)) for row, label in zip(logits, target, strict=True)]
    torch.testing.assert_close(el2n(logits, target), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_confident_samples_keep_their_relative_accuracy():
    logits = torch.tensor([[12.0, 0.0]])
    assert float(el2n(logits, torch.tensor([0]))) == pytest.approx(by_hand([12.0, 0.0], 0), rel=1e-2)


@pytest.mark.parametrize(("num_epochs", "read"), [(1, 0), (5, 0), (20, 1), (200, 19)])
def test_default_epoch_is_a_tenth_of_the_training(num_epochs, read):
    score = EL2N()
    score.setup(3, num_epochs)
    assert score.epochs == range(read, read + 1)


def test_only_that_epoch_is_read(tools):
    logits, target = tools.trajectory(6, 11)
    score = tools.feed(lambda: EL2N(epoch=3, num_networks=4), logits, target)
    assert torch.equal(score.compute().score, el2n(logits[2], target))
    assert score.num_networks == 4
    assert EL2N.num_networks == 1


@pytest.mark.parametrize("wrong", [{"epoch": 0}, {"epoch": 2.0}, {"num_networks": 0}, {"num_networks": None}])
def test_wrong_arguments(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EL2N(**wrong)


def test_epoch_beyond_the_training():
    with pytest.raises(ConfigError, match="at least 20 epochs"):
        EL2N(epoch=20).setup(3, 19)
