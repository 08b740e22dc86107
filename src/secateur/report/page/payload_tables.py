"""What a page shows of a table as a whole: its ranks, its classes, and the points of its curves."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from secateur.report.data.equality import Margin
from secateur.report.data.league import mean_ranks
from secateur.report.data.pareto import pareto_front
from secateur.report.data.rows import Row
from secateur.report.data.statistics import Estimate
from secateur.report.figures.all import class_names_of, table_id
from secateur.report.figures.class_balance import class_totals
from secateur.report.page.payload_types import CellEntry
from secateur.report.tables.terminal import table_notes

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
