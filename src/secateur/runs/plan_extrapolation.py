"""What scoring a part of the pool and predicting the rest will cost, before anything is trained."""

from secateur.core.ledger import StageCost
from secateur.extrapolation.base import Extrapolator
from secateur.runs.context import Context
from secateur.runs.nodes import shared
from secateur.runs.plan import embeddings_plan, scoring_plan
from secateur.runs.stages.extrapolation import labels_known, needs_network
from secateur.runs.subset import draw_subset


def extrapolation_plan(context: Context) -> list[StageCost]:
    """Return the cost of choosing by predicted scores: scoring a subset, embedding the pool, predicting.

    Warns where the extrapolator's own arithmetic is an estimate, or is not planned at all.

    Raises:
        ConfigError: the subset, or the extrapolator on a subset of this size, cannot work.
    """
    extrapolator: Extrapolator = shared(context.config.extrapolation)
    subset = draw_subset(context)
    num_observed = len(subset.sample_ids)
    extrapolator.check(num_observed, context.num_total)
    stages = scoring_plan(context, num_observed, subset.num_epochs)
    if needs_network(extrapolator) and not any(stage.stage == "embeddings" for stage in stages):
        stages.append(embeddings_plan(context))
    flops = _predicting_flops(context, extrapolator, num_observed)
    return [*stages, StageCost("extrapolation", 0, 0, flops=flops, seconds=0.0)]


def _predicting_flops(context: Context, extrapolator: Extrapolator, num_observed: int) -> float:
    """Return what an extrapolator says it will compute; nothing where it says nothing."""
    name, sizes = type(extrapolator).__name__, _sizes(context, extrapolator, num_observed)
    flops = extrapolator.planned_flops(*sizes)
    if flops is None:
        context.warn(f"{name} does not say what it will compute: its own arithmetic is not in the plan.")
        return 0.0
    if unplanned := extrapolator.unplanned:
        context.warn(f"{', '.join(unplanned)} do not say what they will compute: it is not in the plan.")
    if extrapolator.plans_at_most(*sizes):
        context.warn(f"What {name} will compute depends on what it finds: its own arithmetic is an upper bound.")
    return flops


def predicts_at_most(context: Context) -> bool:
    """Whether the planned cost of predicting is an upper bound; false without extrapolation."""
    if context.config.extrapolation is None:
        return False
    extrapolator: Extrapolator = shared(context.config.extrapolation)
    return extrapolator.plans_at_most(*_sizes(context, extrapolator, len(draw_subset(context).sample_ids)))


def _sizes(context: Context, extrapolator: Extrapolator, num_observed: int) -> tuple[int, int, int, int]:
    """Return N, M, the width of the embeddings (0 when there are none) and C (0 when labels are not known)."""
    num_features = context.model("model").num_features if needs_network(extrapolator) else 0
    num_classes = context.data.num_classes if labels_known(context) else 0
    return context.num_total, num_observed, num_features, num_classes
