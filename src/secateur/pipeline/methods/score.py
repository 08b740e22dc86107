"""Score every sample, then select: the method behind most of the literature."""

from dataclasses import replace
from typing import ClassVar

from secateur.core.mask import keep_count
from secateur.pipeline.config import build
from secateur.pipeline.context import Context
from secateur.pipeline.methods.base import Pruned
from secateur.pipeline.scoring import observed_scores


class ScoreAndSelect:
    """Trains (or reuses) the scoring network, reads ``score=``, keeps what ``selection=`` chooses."""

    reads: ClassVar[frozenset[str]] = frozenset(
        {"pruning_ratio", "score_seed", "score", "selection", "variant", "scoring"}
    )

    def prune(self, context: Context) -> Pruned:
        """Score the pool and select."""
        config = context.config
        table = observed_scores(context)
        num_keep = keep_count(context.num_total, config["pruning_ratio"])
        mask = build(config["selection"])(table, num_keep, config["score_seed"])
        made_by = {"method": "score", **{k: config[k] for k in ("score", "pruning_ratio", "score_seed")}}
        return Pruned(replace(mask, metadata={**mask.metadata, **made_by}), scores=table)
