"""Stage ``training``: the final network, trained on the kept samples. Keyed by what is kept, not by who chose it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.group import is_rank_zero
from secateur.core.ledger import StageCost
from secateur.core.mask import Mask
from secateur.core.names import named
from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.data.order import Shuffled
from secateur.runs.context import Context
from secateur.runs.cost import training_cost
from secateur.runs.keys import stage_reads
from secateur.runs.modules import feature_monitor, make_module
from secateur.runs.paradigms import classifies, makes_views, passes_of
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.progress import ProgressBar
from secateur.training.clocks import Clocks
from secateur.training.fit import finish_folder, fit, save_predictions
from secateur.training.modules.classifier import Passes
from secateur.training.sampling import Sampling

VERSION = 3
STATIC_MASK = "static_mask.parquet"


@dataclass(frozen=True)
class Trained:
    """A finished final training: its metrics, its cost and its folder in the store."""

    metrics: dict[str, Any]
    cost: StageCost
    path: Path
    summary: dict[str, Any]


def train_on_mask(context: Context, mask: Mask, start: Path | None = None, *, recompute: bool | None = None) -> Trained:
    """Train the final model on the kept samples of a mask, or find it trained in the store.

    Args:
        context: the run.
        mask: what is kept.
        start: a finished stage whose weights the training starts from (fine-tuning); None: from scratch.
        recompute: train again even if found in the store; None: as ``force`` says.
    """
    if context.config.relabel:
        context = replace(context, data=context.data.restricted_to(_kept_classes(context, mask)))
    upstream = [mask.sha256, *([start.name] if start else [])]
    reads = {**_reads(context), "max_epochs": final_epochs(context, mask.num_kept)}
    if context.config.relabel:
        reads["relabel"] = True
    key = stage_key("training", VERSION, reads, context.data.fingerprint, upstream)
    title = f"training on {mask.num_kept} of {len(mask)}"
    result = context.store.get(
        "training",
        key,
        lambda folder: _train(context, folder, title, kept=mask.kept_ids, start=start),
        recompute=bool(context.config.force) if recompute is None else recompute,
    )
    return _finish(context.tell("training", result))


def _kept_classes(context: Context, mask: Mask) -> Tensor:
    """Return the classes of which a mask keeps a sample, int64, increasing."""
    counts = torch.bincount(context.data.labels[mask.kept_ids], minlength=context.data.num_classes)
    return counts.nonzero().flatten()


def final_epochs(context: Context, num_kept: int) -> int:
    """Return how many epochs the final training has: ``trainer.max_epochs``, or what ``budget=steps`` makes of them.

    With ``budget=steps`` fewer samples are seen more often, so that a training on a part takes as many steps as one on
    the whole pool, and saves nothing.
    """
    num_epochs = context.trainer.max_epochs
    return num_epochs if context.config.budget == "epochs" else round(num_epochs * context.num_total / num_kept)


def train_with_policy(context: Context, sampling: Sampling) -> Trained:
    """Train the final model with a dynamic policy; keyed by the method, its ratio and ``score_seed``."""
    reads = _reads(context, "method", "pruning_ratio", "score_seed")
    key = stage_key("dynamic_training", VERSION, reads, context.data.fingerprint)
    result = context.store.get(
        "dynamic_training",
        key,
        lambda folder: _train(context, folder, "training on a subset per epoch", sampling=sampling),
        recompute=bool(context.config.force),
    )
    return _finish(context.tell("training", result))


def _reads(context: Context, *further: str) -> dict[str, Any]:
    config = context.config
    nodes = config.pick("retrain_model", "final_paradigm", "optim", "seed", *further)
    length = {"max_epochs": config.trainer.max_epochs, "evaluate_every": config.trainer.evaluate_every}
    return stage_reads(config, **nodes, **length, evaluated_on=context.data.evaluation_fingerprint)


def _train(
    context: Context,
    folder: Path,
    title: str,
    *,
    kept: Tensor | None = None,
    sampling: Sampling | None = None,
    start: Path | None = None,
) -> dict[str, Any]:
    """Train in ``folder`` (resuming what lies there), write weights and metrics, return the stage's summary."""
    config, data, settings = context.config, context.data, context.trainer
    recipe, clocks = context.recipe(config.optim), Clocks(settings.device)
    model = context.fresh_model("retrain_model", stream_seed(config.seed, "final-model"), start)
    seed = stream_seed(config.seed, "final-training")
    order = sampling or Shuffled(context.data.pool if kept is None else kept, seed)
    num_epochs = settings.max_epochs if kept is None else final_epochs(context, len(kept))
    module = make_module(
        *(context, config.final_paradigm, model, recipe),
        num_epochs=num_epochs,
        seed=seed,
        sampling=sampling,
    )
    loader = data.train_loader(order, recipe.batch_size, seed, augment=not makes_views(module), **context.placement)
    loaders = _loaders(context) if classifies(module) else {}
    metrics = EpochMetrics(
        *(loaders, data.num_classes, settings.evaluate_every),
        monitor=feature_monitor(context, module),
        listener=context.listener("training"),
        clocks=clocks,
    )
    callbacks = [metrics, *([sampling] if sampling else []), ProgressBar(title, context.console)]
    fit(
        *(module, loader, settings, folder, callbacks),
        max_epochs=num_epochs,
        reload_every_epoch=sampling is not None,
        say=context.say,
    )
    with clocks.measuring("evaluation"):
        robust_accuracy = _robust_accuracy(context, module)
    finish_folder(folder, model, metrics)
    save_predictions(folder, metrics, data.evaluation_fingerprint)
    if sampling is not None and is_rank_zero():
        _save_static_mask(context, sampling, folder)
    return _summary(context, metrics, passes_of(module), robust_accuracy, sampling)


def _robust_accuracy(context: Context, module: Any) -> float | None:
    """Return the last epoch's accuracy on the attacked test split, or None where nothing was trained against attacks.

    Like every evaluation it is no part of the cost in operations.
    """
    if not hasattr(module, "robust_accuracy"):
        return None
    module.to(context.trainer.device)  # the Trainer leaves it on the CPU
    accuracy: float = module.robust_accuracy(context.evaluation("test")(), context.trainer.precision)
    return accuracy


def _loaders(context: Context) -> dict[str, Any]:
    splits = ["validation"] if len(context.data.validation) else []
    return {split: context.evaluation(split) for split in (*splits, "test")}


def _save_static_mask(context: Context, sampling: Sampling, folder: Path) -> None:
    """Write the static subset that can be read from the finished policy, where it has one."""
    rows = sampling.policy.static_rows(sampling.num_keep)
    if rows is None:
        return
    from_rows = Mask.from_rows(
        context.data.pool,
        rows,
        fingerprint=context.data.fingerprint,
        metadata={"method": named(context.config.method), "pruning_ratio": context.config.pruning_ratio},
        num_rows=len(context.data.labels),
    )
    from_rows.save(folder / STATIC_MASK)


def _summary(
    context: Context,
    metrics: EpochMetrics,
    passes: Passes,
    robust_accuracy: float | None,
    sampling: Sampling | None,
) -> dict[str, Any]:
    test = metrics.last.get("test")
    validation = metrics.last.get("validation")
    cost = training_cost(context, "training", "retrain_model", metrics, passes=passes, pruning=False)
    return {
        "metrics": {
            "test_accuracy": test.accuracy if test else None,
            "test_accuracy_best": metrics.best("test"),
            "validation_accuracy": validation.accuracy if validation else None,
            "worst_class_accuracy": test.worst_class_accuracy if test else None,
            "class_accuracy": test.class_accuracies if test else None,
            "robust_accuracy": robust_accuracy,
        },
        "visits": sampling.visits.to_json() if sampling else None,
        "cost": cost.to_json(),
    }


def _finish(result: StageResult) -> Trained:
    cost = StageCost.from_json(result.summary["cost"], reused=result.reused)
    return Trained(result.summary["metrics"], cost, result.path, result.summary)
