"""RS2, repeated random subsets: a new random subset for every epoch.

Needs nothing from the training; memory O(N). It has no scoring cost at all, which makes it the baseline that
every other method has to beat at equal cost. It leaves out the same share of every epoch, but over the whole
training the network sees (nearly) all samples: where fewer samples are to be *stored*, it is no competitor.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.seeds import permutation


class RS2:
    r"""Repeated sampling of random subsets (RS2), with or without replacement across epochs.

    With replacement, each epoch draws ``K = num_keep`` of the N rows anew, independently of all other epochs.
    Without replacement, the epochs consume a random order of all rows in blocks of K. When fewer than K
    unused rows remain, the epoch takes them, is topped up at random from the used ones, and the next pass
    starts with all rows but those of this epoch. Either way an epoch holds no row twice.

    The rows of an epoch are a function of ``(seed, epoch)`` alone and nothing needs to be saved: a restart
    replays the passes before it, one permutation each.

    Reference: [RS2] Okanovic et al., Repeated Random Sampling for Minimizing the Time-to-Accuracy of
    Learning, ICLR 2024, arXiv 2305.18424.

    Args:
        num_samples: size N of the pool.
        num_keep: rows per epoch K, in ``[1, N]``.
        num_epochs: length of the training, at least 1.
        seed: what the subsets are drawn from.
        replacement: draw the epochs independently of each other.

    Raises:
        ConfigError: a count is out of range.

    Deviations:
        The last subset of a pass is shuffled: the topped-up rows do not always come last in the epoch.

    Example:
        >>> policy = RS2(num_samples=6, num_keep=2, num_epochs=3, seed=0)
        >>> sorted(torch.cat([policy.rows(epoch) for epoch in range(3)]).tolist())
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, num_samples: int, num_keep: int, num_epochs: int, seed: int, replacement: bool = False) -> None:
        if not 1 <= num_keep <= num_samples:
            raise ConfigError(f"num_keep must be in [1, {num_samples}], got {num_keep}.")
        if num_epochs < 1:
            raise ConfigError(f"num_epochs must be at least 1, got {num_epochs}.")
        self.num_samples = num_samples
        self.num_keep = num_keep
        self.num_epochs = num_epochs
        self.seed = seed
        self.replacement = replacement
        self._pass_number = -1
        self._pass = torch.empty(0, dtype=torch.int64)  # the blocks of one pass, one after the other

    def num_rows(self, epoch: int) -> int:
        """Return ``num_keep``: every epoch has the same length."""
        self._check_epoch(epoch)
        return self.num_keep

    def rows(self, epoch: int) -> Tensor:
        """Return the rows of an epoch, int64 ``[num_keep]``, in training order."""
        self._check_epoch(epoch)
        if self.replacement:
            return permutation(self.num_samples, self.seed, "rs2", epoch)[: self.num_keep]
        blocks = self.num_samples // self.num_keep
        if epoch <= blocks:
            number, block = 0, epoch
        else:  # a later pass is one block shorter: it starts without the last block of the pass before
            number, block = 1 + (epoch - blocks - 1) // blocks, (epoch - blocks - 1) % blocks
        self._go_to(number)
        return self._pass[block * self.num_keep : (block + 1) * self.num_keep].clone()

    def _go_to(self, number: int) -> None:
        """Move to a pass; an earlier one is replayed from the start."""
        if number < self._pass_number:
            self._pass_number = -1
        while self._pass_number < number:
            self._pass_number += 1
            self._pass = self._next_pass(self._pass_number)

    def _next_pass(self, number: int) -> Tensor:
        """Return the blocks of pass ``number``; ``self._pass`` holds the one before."""
        unused = torch.ones(self.num_samples, dtype=torch.bool)
        if number > 0:
            unused[self._pass[-self.num_keep :]] = False
        order = _shuffled(unused.nonzero().squeeze(1), self.seed, number, 0)
        num_full = len(order) // self.num_keep * self.num_keep
        rest = order[num_full:]
        used = torch.ones(self.num_samples, dtype=torch.bool)
        used[rest] = False
        top_up = _shuffled(used.nonzero().squeeze(1), self.seed, number, 1)[: self.num_keep - len(rest)]
        return torch.cat([order[:num_full], _shuffled(torch.cat([rest, top_up]), self.seed, number, 2)])

    def weights(self, rows: Tensor) -> Tensor | None:
        """Return None: all weights are one."""
        return None

    def observe(self, rows: Tensor, losses: Tensor) -> None:
        """Ignore the losses."""

    def end_epoch(self, epoch: int) -> None:
        """Do nothing: no epoch depends on what was observed."""

    @property
    def realized_pruning_ratio(self) -> float:
        """Share of every epoch that is left out."""
        return 1 - self.num_keep / self.num_samples

    def state_dict(self) -> dict[str, Tensor]:
        """Return an empty state: everything follows from the seed and the epoch."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore nothing."""

    def static_rows(self, num_keep: int) -> Tensor:
        """Return the subset of the last epoch, int64 ``[num_keep]``, increasing.

        Raises:
            ConfigError: ``num_keep`` is not the number of rows of an epoch.
        """
        if num_keep != self.num_keep:
            raise ConfigError(f"Every epoch of RS2 keeps {self.num_keep} rows, not {num_keep}.")
        return self.rows(self.num_epochs - 1).sort().values

    def _check_epoch(self, epoch: int) -> None:
        if not 0 <= epoch < self.num_epochs:
            raise ConfigError(f"epoch must be in [0, {self.num_epochs}), got {epoch}.")


def _shuffled(rows: Tensor, seed: int, *counters: int) -> Tensor:
    """Return some rows in a random order of one stream."""
    return rows[permutation(len(rows), seed, "rs2", *counters)]
