"""Feeding scorers the way a training does: any order, any batch size, some samples missing, restored midway."""

import math

import pytest
import torch

from secateur.scores.base import BatchSignals


def make_trajectory(num_epochs, num_samples, num_classes=4, seed=0, dtype=torch.float32):
    """Logits [T, N, C] of networks that slowly learn noisy targets, and targets [N]."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(num_classes, (num_samples,), generator=generator)
    noise = torch.randn(num_epochs, num_samples, num_classes, generator=generator, dtype=torch.float64)
    pull = torch.rand(num_samples, generator=generator, dtype=torch.float64) * 4 - 1
    growth = torch.linspace(0, 1, num_epochs, dtype=torch.float64)[:, None] * pull
    logits = noise + torch.nn.functional.one_hot(target, num_classes) * growth[:, :, None]
    return logits.to(dtype), target


def feed_epochs(make, logits, target, seen=None, features=None, batch_size=7, seed=0, restore_at=None):
    """Stream a trajectory into ``make()``; after ``restore_at`` batches continue with a restored copy."""
    num_epochs, num_samples = logits.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    score = make()
    score.setup(num_samples, num_epochs)
    step = 0
    for epoch in range(num_epochs):
        order = torch.randperm(num_samples, generator=generator)
        if seen is not None:
            order = order[seen[epoch][order]]
        for rows in order.split(batch_size):
            part = None if features is None else features[rows]
            score.update(BatchSignals(rows, target[rows], epoch, logits[epoch, rows], part))
            step += 1
            if step == restore_at:
                state = score.state_dict()
                score = make()
                score.setup(num_samples, num_epochs)
                score.load_state_dict(state)
        score.end_epoch(epoch)
    return score


def label_probs(logits, target):
    """Probability of the label [T, N] from logits [T, N, C]."""
    index = target.expand(len(logits), -1)[:, :, None]
    return logits.softmax(dim=2).gather(2, index).squeeze(2)


def hide(values, seen):
    """NaN where a sample was not seen: [T, N] or [T, N, C]."""
    mask = seen if values.ndim == 2 else seen[:, :, None]
    return torch.where(mask, values, torch.nan)


def spread(values, ddof):
    """Standard deviation of a list of floats, by the book."""
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - ddof))


class Tools:
    trajectory = staticmethod(make_trajectory)
    feed = staticmethod(feed_epochs)
    label_probs = staticmethod(label_probs)
    hide = staticmethod(hide)
    spread = staticmethod(spread)


@pytest.fixture(scope="session")
def tools():
    return Tools
