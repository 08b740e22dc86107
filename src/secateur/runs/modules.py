"""Build the LightningModule of a ``paradigm:`` node, and the monitor of one that trains without classes."""

import inspect
from typing import Any

from torch import Tensor

from secateur.core.seeds import permutation
from secateur.data.prepared import EVALUATION_BATCH
from secateur.models.backbone import Backbone
from secateur.runs.config import Node
from secateur.runs.context import Context
from secateur.runs.nodes import shared
from secateur.runs.paradigms import classifies
from secateur.training.monitor import FeatureMonitor
from secateur.training.recipe import Recipe

MOST_QUERIES, MOST_VOTERS = 5_000, 20_000


def make_module(context: Context, node: Node, model: Backbone, recipe: Recipe, **settings: Any) -> Any:
    """Build the LightningModule of a paradigm.

    Args:
        context: the run.
        node: a ``paradigm:`` node.
        model: the network it trains.
        recipe: how.
        **settings: what else it is called with: ``num_epochs``, ``seed`` and, where it has to, ``sampling``.

    Returns:
        The module; the data's ``normalization`` is passed to those that have such an argument.
    """
    factory = shared(node)
    if "normalization" in inspect.signature(factory).parameters:
        settings["normalization"] = context.data.normalization
    return factory(model, recipe, **settings)


def feature_monitor(context: Context, module: Any) -> FeatureMonitor | None:
    """Return the monitor of a module that trains features without classes; None for one that classifies.

    A diagnostic: labels enter ``metrics.csv`` and nothing else, and nothing of it is booked. Queries are the
    validation split, or without one a tenth of the pool; voters are other samples of the pool, whatever a mask keeps of
    it, so that the numbers of two masks compare. The test split is not read. The samples are the same for every seed.

    Args:
        context: the run.
        module: what is trained.
    """
    if classifies(module):
        return None
    queries, voters = _shuffled(context, context.data.validation), _shuffled(context, context.data.pool)
    if not len(queries):
        share = max(1, len(voters) // 10)
        queries, voters = voters[:share], voters[share:]
    chosen = {"queries": queries[:MOST_QUERIES], "voters": voters[:MOST_VOTERS]}
    loaders = {
        name: lambda ids=ids: context.data.eval_loader(ids, EVALUATION_BATCH, **context.placement)
        for name, ids in chosen.items()
    }
    return FeatureMonitor(**loaders)


def _shuffled(context: Context, sample_ids: Tensor) -> Tensor:
    """Return samples of the classes there are (``relabel`` leaves some out), in an order of their own."""
    there = sample_ids[context.data.labels[sample_ids] >= 0]
    return there[permutation(len(there), 0, "monitor")]
