"""Is the extrapolation worth anything? In words, per study and subset."""

from collections.abc import Sequence
from itertools import groupby

from secateur.report.data.chance import BETTER, NO_BETTER, NOT_SHOWN
from secateur.report.data.fidelity_rows import FidelityRow
from secateur.report.data.fidelity_run import FidelityRun
from secateur.report.data.statistics import Estimate
from secateur.report.tables.terminal import percent


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
