import math

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.dual import DUAL, dual


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
def test_oracle(tools, missing):
    torch.manual_seed(1)
    probs = torch.rand(12, 15, dtype=torch.float64)
    probs[torch.rand(12, 15) < missing] = torch.nan
    expected = []
    for row in range(15):
        parts = []
        for start in range(12 - 5 + 1):
            valid = [float(q) for q in probs[start : start + 5, row] if not math.isnan(q)]
            if len(valid) >= 2:
                parts.append(tools.spread(valid, 1) * (1 - sum(valid) / len(valid)))
        expected.append(sum(parts) / len(parts) if parts else math.nan)
    torch.testing.assert_close(
        dual(probs, window=5), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-14, equal_nan=True
    )


def test_mean_probability_covers_the_epochs_used(tools):
    logits, target = tools.trajectory(10, 12)
    result = tools.feed(lambda: DUAL(window=3, num_epochs=6), logits, target).compute()
    expected = tools.label_probs(logits, target)[:6].mean(dim=0)
    torch.testing.assert_close(result.columns["mean_probability"], expected, rtol=1e-6, atol=1e-7)


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="window"):
        DUAL(window=1)
    with pytest.raises(ConfigError, match="num_epochs"):
        DUAL(window=10, num_epochs=9)
    with pytest.raises(ConfigError, match="window of 10"):
        dual(torch.rand(9, 2))
    with pytest.raises(ConfigError, match="at least 30 epochs"):
        DUAL(num_epochs=30).setup(4, 29)
