import itertools
import math

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.forgetting import Forgetting, forgetting


def by_hand(history, unlearned):
    seen = [value for value in history if not math.isnan(value)]
    if not seen:
        return math.nan
    if not any(seen):
        return len(history) + 1 if unlearned == "last" else 0
    return sum(1 for before, after in itertools.pairwise(seen) if before == 1 and after == 0)


@pytest.mark.parametrize("missing", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("unlearned", ["last", "count"])
def test_oracle(missing, unlearned):
    torch.manual_seed(3)
    correct = (torch.rand(7, 60) < torch.rand(60)).double()
    correct[torch.rand(7, 60) < missing] = torch.nan
    expected = [by_hand(correct[:, row].tolist(), unlearned) for row in range(60)]
    result = forgetting(correct, unlearned)
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=0, equal_nan=True)


def test_bool_and_float_agree():
    correct = torch.rand(6, 20) < 0.5
    assert torch.equal(forgetting(correct), forgetting(correct.float()))


def test_never_learned_ranks_above_every_count():
    alternating = torch.tensor([1, 0] * 5, dtype=torch.bool)
    result = forgetting(torch.stack((alternating, torch.zeros(10, dtype=torch.bool)), dim=1))
    assert result.tolist() == [5.0, 11.0]


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="Did you mean last"):
        forgetting(torch.ones(3, 2), unlearned="lasst")
    with pytest.raises(ConfigError, match="unlearned"):
        Forgetting(unlearned="inf")
