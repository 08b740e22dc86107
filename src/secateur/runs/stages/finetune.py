"""Stage ``finetune``: a pretrained network adapted to the downstream data, and judged there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.data.order import Shuffled
from secateur.data.prepared import EVALUATION_BATCH, PreparedData
from secateur.models.backbone import Backbone
from secateur.runs.context import Context
from secateur.runs.flops import flops_per_forward
from secateur.runs.keys import data_key, foreign_code, numerics_key
from secateur.runs.modules import make_module
from secateur.runs.nodes import shared
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.progress import ProgressBar
from secateur.training.clocks import Clocks
from secateur.training.evaluate import forward_pass, worst_group_accuracy
from secateur.training.finetune import FineTuning, Mode
from secateur.training.fit import finish_folder, fit, save_predictions
from secateur.training.modules.classifier import Classifier
from secateur.training.modules.frozen import FeatureLoader, HeadOnly

VERSION = 2
ACCURACY = {"linear_probe": "linear_probe_accuracy", "full": "finetune_accuracy"}


@dataclass(frozen=True)
class Adapted:
    """A network on the downstream data: metrics for the record, costs, and the stages' folders by mode."""

    metrics: dict[str, Any]
    costs: list[StageCost]
    folders: Mapping[str, Path]


def adapt(context: Context, pretrained: Path) -> Adapted:
    """Fine-tune a pretrained network in every mode of ``finetune=``, or find it done.

    Args:
        context: the run; it has a downstream set.
        pretrained: folder of the finished pretraining.
    """
    tuning: FineTuning = shared(context.config.finetune)
    results = {mode: _mode(context, tuning, mode, pretrained) for mode in tuning.modes}
    metrics: dict[str, Any] = {}
    for mode, result in results.items():
        metrics.update(result.summary["metrics"])  # the last mode, full fine-tuning, is what the run is judged by
        metrics[ACCURACY[mode]] = result.summary["metrics"]["test_accuracy"]
    costs = [StageCost.from_json(result.summary["cost"], reused=result.reused) for result in results.values()]
    return Adapted(metrics, costs, {mode: result.path for mode, result in results.items()})


def _mode(context: Context, tuning: FineTuning, mode: Mode, pretrained: Path) -> StageResult:
    config, data = context.config, downstream_of(context)
    assert config.finetune is not None
    assert config.downstream is not None
    optim = config.finetune["optim"]
    probe = config.finetune["probe_optim"] or optim
    reads = {
        **config.pick("retrain_model", "final_paradigm", "seed"),
        **{"mode": mode, "optim": probe if mode == "linear_probe" else optim, "max_epochs": tuning.epochs(mode)},
        **{"reuse_head": tuning.reuse_head, "downstream": data_key(config.downstream)},
        **{"numerics": numerics_key(config), **foreign_code({"data": config.downstream})},
        "evaluated_on": data.evaluation_fingerprint,
    }
    result = context.store.get(
        "finetune",
        stage_key("finetune", VERSION, reads, data.fingerprint, [pretrained.name]),
        lambda folder: _finetune(context, folder, tuning, mode, pretrained),
        recompute=bool(config.force),
    )
    return context.tell(mode, result)


def downstream_of(context: Context) -> PreparedData:
    """Return the downstream data of a run that must have one."""
    if context.downstream is None:
        raise ConfigError("This needs a downstream set: add downstream=... and finetune=linear_probe, full or both.")
    return context.downstream


def _finetune(context: Context, folder: Path, tuning: FineTuning, mode: Mode, pretrained: Path) -> dict[str, Any]:
    data, seed = downstream_of(context), stream_seed(context.config.seed, f"finetune-{mode}")
    model = _with_head(context, tuning, seed, pretrained)
    train = _train_head if mode == "linear_probe" else _train_all
    clocks = Clocks(context.trainer.device)
    metrics, samples = train(context, folder, tuning, mode, model, seed, clocks)
    with clocks.measuring("evaluation"):
        summary = {**_metrics(context, model, metrics), "robust_accuracy": _robust_accuracy(context, model, seed)}
    finish_folder(folder, model, metrics)
    save_predictions(folder, metrics, data.evaluation_fingerprint)
    forward, backward = samples
    flops = (forward + 2 * backward) * flops_per_forward(model, data.image_shape)
    cost = StageCost(mode, forward, backward, flops=flops, **clocks.parts(), pruning=False)
    return {"metrics": summary, "cost": cost.to_json()}


def _with_head(context: Context, tuning: FineTuning, seed: int, pretrained: Path) -> Backbone:
    """Return the pretrained network with a fresh head, or with the source head as it is."""
    num_classes = downstream_of(context).num_classes
    state = load_file(pretrained / "model.safetensors")
    model = context.fresh_model("retrain_model", 0)
    model.reset_head(len(state["head.weight"]))  # a pretraining on relabeled classes has fewer
    model.load_state_dict(state)
    if not tuning.reuse_head:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model.reset_head(num_classes)
    elif num_classes > model.num_classes:
        raise ConfigError(
            f"finetune.reuse_head=true has {model.num_classes} outputs for the {num_classes} downstream classes. "
            "Set it to false."
        )
    return model.to(context.trainer.device)


def _train_all(
    context: Context, folder: Path, tuning: FineTuning, mode: Mode, model: Backbone, seed: int, clocks: Clocks
) -> tuple[EpochMetrics, tuple[int, int]]:
    """Train all weights with augmentation; return the metrics, and how many samples passed forward and backward."""
    data, recipe = downstream_of(context), tuning.recipe(mode)
    loader = data.train_loader(Shuffled(data.pool, seed), recipe.batch_size, seed, **context.placement)
    splits = ("validation", "test") if len(data.validation) else ("test",)
    loaders = {
        split: lambda split=split: data.eval_loader(split, EVALUATION_BATCH, **context.placement) for split in splits
    }
    metrics = _epochs(context, mode, loaders, model.num_classes, clocks)
    _fit(context, folder, Classifier(model, recipe, tuning.epochs(mode), seed), loader, metrics, "fine-tuning")
    return metrics, (metrics.num_samples, metrics.num_samples)


def _train_head(
    context: Context, folder: Path, tuning: FineTuning, mode: Mode, model: Backbone, seed: int, clocks: Clocks
) -> tuple[EpochMetrics, tuple[int, int]]:
    """Train the head on features that are computed once; return the metrics, and what passed through the network."""
    data, recipe = downstream_of(context), tuning.recipe(mode)
    order = Shuffled(data.pool, seed)
    loader = _features(context, model, data.pool, recipe.batch_size, order)
    splits = {"validation": data.validation} if len(data.validation) else {}
    stored = {name: _features(context, model, ids) for name, ids in {**splits, "test": None}.items()}
    loaders = {name: lambda split=split: split for name, split in stored.items()}
    metrics = _epochs(context, mode, loaders, model.num_classes, clocks)
    head = HeadOnly(model.head)
    _fit(context, folder, Classifier(head, recipe, tuning.epochs(mode), seed), loader, metrics, "linear probe")
    return metrics, (len(data.pool), 0)


def _features(
    context: Context, model: Backbone, ids: Tensor | None, batch_size: int = EVALUATION_BATCH, order: Any = None
) -> FeatureLoader:
    """Return the features of some training samples (None: of the test split), with the test transform."""
    data = downstream_of(context)
    loader = data.eval_loader("test" if ids is None else ids, EVALUATION_BATCH, **context.placement)
    steps = [(s.features, s.batch.y, s.batch.sample_id) for s in forward_pass(model, loader, context.trainer.precision)]
    features, labels, sample_ids = (torch.cat(parts) for parts in zip(*steps, strict=True))
    return FeatureLoader(features, labels, sample_ids.cpu(), batch_size, order)


def _epochs(context: Context, mode: Mode, loaders: dict[str, Any], num_classes: int, clocks: Clocks) -> EpochMetrics:
    every, listener = context.trainer.evaluate_every, context.listener(mode)
    return EpochMetrics(loaders, num_classes, every, listener=listener, clocks=clocks)


def _fit(context: Context, folder: Path, module: Classifier, loader: Any, metrics: EpochMetrics, title: str) -> None:
    callbacks = [metrics, ProgressBar(title, context.console)]
    fit(module, loader, context.trainer, folder, callbacks, max_epochs=module.num_epochs, say=context.say)


def _metrics(context: Context, model: Backbone, metrics: EpochMetrics) -> dict[str, Any]:
    """Return what was measured on the downstream data after the last epoch."""
    test, validation = metrics.last["test"], metrics.last.get("validation")
    return {
        "test_accuracy": test.accuracy,
        "test_accuracy_best": metrics.best("test"),
        "validation_accuracy": validation.accuracy if validation else None,
        "worst_class_accuracy": test.worst_class_accuracy,
        "class_accuracy": test.class_accuracies,
        "worst_group_accuracy": _worst_group(context, model),
    }


def _worst_group(context: Context, model: Backbone) -> float | None:
    """Return the lowest accuracy of any (class, group) of the test split, where it has groups."""
    data = downstream_of(context)
    if data.test.groups is None:
        return None
    loader = data.eval_loader("test", EVALUATION_BATCH, **context.placement)
    return worst_group_accuracy(model.to(context.trainer.device), loader, data.test.groups, context.trainer.precision)


def _robust_accuracy(context: Context, model: Backbone, seed: int) -> float | None:
    """Return the accuracy under the attack of an adversarial pretraining, on the downstream test split."""
    recipe = context.recipe(context.config.optim)
    module = make_module(context, context.config.final_paradigm, model, recipe, num_epochs=1, seed=seed)
    if not hasattr(module, "robust_accuracy"):
        return None
    module.to(context.trainer.device)
    loader = downstream_of(context).eval_loader("test", EVALUATION_BATCH, **context.placement)
    accuracy: float = module.robust_accuracy(loader, context.trainer.precision)
    return accuracy
