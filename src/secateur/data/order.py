"""Which samples an epoch visits, and in what order."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from secateur.core.ids import rows_of
from secateur.core.seeds import permutation


@runtime_checkable
class EpochOrder(Protocol):
    """The samples of every epoch, a function of the epoch alone: a resumed run repeats an undisturbed one."""

    def num_samples(self, epoch: int) -> int:
        """Return the number of samples of an epoch, without computing which."""

    def ids(self, epoch: int) -> Tensor:
        """Return the ``sample_id`` of an epoch in order, int64 ``[num_samples(epoch)]``."""


class InOrder:
    """The same samples in the same order every epoch, for evaluation.

    Args:
        sample_ids: int64 ``[n]``.
    """

    def __init__(self, sample_ids: Tensor) -> None:
        self.sample_ids = sample_ids

    def num_samples(self, epoch: int) -> int:
        """Return n."""
        return len(self.sample_ids)

    def ids(self, epoch: int) -> Tensor:
        """Return the ids as given."""
        return self.sample_ids


class Shuffled(InOrder):
    """All samples once per epoch, in an order that depends on ``(seed, epoch)`` alone.

    Args:
        sample_ids: int64 ``[n]``.
        seed: seed of the training.
    """

    def __init__(self, sample_ids: Tensor, seed: int) -> None:
        super().__init__(sample_ids)
        self.seed = seed

    def ids(self, epoch: int) -> Tensor:
        """Return the ids in the epoch's order."""
        return self.sample_ids[permutation(len(self.sample_ids), self.seed, "order", epoch)]


def positions(order: EpochOrder, sample_ids: Tensor, num_epochs: int) -> Tensor:
    """Return where in the order of each of the first epochs every sample comes, int64 ``[num_epochs, n]``.

    Args:
        order: visits every sample once per epoch.
        sample_ids: the samples, int64 ``[n]``, increasing.
        num_epochs: number of epochs.
    """
    places = torch.empty(num_epochs, len(sample_ids), dtype=torch.int64)
    for epoch, row in enumerate(places):
        row[rows_of(order.ids(epoch), sample_ids)] = torch.arange(len(sample_ids))
    return places
