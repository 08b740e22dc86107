"""Stage ``joint_pruning``: AdaPruner's network and mask, trained together."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from secateur.dynamic.adapruner_schedule import ScaleController
from secateur.runs.config import stage_reads
from secateur.runs.context import Context
from secateur.runs.cost import training_cost
from secateur.runs.stages.warmup import warm_up
from secateur.training.callbacks.mask_tracker import MaskTracker, PoolFacts, SelectOn
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.progress import ProgressBar
from secateur.training.clocks import Clocks
from secateur.training.fit import finish_folder, fit
from secateur.training.modules.joint_pruning import JointPruning

if TYPE_CHECKING:
    from secateur.runs.methods.adapruner import AdaPruner

VERSION = 1


def joint_prune(context: Context, method: "AdaPruner", pruning_ratio: float) -> StageResult:
    """Run (or find) the warm-up and the joint training; books the cost of both.

    Args:
        context: the run.
        method: its settings.
        pruning_ratio: the ratio the objective is driven to.
    """
    start = warm_up(context, method.warmup_epochs) if method.warmup_epochs else None
    not_read = ("exact_ratio", "finetune", "warmup_epochs", "joint_ratio")
    settings = {key: value for key, value in context.config["method"].items() if key not in not_read}
    nodes = {key: context.config[key] for key in ("model", "score_seed")}
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
    context: Context, folder: Path, method: "AdaPruner", pruning_ratio: float, start: Path | None
) -> dict[str, Any]:
    """Train in ``folder`` (resuming what lies there); write mask values, diagnostics and weights."""
    data, score_seed, clocks = context.data, context.config["score_seed"], Clocks(context.trainer.device)
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
