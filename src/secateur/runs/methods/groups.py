"""From a ranking of groups to a mask: what all methods share that keep whole groups; and the groups at random."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.mask import keep_count
from secateur.core.ranking import GroupRanking, check_num_groups, group_sizes
from secateur.core.seeds import stream_seed
from secateur.mapping.keep import KeepRule, KeptGroups, group_mask
from secateur.mapping.ranking import random_ranking
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.nodes import shared
from secateur.runs.plan import final_plan, if_trained
from secateur.runs.stages.mapping import class_groups

LISTED = 20  # names of kept and of removed classes in the record


@dataclass(frozen=True)
class RandomGroups(Method):
    """Keeps random classes, drawn by :func:`draw_seed`; a higher ratio keeps some of those that a lower one keeps."""

    NAME: ClassVar[str] = "method/random_groups"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed", "mapping"})
    drawn_by: ClassVar[tuple[str, ...]] = ("seed", "score_seed")

    def prune(self, context: Context) -> Pruned:
        """Draw the classes."""
        groups = class_groups(context)
        size = group_sizes(groups, context.data.num_classes)
        about: dict[str, Any] = {"fingerprint": context.data.fingerprint, "metadata": {"method": "random_groups"}}
        return keep_groups(context, random_ranking(size, draw_seed(context), **about), groups)

    def check(self, context: Context) -> None:
        """Raise where so many classes cannot do, see :func:`check_keep`."""
        check_keep(context, context.data.num_classes)

    def plans_at_most(self, context: Context) -> bool:
        """Whether the classes that are kept may hold fewer samples than planned."""
        return class_plan_is_bound(context)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the training on what is kept."""
        return plan_groups(context, [])


def draw_seed(context: Context) -> int:
    """Return the seed of a random choice among groups: a baseline draws anew for every ``seed`` and ``score_seed``."""
    return stream_seed(context.config.score_seed, "random-groups", context.config.seed)


def check_keep(context: Context, num_groups: int, *, clusters: bool = False) -> None:
    """Raise before anything is trained where so many groups cannot do.

    Args:
        context: the run.
        num_groups: number of groups K.
        clusters: they are clusters, none of which may be empty; a class may be.

    Raises:
        ConfigError: there are fewer samples than clusters, or ``mapping:`` keeps more groups than there are, or none.
        DataError: there is one group only.
    """
    check_num_groups(num_groups)
    if clusters and num_groups > context.num_total:
        raise ConfigError(
            f"method.num_clusters={num_groups} is more than the {context.num_total} samples of {context.data.name}'s "
            "pool: lower it."
        )
    keep: KeepRule = shared(context.config.mapping)
    keep.check(num_groups, context.config.pruning_ratio)


def keep_groups(context: Context, ranking: GroupRanking, groups: Tensor) -> Pruned:
    """Keep groups by ``mapping:`` and ``pruning_ratio``, and say what that means for classes and samples."""
    keep: KeepRule = shared(context.config.mapping)
    ratio = context.config.pruning_ratio
    kept = keep(ranking, ratio)
    made_by = {"pruning_ratio": ratio, "keep_by": keep.name, "reverse": keep.reverse}
    mask = group_mask(ranking, kept, groups, context.data.pool, made_by)
    _warn(context, ranking, kept)
    return Pruned(mask, ranking=ranking, facts=_facts(context, ranking, kept, keep))


def plan_groups(context: Context, choosing: list[StageCost], *, clusters: bool = False) -> list[StageCost]:
    """Plan a method that keeps groups: what chooses them, and the training on what they hold.

    Which groups are kept is not known before. Of classes the most that they can hold is planned; how large clusters
    will be nobody knows, so of them the ratio's share is planned.

    Args:
        context: the run.
        choosing: the stages that choose.
        clusters: the groups are clusters.

    Raises:
        ConfigError: the rule of ``mapping:`` does not read the ratio, or would keep nothing.
    """
    if not (keep := shared(context.config.mapping)).reads_ratio:
        raise ConfigError(f"The cost of mapping.keep_by={keep.name} is not known before the groups are ranked.")
    if clusters:
        num_keep = keep_count(context.num_total, context.config.pruning_ratio)
        context.warn("How large clusters will be is not known before: the ratio's share is planned, it may be more.")
    else:
        fewest, num_keep = class_bounds(context)
        if fewest < num_keep:
            context.warn(
                f"Which classes are kept is not known before: the final training is planned on {num_keep:,} samples, "
                "an upper bound."
            )
    return [*choosing, *if_trained(context, final_plan(context, num_keep))]


def class_bounds(context: Context) -> tuple[int, int]:
    """Return the fewest and the most samples that ``mapping:`` and ``pruning_ratio`` can keep of whole classes."""
    size = group_sizes(class_groups(context), context.data.num_classes)
    bounds: tuple[int, int] = shared(context.config.mapping).bounds(size, context.config.pruning_ratio)
    return bounds


def class_plan_is_bound(context: Context) -> bool:
    """Whether the plan of a method that keeps whole classes is an upper bound."""
    fewest, most = class_bounds(context)
    return fewest < most


def _warn(context: Context, ranking: GroupRanking, kept: KeptGroups) -> None:
    if kept.num_zero_vote_groups:
        context.warn(
            f"{kept.num_zero_vote_groups} of the {len(kept)} kept groups have no vote (of all {len(ranking)}, "
            f"{ranking.num_zero_vote_groups} have none): only the tie-break ordered them."
        )


def _facts(context: Context, ranking: GroupRanking, kept: KeptGroups, keep: KeepRule) -> dict[str, Any]:
    """Return what the record's ``pruning`` block says of groups."""
    names = context.data.class_names if ranking.kind == "class" else [str(group) for group in range(len(ranking))]
    order = [names[group] for group in ranking.order.tolist()]
    return {
        "num_groups": len(ranking),
        "num_groups_kept": len(kept),
        "num_zero_vote_groups": ranking.num_zero_vote_groups,
        "num_zero_vote_groups_kept": kept.num_zero_vote_groups,
        "first_groups": order[:LISTED],
        "last_groups": order[-LISTED:],
        "modifiers": ["reverse"] if keep.reverse else [],
        "reads_ratio": keep.reads_ratio,
        "follows_ratio": keep.follows_ratio,
    }
