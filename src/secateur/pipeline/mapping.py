"""Stages ``groups`` and ``mapping``: groups of the source, and what a downstream set votes for among them."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from secateur.core.group import is_rank_zero
from secateur.core.ledger import StageCost
from secateur.core.ranking import GroupRanking, group_sizes
from secateur.core.store import StageResult, stage_key
from secateur.data.prepared import PreparedData
from secateur.data.recipe import DataRecipe
from secateur.grouping.kmeans import Clusters, KMeans
from secateur.grouping.labels import label_groups
from secateur.grouping.means import GroupMeans
from secateur.mapping.ranking import TieBreak, vote_ranking
from secateur.mapping.votes import VoteCounter
from secateur.pipeline.config import numerics_key
from secateur.pipeline.context import EVALUATION_BATCH, Context
from secateur.pipeline.downstream import prepare_downstream
from secateur.pipeline.embeddings import embed, pass_cost
from secateur.training.evaluate import Forward, forward_pass

VERSION = 1


def class_groups(context: Context) -> Tensor:
    """Return the class of every row of the pool, int64 ``[N]``."""
    return label_groups(context.data.pool_labels, context.data.num_classes)


def cluster_groups(context: Context, network: StageResult, num_clusters: int, backend: str) -> Tensor:
    """Return the k-means cluster of every row of the pool in the surrogate's features, int64 ``[N]``; books it."""
    embedded = embed(context, network)
    reads = {"num_clusters": num_clusters, "backend": backend, "score_seed": context.config["score_seed"]}
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
    started = time.monotonic()
    kmeans = KMeans(num_clusters, backend=backend)  # type: ignore[arg-type]
    with context.console.status(f"finding {num_clusters} clusters"):
        kmeans.fit(features, context.config["score_seed"]).save(folder / "clusters.safetensors")
    passes = kmeans.num_init * kmeans.max_iter  # at most; k-means says no more
    flops, seconds = 2.0 * features.numel() * num_clusters * passes, time.monotonic() - started
    return {"cost": StageCost("groups", 0, 0, flops=flops, seconds=seconds, device_seconds=seconds).to_json()}


def group_means(context: Context, network: StageResult, groups: Tensor, num_groups: int) -> Tensor:
    """Return the mean feature of every group, float64 ``[K, D]``, in one pass over the pool; books it."""
    reads = {"num_groups": num_groups, "numerics": numerics_key(context.config), "groups": _digest(groups)}
    result = context.store.get(
        "group_means",
        stage_key("group_means", VERSION, reads, context.data.fingerprint, [network.path.name]),
        lambda folder: _means(context, folder, network.path, groups, num_groups),
        recompute=context.recompute,
    )
    context.book(result)
    return load_file(result.path / "means.safetensors")["means"]


def _means(context: Context, folder: Path, network: Path, groups: Tensor, num_groups: int) -> dict[str, Any]:
    means, start = GroupMeans(num_groups), 0
    cost, steps = _passing(context, "group_means", context.data, network, context.data.pool)
    for step in steps:
        stop = start + len(step.features)
        means.update(step.features.cpu(), groups[start:stop])
        start = stop
    if is_rank_zero():
        save_file({"means": means.compute()}, folder / "means.safetensors")
    return {"cost": cost().to_json()}


def downstream_ranking(
    context: Context,
    recipe: DataRecipe | None,
    network: StageResult,
    counter: Callable[[], VoteCounter],
    signal: Callable[[Forward], Tensor],
    groups: Tensor,
    about: dict[str, Any],
) -> GroupRanking:
    """Return the ranking of the source's groups by one downstream set's training images; books the pass over them.

    Args:
        context: the run.
        recipe: a further downstream set; None: the run's own.
        network: the surrogate.
        counter: makes a fresh counter of votes.
        signal: what of a pass the counter reads.
        groups: group of every row of the pool, int64 ``[N]``.
        about: ``method``, ``kind`` and ``tie_break``, for the key and the file.
    """
    data = context.downstream if recipe is None else prepare_downstream(recipe, context.data)
    assert data is not None
    seed = context.config["score_seed"] if about["tie_break"] == "random" else None
    reads = {**about, "seed": seed, "numerics": numerics_key(context.config), "groups": _digest(groups)}
    result = context.store.get(
        "mapping",
        stage_key(*("mapping", VERSION, reads, context.data.fingerprint), [network.path.name, data.fingerprint]),
        lambda folder: _rank(context, folder, data, network.path, counter(), signal, groups, about),
        recompute=context.recompute,
    )
    context.book(result)
    return GroupRanking.load(result.path / "ranking.parquet", context.data.fingerprint)


def _rank(
    context: Context,
    folder: Path,
    data: PreparedData,
    network: Path,
    counter: VoteCounter,
    signal: Callable[[Forward], Tensor],
    groups: Tensor,
    about: dict[str, Any],
) -> dict[str, Any]:
    cost, steps = _passing(context, "mapping", data, network, data.pool)
    for step in steps:
        counter.update(signal(step))
    tie_break: TieBreak = about["tie_break"]
    ranking = vote_ranking(
        *(counter.compute(), group_sizes(groups, counter.num_groups)),
        tie_break=tie_break,
        seed=context.config["score_seed"],
        kind=about["kind"],
        fingerprint=context.data.fingerprint,
        metadata={**about, "downstream": data.name},
    )
    if is_rank_zero():
        ranking.save(folder / "ranking.parquet")
    return {"cost": cost().to_json(), "num_voters": counter.num_samples}


def _passing(
    context: Context, stage: str, data: PreparedData, network: Path, ids: Tensor
) -> tuple[Callable[[], StageCost], Any]:
    """Return a pass of the surrogate over some training samples, and what it cost when it is over."""
    model = context.fresh_model("model", 0, start=network).to(context.trainer.device)
    started, loader = time.monotonic(), data.eval_loader(ids, EVALUATION_BATCH, **context.placement)

    def cost() -> StageCost:
        return pass_cost(context, stage, len(ids), started)

    return cost, forward_pass(model, loader, context.trainer.precision)


def _digest(groups: Tensor) -> str:
    """Return a hash of the groups, for keys."""
    return hashlib.sha256(groups.numpy().tobytes()).hexdigest()[:16]
