"""Everything that a report's page shows, as one plain structure that JSON can hold; docs/report.md explains it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from secateur.core.hashing import content_key
from secateur.report.data.cells import is_method
from secateur.report.data.equality import Margin
from secateur.report.data.league import mean_ranks
from secateur.report.data.load import LeftOut
from secateur.report.data.pareto import pareto_front
from secateur.report.data.rows import Row
from secateur.report.data.run import FULL, Run
from secateur.report.data.spread import Spread
from secateur.report.data.statistics import CONFIDENCE, Comparison, Estimate
from secateur.report.figures.all import class_names_of, table_id
from secateur.report.figures.class_balance import class_counts, class_totals, counts_of
from secateur.report.figures.style import Look, looks_of
from secateur.report.page.payload_types import (
    CellEntry,
    ComparisonEntry,
    EstimateEntry,
    FigureEntry,
    Payload,
    ProblemEntry,
)
from secateur.report.tables.terminal import legend, table_notes


def make_payload(
    rows: Sequence[Row],
    *,
    title: str,
    paths: Sequence[str],
    baseline: str,
    answers: Sequence[str],
    notes: Sequence[str],
    problems: Sequence[LeftOut],
    figures: Sequence[FigureEntry] = (),
    fidelity: dict[str, Any] | None = None,
    margin: Margin | None = None,
) -> Payload:
    """Return everything that a page shows of a report.

    Args:
        rows: sorted as :func:`secateur.report.data.rows.make_rows` returns them, with their ranks.
        title: name of the report.
        paths: what was read, as it was given.
        baseline: label of the method that the others are compared with.
        answers: did it pay? one line per ratio.
        notes: what must be known.
        problems: what is missing, broken or stale.
        figures: what was drawn.
        fidelity: tables on predicted scores; None without any.
        margin: how the margin of equality was set; None: the default.
    """
    shared, margin = Shared(), margin or Margin()
    outdated = {(one.table, one.method, one.pruning_ratio) for one in problems if one.kind == "stale"}
    cells = [_cell(f"c{i}", row, baseline, outdated) for i, row in enumerate(rows)]
    runs = {entry["id"]: entry for row in rows for entry in (run_entry(run, shared) for run in row.runs)}
    looks = looks_of([row.label for row in rows], baseline)
    payload: Payload = {
        "schema": 1,
        "title": title,
        "paths": list(paths),
        "baseline": baseline,
        "confidence": CONFIDENCE,
        "margin": {"points": margin.points, "words": margin.words},
        "answers": list(answers),
        "notes": list(notes),
        "legend": legend(rows, wide=True) if rows else [],
        "methods": [_method(label, look, baseline) for label, look in looks.items()],
        "tables": tables(rows, cells, margin),
        "cells": {cell["id"]: cell for cell in cells},
        "runs": runs,
        "configs": shared.configs,
        "provenance": shared.provenance,
        "problems": [_problem(one) for one in problems],
        "curves": curves(rows, cells),
        "figures": list(figures),
        "fidelity": fidelity,
    }
    cleaned: Payload = finite(payload)
    return cleaned


def _cell(name: str, row: Row, baseline: str, outdated: set[tuple[str, str | None, float | None]]) -> CellEntry:
    counts, spread = class_counts(row), row.spread or Spread("one run")
    return {
        "id": name,
        "table": table_id(row),
        "method": row.label,
        "is_full": row.is_full,
        "is_baseline": is_method(row.label, baseline),
        "pruning_ratio": row.pruning_ratio,
        "asked_ratio": row.asked_ratio,
        "is_realized": row.is_realized,
        "keep_fraction": row.keep_fraction,
        "per_epoch": row.per_epoch,
        "visited_share": row.visited_share,
        "num_seen": row.num_seen,
        "n": row.accuracy.n,
        "seeds": list(row.seeds),
        "num_masks": row.num_masks,
        "one_mask": row.one_mask,
        "counts": row.counts,
        "is_comparison": row.is_comparison,
        "accuracy": _estimate(row.accuracy),
        "worst_class_accuracy": None if row.worst_class_accuracy is None else _estimate(row.worst_class_accuracy),
        "robust_accuracy": None if row.robust_accuracy is None else _estimate(row.robust_accuracy),
        "vs_baseline": None if row.vs_baseline is None else _comparison(row.vs_baseline),
        "vs_full": None if row.vs_full is None else _comparison(row.vs_full),
        "verdict_baseline": row.verdict_baseline,
        "verdict_full": row.verdict_full,
        "rank": row.rank,
        "num_ranked": row.num_ranked,
        "best": row.best,
        "spread": {
            "design": spread.design,
            "train_sd": spread.train_sd,
            "score_sd": spread.score_sd,
            "residual_sd": spread.residual_sd,
        },
        "cost_vs_full": row.cost_vs_full,
        "cost_vs_full_amortized": row.cost_vs_full_amortized,
        "selected_on_test": row.selected_on_test,
        "stale": (table_id(row), row.label, row.pruning_ratio) in outdated,
        "class_counts": None if counts is None else counts.tolist(),
        "class_totals": None,
        "settings": _settings(row.label),
        "runs": [run.run_key for run in row.runs],
    }


def _estimate(value: Estimate) -> EstimateEntry:
    return {"mean": value.mean, "n": value.n, "sd": value.sd, "low": value.low, "high": value.high}


def _comparison(value: Comparison) -> ComparisonEntry:
    return {
        **_estimate(value),
        "p_t": value.p_t,
        "p_exact": value.p_exact,
        "p_holm": value.p_holm,
        "survives_holm": value.survives_holm,
        "margin": value.margin,
        "p_equal": value.p_equal,
        "p_equal_holm": value.p_equal_holm,
        "equal_survives_holm": value.equal_survives_holm,
        "detectable": value.detectable,
    }


def _settings(label: str) -> dict[str, str]:
    """Return what tells a cell from others of its method, taken from its label ``tdds [max_epochs=30]``."""
    _, bracket, inside = label.partition(" [")
    pairs = [part.partition("=") for part in inside.removesuffix("]").split(", ")] if bracket else []
    return {key: value for key, equals, value in pairs if equals}


def _method(label: str, look: Look, baseline: str) -> dict[str, Any]:
    line = look.line if look.line in ("-", "--", ":", "-.") else "-."
    flags = {"is_baseline": is_method(label, baseline), "is_full": is_method(label, FULL)}
    return {"label": label, "color": look.color, "marker": look.marker, "line": line, **flags}


def _problem(one: LeftOut) -> ProblemEntry:
    return {
        "kind": one.kind,
        "name": one.name or one.path.name,
        "path": str(one.path),
        "reason": one.reason,
        "method": one.method,
        "pruning_ratio": one.pruning_ratio,
        "seed": one.seed,
        "score_seed": one.score_seed,
        "table": one.table or None,
    }


OWN = ("seed", "score_seed", "name")  # keys of a configuration that are the run's own; the rest is shared
STAGE = (
    *("stage", "reused", "seconds", "device_seconds", "samples_forward", "samples_backward"),
    *("flops", "peak_memory_bytes", "pruning"),
)


@dataclass
class Shared:
    """Configurations and provenances that runs have in common, each once."""

    configs: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def run_entry(run: Run, shared: Shared) -> dict[str, Any]:
    """Return a run as the page needs it, and add what it shares with others to ``shared``."""
    record = run.record
    pruning, ledger, own = record.pruning, record.ledger, not run.is_comparison
    config = {key: value for key, value in record.config.items() if key not in OWN}
    counts = counts_of(run)
    return {
        "id": run.run_key,
        "path": str(run.path),
        "name": run.name,
        "run_key": run.run_key.split("/")[0],
        "is_comparison": run.is_comparison,
        "seed": run.seed,
        "score_seed": run.score_seed,
        "started": record.started,
        "finished": run.finished,
        "command": record.command,
        "label": run.label,
        "method": pruning.method if own else run.label,
        "score": pruning.score if own else None,
        "select_on": record.select_on if own else None,
        "accuracy": run.accuracy,
        "worst_class_accuracy": run.worst_class_accuracy,
        "robust_accuracy": run.robust_accuracy,
        "num_total": pruning.num_total,
        "num_kept": pruning.num_kept if own else None,
        "class_counts": None if counts is None else counts.tolist(),
        "fingerprint": run.fingerprint,
        "mask_sha256": run.mask,
        "visited_share": run.visited_share,
        "num_seen": run.num_seen,
        "config": _keep(shared.configs, config),
        "provenance": _keep(shared.provenance, record.provenance),
        "warnings": record.warnings,
        "artifacts": sorted(record.artifacts) if own else [],
        "ledger": {
            "total_seconds": ledger.total_seconds if own else None,
            "cost_vs_full": run.cost_vs_full,
            "cost_vs_full_amortized": run.cost_vs_full_amortized,
            "stages": [{key: getattr(stage, key) for key in STAGE} for stage in ledger.stages if own],
        },
    }


def _keep(store: dict[str, Any], value: Mapping[str, Any]) -> str:
    value = finite(value)
    key = content_key(value, 12)
    store.setdefault(key, value)
    return key


def finite(value: Any) -> Any:
    """Return a JSON value with null where it has a number that JSON has not: NaN, infinity.

    Example:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


METRICS = ("accuracy", "worst_class_accuracy", "robust_accuracy")


def tables(rows: Sequence[Row], cells: list[CellEntry], margin: Margin) -> list[dict[str, Any]]:
    """Return an entry per data set and model; gives the cells the sizes of their pool's classes.

    Args:
        rows: sorted by table.
        cells: their entries, in the same order.
        margin: how the margin of equality was set.
    """
    entries = []
    for name, group in groupby(zip(rows, cells, strict=True), key=lambda pair: pair[1]["table"]):
        pairs = list(group)
        members, own = [row for row, _ in pairs], [cell for _, cell in pairs]
        totals = class_totals(members)
        for cell in own:
            cell["class_totals"] = None if totals is None else totals.tolist()
        ranks = [
            {
                "method": rank.method,
                "mean_rank": rank.mean_rank,
                "num_ratios": len(rank.by_ratio),
                "by_ratio": {f"{ratio:g}": value for ratio, value in sorted(rank.by_ratio.items())},
            }
            for rank in mean_ranks(members)
        ]
        entries.append(
            {
                "id": name,
                "data": members[0].data,
                "model": members[0].model,
                "ratios": sorted({row.pruning_ratio for row in members if not row.is_full}),
                "class_names": class_names_of(members),
                "ranks": ranks,
                "notes": table_notes(members, margin),
                "cells": [cell["id"] for cell in own],
            }
        )
    return entries


def curves(rows: Sequence[Row], cells: Sequence[CellEntry]) -> list[dict[str, Any]]:
    """Return, per table, measure and method, its points by rising ratio.

    Args:
        rows: sorted by table.
        cells: their entries, in the same order.
    """
    names = {id(row): cell["id"] for row, cell in zip(rows, cells, strict=True)}
    found: list[dict[str, Any]] = []
    for table, group in groupby(rows, key=table_id):
        members = list(group)
        front = {id(row) for row in pareto_front(members)}
        for metric in METRICS:
            by_method: dict[str, list[dict[str, Any]]] = {}
            for row in sorted(members, key=lambda row: row.pruning_ratio):
                value: Estimate | None = getattr(row, metric)
                if value is not None:
                    point = {"mean": value.mean, "low": value.low, "high": value.high, "n": value.n}
                    place = {"pruning_ratio": row.pruning_ratio, "cost": row.cost_vs_full, "pareto": id(row) in front}
                    by_method.setdefault(row.label, []).append({"cell": names[id(row)], **place, **point})
            found += [
                {"table": table, "metric": metric, "method": method, "points": points}
                for method, points in by_method.items()
            ]
    return found
