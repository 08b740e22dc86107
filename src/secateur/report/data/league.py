"""Which method is first, second, third at each ratio, and on average."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean

import numpy as np

from secateur.report.data.rows import Row

SAME = 9  # decimals; means that agree so far share a rank


@dataclass(frozen=True)
class MeanRank:
    """A method's average over ratios.

    Attributes:
        method: its label.
        mean_rank: mean of its ranks; 1 is the best.
        by_ratio: its rank at each ratio it was run at.
    """

    method: str
    mean_rank: float
    by_ratio: dict[float, float]


def with_ranks(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with their rank by mean accuracy among the methods of the same table and ratio.

    Equal means share the mean of their ranks. Full data has none, nor has what does not count for its method: what was
    selected on the test set, what is one mask for all seeds, and a yardstick of another size. ``best`` is set for the
    highest mean among those with at least two seeds, where there is anything to compare with.
    """
    ranked = {}
    for members in _at_each_ratio(rows):
        for row, rank in zip(members, ranks_of([row.accuracy.mean for row in members]), strict=True):
            ranked[id(row)] = replace(row, rank=float(rank), num_ranked=len(members))
        several = [row for row in members if row.accuracy.n > 1]
        top = max((round(row.accuracy.mean, SAME) for row in several), default=None)
        for row in several if len(members) > 1 else []:
            if round(row.accuracy.mean, SAME) == top:
                ranked[id(row)] = replace(ranked[id(row)], best=True)
    return [ranked.get(id(row), row) for row in rows]


def ranks_of(means: Sequence[float]) -> list[float]:
    """Return the rank of each mean, the highest first; equal ones share the mean of their ranks.

    Example:
        >>> ranks_of([0.9, 0.8, 0.9])
        [1.5, 3.0, 1.5]
    """
    _, places, counts = np.unique([-round(mean, SAME) for mean in means], return_inverse=True, return_counts=True)
    shared = np.cumsum(counts) - (counts - 1) / 2
    return [float(rank) for rank in shared[places]]


def mean_ranks(rows: Sequence[Row]) -> list[MeanRank]:
    """Return the mean rank of every method of one table, the best first.

    Only ratios at which at least two methods were run count. A mean over fewer ratios than another's is no fair
    comparison, so every use must show how many there are.

    Args:
        rows: rows of one data set and model, from :func:`with_ranks`.
    """
    by_method: dict[str, dict[float, float]] = defaultdict(dict)
    for row in rows:
        if row.rank is not None and row.num_ranked > 1:
            by_method[row.label][row.pruning_ratio] = row.rank
    ranks = [MeanRank(method, fmean(ranks.values()), ranks) for method, ranks in by_method.items()]
    return sorted(ranks, key=lambda rank: (rank.mean_rank, rank.method))


def _at_each_ratio(rows: Sequence[Row]) -> list[list[Row]]:
    def place(row: Row) -> tuple[str, str, float]:
        return row.data, row.model, row.pruning_ratio

    pruned = sorted((row for row in rows if not row.is_full and row.counts), key=place)
    return [list(members) for _, members in groupby(pruned, key=place)]
