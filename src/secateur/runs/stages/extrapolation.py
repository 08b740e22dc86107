"""Score a part of the pool, predict the rest: stage ``extrapolation`` and the table that a selection reads."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from secateur.core.files import write_json
from secateur.core.ids import rows_of
from secateur.core.ledger import StageCost
from secateur.core.names import named
from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.core.tables import ScoreTable
from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator, Needs
from secateur.extrapolation.fidelity import kolmogorov_smirnov, to_plain, wasserstein
from secateur.extrapolation.merging import merge
from secateur.runs.context import Context
from secateur.runs.keys import foreign_code, numerics_key
from secateur.runs.nodes import build, shared
from secateur.runs.plan import choosing_flops, full_scoring_flops
from secateur.runs.stages.embeddings import Embedded, embed
from secateur.runs.stages.fidelity import check_wanted
from secateur.runs.stages.scoring import Measured, Measuring, measure
from secateur.runs.subset import draw_subset
from secateur.training.clocks import Clocks

VERSION = 1
PREDICTED = "predicted_raw"


@dataclass(frozen=True)
class Extrapolated:
    """Scores of the whole pool, merged, with the unmerged prediction beside; and what the record says of them.

    Attributes:
        table: the scores, ``[N]``.
        facts: the record's ``extrapolation`` block.
        files: for the run's folder.
        order_r2: of the observed scores, see :class:`~secateur.runs.stages.scoring.Measured`.
    """

    table: ScoreTable
    facts: dict[str, Any]
    files: tuple[Path, ...]
    order_r2: float | None


def extrapolated_scores(context: Context) -> Extrapolated:
    """Score a subset by ``score=``, predict the rest by ``extrapolation=``, merge by ``merge``; books what it cost."""
    config = context.config
    extrapolator, subset = check_extrapolation(context)
    measured = measure(context, subset)
    embedded = embed(context, measured.network, measured.weights) if needs_network(extrapolator) else None
    result = _predicted(context, extrapolator, measured, embedded)
    table = ScoreTable.load(result.path / "scores.parquet", context.data.fingerprint)
    merged = merge(table.score, table.observed, config.merge)
    metadata = {**table.metadata, "merge": config.merge}
    final = replace(table, score=merged, columns={PREDICTED: table.score}, metadata=metadata)
    facts = {**_facts(context, subset.num_epochs, table), **result.summary["facts"]}
    facts["control"] = extrapolator.is_control
    return Extrapolated(final, facts, (result.path / "extrapolation.json",), measured.order_r2)


def check_extrapolation(context: Context) -> tuple[Extrapolator, Measuring]:
    """Return the extrapolator and the scored subset, once they are known to fit the pool.

    Raises:
        ConfigError: the pool or the subset is too small for what is asked, or ``fidelity`` asks what cannot be made.
    """
    check_wanted(context)
    extrapolator: Extrapolator = build(context.config.extrapolation)
    subset = draw_subset(context)
    extrapolator.check(len(subset.sample_ids), context.num_total)
    return extrapolator, subset


def needs_network(extrapolator: Extrapolator) -> bool:
    """Whether an extrapolator reads what the measuring network makes of every sample."""
    return bool({Needs.EMBEDDINGS, Needs.PROXY_LOGITS} & extrapolator.needs)


def _predicted(
    context: Context, extrapolator: Extrapolator, measured: Measured, embedded: Embedded | None
) -> StageResult:
    """Return the finished prediction; keyed by the extrapolator, the scorer and the networks behind both."""
    config = context.config
    nodes = config.pick("extrapolation", "score", "score_seed")
    reads = {**nodes, "labels": labels_known(context), "numerics": numerics_key(config), **foreign_code(nodes)}
    upstream = [stage.path.name for stage in (*measured.stages, *([embedded.stage] if embedded else []))]
    result = context.store.get(
        "extrapolation",
        stage_key("extrapolation", VERSION, reads, context.data.fingerprint, upstream),
        lambda folder: _predict(context, folder, extrapolator, measured, embedded),
        recompute=context.recompute,
        by_one=True,
    )
    context.book(result)
    return result


def _predict(
    context: Context, folder: Path, extrapolator: Extrapolator, measured: Measured, embedded: Embedded | None
) -> dict[str, Any]:
    clocks = Clocks(context.trainer.device)
    inputs = _inputs(context, measured.table, embedded, extrapolator.needs)
    with context.console.status("predicting the scores of the rest"):
        predicted = extrapolator.predict(inputs)
    _table(context, measured.labels, predicted.cpu(), inputs.observed.cpu()).save(folder / "scores.parquet")
    cost = StageCost("extrapolation", 0, 0, flops=inputs.flops, **clocks.whole())
    facts = to_plain(extrapolator.facts(inputs))
    write_json(folder / "extrapolation.json", facts)
    return {"cost": cost.to_json(), "facts": facts}


def _inputs(
    context: Context, observed: ScoreTable, embedded: Embedded | None, needs: frozenset[Needs]
) -> ExtrapolationInputs:
    """Return what is known; of the network's outputs, which may be large, no more than is needed."""
    known, device = labels_known(context), context.trainer.device
    return ExtrapolationInputs(
        embeddings=embedded.embeddings.to(device) if embedded and Needs.EMBEDDINGS in needs else None,
        sample_ids=rows_of(observed.sample_id, context.data.pool).to(device),
        scores=observed.score.to(device),
        labels=context.data.pool_labels.to(device) if known else None,
        proxy_logits=embedded.logits.to(device) if embedded and Needs.PROXY_LOGITS in needs else None,
        num_samples=context.num_total,
        num_classes=context.data.num_classes if known else 0,
        seed=stream_seed(context.config.score_seed, "extrapolation"),
    )


def labels_known(context: Context) -> bool:
    """Whether the measuring paradigm has the labels of the samples that it does not score."""
    return bool(getattr(shared(context.config.paradigm), "labels_known", True))


def _table(context: Context, labels: Tensor, scores: Tensor, observed: Tensor) -> ScoreTable:
    keys = ("score", "extrapolation", "score_seed", "subset_fraction")
    return ScoreTable(
        sample_id=context.data.pool,
        label=labels,
        score=scores,
        observed=observed,
        fingerprint=context.data.fingerprint,
        metadata=named(context.config.pick(*keys)),
    )


def _facts(context: Context, num_epochs: int, table: ScoreTable) -> dict[str, Any]:
    """Return what the record says of the extrapolation; costs in units of one full training, and of a full scoring."""
    config, num_observed = context.config, int(table.observed.sum())
    keys = ("subset_fraction", "subset_epochs_factor", "merge")
    predicted, measured = table.score[~table.observed], table.score[table.observed]
    spent, full_scoring = choosing_flops(context.ledger.stages), full_scoring_flops(context)
    return {
        **config.pick(*keys),
        "subset_epochs": num_epochs,
        "num_observed": num_observed,
        "num_predicted": len(table) - num_observed,
        "chosen": None,
        "trace": [],
        "cost_choosing_vs_full": spent / context.ledger.full_flops,
        "cost_vs_full_scoring": None if full_scoring is None else spent / full_scoring,
        **to_plain({"ks": kolmogorov_smirnov(predicted, measured), "wasserstein": wasserstein(predicted, measured)}),
    }
