"""Between a dynamic policy (pool rows) and the training loop (sample ids): which samples an epoch sees."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from secateur.core.group import current
from secateur.core.ids import rows_of
from secateur.dynamic.base import DynamicPolicy


@dataclass(frozen=True)
class Visits:
    """What a training on a subset per epoch has visited.

    Attributes:
        share: visits that were trained on, over the ``N * epochs`` visits of a training on the whole pool.
        num_seen: distinct samples that were trained on at least once.
        sha256: hash of the samples of every epoch, in the order of the epochs: equal where the same was trained on.
    """

    share: float
    num_seen: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a stage's summary."""
        return asdict(self)


class Sampling(pl.Callback):
    """Lets a :class:`~secateur.dynamic.base.DynamicPolicy` choose the samples of each epoch and weigh their loss.

    It is an epoch order for the loader, a weighing function for the module, and a callback whose state lies in
    the checkpoint. It counts the visits of all processes, step by step; an epoch counts once it has ended, so that one
    which is begun again after an interruption counts once.

    Args:
        policy: the rule, which speaks of pool rows.
        pool: ids of the pool, int64 ``[N]``, strictly increasing.
        num_keep: size of the static subset the policy ends with.
    """

    def __init__(self, policy: DynamicPolicy, pool: Tensor, num_keep: int) -> None:
        self.policy = policy
        self.pool = pool
        self.num_keep = num_keep
        self._counts = torch.zeros(len(pool), dtype=torch.int64)  # [N], visits in the finished epochs
        self._epoch = torch.zeros(len(pool), dtype=torch.int64)  # [N], visits in the current one
        self._num_epochs = 0
        self._digest = bytes(32)

    def num_samples(self, epoch: int) -> int:
        """Return how many samples the epoch has; none after the last (the Trainer asks while it tears down)."""
        return self.policy.num_rows(epoch) if epoch < self.policy.num_epochs else 0

    def ids(self, epoch: int) -> Tensor:
        """Return the epoch's sample ids in training order, int64 ``[n_epoch]``."""
        return self.pool[self.policy.rows(epoch)]

    def weigh(self, sample_id: Tensor, losses: Tensor) -> Tensor:
        """Report the losses ``[B]`` of all processes to the policy and return the weighted mean of this one's."""
        rows = rows_of(sample_id.cpu(), self.pool)
        all_rows, all_losses = current().gather_rows(rows, losses.detach().float().cpu())
        self._epoch.index_add_(0, all_rows, torch.ones_like(all_rows))
        self.policy.observe(all_rows, all_losses)
        weights = self.policy.weights(rows)
        return losses.mean() if weights is None else (losses * weights.to(losses)).mean()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the epoch and close it, so that the next one's rows follow from what was observed."""
        visited = np.ascontiguousarray(self._epoch.numpy(), dtype="<i8")
        self._digest = hashlib.sha256(self._digest + visited.tobytes()).digest()
        self._counts += self._epoch
        self._epoch.zero_()
        self._num_epochs += 1
        self.policy.end_epoch(trainer.current_epoch)

    @property
    def visits(self) -> Visits:
        """What the finished epochs have visited; nothing before the first has ended."""
        possible = max(len(self.pool) * self._num_epochs, 1)
        return Visits(int(self._counts.sum()) / possible, int((self._counts > 0).sum()), self._digest.hex())

    def state_dict(self) -> dict[str, Any]:
        """Return the policy's state and the visits so far, tensors only."""
        digest = torch.frombuffer(bytearray(self._digest), dtype=torch.uint8).clone()
        return {
            "policy": self.policy.state_dict(),
            "visits": {"counts": self._counts.clone(), "epochs": torch.tensor(self._num_epochs), "digest": digest},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.policy.load_state_dict(state_dict["policy"])
        visits = state_dict["visits"]
        self._counts, self._num_epochs = visits["counts"].clone(), int(visits["epochs"])
        self._digest = bytes(visits["digest"].tolist())
