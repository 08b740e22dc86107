"""Stage ``joint_pruning``: AdaPruner's network and mask, trained together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.files import write_json
from secateur.core.group import is_rank_zero
from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.core.tables import ScoreTable
from secateur.data.order import Shuffled
from secateur.data.prepared import PreparedData
from secateur.dynamic.adapruner_schedule import AdaPrunerConstants, ScaleController
from secateur.runs.context import Context
from secateur.runs.cost import training_cost
from secateur.runs.keys import stage_reads
from secateur.runs.stages.warmup import warm_up
from secateur.training.callbacks.mask_tracker import MaskTracker, PoolFacts, SelectOn
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.progress import ProgressBar
from secateur.training.clocks import Clocks
from secateur.training.fit import finish_folder, fit
from secateur.training.modules.joint_pruning import Index, JointPruning
from secateur.training.recipe import Recipe

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class JointSettings(AdaPrunerConstants):
    """Settings of the warm-up and of the joint training.

    Args:
        optim: recipe of the joint training (``optim@method.optim=``).
        warmup_epochs: epochs on all data before; 0 starts from a fresh network.
        joint_epochs: epochs of the joint training.
        index: ``sample``, or ``position`` as the released script does.
        select_on: split on which the epoch of the mask is chosen, or ``last``; ``test`` is for parity only.
        ratio_tolerance: an epoch can be chosen when its raw kept fraction is nearer than this to the asked one.
        mask_lr: learning rate of the mask; null: the network's.
        mask_momentum: momentum of the mask; null: the network's.
        mask_weight_decay: weight decay of the mask; null: the network's.
    """

    optim: Recipe
    warmup_epochs: int
    joint_epochs: int
    index: Index = "sample"
    select_on: SelectOn = "last"
    ratio_tolerance: float = 0.02
    mask_lr: float | None = None
    mask_momentum: float | None = None
    mask_weight_decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint_epochs < 1 or self.warmup_epochs < 0:
            raise ConfigError(
                f"method.joint_epochs must be at least 1 and method.warmup_epochs at least 0, got {self.joint_epochs} "
                f"and {self.warmup_epochs}."
            )
        ScaleController(self, 1.0, self.joint_epochs, 1)  # refuses a cold start without end, before anything trains
        self._check_optim()

    def _check_optim(self) -> None:
        if self.optim.label_smoothing:
            raise ConfigError("method.optim.label_smoothing is not read by AdaPruner's objective; set it to 0.")
        if self.optim.optimizer != "sgd" and self.mask_momentum is not None:
            raise ConfigError(f"method.mask_momentum is not read by {self.optim.optimizer}; set it to null.")
        for key in ("mask_lr", "mask_momentum", "mask_weight_decay"):
            if (value := getattr(self, key)) is not None and value < 0:
                raise ConfigError(f"method.{key} must not be negative, got {value}.")

    @property
    def mask_optim(self) -> dict[str, float]:
        """What differs in the mask's parameter group."""
        given = {"lr": self.mask_lr, "momentum": self.mask_momentum, "weight_decay": self.mask_weight_decay}
        return {key: value for key, value in given.items() if value is not None}


def joint_prune(context: Context, method: JointSettings, pruning_ratio: float) -> StageResult:
    """Run (or find) the warm-up and the joint training; books the cost of both.

    Args:
        context: the run.
        method: its settings.
        pruning_ratio: the ratio the objective is driven to.
    """
    start = warm_up(context, method.warmup_epochs) if method.warmup_epochs else None
    not_read = ("exact_ratio", "finetune", "warmup_epochs", "joint_ratio")
    settings = {key: value for key, value in context.config.method.items() if key not in not_read}
    nodes = context.config.pick("model", "score_seed")
    nodes["evaluated_on"] = context.data.evaluation_fingerprint
    reads = stage_reads(context.config, **nodes, method=settings, ratio=pruning_ratio)
    key = stage_key("joint_pruning", VERSION, reads, context.data.fingerprint, [start.path.name] if start else [])
    result = context.store.get(
        *("joint_pruning", key),
        lambda folder: _train(context, folder, method, pruning_ratio, start.path if start else None),
        recompute=context.recompute,
    )
    context.book(result)
    return result


def _train(
    context: Context, folder: Path, method: JointSettings, pruning_ratio: float, start: Path | None
) -> dict[str, Any]:
    """Train in ``folder`` (resuming what lies there); write mask values, diagnostics and weights."""
    data, score_seed, clocks = context.data, context.config.score_seed, Clocks(context.trainer.device)
    model = context.fresh_model("model", stream_seed(score_seed, "joint-model"), start)
    seed = stream_seed(score_seed, "joint-training")
    loader = data.train_loader(Shuffled(data.pool, seed), method.optim.batch_size, seed, **context.placement)
    controller = ScaleController(method, 1 - pruning_ratio, method.joint_epochs, len(loader))
    module = JointPruning(
        *(model, method.optim, method.joint_epochs, seed),
        pool=data.pool,
        controller=controller,
        index=method.index,
        mask_optim=method.mask_optim,
    )
    splits = () if method.select_on == "last" else (method.select_on,)
    loaders = {str(split): context.evaluation(split) for split in splits}
    metrics = EpochMetrics(loaders, data.num_classes, clocks=clocks)
    facts = PoolFacts(data.pool_labels, data.flipped, data.num_classes)
    tracker = MaskTracker(metrics, facts, method.select_on, method.ratio_tolerance)
    callbacks = [metrics, tracker, ProgressBar("joint pruning", context.console)]
    fit(module, loader, context.trainer, folder, callbacks, max_epochs=method.joint_epochs, say=context.say)
    chosen, mask = tracker.chosen
    if is_rank_zero():
        _table(data, mask, chosen["epoch"]).save(folder / "scores.parquet")
        write_json(folder / "diagnostics.json", tracker.rows)
    finish_folder(folder, model, metrics)
    cost = training_cost(context, "joint_pruning", "model", metrics)
    return {"cost": cost.to_json(), "chosen": chosen, "last": tracker.rows[-1]}


def _table(data: PreparedData, mask: Tensor, epoch: int) -> ScoreTable:
    """Return mask logits ``[N]`` as a score table: the largest is kept first."""
    return ScoreTable(
        sample_id=data.pool,
        label=data.pool_labels,
        score=mask,
        observed=torch.ones(len(data.pool), dtype=torch.bool),
        fingerprint=data.fingerprint,
        metadata={"method": "adapruner", "epoch": epoch},
    )


def check_pool(context: Context, batch_size: int, select_on: SelectOn) -> None:
    """Raise :class:`ConfigError` when the pool is too small for joint pruning, or nothing is held out to select on."""
    if context.num_total < 2:
        raise ConfigError(f"AdaPruner needs at least 2 training samples, got {context.num_total}.")
    if batch_size > context.num_total:
        raise ConfigError(
            f"method.optim.batch_size={batch_size} is larger than the pool of {context.num_total} samples. Use a "
            "smaller batch."
        )
    if select_on == "validation" and not len(context.data.validation):
        raise ConfigError(
            "method.select_on=validation needs samples to select on: set data.validation_fraction, or select_on=last."
        )
