"""Everything that a report's page shows, as one plain structure that JSON can hold; docs/report.md explains it."""

from collections.abc import Sequence
from typing import Any

from secateur.report.data.cells import is_method
from secateur.report.data.equality import Margin
from secateur.report.data.load import LeftOut
from secateur.report.data.rows import Row
from secateur.report.data.run import FULL
from secateur.report.data.spread import Spread
from secateur.report.data.statistics import CONFIDENCE, Comparison, Estimate
from secateur.report.figures.all import table_id
from secateur.report.figures.class_balance import class_counts
from secateur.report.figures.style import Look, looks_of
from secateur.report.page.payload_run import Shared, finite, run_entry
from secateur.report.page.payload_tables import curves, tables
from secateur.report.page.payload_types import (
    CellEntry,
    ComparisonEntry,
    EstimateEntry,
    FigureEntry,
    Payload,
    ProblemEntry,
)
from secateur.report.tables.terminal import legend


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
