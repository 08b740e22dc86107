"""Stage ``embeddings``: what the measuring network makes of every sample of the pool, in one pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from secateur.core.errors import NumericalError
from secateur.core.group import is_rank_zero
from secateur.core.ledger import StageCost
from secateur.core.store import StageResult, read_stored, stage_key
from secateur.data.prepared import EVALUATION_BATCH
from secateur.runs.context import Context
from secateur.runs.keys import numerics_key
from secateur.training.callbacks.progress import progress
from secateur.training.clocks import Clocks
from secateur.training.evaluate import forward_pass

VERSION = 2
FILE = "embeddings.safetensors"
WEIGHTS = "model.safetensors"  # of a stage that has one network
CHUNK = 4096  # samples read at a time


@dataclass(frozen=True)
class Embedded:
    """What a network makes of the pool, and the stage it comes from.

    It is read when it is asked for: of several processes only those that need it hold it.
    """

    stage: StageResult

    @property
    def embeddings(self) -> Tensor:
        """Penultimate features, float32 ``[N, D]``."""
        return self._tensors["embeddings"]

    @property
    def logits(self) -> Tensor:
        """Logits, float32 ``[N, C]``."""
        return self._tensors["logits"]

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return read_stored(lambda: load_file(self.stage.path / FILE))


def embed(context: Context, network: StageResult, weights: str = WEIGHTS) -> Embedded:
    """Return what a scoring network makes of the whole pool (test transform, evaluation mode); books the pass.

    Args:
        context: the run.
        network: finished stage with the network's weights.
        weights: the file in it that holds them.
    """
    return Embedded(embeddings_stage(context, network, weights))


def stored_features(stage: StageResult) -> Iterator[Tensor]:
    """Yield the embeddings ``[B, D]`` of a finished stage, in the pool's order, a few at a time."""
    with read_stored(lambda: safe_open(stage.path / FILE, framework="pt")) as file:
        features = file.get_slice("embeddings")
        for start in range(0, features.get_shape()[0], CHUNK):
            yield features[start : start + CHUNK]


def embeddings_stage(context: Context, network: StageResult, weights: str = WEIGHTS) -> StageResult:
    """Pass the pool through a scoring network, or find it done; books the pass, once per run."""
    first = not any(stage.stage == "embeddings" for stage in context.ledger.stages)  # who reads them twice pays once
    reads = {"model": context.config.model, "weights": weights, "numerics": numerics_key(context.config)}
    result = context.store.get(
        "embeddings",
        stage_key("embeddings", VERSION, reads, context.data.fingerprint, [network.path.name]),
        lambda folder: _embed(context, folder, network.path / weights),
        recompute=context.recompute and first,
    )
    if first:
        context.book(result)
    return result


def _embed(context: Context, folder: Path, weights: Path) -> dict[str, Any]:
    clocks = Clocks(context.trainer.device)
    model = context.fresh_model("model", 0, start=weights).to(context.trainer.device)
    pool, placement = context.data.pool, context.placement
    num_rows = len(pool) if is_rank_zero() else 0  # the others only help to compute them
    features = torch.empty(num_rows, model.num_features)
    logits = torch.empty(num_rows, model.num_classes)
    loader = context.data.eval_loader(pool, EVALUATION_BATCH, **placement)
    start = 0  # batches come in the pool's order
    with progress("embedding", context.console, len(pool)) as advance:
        for step in forward_pass(model, loader, context.trainer.precision):
            stop = start + len(step.features)
            if num_rows:
                features[start:stop], logits[start:stop] = step.features.cpu(), step.logits.cpu()
            advance(stop - start)
            start = stop
    if num_rows:
        _check(context, features)
        save_file({"embeddings": features, "logits": logits, "sample_id": pool}, folder / FILE)
    return {"cost": pass_cost(context, "embeddings", len(pool), clocks).to_json()}


def pass_cost(context: Context, stage: str, num_samples: int, clocks: Clocks) -> StageCost:
    """Return what one pass of the measuring network over some samples cost; the clocks were started before it."""
    return StageCost(stage, num_samples, 0, flops=num_samples * context.flops("model"), **clocks.whole())


def _check(context: Context, features: Tensor) -> None:
    bad = ~torch.isfinite(features).all(dim=1)
    if bool(bad.any()):
        first = int(context.data.pool[bad][0])
        raise NumericalError(f"{int(bad.sum())} embeddings are not finite; the first is of sample_id {first}.")
