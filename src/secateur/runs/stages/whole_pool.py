"""Training the measuring network on the whole pool: what warm-up, surrogate and encoder share."""

from pathlib import Path
from typing import Any

from secateur.core.seeds import stream_seed
from secateur.data.order import Shuffled
from secateur.runs.config import Node
from secateur.runs.context import Context
from secateur.runs.cost import training_cost
from secateur.runs.modules import feature_monitor, make_module
from secateur.runs.paradigms import makes_views, passes_of
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.progress import ProgressBar
from secateur.training.clocks import Clocks
from secateur.training.fit import finish_folder, fit


def train_on_pool(
    context: Context, folder: Path, stage: str, *, paradigm: Node, optim: Node, num_epochs: int, seed: int
) -> dict[str, Any]:
    """Train ``model=`` on all samples in ``folder`` (resuming what lies there); return the stage's summary.

    Args:
        context: the run.
        folder: the stage's folder in the store.
        stage: its name, which also names its random streams.
        paradigm: node of the module.
        optim: node of the recipe.
        num_epochs: length.
        seed: seed of weights, order and augmentation.
    """
    clocks = Clocks(context.trainer.device)
    data, recipe, stream = context.data, context.recipe(optim), stream_seed(seed, stage)
    model = context.fresh_model("model", stream_seed(seed, f"{stage}-model"))
    module = make_module(context, paradigm, model, recipe, num_epochs=num_epochs, seed=stream)
    order, augment = Shuffled(data.pool, stream), not makes_views(module)
    loader = data.train_loader(order, recipe.batch_size, stream, augment=augment, **context.placement)
    monitor = feature_monitor(context, module)
    metrics = EpochMetrics({}, data.num_classes, context.trainer.evaluate_every, monitor=monitor, clocks=clocks)
    callbacks = [metrics, ProgressBar(stage, context.console)]
    fit(module, loader, context.trainer, folder, callbacks, max_epochs=num_epochs, say=context.say)
    finish_folder(folder, model, metrics)
    return {"cost": training_cost(context, stage, "model", metrics, passes=passes_of(module)).to_json()}
