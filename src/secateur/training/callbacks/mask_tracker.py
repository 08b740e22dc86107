"""What joint pruning did in each epoch, and which epoch's mask is taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.modules.joint_pruning import JointPruning

SelectOn = Literal["validation", "test", "last"]
NUM_BINS = 20


@dataclass(frozen=True)
class PoolFacts:
    """What diagnostics need to know of the pool: labels int64 ``[N]`` and flipped bool ``[N]``."""

    labels: Tensor
    flipped: Tensor
    num_classes: int


class MaskTracker(pl.Callback):
    """Appends one row of diagnostics per epoch and remembers the mask of the best admissible one.

    An epoch is admissible when its raw kept fraction (m > 0) is nearer than ``tolerance`` to the asked one. Without
    an admissible epoch, and with ``select_on="last"``, the last epoch's mask is taken. In the loss histograms and
    shares, kept are the ``round(N r)`` rows with the largest m.

    Args:
        metrics: measures the accuracies; must come before this callback.
        pool: labels of the pool.
        select_on: the split whose accuracy decides, or ``last``.
        tolerance: largest admissible distance to the asked keep fraction.
    """

    def __init__(self, metrics: EpochMetrics, pool: PoolFacts, select_on: SelectOn, tolerance: float) -> None:
        self.metrics, self.pool, self.select_on, self.tolerance = metrics, pool, select_on, tolerance
        self.rows: list[dict[str, Any]] = []
        self.best_epoch = -1
        self.best_accuracy = -1.0
        self.best_mask = torch.empty(0)
        self.last_mask = torch.empty(0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: JointPruning) -> None:  # type: ignore[override]
        """Describe the epoch; keep its mask if it is the best so far."""
        mask, losses = pl_module.mask_logits.detach().cpu().clone(), pl_module.epoch_losses().cpu()
        self.last_mask = mask
        keep_fraction = pl_module.controller.keep_fraction
        row = {"epoch": trainer.current_epoch, **self._describe(mask, losses, pl_module)}
        self.rows.append(row)
        if self.select_on == "last" or abs(row["raw_kept_fraction"] - keep_fraction) >= self.tolerance:
            return
        accuracy = self.metrics.last[self.select_on].accuracy
        if accuracy > self.best_accuracy:
            self.best_epoch, self.best_accuracy, self.best_mask = trainer.current_epoch, accuracy, mask

    @property
    def chosen(self) -> tuple[dict[str, Any], Tensor]:
        """The chosen epoch's row of diagnostics and its mask logits ``[N]``."""
        if self.best_epoch >= 0:
            return self.rows[self.best_epoch], self.best_mask
        return self.rows[-1], self.last_mask

    def _describe(self, mask: Tensor, losses: Tensor, module: JointPruning) -> dict[str, Any]:
        controller = module.controller
        num_keep = max(1, round(len(mask) * controller.keep_fraction))
        keep = torch.zeros(len(mask), dtype=torch.bool)
        keep[torch.argsort(-mask, stable=True)[:num_keep]] = True
        soft = torch.sigmoid(controller.state.scale * mask)
        raw = int((mask > 0).sum()) / len(mask)
        top = float(losses.nan_to_num(nan=0.0).max()) or 1.0
        noisy = bool(self.pool.flipped.any())
        return {
            "keep_fraction": controller.keep_fraction,
            "raw_kept_fraction": raw,
            "scale": controller.state.scale,
            "penalty": controller.state.penalty,
            "ratio_penalty": controller.state.penalty * (float(soft.mean()) - controller.keep_fraction) ** 2,
            "soft_mask_histogram": _histogram(soft, 1.0),
            "loss_histogram_top": top,
            "loss_histogram_kept": _histogram(losses[keep], top),
            "loss_histogram_pruned": _histogram(losses[~keep], top),
            "flipped_share_kept": _share(self.pool.flipped[keep]) if noisy else None,
            "flipped_share_pruned": _share(self.pool.flipped[~keep]) if noisy else None,
            "class_counts": torch.bincount(self.pool.labels[keep], minlength=self.pool.num_classes).tolist(),
            "class_totals": torch.bincount(self.pool.labels, minlength=self.pool.num_classes).tolist(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the rows and the best and last masks."""
        keys = ("rows", "best_epoch", "best_accuracy", "best_mask", "last_mask")
        return {key: getattr(self, key) for key in keys}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        for key, value in state_dict.items():
            setattr(self, key, value)


def _histogram(values: Tensor, top: float) -> list[int]:
    """Count finite values in equal bins of ``[0, top]``."""
    counts: list[int] = torch.histc(values[values.isfinite()], NUM_BINS, 0, top).int().tolist()
    return counts


def _share(values: Tensor) -> float | None:
    return float(values.float().mean()) if len(values) else None
