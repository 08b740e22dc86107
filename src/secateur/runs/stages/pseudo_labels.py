"""Stage ``scoring`` without labels: scorers read the history of TURTLE's pseudo-labels on frozen features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.group import current
from secateur.core.ids import rows_of
from secateur.core.ledger import StageCost
from secateur.core.names import named
from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.core.tables import ScoreTable
from secateur.grouping.turtle import Turtle, TurtleResult
from secateur.runs.config import Config, Node
from secateur.runs.context import Context
from secateur.runs.keys import stage_reads
from secateur.runs.nodes import scorer, shared
from secateur.runs.stages.embeddings import embed
from secateur.runs.stages.encoder import encoder
from secateur.scores.base import BatchSignals, Score
from secateur.training.clocks import Clocks

FILE = "turtle.safetensors"


@dataclass(frozen=True)
class Found:
    """The finished stages: scores by TURTLE, the encoder behind them, and the pseudo-labels of the pool, ``[N]``."""

    scoring: StageResult
    encoder: StageResult
    labels: Tensor


def find_and_score(
    context: Context, version: int, sample_ids: Tensor, num_epochs: int, scorers: dict[str, Node], reads: Config
) -> Found:
    """Find classes among some samples of the pool and score these, or find it done; books what it cost.

    Args:
        context: the run.
        version: of the stage.
        sample_ids: the samples, int64 ``[M]``, increasing.
        num_epochs: TURTLE's length.
        scorers: nodes of the scorers, by name.
        reads: what else the stage's key depends on.
    """
    network = encoder(context)
    features = embed(context, network)
    rows = rows_of(sample_ids, context.data.pool)
    nodes = {**context.config.pick("paradigm", "score_seed"), "length": num_epochs}
    result = context.store.get(
        "scoring",
        stage_key(
            *("scoring", version, stage_reads(context.config, **nodes, **reads), context.data.fingerprint),
            [features.stage.path.name],
        ),
        lambda folder: _score(context, folder, features.embeddings, rows, num_epochs, scorers),
        recompute=context.recompute,
        by_one=True,
    )
    context.book(result)
    labels = current().from_zero(lambda: TurtleResult.load(result.path / FILE).pseudo_labels(features.embeddings))
    return Found(result, network, labels)


def _score(
    context: Context, folder: Path, features: Tensor, rows: Tensor, num_epochs: int, scorers: dict[str, Node]
) -> dict[str, Any]:
    clocks, part = Clocks(context.trainer.device), features[rows].to(context.trainer.device)
    turtle = shared(context.config.paradigm).turtle(context.data.num_classes, num_epochs)
    with context.console.status(f"finding {turtle.num_classes} classes among {len(rows)} samples"):
        found = turtle.fit(part, stream_seed(context.config.score_seed, "turtle"))
    found.save(folder / FILE)
    for name, table in _tables(context, found, part, rows, scorers).items():
        table.save(folder / "scores" / f"{name}.parquet")
    flops = turtle_flops(turtle, *part.shape)
    return {"cost": StageCost("scoring", 0, 0, flops=flops, **clocks.whole()).to_json()}


def turtle_flops(turtle: Turtle, num_samples: int, num_features: int) -> float:
    """Return the operations of TURTLE on some samples, and of replaying its history to the scorers."""
    # The classifier's steps; its last pass and the task encoder's step; the replay.
    passes = 3 * turtle.inner_steps + 4 + 1
    return 2.0 * num_samples * num_features * turtle.num_classes * turtle.num_epochs * passes


def _tables(
    context: Context, found: TurtleResult, features: Tensor, rows: Tensor, scorers: dict[str, Node]
) -> dict[str, ScoreTable]:
    """Replay every epoch to the scorers, with the final pseudo-label as the label."""
    scores: dict[str, Score] = {name: scorer(node) for name, node in scorers.items()}
    labels, positions = found.pseudo_labels(features), torch.arange(len(rows), device=features.device)
    for score in scores.values():
        score.setup(len(rows), found.num_epochs)
    for epoch in range(found.num_epochs):
        signals = BatchSignals(positions, labels, epoch, found.logits(features, epoch), features)
        for score in scores.values():
            if epoch in score.epochs:
                score.update(signals)
                score.end_epoch(epoch)
    pool = context.data.pool[rows]
    return {
        name: ScoreTable(
            sample_id=pool,
            label=labels.cpu(),
            score=score.compute().score.cpu(),
            observed=torch.ones(len(rows), dtype=torch.bool),
            fingerprint=context.data.fingerprint,
            metadata={"score": named(scorers[name]), "labels": "turtle"},
        )
        for name, score in scores.items()
    }
