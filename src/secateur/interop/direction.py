"""Which end of foreign scores is hard? A question to the images, for files that do not say which end is kept.

The answer helps a person to decide and decides nothing: most scorers keep the hard end, but Dynamic Uncertainty ranks
what a short training never learns low, so its scores may well fall with difficulty.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 16  # images are compared at this size

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]


def difficulty(batches: Batches, num_classes: int) -> Tensor:
    """Return how much nearer each image is to the mean image of another class than to that of its own.

    Two passes over the images, which are averaged down to 16 x 16 pixels; nothing is trained.

    Args:
        batches: called twice; yields ``(x [B, C, H, W], y [B])`` in one fixed order.
        num_classes: number of classes, at least 2.

    Returns:
        float32 ``[N]``: distance to the own class's mean minus the smallest distance to another one; higher = harder.
    """
    sums: Tensor | None = None
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for x, y in batches():
        small = _small(x)
        if sums is None:
            sums = torch.zeros(num_classes, small.shape[1], dtype=torch.float64)
        sums.index_add_(0, y.cpu(), small.double())
        counts += torch.bincount(y.cpu(), minlength=num_classes)
    if sums is None:
        return torch.zeros(0)
    means = (sums / counts.clamp(min=1)[:, None]).float()
    absent = counts == 0
    return torch.cat([_margin(_small(x), y.cpu(), means, absent) for x, y in batches()])


def _small(x: Tensor) -> Tensor:
    """Return images ``[B, C, H, W]`` as vectors ``[B, D]`` of at most 16 x 16 pixels per channel."""
    x = x.detach().float().cpu()
    height, width = (min(SIDE, size) for size in x.shape[-2:])
    return F.adaptive_avg_pool2d(x, (height, width)).flatten(1)


def _margin(x: Tensor, y: Tensor, means: Tensor, absent: Tensor) -> Tensor:
    distances = torch.cdist(x, means)
    own = distances.gather(1, y[:, None])
    others = distances.masked_fill(absent, float("inf")).scatter(1, y[:, None], float("inf"))
    return (own - others.amin(dim=1, keepdim=True)).squeeze(1)
