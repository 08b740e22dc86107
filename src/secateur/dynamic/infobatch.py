"""InfoBatch: skip a random share of the samples whose last loss is below the mean, weight the others up.

Needs the per-sample loss of every training step; memory O(N). Wrong to use where the losses of two samples
cannot be compared (mixup, losses averaged over a batch before they are observed). The saving it ends with is
not the ratio that was asked for: only samples below the mean are candidates, and the first epoch and the last
ones see all samples. Log :attr:`InfoBatch.realized_pruning_ratio`.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.mask import check_pruning_ratio
from secateur.core.seeds import generator


class InfoBatch:
    r"""Unbiased dynamic pruning by loss.

    With :math:`\mathcal{H}_t(z)` the last observed loss of sample z before epoch t and
    :math:`\bar{\mathcal{H}}_t` its mean over the pool,

    .. math::
        P_t(z) = r \ \text{if}\ \mathcal{H}_t(z) < \bar{\mathcal{H}}_t \ \text{else}\ 0, \qquad
        \gamma_t(z) = \frac{1}{1 - P_t(z)},

    are the probability that epoch t leaves z out, and the weight of its loss when it does not: the expected
    gradient is that of all samples. The last epochs run on all samples, unweighted (annealing).

    Reference: [InfoBatch] Qin et al., InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning,
    ICLR 2024, arXiv 2303.04947.

    Args:
        num_samples: size N of the pool.
        pruning_ratio: r, the share left out of the samples *below the mean loss*, in ``[0, 1)``.
        num_epochs: length E of the training, at least 1.
        seed: what the samples are drawn from.
        anneal: share of the epochs, at the end, that see all samples, in ``[0, 1]``; the paper's
            :math:`\delta = 0.875` is 0.125 here. ``ceil(anneal * E)`` epochs are annealed.

    Raises:
        ConfigError: an argument is out of range.

    Deviations:
        The release keeps ``floor((1 - r) * L)`` of the L samples below the mean, a little fewer than the
        weight ``1 / (1 - r)`` stands for. Here the number is rounded up or down at random, so that each of
        them is kept with probability ``1 - r`` exactly. The release never leaves out more than 90 %. It
        starts from a loss of 3, here it is 1; only its being the same for all samples matters, and makes the
        first epoch see all of them. It draws from NumPy's global generator, which it seeds anew in every
        epoch; nothing global is touched here.

    Example:
        >>> policy = InfoBatch(num_samples=4, pruning_ratio=0.5, num_epochs=8, seed=0)
        >>> policy.num_rows(0)
        4
        >>> policy.observe(torch.arange(4), torch.tensor([0.1, 0.1, 3.0, 3.0]))
        >>> policy.end_epoch(0)
        >>> policy.num_rows(1), policy.weights(torch.arange(4)).tolist()
        (3, [2.0, 2.0, 1.0, 1.0])
    """

    def __init__(
        self, num_samples: int, pruning_ratio: float, num_epochs: int, seed: int, anneal: float = 0.125
    ) -> None:
        check_pruning_ratio(pruning_ratio)
        if num_samples < 1 or num_epochs < 1:
            raise ConfigError(f"num_samples={num_samples} and num_epochs={num_epochs} must be at least 1.")
        if not 0 <= anneal <= 1:
            raise ConfigError(f"anneal is a share of the epochs and must be in [0, 1], got {anneal}.")
        self.num_samples = num_samples
        self.pruning_ratio = pruning_ratio
        self.num_epochs = num_epochs
        self.seed = seed
        self.anneal = anneal
        self.losses = torch.ones(
            num_samples, dtype=torch.float32
        )  # [N], the last observed ones, on the device that observes
        self._weights: Tensor | None = None
        self._start_epoch(0, 0, self.losses.clone())

    @property
    def first_annealed_epoch(self) -> int:
        """First epoch of the annealing; ``num_epochs`` when there is none."""
        return self.num_epochs - math.ceil(round(self.anneal * self.num_epochs, 9))

    def num_rows(self, epoch: int) -> int:
        """Return the exact number of rows of an epoch: the current one, or one of the annealing."""
        return self.num_samples if epoch >= self.first_annealed_epoch else len(self.rows(epoch))

    def rows(self, epoch: int) -> Tensor:
        """Return the rows of the current epoch, int64 in training order.

        Raises:
            ConfigError: it is not the current epoch; another one's rows depend on losses not yet observed.
        """
        if epoch != self.epoch:
            raise ConfigError(f"InfoBatch is in epoch {self.epoch}: the rows of epoch {epoch} are unknown.")
        return self._rows.clone()

    def weights(self, rows: Tensor) -> Tensor | None:
        """Return the loss weights in the current epoch, float32 ``[B]``; None when all are one."""
        if self._weights is None:
            return None
        self._weights = self._weights.to(rows.device)
        return self._weights[rows]

    def observe(self, rows: Tensor, losses: Tensor) -> None:
        """Keep the losses ``[B]`` of some rows; the last value of a row counts.

        Raises:
            DataError: the shapes differ.
        """
        if losses.shape != rows.shape:
            raise DataError(f"Each row needs one loss, got {list(losses.shape)} for rows {list(rows.shape)}.")
        if self.losses.device != losses.device:
            self.losses = self.losses.to(losses.device)
        self.losses[rows.to(losses.device)] = losses.detach().to(torch.float32)

    def end_epoch(self, epoch: int) -> None:
        """Draw the rows of the next epoch from the losses as they are now.

        Raises:
            ConfigError: it is not the current epoch.
            NumericalError: a loss is not finite.
        """
        if epoch != self.epoch:
            raise ConfigError(f"InfoBatch is in epoch {self.epoch} and cannot end epoch {epoch}.")
        bad = ~torch.isfinite(self.losses)
        if bool(bad.any()):
            raise NumericalError(f"The loss of pool row {int(bad.nonzero()[0])} is not finite in epoch {epoch}.")
        self._start_epoch(epoch + 1, self._num_seen + len(self._rows), self.losses.cpu().clone())

    @property
    def realized_pruning_ratio(self) -> float:
        """``1 - seen / (N * epochs)`` over the finished epochs; 0 before the first one ends."""
        return 1 - self._num_seen / (self.num_samples * self.epoch) if self.epoch else 0.0

    def state_dict(self) -> dict[str, Tensor]:
        """Return the last losses ``[N]``, those the current epoch was drawn from ``[N]``, and counters."""
        return {
            "losses": self.losses.cpu().clone(),
            "epoch_losses": self._epoch_losses.clone(),
            "counters": torch.tensor([self.epoch, self._num_seen]),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned; the current epoch has the same rows again.

        Raises:
            DataError: the state belongs to a pool of another size.
        """
        if len(state["losses"]) != self.num_samples:
            found = len(state["losses"])
            raise DataError(f"The state holds {found} losses, but the pool has {self.num_samples} samples.")
        self.losses = state["losses"].clone()
        epoch, num_seen = state["counters"].tolist()
        self._start_epoch(epoch, num_seen, state["epoch_losses"].clone())

    def static_rows(self, num_keep: int) -> Tensor:
        """Return the rows with the highest last losses (ties: the lower row), int64 ``[num_keep]``, sorted.

        Raises:
            ConfigError: ``num_keep`` is not in ``[1, N]``.
        """
        if not 1 <= num_keep <= self.num_samples:
            raise ConfigError(f"num_keep must be in [1, {self.num_samples}], got {num_keep}.")
        return self.losses.cpu().sort(descending=True, stable=True).indices[:num_keep].sort().values

    def _start_epoch(self, epoch: int, num_seen: int, losses: Tensor) -> None:
        """Draw the rows and set the weights of an epoch from the losses ``[N]`` at its start."""
        self.epoch, self._num_seen, self._epoch_losses = epoch, num_seen, losses
        random = generator(self.seed, "infobatch", epoch)
        low = _below_mean(losses) & (epoch < self.first_annealed_epoch)  # [N]
        candidates = low.nonzero().squeeze(1)
        offset = float(torch.rand((), generator=random, dtype=torch.float64))
        num_low = math.floor(len(candidates) * (1 - self.pruning_ratio) + offset)
        kept = candidates[torch.randperm(len(candidates), generator=random)[:num_low]]
        rows = torch.cat([kept, (~low).nonzero().squeeze(1)])
        self._rows = rows[torch.randperm(len(rows), generator=random)]
        all_one = len(candidates) == 0 or self.pruning_ratio == 0
        weights = torch.where(low, 1 / (1 - self.pruning_ratio), 1.0).to(torch.float32)
        self._weights = None if all_one else weights


def _below_mean(losses: Tensor) -> Tensor:
    """Return where a loss ``[N]`` is below the mean; nowhere when all are equal, however the mean rounds."""
    wide = losses.to(torch.float64)
    return wide < wide.mean().clamp(max=wide.max())
