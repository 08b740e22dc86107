"""What the figures read of runs' own files: kept sets and scores of a few runs, never of all."""

import textwrap
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from secateur.core.errors import SecateurError
from secateur.report.data.arrays import MASK, SCORES, Keep, Scores, read_mask, read_scores
from secateur.report.data.rows import Row
from secateur.report.data.run import Run

NUM_SEEDS = 3  # masks of more seeds per cell are not read
NUM_RATIOS = 3


def chosen_ratios(rows: Sequence[Row], most: int = NUM_RATIOS) -> list[float]:
    """Return up to so many ratios of one table that at least two methods have, spread evenly from low to high."""
    methods = defaultdict(set)
    for row in rows:
        if not row.is_full:
            methods[row.pruning_ratio].add(row.label)
    ratios = sorted(ratio for ratio, labels in methods.items() if len(labels) > 1) or sorted(methods)
    if len(ratios) <= most:
        return ratios
    return [ratios[round(i * (len(ratios) - 1) / (most - 1))] for i in range(most)]


def without_per_epoch(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows that have a kept set, and the labels of the methods that choose anew in every epoch."""
    left_out = {row.label for row in rows if row.per_epoch}
    return [row for row in rows if row.label not in left_out], sorted(left_out)


def heading(rows: Sequence[Row], left_out: Sequence[str] = ()) -> str:
    """Return the first lines of a figure: data set and model, and which methods have no kept set to be shown."""
    title = f"{rows[0].data}, {rows[0].model}"
    if not left_out:
        return title
    return "\n".join(
        [title, *textwrap.wrap(f"without {', '.join(left_out)}: no kept set, a new subset every epoch", 60)]
    )


def keep_of(run: Run) -> Keep | None:
    """Return a run's mask, bool ``[N]`` in the order of the pool; None where there is none that can be read."""
    if not has_file(run, MASK):
        return None
    try:
        return read_mask(run.path, run.fingerprint or None, _num_total(run))[1]
    except SecateurError:  # the gallery names it
        return None


def scores_of(run: Run) -> Scores | None:
    """Return a run's scores; None where there are none that can be read."""
    if not has_file(run, SCORES):
        return None
    try:
        return read_scores(run.path, run.fingerprint or None, _num_total(run))
    except SecateurError:  # the gallery names it
        return None


def _num_total(run: Run) -> int | None:
    """Return the size of a run's pool, as its record has it."""
    return run.num_total


def has_file(run: Run, name: str) -> bool:
    """Whether a run of its own left a file; a mask only where something was kept for good."""
    if run.is_comparison or (name == MASK and run.per_epoch):
        return False
    return Path(run.path, name).is_file()


def scores_per_method(
    rows: Sequence[Row], ratio: float, columns: Collection[str], most: int
) -> tuple[list[tuple[Row, Run, Scores]], int]:
    """Read the scores of one run of up to so many methods: the most accurate at the ratio, then those near it.

    Args:
        rows: rows of one table.
        ratio: the ratio to look at; of a method without it the nearest one.
        columns: what a score table must have beside scores.
        most: how many methods.

    Returns:
        Row, run and scores of each, sorted by name; and how many methods have such scores.
    """
    having: dict[str, tuple[Row, Run]] = {}
    for row in sorted(rows, key=lambda row: (abs(row.pruning_ratio - ratio), -row.accuracy.mean, row.label)):
        if not row.is_full and row.label not in having:
            run = next((run for run in row.runs if set(columns) <= _columns_of(run)), None)
            having |= {} if run is None else {row.label: (row, run)}
    found: list[tuple[Row, Run, Scores]] = []
    total = len(having)
    for row, run in having.values():
        if len(found) == most:
            break
        table = scores_of(run)
        if table is None:
            total -= 1
        else:
            found.append((row, run, table))
    return sorted(found, key=lambda one: one[0].label), total


def _columns_of(run: Run) -> set[str]:
    """Return the columns of a run's score table without reading it; empty where it cannot be read."""
    if not has_file(run, SCORES):
        return set()
    try:
        return set(pq.read_schema(Path(run.path, SCORES)).names)
    except (pa.ArrowException, OSError):
        return set()
