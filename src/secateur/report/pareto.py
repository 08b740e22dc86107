"""Which cells nothing else beats in both accuracy and cost."""

from collections.abc import Sequence

from secateur.report.summary import Row


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of one table that no other is at least as accurate as at no higher cost, cheapest first.

    Means are compared, without regard to their uncertainty. Full data takes part; what has no cost, or was selected
    on the test set, does not. Of rows with equal cost and mean the first counts.
    """
    known = [(row.cost_vs_full, -row.accuracy.mean, i) for i, row in enumerate(rows) if not row.selected_on_test]
    front: list[Row] = []
    for _, _, position in sorted((cost, loss, i) for cost, loss, i in known if cost is not None):
        if not front or rows[position].accuracy.mean > front[-1].accuracy.mean:
            front.append(rows[position])
    return front
