"""Keep the groups of the source that a downstream set resembles: label mapping and feature mapping."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.ranking import GroupRanking
from secateur.core.store import StageResult
from secateur.data.prepared import PreparedData
from secateur.data.recipe import DataRecipe
from secateur.mapping.combine import WAYS, How, combine
from secateur.mapping.feature_mapping import FeatureVotes
from secateur.mapping.label_mapping import LabelVotes
from secateur.mapping.ranking import TieBreak
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.methods.groups import check_keep, class_plan_is_bound, keep_groups, plan_groups
from secateur.runs.plan import embeddings_plan, forward_plan, surrogate_plan
from secateur.runs.pools import prepare_downstream
from secateur.runs.stages.finetune import downstream_of
from secateur.runs.stages.mapping import (
    Voting,
    check_kmeans,
    class_groups,
    cluster_groups,
    downstream_ranking,
    group_means,
)
from secateur.runs.stages.surrogate import surrogate

READS = frozenset({"pruning_ratio", "score_seed", "scoring", "mapping", "variant"})


@dataclass(frozen=True, kw_only=True)
class LabelMapping(Method):
    """Source classes by how many downstream images the surrogate takes for each (LM).

    [DP4TL] Zhang et al., NeurIPS 2023, arXiv 2310.08782.

    Args:
        tie_break: what orders classes with equal votes: ``soft`` (summed softmax), ``index`` or ``random``.
        combine: with further downstream sets, ``mean``, ``max`` or ``union`` of their rankings.
        further: further downstream sets that the pretraining is to serve, by name
            (``+data@method.further.NAME=OPTION``); the run is judged on ``downstream=``.
    """

    NAME: ClassVar[str] = "method/label_mapping"
    reads: ClassVar[frozenset[str]] = READS
    needs_downstream: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    tie_break: TieBreak
    combine: How
    further: Mapping[str, DataRecipe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_combine(self.combine)

    def prune(self, context: Context) -> Pruned:
        """Rank the source's classes and keep some."""
        sets = _downstream_sets(context, self.further)
        check_keep(context, context.data.num_classes)
        network, groups = surrogate(context), class_groups(context)
        counter = partial(LabelVotes, context.data.num_classes)
        about = {"method": "label_mapping", "kind": "class", "tie_break": self.tie_break}
        voting = Voting(network, counter, lambda step: step.logits, groups, about)
        return keep_groups(context, _ranking(context, self.combine, sets, voting), groups)

    def check(self, context: Context) -> None:
        """Raise where so many classes cannot do."""
        check_keep(context, context.data.num_classes)

    def plans_at_most(self, context: Context) -> bool:
        """Whether the classes that are kept may hold fewer samples than planned."""
        return class_plan_is_bound(context)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the surrogate, the passes over the downstream sets, and the training on what is kept."""
        return plan_groups(context, [surrogate_plan(context), *_votes_plan(context, self.further)])


@dataclass(frozen=True, kw_only=True)
class FeatureMapping(Method):
    """Source groups by how many downstream images are nearest to their mean feature (FM); clusters need no labels.

    [DP4TL] Zhang et al., NeurIPS 2023, arXiv 2310.08782.

    Args:
        grouping: ``class``, or ``kmeans`` of the surrogate's features.
        num_clusters: clusters of ``kmeans``; there is no default, the paper's is not known.
        kmeans_backend: ``minibatch``, ``lloyd`` or ``faiss``.
        tie_break: what orders groups with equal votes: ``soft`` (minus the mean distance), ``index`` or ``random``.
        combine: see :class:`LabelMapping`.
        further: see :class:`LabelMapping`.
    """

    NAME: ClassVar[str] = "method/feature_mapping"
    reads: ClassVar[frozenset[str]] = READS
    needs_downstream: ClassVar[bool] = True
    grouping: Literal["class", "kmeans"]
    num_clusters: int | None
    kmeans_backend: str
    tie_break: TieBreak
    combine: How
    further: Mapping[str, DataRecipe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_combine(self.combine)
        if (self.num_clusters is None) == (self.grouping == "kmeans"):
            raise ConfigError(
                f"method.grouping={self.grouping} and method.num_clusters={self.num_clusters} do not go "
                "together: kmeans needs a number of clusters, class takes none."
            )
        check_kmeans(self.num_clusters, self.kmeans_backend)

    def prune(self, context: Context) -> Pruned:
        """Rank the source's groups and keep some."""
        sets, num_groups = _downstream_sets(context, self.further), self.num_clusters or context.data.num_classes
        check_keep(context, num_groups, clusters=self.num_clusters is not None)
        network = surrogate(context)
        groups = self._groups(context, network)
        means = group_means(context, network, groups, num_groups, stored=self.num_clusters is not None)
        kind = "cluster" if self.num_clusters else "class"
        about = {"method": "feature_mapping", "kind": kind, "tie_break": self.tie_break}
        voting = Voting(network, partial(FeatureVotes, means), lambda step: step.features, groups, about)
        return keep_groups(context, _ranking(context, self.combine, sets, voting), groups)

    def check(self, context: Context) -> None:
        """Raise where so many groups cannot do."""
        num_groups = self.num_clusters or context.data.num_classes
        check_keep(context, num_groups, clusters=self.num_clusters is not None)

    def _groups(self, context: Context, network: StageResult) -> Tensor:
        if self.num_clusters is None:
            return class_groups(context)
        return cluster_groups(context, network, self.num_clusters, self.kmeans_backend)

    def plans_at_most(self, context: Context) -> bool:
        """Whether classes are kept, and these may hold fewer samples than planned."""
        return self.num_clusters is None and class_plan_is_bound(context)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the surrogate, the passes over source and downstream sets, and the training on what is kept.

        The arithmetic of k-means is not planned. Means of clusters take no pass: their features are stored.
        """
        clustered = self.num_clusters is not None
        embedding = [embeddings_plan(context)] if clustered else []
        means = forward_plan(context, "group_means", 0 if clustered else context.num_total)
        votes = _votes_plan(context, self.further)
        stages = [surrogate_plan(context), *embedding, means, *votes]
        return plan_groups(context, stages, clusters=clustered)


Named = tuple[str, PreparedData]


def _downstream_sets(context: Context, further: Mapping[str, DataRecipe]) -> list[Named]:
    """Return the run's downstream set and the further ones, each with its name."""
    own = downstream_of(context)
    others = [(name, prepare_downstream(recipe, context.data)) for name, recipe in further.items()]
    return [(own.name, own), *others]


def _ranking(context: Context, how: How, sets: list[Named], voting: Voting) -> GroupRanking:
    """Return the ranking by the downstream sets, combined."""
    rankings = [downstream_ranking(context, data, voting) for _, data in sets]
    if len(rankings) == 1:
        return rankings[0]
    return combine(rankings, how, {**voting.about, "downstream": [name for name, _ in sets], "combine": how})


def _votes_plan(context: Context, further: Mapping[str, DataRecipe]) -> list[StageCost]:
    if further:
        context.warn("The passes over further downstream sets are not planned.")
    return [forward_plan(context, "mapping", len(downstream_of(context).pool))]


def _check_combine(how: str) -> None:
    if how not in WAYS:
        raise ConfigError(f"method.combine must be one of {', '.join(WAYS)}; got {how!r}.")
