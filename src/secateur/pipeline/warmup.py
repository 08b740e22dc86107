"""Stage ``warmup``: the measuring network trained on the whole pool, shared by everything that starts from it."""

from pathlib import Path
from typing import Any

from secateur.core.ledger import StageCost
from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.data.order import Shuffled
from secateur.pipeline.config import stage_reads
from secateur.pipeline.context import Context
from secateur.pipeline.costs import training_cost
from secateur.pipeline.paradigms import make_module, passes_of
from secateur.training.fit import finish_folder, fit
from secateur.training.metrics import EpochMetrics
from secateur.training.progress import ProgressBar

VERSION = 1


def warm_up(context: Context, num_epochs: int) -> StageResult:
    """Train the measuring network on all data, or find it trained; books its cost."""
    config = context.config
    nodes = {key: config[key] for key in ("model", "paradigm", "optim", "score_seed")}
    key = stage_key("warmup", VERSION, stage_reads(config, **nodes, num_epochs=num_epochs), context.data.fingerprint)
    result = context.store.get(
        "warmup", key, lambda folder: _train(context, folder, num_epochs), recompute=context.recompute
    )
    context.ledger.add(StageCost.from_json(result.summary["cost"], reused=result.reused))
    return result


def _train(context: Context, folder: Path, num_epochs: int) -> dict[str, Any]:
    config, data = context.config, context.data
    recipe, seed = context.recipe(config["optim"]), stream_seed(config["score_seed"], "warmup")
    model = context.fresh_model("model", stream_seed(config["score_seed"], "warmup-model"))
    loader = data.train_loader(Shuffled(data.pool, seed), recipe.batch_size, seed, **context.placement)
    module = make_module(context, config["paradigm"], model, recipe, num_epochs=num_epochs, seed=seed)
    metrics = EpochMetrics({}, data.num_classes)
    callbacks = [metrics, ProgressBar("warm-up", context.console)]
    fit(module, loader, context.trainer, folder, callbacks, max_epochs=num_epochs)
    finish_folder(folder, model, metrics)
    return {"cost": training_cost(context, "warmup", "model", metrics, passes=passes_of(module)).to_json()}
