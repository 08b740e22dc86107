"""Stages ``groups`` and ``mapping``: groups of the source, and what a downstream set votes for among them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.group import is_rank_zero
from secateur.core.ledger import StageCost
from secateur.core.ranking import GroupRanking, group_sizes
from secateur.core.store import StageResult, stage_key
from secateur.data.prepared import EVALUATION_BATCH, PreparedData
from secateur.grouping.kmeans import BACKENDS, Clusters, KMeans
from secateur.grouping.labels import label_groups
from secateur.grouping.means import GroupMeans
from secateur.mapping.ranking import vote_ranking
from secateur.mapping.votes import VoteCounter
from secateur.runs.context import Context
from secateur.runs.keys import numerics_key
from secateur.runs.stages.embeddings import embed, embeddings_stage, pass_cost, stored_features
from secateur.training.clocks import Clocks
from secateur.training.evaluate import Forward, forward_pass

VERSION = 2


def class_groups(context: Context) -> Tensor:
    """Return the class of every row of the pool, int64 ``[N]``."""
    return label_groups(context.data.pool_labels, context.data.num_classes)


def check_kmeans(num_clusters: int | None, backend: str) -> None:
    """Raise :class:`ConfigError` unless k-means can have such settings; None: there are no clusters."""
    if num_clusters is not None and num_clusters < 2:
        raise ConfigError(f"method.num_clusters must be at least 2, got {num_clusters}.")
    if backend not in BACKENDS:
        raise ConfigError(f"method.kmeans_backend must be one of {', '.join(BACKENDS)}; got {backend!r}.")


def cluster_groups(context: Context, network: StageResult, num_clusters: int, backend: str) -> Tensor:
    """Return the k-means cluster of every row of the pool in the surrogate's features, int64 ``[N]``; books it."""
    embedded = embed(context, network)
    reads = {"num_clusters": num_clusters, "backend": backend, "score_seed": context.config.score_seed}
    reads["numerics"] = numerics_key(context.config)
    result = context.store.get(
        "groups",
        stage_key("groups", VERSION, reads, context.data.fingerprint, [embedded.stage.path.name]),
        lambda folder: _cluster(context, folder, embedded.embeddings, num_clusters, backend),
        recompute=context.recompute,
        by_one=True,
    )
    context.book(result)
    return Clusters.load(result.path / "clusters.safetensors").groups


def _cluster(context: Context, folder: Path, features: Tensor, num_clusters: int, backend: str) -> dict[str, Any]:
    clocks = Clocks(context.trainer.device)
    kmeans = KMeans(num_clusters, backend=backend)  # type: ignore[arg-type]
    with context.console.status(f"finding {num_clusters} clusters"):
        kmeans.fit(features, context.config.score_seed).save(folder / "clusters.safetensors")
    passes = kmeans.num_init * kmeans.max_iter  # at most; k-means says no more
    flops = 2.0 * features.numel() * num_clusters * passes
    return {"cost": StageCost("groups", 0, 0, flops=flops, **clocks.whole()).to_json()}


def group_means(
    context: Context, network: StageResult, groups: Tensor, num_groups: int, *, stored: bool = False
) -> Tensor:
    """Return the mean feature of every group, float64 ``[K, D]``; books what that takes.

    Args:
        context: the run.
        network: the surrogate.
        groups: group of every row of the pool, int64 ``[N]``.
        num_groups: number of groups K.
        stored: read the features from the stage ``embeddings``, for groups that were made of them; false: pass the pool
            through the network and keep none. The means are the same to the last bit.
    """
    upstream = embeddings_stage(context, network) if stored else network
    reads = {"num_groups": num_groups, "numerics": numerics_key(context.config), "groups": _digest(groups)}
    result = context.store.get(
        "group_means",
        stage_key("group_means", VERSION, reads, context.data.fingerprint, [upstream.path.name]),
        lambda folder: _means(context, folder, upstream, groups, num_groups, stored),
        recompute=context.recompute,
        by_one=stored,
    )
    context.book(result)
    return load_file(result.path / "means.safetensors")["means"]


def _means(
    context: Context, folder: Path, upstream: StageResult, groups: Tensor, num_groups: int, stored: bool
) -> dict[str, Any]:
    means, start, clocks = GroupMeans(num_groups), 0, Clocks(context.trainer.device)
    for features in stored_features(upstream) if stored else _pool_features(context, upstream):
        means.update(features, groups[start : start + len(features)])
        start += len(features)
    if is_rank_zero():
        save_file({"means": means.compute()}, folder / "means.safetensors")
    return {"cost": pass_cost(context, "group_means", 0 if stored else len(groups), clocks).to_json()}


def _pool_features(context: Context, network: StageResult) -> Iterator[Tensor]:
    return (step.features.cpu() for step in _passing(context, context.data, network))


@dataclass(frozen=True)
class Voting:
    """How downstream samples vote.

    Attributes:
        network: the surrogate.
        counter: makes a fresh counter of votes.
        signal: what of a pass the counter reads.
        groups: group of every row of the pool, int64 ``[N]``.
        about: ``method``, ``kind`` and ``tie_break``, for the key and the file.
    """

    network: StageResult
    counter: Callable[[], VoteCounter]
    signal: Callable[[Forward], Tensor]
    groups: Tensor
    about: Mapping[str, Any]


def downstream_ranking(context: Context, data: PreparedData, voting: Voting) -> GroupRanking:
    """Return the ranking of the source's groups by one downstream set's training images; books the pass over them.

    Args:
        context: the run.
        data: the downstream set.
        voting: how it votes.
    """
    seed = context.config.score_seed if voting.about["tie_break"] == "random" else None
    reads = {**voting.about, "seed": seed, "numerics": numerics_key(context.config), "groups": _digest(voting.groups)}
    reads["transform"] = _transform(data)
    upstream = [voting.network.path.name, data.fingerprint]
    result = context.store.get(
        "mapping",
        stage_key("mapping", VERSION, reads, context.data.fingerprint, upstream),
        lambda folder: _rank(context, folder, data, voting),
        recompute=context.recompute,
    )
    context.book(result)
    return GroupRanking.load(result.path / "ranking.parquet", context.data.fingerprint)


def _rank(context: Context, folder: Path, data: PreparedData, voting: Voting) -> dict[str, Any]:
    counter, clocks = voting.counter(), Clocks(context.trainer.device)
    for step in _passing(context, data, voting.network):
        counter.update(voting.signal(step))
    ranking = vote_ranking(
        *(counter.compute(), group_sizes(voting.groups, counter.num_groups)),
        tie_break=voting.about["tie_break"],
        seed=context.config.score_seed,
        kind=voting.about["kind"],
        fingerprint=context.data.fingerprint,
        metadata={**voting.about, "downstream": data.name},
    )
    if is_rank_zero():
        ranking.save(folder / "ranking.parquet")
    cost = pass_cost(context, "mapping", len(data.pool), clocks)
    return {"cost": cost.to_json(), "num_voters": counter.num_samples}


def _passing(context: Context, data: PreparedData, network: StageResult) -> Iterator[Forward]:
    """Return a pass of the surrogate over a pool, in its order."""
    model = context.fresh_model("model", 0, start=network.path).to(context.trainer.device)
    loader = data.eval_loader(data.pool, EVALUATION_BATCH, **context.placement)
    return forward_pass(model, loader, context.trainer.precision)


def _transform(data: PreparedData) -> dict[str, Any]:
    """Return how a data set's stored images become what a network sees; its fingerprint is of the stored ones."""
    return {**asdict(data.decoder), "mean": data.mean, "std": data.std}


def _digest(groups: Tensor) -> str:
    """Return a hash of the groups, for keys."""
    return hashlib.sha256(groups.numpy().tobytes()).hexdigest()[:16]
