"""Sliding windows over the epochs: NaN-aware moments, and the ring buffer that two scorers share.

Tensor legend: N samples of the pool, B batch, T epochs, W window.
"""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from secateur.scores.base import BatchSignals, Score, ScoreResult, SettableRecord

ROWS_PER_CHUNK = 65_536
EARLY_SHARE = 0.15  # of the training, which scorers that are meant to be read early read by default


def exact(values: Tensor) -> Tensor:
    """Return the values in float64, or float32 on devices that have no float64."""
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def row_chunks(num_rows: int) -> Iterator[slice]:
    """Yield slices over the pool's rows, so that float64 copies of a ring stay small."""
    for first in range(0, num_rows, ROWS_PER_CHUNK):
        yield slice(first, min(first + ROWS_PER_CHUNK, num_rows))


def early_epochs(num_epochs: int, window: int) -> int:
    """Return how many epochs a scorer reads that is meant to be read early: 15 % of the training, or one window.

    The releases of TDDS and DUAL read 30 of 200 epochs on CIFAR-100. That the share, and not the number, is kept for
    trainings of other lengths is our choice.

    Args:
        num_epochs: length of the training.
        window: epochs per window; at least one window is read.
    """
    return max(window, round(EARLY_SHARE * num_epochs))


def window_moments(values: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return count, mean and sum of squared deviations of the entries that are not NaN, along ``dim``."""
    values = exact(values)
    valid = ~torch.isnan(values)
    count = valid.sum(dim=dim, dtype=values.dtype)
    mean = values.nansum(dim=dim) / count
    deviations = torch.where(valid, values - mean.unsqueeze(dim), 0.0)
    return count, mean, deviations.square().sum(dim=dim)


def window_std(values: Tensor, dim: int, ddof: int) -> tuple[Tensor, Tensor]:
    """Return standard deviation (NaN where fewer than two entries are valid) and mean along ``dim``."""
    count, mean, squares = window_moments(values, dim)
    std = (squares / (count - ddof).clamp(min=1)).sqrt()
    return torch.where(count >= 2, std, float("nan")), mean


def add_valid(total: Tensor, count: Tensor, values: Tensor) -> None:
    """Add the entries that are not NaN to ``total``, and one to ``count`` where there was one; in place."""
    valid = ~torch.isnan(values)
    total += torch.where(valid, values, 0.0).to(total.dtype)
    count += valid


class WindowedScore(Score):
    """Mean over sliding windows of a statistic of the label's probability.

    State: ``ring [N, W]`` (the last W epochs; NaN: not seen), ``total [N]``, ``count [N]``, all float32,
    which is ``N * (W + 2)`` floats whatever the number of epochs.
    """

    def __init__(self, window: int, record: SettableRecord) -> None:
        super().__init__(record)
        self.window = window
        self.width = window

    @abstractmethod
    def statistic(self, values: Tensor) -> Tensor:
        """Return the statistic ``[n]`` of windows ``[n, W]``; NaN where a window has too few entries."""

    def update(self, batch: BatchSignals) -> None:
        """Store the label's probability of one batch."""
        if batch.epoch not in self.epochs:
            return
        ring = self.rows_like("ring", batch.target_prob, self.width, fill=float("nan"))
        slot = (batch.epoch - self.epochs.start) % self.width
        ring.select(1, slot).index_copy_(0, batch.rows, batch.target_prob.to(ring.dtype))

    def end_epoch(self, epoch: int) -> None:
        """Add the window that ends with this epoch, and free the slot of the next epoch."""
        if epoch not in self.epochs or "ring" not in self.state:
            return
        ring = self.state["ring"]
        step = epoch - self.epochs.start
        if step + 1 >= self.width:
            total, count = self.rows_like("total", ring), self.rows_like("count", ring)
            for rows in row_chunks(self.num_samples):
                add_valid(total[rows], count[rows], self.statistic(ring[rows]))
        ring[:, (step + 1) % self.width] = float("nan")

    def compute(self) -> ScoreResult:
        """Return the mean over each sample's valid windows; NaN where there is none."""
        return ScoreResult(self.state_or_nan("total") / self.state_or_nan("count"))
