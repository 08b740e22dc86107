"""Score every sample, or some and predict the rest; then select: the method behind most of the literature."""

from dataclasses import replace
from typing import ClassVar

from secateur.core.ledger import StageCost
from secateur.core.mask import keep_count
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.nodes import build
from secateur.runs.plan import final_plan, if_trained, scoring_plan
from secateur.runs.plan_extrapolation import extrapolation_plan, predicts_at_most
from secateur.runs.stages.extrapolation import check_extrapolation, extrapolated_scores
from secateur.runs.stages.scoring import measure

MERGE_DEFAULT = "quantile_match"


class ScoreAndSelect(Method):
    """Trains (or reuses) the scoring network, reads ``score=``, keeps what ``selection=`` chooses.

    With ``extrapolation=`` the network is trained on a subset, and the scores of all other samples are predicted.
    """

    NAME: ClassVar[str] = "method/score"
    reads: ClassVar[frozenset[str]] = frozenset(
        {"pruning_ratio", "score_seed", "score", "selection", "variant", "scoring", "extrapolation"}
    )

    def prune(self, context: Context) -> Pruned:
        """Score the pool and select."""
        config = context.config
        num_keep = keep_count(context.num_total, config.pruning_ratio)
        predicted = extrapolated_scores(context) if config.extrapolation else None
        scored = predicted or measure(context)
        table = scored.table
        mask = build(config.selection)(table, num_keep, config.score_seed)
        made_by = {"method": "score", **config.pick("score", "pruning_ratio", "score_seed")}
        mask = replace(mask, metadata={**mask.metadata, **made_by})
        facts = {"order_r2": scored.order_r2}
        if predicted is None:
            return Pruned(mask, scores=table, facts=facts)
        return Pruned(
            *(mask, table),
            files=predicted.files,
            extrapolation=predicted.facts,
            facts={**facts, "modifiers": [config.merge] if config.merge != MERGE_DEFAULT else []},
        )

    def check(self, context: Context) -> None:
        """Raise :class:`ConfigError` where the pool is too small for the ratio, the subset or the extrapolation."""
        keep_count(context.num_total, context.config.pruning_ratio)
        if context.config.extrapolation:
            check_extrapolation(context)

    def plans_at_most(self, context: Context) -> bool:
        """Whether what the extrapolation will compute is planned at its upper bound."""
        return predicts_at_most(context)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the scoring, of the pool or of a subset and all that predicts the rest, and the final training."""
        config, num_total = context.config, context.num_total
        final = final_plan(context, keep_count(num_total, config.pruning_ratio))
        if config.extrapolation:
            choosing = extrapolation_plan(context)
        else:
            choosing = scoring_plan(context, num_total, config.scoring.max_epochs)
        return [*choosing, *if_trained(context, final)]
