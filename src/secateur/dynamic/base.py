"""What every dynamic policy is: which rows an epoch sees, in which order and with what loss weight.

A *row* is a position in the pool (see :mod:`secateur.core.ids`). Tensor legend: N samples, B batch.
"""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class DynamicPolicy(Protocol):
    """Which pool rows an epoch sees, in which order, and with what weight.

    A training calls, for epoch 0, 1, ... and in this order: :meth:`rows` once or more, :meth:`weights` and
    :meth:`observe` for every step, :meth:`end_epoch` after the last step. A policy draws from its own
    streams only and never touches a global seed. Under data parallelism every process holds the same policy
    and observes the rows and losses of all processes.

    A policy of one's own subclasses this class; only :meth:`static_rows` has a default. The share of the visits and
    the samples that were trained on are counted by the training (:class:`secateur.training.sampling.Sampling`), not by
    the policy.

    Attributes:
        num_epochs: length of the training.
    """

    num_epochs: int

    def num_rows(self, epoch: int) -> int:
        """Return the exact number of rows of an epoch."""
        ...

    def rows(self, epoch: int) -> Tensor:
        """Return the rows of an epoch, int64 ``[num_rows(epoch)]`` in training order, without duplicates.

        They are a function of the seed, the epoch and the losses observed before the epoch: every call
        within an epoch gives the same rows, also after a save and a restore.
        """
        ...

    def weights(self, rows: Tensor) -> Tensor | None:
        """Return the loss weights of rows in the current epoch, float32 ``[B]``; None: all are one."""
        ...

    def observe(self, rows: Tensor, losses: Tensor) -> None:
        """Take in the per-sample losses ``[B]`` of a training step, before any weighting."""
        ...

    def end_epoch(self, epoch: int) -> None:
        """Close an epoch; what was observed in it takes effect from here on."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state (tensors only, safe for ``weights_only`` loading)."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned."""
        ...

    def static_rows(self, num_keep: int) -> Tensor | None:
        """Return a static subset read from the finished policy, or None where the policy has none.

        Nothing was trained on this subset, so it is exported and enters no table.

        Args:
            num_keep: number of rows asked for.

        Returns:
            int64 ``[num_keep]``, increasing; None by default.
        """
        return None
