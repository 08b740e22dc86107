"""The reference line: train on the whole pool."""

from typing import ClassVar

import torch

from secateur.core.ledger import StageCost
from secateur.core.mask import Mask
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.plan import final_plan, if_trained


class FullData(Method):
    """Keeps everything; the pruning ratio is not read."""

    NAME: ClassVar[str] = "method/full"
    reads: ClassVar[frozenset[str]] = frozenset()

    def prune(self, context: Context) -> Pruned:
        """Keep the whole pool."""
        return Pruned(full_mask(context))

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the training on everything."""
        return if_trained(context, final_plan(context, context.num_total))


def full_mask(context: Context) -> Mask:
    """Return the mask that keeps every sample of the pool."""
    keep = torch.ones(context.num_total, dtype=torch.bool)
    return Mask(context.data.pool, keep, context.data.fingerprint, {"method": "full"})
