import math

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.dynamic_uncertainty import DynamicUncertainty, dynamic_uncertainty


def oracle(tools, probs, window, skip_first, skip_last, ddof):
    """The definition, one sample and one window at a time."""
    num_epochs, num_samples = probs.shape
    scores = []
    for row in range(num_samples):
        deviations = []
        for start in range(skip_first, num_epochs - skip_last - window + 1):
            valid = [float(q) for q in probs[start : start + window, row] if not math.isnan(q)]
            if len(valid) >= 2:
                deviations.append(tools.spread(valid, ddof))
        scores.append(sum(deviations) / len(deviations) if deviations else math.nan)
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(("skip_first", "skip_last", "ddof"), [(0, 1, 1), (2, 0, 0), (0, 1, 0), (3, 2, 1)])
def test_oracle(tools, missing, skip_first, skip_last, ddof):
    torch.manual_seed(0)
    probs = torch.rand(14, 17, dtype=torch.float64)
    probs[torch.rand(14, 17) < missing] = torch.nan
    expected = oracle(tools, probs, 5, skip_first, skip_last, ddof)
    result = dynamic_uncertainty(probs, 5, skip_first, skip_last, ddof)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-14, equal_nan=True)


def test_a_window_with_one_observation_counts_for_nothing():
    nan = math.nan
    probs = torch.tensor([[0.2, nan, nan], [0.4, nan, 0.1], [nan, nan, nan], [nan, 0.5, nan]], dtype=torch.float64)
    result = dynamic_uncertainty(probs, window=2, skip_last=0)
    assert float(result[0]) == pytest.approx(0.2 / math.sqrt(2))
    assert torch.isnan(result[1:]).all()


def test_state_is_window_plus_two_floats_per_sample(tools):
    logits, target = tools.trajectory(12, 30)
    score = tools.feed(lambda: DynamicUncertainty(window=5), logits, target)
    assert sum(values.numel() for values in score.state_dict().values()) == 30 * (5 + 2)
    assert {values.dtype for values in score.state_dict().values()} == {torch.float32}


def test_short_training_shrinks_the_window_only_when_allowed(tools):
    logits, target = tools.trajectory(6, 10)
    with pytest.raises(ConfigError, match="at least 11 epochs"):
        DynamicUncertainty().setup(10, 6)
    with pytest.warns(UserWarning, match="from 10 to 5"):
        score = tools.feed(lambda: DynamicUncertainty(allow_short=True), logits, target)
    expected = dynamic_uncertainty(tools.label_probs(logits, target), window=5)
    torch.testing.assert_close(score.compute().score, expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(ConfigError, match="at least 3 epochs"):
        DynamicUncertainty(allow_short=True).setup(10, 2)


def test_a_trajectory_shorter_than_the_window_is_an_error():
    with pytest.raises(ConfigError, match="window of 10"):
        dynamic_uncertainty(torch.rand(10, 3))
    assert dynamic_uncertainty(torch.rand(11, 3)).shape == (3,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 1},
        {"window": 2.5},
        {"window": True},
        {"skip_first": -1},
        {"skip_last": None},
        {"ddof": 2},
        {"ddof": True},
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DynamicUncertainty(**wrong)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        dynamic_uncertainty(torch.rand(20, 2), **wrong)


def test_wrong_shape_and_flag():
    with pytest.raises(ConfigError, match=r"shape \[T, N\]"):
        dynamic_uncertainty(torch.rand(20))
    with pytest.raises(ConfigError, match="allow_short"):
        DynamicUncertainty(allow_short="yes")
