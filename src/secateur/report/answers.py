"""Did it pay? One line in words per ratio, and what is missing before more may be said."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from secateur.report.summary import Row
from secateur.report.table import difference_text, percent


def did_it_pay(rows: Sequence[Row]) -> list[str]:
    """Return one line per data set, model and ratio: does the best method keep full accuracy at a lower cost?

    The best method is the one with the highest mean accuracy at that ratio (random included, what was
    selected on the test set excluded). It paid when its verdict against full data is "matches" or "above" and
    its whole cost is below one full training.

    Args:
        rows: sorted as :func:`secateur.report.summary.make_rows` returns them.
    """
    pruned = [row for row in rows if not row.is_full and not row.selected_on_test]
    several = len({(row.data, row.model) for row in rows}) > 1
    lines = []
    for (data, model, ratio), group in groupby(pruned, key=lambda row: (row.data, row.model, row.pruning_ratio)):
        where = f"{data}, {model}, " if several else ""
        lines.append(f"{where}{percent(ratio)} pruned: {_answer(list(group))}")
    return lines


def _answer(rows: Sequence[Row]) -> str:
    best = max(rows, key=lambda row: row.accuracy.mean)
    if best.vs_full is None or best.vs_full.low is None:
        return f"no verdict ({best.label} is best, {best.verdict_full})"
    if best.verdict_full.startswith("undecided"):
        return f"undecided: {best.label} is best, {difference_text(best.vs_full)} points against full"
    gap = f"{best.label} {best.verdict_full} ({difference_text(best.vs_full)} points)"
    if best.verdict_full.startswith("below"):
        at = "" if best.cost_vs_full is None else f" at {best.cost_vs_full:.2f} of its cost"
        return f"no: {best.label}, the best, is {best.verdict_full} ({difference_text(best.vs_full)} points){at}"
    if best.cost_vs_full is None:
        return f"cost not measured: {gap}"
    if best.cost_vs_full < 1:
        return f"yes: {gap} at {best.cost_vs_full:.2f} of its cost{_cheaper(best, rows)}"
    return f"no: {gap}, but at {best.cost_vs_full:.2f} of its cost{_amortized(best)}"


def _amortized(row: Row) -> str:
    amortized = row.cost_vs_full_amortized
    return f" ({amortized:.2f} if the mask is reused often)" if amortized is not None and amortized < 1 else ""


def _cheaper(best: Row, rows: Sequence[Row]) -> str:
    """Name the cheapest other method that matches full as well."""
    others = [
        row
        for row in rows
        if row.cost_vs_full is not None
        and row.cost_vs_full < (best.cost_vs_full or 0)
        and row.verdict_full.startswith(("matches", "above"))
    ]
    if not others:
        return ""
    cheapest = min(others, key=lambda row: row.cost_vs_full or 0)
    return f"; {cheapest.label} {cheapest.verdict_full} too, at {cheapest.cost_vs_full:.2f}"


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what to know before believing the table: seeds that are missing, masks that are shared."""
    lines = []
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in rows:
        seeds[row.data, row.model].update(row.seeds)
    for row in rows:
        missing = sorted(seeds[row.data, row.model] - set(row.seeds))
        if missing:
            listed = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            lines.append(f"{row.data}, {row.model}: {row.label} at {percent(row.pruning_ratio)} lacks seed {listed}")
    shared = sorted({row.label for row in rows if not row.is_full and row.num_masks == 1 and len(row.seeds) > 1})
    if shared:
        lines.append(f"one mask (one score_seed) for all seeds, only training varies: {', '.join(shared)}")
    return lines
