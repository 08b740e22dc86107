"""Random clusters, whole: the control of feature mapping on clusters, from the same clusters."""

from dataclasses import dataclass
from typing import Any, ClassVar

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.ranking import group_sizes
from secateur.mapping.ranking import random_ranking
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.methods.groups import check_keep, draw_seed, keep_groups, plan_groups
from secateur.runs.plan import embeddings_plan, surrogate_plan
from secateur.runs.stages.mapping import check_kmeans, cluster_groups
from secateur.runs.stages.surrogate import surrogate


@dataclass(frozen=True, kw_only=True)
class RandomClusters(Method):
    """Keeps random k-means clusters of the surrogate's features, without labels or a downstream set.

    They are drawn by ``seed`` and ``score_seed``.

    Surrogate, features and clusters are those of ``feature_mapping`` with the same settings, so that only the choice
    among the clusters differs; it is booked like there.

    Args:
        num_clusters: clusters of k-means; there is no default, the paper's is not known.
        kmeans_backend: ``minibatch``, ``lloyd`` or ``faiss``.

    Raises:
        ConfigError: there are no or too few clusters, or there is no such backend.
    """

    NAME: ClassVar[str] = "method/random_clusters"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed", "scoring", "mapping"})
    drawn_by: ClassVar[tuple[str, ...]] = ("seed", "score_seed")
    num_clusters: int | None
    kmeans_backend: str

    def __post_init__(self) -> None:
        if self.num_clusters is None:
            raise ConfigError("random_clusters needs a number of clusters: set method.num_clusters.")
        check_kmeans(self.num_clusters, self.kmeans_backend)

    def prune(self, context: Context) -> Pruned:
        """Draw the clusters."""
        assert self.num_clusters is not None
        check_keep(context, self.num_clusters, clusters=True)
        groups = cluster_groups(context, surrogate(context), self.num_clusters, self.kmeans_backend)
        made_by: dict[str, Any] = {"method": "random_clusters", "num_clusters": self.num_clusters}
        about: dict[str, Any] = {"kind": "cluster", "fingerprint": context.data.fingerprint, "metadata": made_by}
        size = group_sizes(groups, self.num_clusters)
        return keep_groups(context, random_ranking(size, draw_seed(context), **about), groups)

    def check(self, context: Context) -> None:
        """Raise where so many clusters cannot do."""
        check_keep(context, self.num_clusters or 0, clusters=True)

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the surrogate, the pass that embeds the source, and the training on what is kept."""
        return plan_groups(context, [surrogate_plan(context), embeddings_plan(context)], clusters=True)
