"""Stage ``surrogate``: the measuring network trained on the whole source, once for all downstream sets and ratios."""

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


def surrogate(context: Context) -> StageResult:
    """Train the surrogate on the pool (``model=``, ``optim@scoring.optim``, ``scoring.max_epochs``), or find it."""
    config = context.config
    nodes = {key: config[key] for key in ("model", "paradigm", "score_seed")}
    recipe = {key: config["scoring"][key] for key in ("optim", "max_epochs")}
    result = context.store.get(
        "surrogate",
        stage_key("surrogate", VERSION, stage_reads(config, **nodes, **recipe), context.data.fingerprint),
        lambda folder: _train(context, folder),
        recompute=context.recompute,
    )
    context.ledger.add(StageCost.from_json(result.summary["cost"], reused=result.reused))
    return result


def _train(context: Context, folder: Path) -> dict[str, Any]:
    config, data = context.config, context.data
    num_epochs = config["scoring"]["max_epochs"]
    recipe, seed = context.recipe(config["scoring"]["optim"]), stream_seed(config["score_seed"], "surrogate")
    model = context.fresh_model("model", stream_seed(config["score_seed"], "surrogate-model"))
    module = make_module(context, config["paradigm"], model, recipe, num_epochs=num_epochs, seed=seed)
    order = Shuffled(data.pool, seed)
    loader = data.train_loader(order, recipe.batch_size, seed, augment=not module.makes_views, **context.placement)
    metrics = EpochMetrics({}, data.num_classes)
    callbacks = [metrics, ProgressBar("surrogate", context.console)]
    fit(module, loader, context.trainer, folder, callbacks, max_epochs=num_epochs)
    finish_folder(folder, model, metrics)
    return {"cost": training_cost(context, "surrogate", "model", metrics, passes=passes_of(module)).to_json()}
