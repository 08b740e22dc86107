"""The two halves of a run's computation: the method chooses, and the final network is trained on the choice."""

from dataclasses import replace

from secateur.runs.config import build
from secateur.runs.context import Context
from secateur.runs.final import Final, finish
from secateur.runs.methods.base import Pruned
from secateur.runs.stages.training import train_on_mask


def prune(context: Context) -> Pruned:
    """Let the method choose; its mask is told how many rows the training split has."""
    pruned: Pruned = build(context.config["method"]).prune(context)
    if pruned.mask is None:
        return pruned
    return replace(pruned, mask=replace(pruned.mask, num_rows=len(context.data.labels)))


def final_training(context: Context, pruned: Pruned) -> Final | None:
    """Train on the mask, unless the method already has or only the mask is wanted; books the cost."""
    trained = pruned.trained
    if trained is None:
        if not context.config["train_final"]:
            return None
        assert pruned.mask is not None, "a method without a mask trains the final network itself"
        trained = train_on_mask(context, pruned.mask)
    final = finish(context, trained)
    for cost in final.costs:
        context.ledger.add(cost)
    return final
