"""Between a dynamic policy (pool rows) and the training loop (sample ids): which samples an epoch sees."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from secateur.core.group import current
from secateur.core.ids import rows_of
from secateur.dynamic.base import DynamicPolicy


class Sampling(pl.Callback):
    """Lets a :class:`~secateur.dynamic.base.DynamicPolicy` choose the samples of each epoch and weigh their loss.

    It is an epoch order for the loader, a weighing function for the module, and a callback whose state lies in
    the checkpoint.

    Args:
        policy: the rule, which speaks of pool rows.
        pool: ids of the pool, int64 ``[N]``, strictly increasing.
        num_keep: size of the static subset the policy ends with.
    """

    def __init__(self, policy: DynamicPolicy, pool: Tensor, num_keep: int) -> None:
        self.policy = policy
        self.pool = pool
        self.num_keep = num_keep

    def num_samples(self, epoch: int) -> int:
        """Return how many samples the epoch has; none after the last (the Trainer asks while it tears down)."""
        return self.policy.num_rows(epoch) if epoch < self.policy.num_epochs else 0

    def ids(self, epoch: int) -> Tensor:
        """Return the epoch's sample ids in training order, int64 ``[n_epoch]``."""
        return self.pool[self.policy.rows(epoch)]

    def weigh(self, sample_id: Tensor, losses: Tensor) -> Tensor:
        """Report the losses ``[B]`` of all processes to the policy and return the weighted mean of this one's."""
        rows = rows_of(sample_id.cpu(), self.pool)
        self.policy.observe(*current().gather_rows(rows, losses.detach().float().cpu()))
        weights = self.policy.weights(rows)
        return losses.mean() if weights is None else (losses * weights.to(losses)).mean()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the epoch, so that the next one's rows follow from what was observed."""
        self.policy.end_epoch(trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the policy's state."""
        return {"policy": self.policy.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the policy's state."""
        self.policy.load_state_dict(state_dict["policy"])
