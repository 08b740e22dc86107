"""AdaPruner's LightningModule: the network and one mask logit per sample, trained together."""

from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from secateur.core.errors import ConfigError
from secateur.core.ids import rows_of
from secateur.data.batch import Batch
from secateur.dynamic.adapruner import adapruner_loss
from secateur.dynamic.adapruner_schedule import ScaleController
from secateur.models.backbone import Backbone
from secateur.training.modules.classifier import Classifier
from secateur.training.recipe import Recipe

Index = Literal["sample", "position"]


class JointPruning(Classifier):
    """Joint pruning and fine-tuning.

    Args:
        model: the network, warmed up or fresh.
        recipe: optimizer of the network; its curve drives the mask's rate too.
        num_epochs: joint epochs.
        seed: seed of in-model randomness.
        pool: ids of the pool, int64 ``[N]``, strictly increasing.
        controller: scale and penalty.
        index: ``sample`` ties a mask logit to its sample; ``position`` to the place in the shuffled epoch, as the
            released script does (sample n meets a different logit in every epoch).
        mask_optim: settings of the mask's own parameter group that differ from the network's
            (``lr``, ``momentum``, ``weight_decay``).

    Raises:
        ConfigError: a batch is larger than the pool.
    """

    def __init__(
        self,
        model: Backbone,
        recipe: Recipe,
        num_epochs: int,
        seed: int,
        *,
        pool: Tensor,
        controller: ScaleController,
        index: Index = "sample",
        mask_optim: dict[str, float] | None = None,
    ) -> None:
        super().__init__(model, recipe, num_epochs, seed)
        if recipe.batch_size > len(pool):
            raise ConfigError(f"A batch of {recipe.batch_size} is larger than the pool of {len(pool)} samples.")
        self.controller, self.index, self.mask_optim = controller, index, mask_optim or {}
        self.mask_logits = nn.Parameter(torch.full((len(pool),), controller.constants.initial_mask))
        self.pool: Tensor
        self.register_buffer("pool", pool, persistent=False)
        self.last_loss = torch.empty(0)  # per pool row, of this epoch and process; for diagnostics

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the network's groups and one for the mask."""
        optimizer = self.recipe.build_optimizer(self.model)
        group = {"lr": self.recipe.lr, "weight_decay": self.recipe.weight_decay, **self.mask_optim}
        optimizer.add_param_group({"params": [self.mask_logits], **group, "initial_lr": group["lr"]})
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's losses."""
        super().on_train_epoch_start()
        self.last_loss = torch.full((len(self.pool),), float("nan"), device=self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the joint objective and move scale and penalty."""
        mask = self.mask_logits[self._rows(batch, batch_idx)]
        features = self.model.features(batch.x)
        logits = self.model.head(features)
        scale = self.controller.state.scale
        soft = torch.sigmoid(scale * mask.detach())
        counts = _all_sum(soft.sum(), (mask > 0).sum(), self._binary(soft).sum(), torch.tensor(float(len(mask))))
        keep_sum, hard, binary, size = counts
        loss = adapruner_loss(
            *(logits, batch.y, mask, scale, self.controller.keep_fraction),
            self.controller.penalty(self.current_epoch),
            share=len(mask) * _world_size() / float(size),
            global_keep=(keep_sum / size).to(mask),
        )
        self.controller.end_step(self.current_epoch, float(hard / size), float(binary / size))
        self._note_samples(batch, logits, loss.total)
        return {"loss": loss.total, "logits": logits.detach(), "features": features.detach()}

    def epoch_losses(self) -> Tensor:
        """Return the loss of every pool row in this epoch, over all processes, float ``[N]``; nan if not visited."""
        losses = self.last_loss.nan_to_num(nan=-1.0)  # a cross-entropy is never negative
        if distributed.is_initialized():
            distributed.all_reduce(losses, distributed.ReduceOp.MAX)
        return torch.where(losses < 0, float("nan"), losses)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Freeze the mask in a cold start: without a gradient, neither momentum nor weight decay moves it."""
        if self.controller.is_cold(self.current_epoch):
            self.mask_logits.grad = None

    def on_train_epoch_end(self) -> None:
        """Slow down if the epoch had too many steps below the asked ratio."""
        self.controller.end_epoch()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save scale and penalty."""
        checkpoint["controller"] = self.controller.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore scale and penalty."""
        self.controller.load_state_dict(checkpoint["controller"])

    def _rows(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the rows of the mask that a batch meets, int64 ``[B]``."""
        if self.index == "sample":
            return rows_of(batch.sample_id, self.pool)
        start = batch_idx * self.recipe.batch_size + _offset(len(batch.y), self.device)
        return torch.arange(start, start + len(batch.y), device=self.device)

    def _binary(self, soft: Tensor) -> Tensor:
        margin = self.controller.constants.binary_margin
        return (soft < margin) | (soft > 1 - margin)

    def _note_samples(self, batch: Batch, logits: Tensor, total: Tensor) -> None:
        """Keep the losses for the epoch's diagnostics and for the check that they are finite."""
        with torch.no_grad():
            losses = nn.functional.cross_entropy(logits.float(), batch.y, reduction="none")
            self.last_loss[rows_of(batch.sample_id, self.pool)] = losses
        self._losses.append(total.detach())
        self._batch_sizes.append(len(losses))


def _world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _offset(size: int, device: torch.device) -> int:
    """Return how many samples of the step the processes before this one have."""
    if not distributed.is_initialized():
        return 0
    sizes = torch.zeros(_world_size(), dtype=torch.int64, device=device)
    sizes[distributed.get_rank()] = size
    distributed.all_reduce(sizes)
    return int(sizes[: distributed.get_rank()].sum())


def _all_sum(*values: Tensor) -> Tensor:
    """Return the sums over all processes of some scalars, float64 ``[len(values)]``."""
    stacked = torch.stack([value.detach().double().to(values[0].device) for value in values])
    if distributed.is_initialized():
        distributed.all_reduce(stacked)
    return stacked
