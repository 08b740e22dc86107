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

    @property
    def realized_pruning_ratio(self) -> float:
        """Share of all samples of all finished epochs that were left out."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state (tensors only, safe for ``weights_only`` loading)."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned."""
        ...

    def static_rows(self, num_keep: int) -> Tensor:
        """Return the final static subset: exactly ``num_keep`` rows, int64, increasing."""
        ...
