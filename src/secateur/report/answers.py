"""Answers in words: whether pruning paid, and whether predicted scores are worth their cost."""

import math
from collections.abc import Sequence
from itertools import groupby

from secateur.report.data.chance import BETTER, NO_BETTER, NOT_SHOWN
from secateur.report.data.fidelity_rows import FidelityRow
from secateur.report.data.fidelity_run import FidelityRun
from secateur.report.data.rows import Row
from secateur.report.data.statistics import Estimate
from secateur.report.tables.terminal import difference_text, percent, shown

ONE_MASK = "one mask for all seeds, of which verdicts hold for this mask only"


def did_it_pay(rows: Sequence[Row]) -> list[str]:
    """Return one line per data set, model and ratio: does a method keep full accuracy at a lower cost?

    Of the methods whose verdict against full data is "matches" or "above" the cheapest is named; it paid when its
    whole cost is below one full training. Without one, the method with the highest mean accuracy is named. A verdict
    that does not survive Holm's correction decides nothing. What does not count for its method is left out: what was
    selected on the test set, one mask for all seeds, a yardstick of another size.

    Args:
        rows: sorted as :func:`secateur.report.data.rows.make_rows` returns them.
    """
    pruned = [row for row in rows if not row.is_full and not row.selected_on_test and not row.is_yardstick]
    several = len({(row.data, row.model) for row in rows}) > 1
    lines = []
    for (data, model, ratio), group in groupby(pruned, key=lambda row: (row.data, row.model, row.pruning_ratio)):
        where = f"{data}, {model}, " if several else ""
        lines.append(f"{where}{percent(ratio)} pruned: {_answer(list(group))}")
    return lines


def _answer(rows: Sequence[Row]) -> str:
    counted = [row for row in rows if row.counts]
    if not counted:
        names = ", ".join(sorted(row.label for row in rows))
        return f"no verdict ({ONE_MASK}: {names})"
    return _answer_of(counted)


def _answer_of(rows: Sequence[Row]) -> str:
    holding = [row for row in rows if _says(row).startswith(("matches", "above"))]
    if holding:
        return _cost_of(min(holding, key=_rank))
    best = max(rows, key=lambda row: row.accuracy.mean)
    if best.vs_full is None or best.vs_full.low is None:
        return f"no verdict ({best.label} is best, {best.verdict_full})"
    points = f"{difference_text(best.vs_full)} points"
    if best.verdict_full.startswith("undecided"):
        return f"undecided: {best.label} is best{_fewer(best, rows)}, {points} against full"
    if _says(best).startswith("("):
        return f"undecided: {best.label}, the best{_fewer(best, rows)}, is {_says(best)} ({points})"
    at = "" if best.cost_vs_full is None else f" at {best.cost_vs_full:.2f} of its cost"
    return f"no: {best.label}, the best, is {best.verdict_full} ({points}){at}"


def _fewer(best: Row, rows: Sequence[Row]) -> str:
    """Return how many seeds the best mean has, where others have more."""
    n = best.accuracy.n
    return f" (of {n} seed{'s' * (n > 1)})" if n < max(row.accuracy.n for row in rows) else ""


def _says(row: Row) -> str:
    return shown(row.verdict_full, row.vs_full)


def _rank(row: Row) -> tuple[float, float]:
    """Cheapest first, unknown cost last; of equal cost the more accurate."""
    cost = math.inf if row.cost_vs_full is None else round(row.cost_vs_full, 6)
    return cost, -row.accuracy.mean


def _cost_of(row: Row) -> str:
    gap = f"{row.label} {row.verdict_full} ({difference_text(row.vs_full)} points)"
    if row.cost_vs_full is None:
        return f"cost not measured: {gap}"
    if row.cost_vs_full < 1:
        return f"yes: {gap} at {row.cost_vs_full:.2f} of its cost"
    amortized = row.cost_vs_full_amortized
    often = f" ({amortized:.2f} if the mask is reused often)" if amortized is not None and amortized < 1 else ""
    return f"no: {gap}, but at {row.cost_vs_full:.2f} of its cost{often}"


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what to know before believing the table: masks that are shared, numbers of seeds that differ."""
    lines = [*_shared_masks(rows)]
    for (data, model, ratio), group in groupby(rows, key=lambda row: (row.data, row.model, row.pruning_ratio)):
        counts = sorted({row.accuracy.n for row in group if row.rank is not None})
        if len(counts) > 1:
            lines.append(
                f"{data}, {model}, {percent(ratio)} pruned: ranks compare means over {counts[0]} to {counts[-1]} seeds"
            )
    return lines


def _shared_masks(rows: Sequence[Row]) -> list[str]:
    """Return which methods have one mask for all seeds, so that nothing tells how their masks differ.

    Where one score seed drew it, the line says how to draw others; a mask from a file, or one that all score seeds
    came to, is the same whatever the score seed is.
    """
    advice = {True: " (score_seed=${seed} draws a mask for every seed)", False: ""}
    lines = []
    for drawn_once in (True, False):
        one = sorted({row.label for row in rows if row.one_mask and _is_drawn_once(row) == drawn_once})
        if one:
            lines.append(
                f"one mask for all seeds, so the verdicts hold for this mask, and it is not ranked: {', '.join(one)}"
                f"{advice[drawn_once]}"
            )
    return lines


def _is_drawn_once(row: Row) -> bool:
    """Whether another score seed would have drawn another mask, and all runs of a row have the same one."""
    seeds = {run.score_seed for run in row.runs}
    return len(seeds) == 1 and None not in seeds and not any(run.given for run in row.runs)


def is_it_better(rows: Sequence[FidelityRow]) -> list[str]:
    """Return per subset the best extrapolator and its cost, then one line for each that is not above the best control.

    Args:
        rows: sorted as :func:`secateur.report.data.fidelity_rows.make_fidelity_rows` returns them.
    """
    several = len({row.study for row in rows}) > 1
    lines = []
    for (study, subset), group in groupby(rows, key=lambda row: (row.study, row.subset)):
        where = f"{', '.join(study)}, {subset_text(subset)}" if several else subset_text(subset)
        lines += [f"{where}: {line}" for line in _answers(list(group))]
    return list(dict.fromkeys(lines))


def _answers(rows: Sequence[FidelityRow]) -> list[str]:
    known = [row for row in rows if row.spearman is not None and not row.is_control]
    better = [row for row in known if row.chance == BETTER]
    lines = [_best(max(better, key=_spearman))] if better else []
    if known and not better:
        highest = max(known, key=_spearman)
        shown = "" if all(row.chance == NO_BETTER for row in known) else "shown to be "
        words = f"no extrapolation is {shown}better than chance"
        lines = [f"{words}; the highest is {highest.label}: {_by_chance(highest)}"]
    return lines + [_not_better(row) for row in rows if not row.is_control and not row.verdict.startswith("above")]


def _by_chance(row: FidelityRow) -> str:
    """Return the correlation, and the recall nearest to being a gain beside that of a random mask."""
    measured = [(ratio.recall.mean - ratio.chance, ratio) for ratio in row.ratios if ratio.recall and ratio.chance]
    text = f"Spearman {_spearman(row):.3f}"
    if not measured:
        return text
    best = max(measured, key=lambda pair: pair[0])[1]
    recall = best.recall.mean if best.recall else 0.0
    return f"{text}, recall {recall:.2f} at {percent(best.pruning_ratio)} pruned where chance is {best.chance:.2f}"


def _spearman(row: FidelityRow) -> float:
    return row.spearman.mean if row.spearman else -1.0


def _best(row: FidelityRow) -> str:
    share = (
        ""
        if row.of_seed_level is None
        else f", {100 * row.of_seed_level.mean:.0f} % of the level between full scorings"
    )
    above = f", above {row.control} ({gap_text(row.vs_control)})" if row.verdict.startswith("above") else ""
    cost = row.cost_vs_full_scoring
    at = "" if cost is None else f"; it costs {cost:.2f} of a full scoring"
    return f"the best extrapolation is {row.label}: Spearman {_spearman(row):.3f}{share}{above}{at}"


def _not_better(row: FidelityRow) -> str:
    if row.verdict in (NO_BETTER, NOT_SHOWN):
        return f"{row.label} is {row.verdict}: {_by_chance(row)}"
    if not row.control:
        return (
            f"{row.label} is {row.chance}; no control was run on its subsets, so nothing says whether it is worth more"
        )
    if row.vs_control is None or row.vs_control.low is None:
        return f"{row.label} against {row.control}: {row.verdict}"
    gap = gap_text(row.vs_control)
    if row.verdict.startswith("below"):
        return f"{row.label} is worse than {row.control}: {gap}"
    if row.verdict.startswith("undecided"):
        return f"{row.label} is not shown to be better than {row.control}: {gap}"
    return f"{row.label} is not better than {row.control}: {gap}"


def gap_text(difference: Estimate | None) -> str:
    """Return a difference of correlations and half its interval, ``+0.052 ± 0.021``; empty for None."""
    if difference is None:
        return ""
    half = "" if difference.high is None else f" ± {difference.high - difference.mean:.3f}"
    return f"{round(difference.mean, 3) + 0.0:+.3f}{half}"  # + 0.0: never "-0.000"


def subset_text(subset: tuple[float, float]) -> str:
    """Return a subset in words: ``20 % scored``, and how much longer its training was."""
    fraction, factor = subset
    return f"{percent(fraction)} scored" + ("" if factor == 1 else f", epochs x{factor:g}")


def fidelity_notes(runs: Sequence[FidelityRun], rows: Sequence[FidelityRow]) -> list[str]:
    """Return what to know before believing the rows: what was not compared, or is not defined."""
    lines = []
    alone = sum(not run.num_compared for run in runs)
    if alone:
        lines.append(f"{alone} runs with extrapolation were compared with no full scoring and have no fidelity")
    for row in rows:
        undefined = len(row.score_seeds) - len(row.spearman_by_seed)
        if undefined and (row.spearman_by_seed or not row.is_control):  # some controls predict no order at all
            which = f"{row.label}, {subset_text(row.subset)}" + (f", {row.merge}" if row.merge else "")
            lines.append(f"{which}: no Spearman correlation on {undefined} of {len(row.score_seeds)} subsets")
    if rows and all(row.seed_spearman is None for row in rows):
        lines.append("no level between full scorings: it needs two of them with different score_seed")
    return lines
