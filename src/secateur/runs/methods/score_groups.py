"""Whole classes by a sample-wise score: moderate, GraNd and any other scorer as baselines that keep classes."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.ranking import group_sizes
from secateur.mapping.ranking import group_mean_scores, score_ranking
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.methods.groups import check_keep, class_plan_is_bound, keep_groups, plan_groups
from secateur.runs.plan import scoring_plan
from secateur.runs.stages.mapping import class_groups
from secateur.runs.stages.scoring import measure


@dataclass(frozen=True)
class ScoreGroups(Method):
    """Keeps the classes with the highest mean score; the sample-wise counterpart is ``method=score``.

    Raises:
        ConfigError: when run: the score is ranked within classes (``score.rank_within=class``), so that all classes
            have the same mean.
        DataError: when run: the pool lacks a class.
    """

    NAME: ClassVar[str] = "method/score_groups"
    reads: ClassVar[frozenset[str]] = frozenset(
        {"pruning_ratio", "score_seed", "score", "variant", "scoring", "mapping"}
    )

    def prune(self, context: Context) -> Pruned:
        """Score the pool, rank the classes by their mean, and keep some."""
        self.check(context)
        num_classes, groups = context.data.num_classes, class_groups(context)
        measured = measure(context)
        table = measured.table
        means = group_mean_scores(table, groups, num_classes)
        made_by: dict[str, Any] = {"method": "score_groups", "score": context.config.score}
        about: dict[str, Any] = {"fingerprint": context.data.fingerprint, "metadata": made_by}
        pruned = keep_groups(context, score_ranking(means, group_sizes(groups, num_classes), **about), groups)
        modifiers = [context.choices.get("score", "score"), *pruned.facts["modifiers"]]
        return replace(
            pruned, scores=table, facts={**pruned.facts, "order_r2": measured.order_r2, "modifiers": modifiers}
        )

    def plans_at_most(self, context: Context) -> bool:
        """Whether the classes that are kept may hold fewer samples than planned."""
        return class_plan_is_bound(context)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the scoring of the pool, and the training on what is kept."""
        self.check(context)
        choosing = scoring_plan(context, context.num_total, context.config.scoring.max_epochs)
        return plan_groups(context, choosing)

    def check(self, context: Context) -> None:
        """Raise where the score's ranking has no mean per class, or so many classes cannot do."""
        if context.config.score.get("rank_within") == "class":
            raise ConfigError(
                "score_groups compares classes by their mean score, and ranks within classes have none to tell: set "
                "score.rank_within=all."
            )
        check_keep(context, context.data.num_classes)
