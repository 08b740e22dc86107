"""Everything that a report's page shows, as one plain structure that JSON can hold; docs/report.md explains it."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, TypedDict

from secateur.report.balance_figure import class_counts, class_totals
from secateur.report.figures import class_names_of, table_id
from secateur.report.load import LeftOut
from secateur.report.pareto import pareto_front
from secateur.report.payload_run import Shared, finite, run_entry
from secateur.report.ranks import mean_ranks
from secateur.report.run import FULL
from secateur.report.spread import Spread
from secateur.report.statistics import CONFIDENCE, TIE_MARGIN, Comparison, Estimate
from secateur.report.style import Look, looks_of
from secateur.report.summary import Row, is_method
from secateur.report.table import legend

METRICS = ("accuracy", "worst_class_accuracy", "robust_accuracy")


class EstimateEntry(TypedDict):
    """A mean over seeds: ``low`` and ``high`` are its 95 % t interval; null with one seed."""

    mean: float
    n: int
    sd: float | None
    low: float | None
    high: float | None


class ComparisonEntry(EstimateEntry):
    """A paired difference with its tests."""

    p_t: float | None
    p_exact: float | None
    p_holm: float | None
    survives_holm: bool | None


class SpreadEntry(TypedDict):
    """Standard deviations by source; null where they cannot be told apart."""

    design: str
    train_sd: float | None
    score_sd: float | None
    residual_sd: float | None


class CellEntry(TypedDict):
    """One method at one ratio on one data set with one model."""

    id: str
    table: str
    method: str
    is_full: bool
    is_baseline: bool
    pruning_ratio: float
    keep_fraction: float | None
    n: int
    seeds: list[int]
    num_masks: int
    accuracy: EstimateEntry
    worst_class_accuracy: EstimateEntry | None
    robust_accuracy: EstimateEntry | None
    vs_baseline: ComparisonEntry | None
    vs_full: ComparisonEntry | None
    verdict_baseline: str
    verdict_full: str
    rank: float | None
    num_ranked: int
    best: bool
    spread: SpreadEntry
    cost_vs_full: float | None
    cost_vs_full_amortized: float | None
    selected_on_test: bool
    stale: bool
    class_counts: list[float] | None
    class_totals: list[float] | None
    settings: dict[str, str]
    runs: list[str]


class ProblemEntry(TypedDict):
    """A run that is not in the statistics, or is and should be looked at."""

    kind: str
    name: str
    path: str | None
    reason: str
    method: str | None
    pruning_ratio: float | None
    seed: int | None
    score_seed: int | None


class FigureEntry(TypedDict):
    """A drawn figure; ``files`` maps a format to a path relative to the report's folder."""

    id: str
    kind: str
    table: str | None
    title: str
    caption: str
    files: dict[str, str]


class Payload(TypedDict):
    """The whole report."""

    schema: int
    title: str
    paths: list[str]
    baseline: str
    confidence: float
    tie_margin: float
    answers: list[str]
    notes: list[str]
    legend: list[str]
    methods: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    cells: dict[str, CellEntry]
    runs: dict[str, dict[str, Any]]
    configs: dict[str, Any]
    provenance: dict[str, Any]
    problems: list[ProblemEntry]
    curves: list[dict[str, Any]]
    figures: list[FigureEntry]
    fidelity: dict[str, Any] | None


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
) -> Payload:
    """Return everything that a page shows of a report.

    Args:
        rows: sorted as :func:`secateur.report.summary.make_rows` returns them, with their ranks.
        title: name of the report.
        paths: what was read, as it was given.
        baseline: label of the method that the others are compared with.
        answers: did it pay? one line per ratio.
        notes: what must be known.
        problems: what is missing, broken or stale.
        figures: what was drawn.
        fidelity: tables on predicted scores; None without any.
    """
    shared = Shared()
    outdated = {(one.method, one.pruning_ratio) for one in problems if one.kind == "stale"}
    cells = [_cell(f"c{i}", row, baseline, outdated) for i, row in enumerate(rows)]
    runs = {entry["id"]: entry for row in rows for entry in (run_entry(run, shared) for run in row.runs)}
    looks = looks_of([row.label for row in rows], baseline)
    payload: Payload = {
        "schema": 1,
        "title": title,
        "paths": list(paths),
        "baseline": baseline,
        "confidence": CONFIDENCE,
        "tie_margin": TIE_MARGIN,
        "answers": list(answers),
        "notes": list(notes),
        "legend": legend(rows, wide=True) if rows else [],
        "methods": [_method(label, look, baseline) for label, look in looks.items()],
        "tables": _tables(rows, cells),
        "cells": {cell["id"]: cell for cell in cells},
        "runs": runs,
        "configs": shared.configs,
        "provenance": shared.provenance,
        "problems": [_problem(one) for one in problems],
        "curves": _curves(rows, cells),
        "figures": list(figures),
        "fidelity": fidelity,
    }
    cleaned: Payload = finite(payload)
    return cleaned


def _cell(name: str, row: Row, baseline: str, outdated: set[tuple[str | None, float | None]]) -> CellEntry:
    counts, spread = class_counts(row), row.spread or Spread("one run")
    return {
        "id": name,
        "table": table_id(row),
        "method": row.label,
        "is_full": row.is_full,
        "is_baseline": is_method(row.label, baseline),
        "pruning_ratio": row.pruning_ratio,
        "keep_fraction": row.keep_fraction,
        "n": row.accuracy.n,
        "seeds": list(row.seeds),
        "num_masks": row.num_masks,
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
        "stale": (row.label, row.pruning_ratio) in outdated,
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


def _tables(rows: Sequence[Row], cells: list[CellEntry]) -> list[dict[str, Any]]:
    tables = []
    for name, group in groupby(zip(rows, cells, strict=True), key=lambda pair: pair[1]["table"]):
        pairs = list(group)
        members, entries = [row for row, _ in pairs], [cell for _, cell in pairs]
        totals = class_totals(members)
        for entry in entries:
            entry["class_totals"] = None if totals is None else totals.tolist()
        ranks = [
            {
                "method": rank.method,
                "mean_rank": rank.mean_rank,
                "num_ratios": len(rank.by_ratio),
                "by_ratio": {f"{ratio:g}": value for ratio, value in sorted(rank.by_ratio.items())},
            }
            for rank in mean_ranks(members)
        ]
        tables.append(
            {
                "id": name,
                "data": members[0].data,
                "model": members[0].model,
                "ratios": sorted({row.pruning_ratio for row in members if not row.is_full}),
                "class_names": class_names_of(members),
                "ranks": ranks,
                "cells": [cell["id"] for cell in entries],
            }
        )
    return tables


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
    }


def _curves(rows: Sequence[Row], cells: Sequence[CellEntry]) -> list[dict[str, Any]]:
    """Return, per table, measure and method, its points by rising ratio."""
    names = {id(row): cell["id"] for row, cell in zip(rows, cells, strict=True)}
    curves: list[dict[str, Any]] = []
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
            curves += [
                {"table": table, "metric": metric, "method": method, "points": points}
                for method, points in by_method.items()
            ]
    return curves
