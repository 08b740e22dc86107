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
from secateur.training.classifier import Classifier
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
        self.last_loss: Tensor
        self.register_buffer("pool", pool, persistent=False)
        self.register_buffer("last_loss", torch.full((len(pool),), float("nan")))  # per mask row, for diagnostics

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the network's groups and one for the mask."""
        optimizer = self.recipe.build_optimizer(self.model)
        group = {"lr": self.recipe.lr, "weight_decay": self.recipe.weight_decay, **self.mask_optim}
        optimizer.add_param_group({"params": [self.mask_logits], **group, "initial_lr": group["lr"]})
        return optimizer

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Compute the joint objective and move scale and penalty."""
        rows = self._rows(batch, batch_idx)
        mask = self.mask_logits[rows]
        if self.controller.is_cold(self.current_epoch):
            mask = mask.detach()  # no gradient at all: neither momentum nor weight decay moves it
        features = self.model.features(batch.x)
        logits = self.model.head(features)
        scale = self.controller.state.scale
        soft = torch.sigmoid(scale * mask.detach())
        counts = _all_sum(soft.sum(), (mask > 0).sum(), self._binary(soft).sum(), torch.tensor(float(len(rows))))
        keep_sum, hard, binary, size = counts
        loss = adapruner_loss(
            *(logits, batch.y, mask, scale, self.controller.keep_fraction),
            self.controller.penalty(self.current_epoch),
            share=len(rows) * _world_size() / float(size),
            global_keep=keep_sum / size,
        )
        self.controller.end_step(self.current_epoch, float(hard / size), float(binary / size))
        self._note(rows, logits, batch.y, loss.total)
        return {"loss": loss.total, "logits": logits.detach(), "features": features.detach()}

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
        if self.index == "sample":
            return rows_of(batch.sample_id, self.pool)
        start = batch_idx * self.recipe.batch_size
        return torch.arange(start, start + len(batch.y), device=self.device)

    def _binary(self, soft: Tensor) -> Tensor:
        margin = self.controller.constants.binary_margin
        return (soft < margin) | (soft > 1 - margin)

    def _note(self, rows: Tensor, logits: Tensor, target: Tensor, total: Tensor) -> None:
        """Keep the losses for the epoch's diagnostics and for the check that they are finite."""
        with torch.no_grad():
            self.last_loss[rows] = nn.functional.cross_entropy(logits.float(), target, reduction="none")
        self._losses.append(total.detach())
        self._batch_sizes.append(len(rows))


def _world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _all_sum(*values: Tensor) -> Tensor:
    """Return the sums over all processes of some scalars, float64 ``[len(values)]``."""
    stacked = torch.stack([value.detach().double().to(values[0].device) for value in values])
    if distributed.is_initialized():
        distributed.all_reduce(stacked)
    return stacked
