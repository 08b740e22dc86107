"""Which cells nothing else beats in both accuracy and cost."""

import math
from collections.abc import Sequence

from secateur.report.data.rows import Row

SAME = 9  # decimals; costs and means that agree so far are equal


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one table that no other is at least as accurate as at no higher cost, cheapest first.

    Means are compared, without regard to their uncertainty. Full data takes part; what has no cost, or does not
    count for its method (:attr:`~secateur.report.data.rows.Row.counts`), does not. Of rows
    with equal cost and mean the first counts.
    """
    known = [
        (round(row.cost_vs_full, SAME), -round(row.accuracy.mean, SAME), i)
        for i, row in enumerate(rows)
        if row.counts and row.cost_vs_full is not None
    ]
    front: list[Row] = []
    lowest = math.inf
    for _, loss, position in sorted(known):
        if loss < lowest:
            front.append(rows[position])
            lowest = loss
    return front
