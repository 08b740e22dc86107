import math

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.scores.tdds import TDDS, tdds


def softmax(values):
    exponents = [math.exp(value - max(values)) for value in values]
    return [value / sum(exponents) for value in exponents]


def one_sample(trajectory, window, decay):
    """The definition for one sample; an epoch is a list of C logits, or None when the sample was missed."""
    changes, previous = [], None
    for epoch, logits in enumerate(trajectory):
        probs = softmax(logits) if logits is not None else None
        change = None
        if probs is not None:
            if previous is not None:
                change = sum(
                    abs(p * (math.log(p + 1e-8) - math.log(q + 1e-8))) for p, q in zip(probs, previous, strict=True)
                )
            previous = probs
        if epoch > 0:
            changes.append(change)
    num_windows = len(trajectory) - window + 1
    score, any_valid = 0.0, False
    for k in range(num_windows):
        valid = [d for d in changes[k : k + window - 1] if d is not None]
        if len(valid) >= 2:
            any_valid = True
            mean = sum(valid) / len(valid)
            norm = math.sqrt(sum((d - mean) ** 2 for d in valid))
            score += decay * (1 - decay) ** (num_windows - 1 - k) * norm
    return score if any_valid else math.nan


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.85])
@pytest.mark.parametrize(("num_epochs", "window", "decay"), [(8, 8, 0.9), (12, 5, 0.9), (12, 3, 0.3), (9, 4, 1.0)])
def test_oracle(tools, missing, num_epochs, window, decay):
    logits, _ = tools.trajectory(num_epochs, 13, seed=2, dtype=torch.float64)
    seen = torch.rand(num_epochs, 13, generator=torch.Generator().manual_seed(1)) >= missing
    expected = [
        one_sample([logits[t, n].tolist() if seen[t, n] else None for t in range(num_epochs)], window, decay)
        for n in range(13)
    ]
    result = tdds(tools.hide(logits, seen), window, decay)
    torch.testing.assert_close(
        result, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12, equal_nan=True
    )


def test_after_a_gap_the_change_is_against_the_last_epoch_seen():
    nan = float("nan")
    full = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    gap = torch.stack((full[0], full[1].new_full((2,), nan), full[1], full[2]))[:, None]
    direct = tdds(full[:, None], window=3)
    assert float(tdds(gap, window=4)) == pytest.approx(float(direct))


@pytest.mark.parametrize("num_classes", [1, 2])
def test_few_classes(tools, num_classes):
    logits = torch.randn(6, 5, num_classes, dtype=torch.float64)
    result = tdds(logits, window=3)
    assert torch.isfinite(result).all()
    assert bool((result == 0).all()) == (num_classes == 1)


def test_state_size_never_grows_with_the_trajectory(tools):
    logits, target = tools.trajectory(14, 30, num_classes=6)
    score = tools.feed(lambda: TDDS(window=5), logits, target)
    assert sum(values.numel() for values in score.state_dict().values()) == 30 * 6 + 30 * 5
    half = tools.feed(lambda: TDDS(window=5, state_dtype="bfloat16"), logits, target)
    assert half.state_dict()["previous"].dtype == torch.bfloat16
    assert half.state_dict()["previous"].shape == (30, 6)


@pytest.mark.parametrize("seed", [0, 1])
def test_bfloat16_state_keeps_the_ranking(tools, seed):
    logits, target = tools.trajectory(20, 1500, num_classes=10, seed=seed)
    logits = logits * torch.linspace(1, 4, 20)[:, None, None]
    ranks = []
    for dtype in ("float32", "bfloat16"):
        make = lambda dtype=dtype: TDDS(state_dtype=dtype)  # noqa: E731
        score = tools.feed(make, logits, target, batch_size=512).compute().score
        ranks.append(score.argsort().argsort().double())
    assert float(torch.corrcoef(torch.stack(ranks))[0, 1]) >= 0.9999


def test_decay_is_only_a_factor_with_a_single_window(tools):
    logits, _ = tools.trajectory(6, 9, dtype=torch.float64)
    torch.testing.assert_close(tdds(logits, 6, 0.3) / 0.3, tdds(logits, 6, 1.0), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 2},
        {"decay": 0},
        {"decay": 1.5},
        {"trajectory": "middle"},
        {"trajectory_epochs": 5},
        {"trajectory_epochs": 10.0},
        {"state_dtype": "float16"},
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TDDS(**wrong)


def test_too_short():
    with pytest.raises(ConfigError, match="window of 10"):
        tdds(torch.zeros(9, 2, 3))
    with pytest.raises(ConfigError, match="at least 10 epochs"):
        TDDS().setup(5, 9)
    with pytest.raises(ConfigError, match="at least 30 epochs"):
        TDDS(trajectory_epochs=30).setup(5, 29)
    with pytest.raises(ConfigError, match=r"shape \[T, N, C\]"):
        tdds(torch.zeros(12, 2))
