"""The comparison on the terminal."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from secateur.report.data.equality import FULL_DATA, Margin
from secateur.report.data.rows import Row
from secateur.report.data.run import FULL
from secateur.report.data.statistics import Comparison, Estimate, cautious, is_limited, short

STYLES = {"above": "green", "matches": "green", "below": "red"}
LEGEND = (
    "accuracy: test accuracy in % after the last epoch, mean ± sample sd (n seeds)",
    "vs: difference in points, paired by seed, ± half of its 95 % t interval;",
    "    ties, matches: two one-sided tests say that the difference is below the table's margin;",
    "    undecided: neither is shown; in parentheses: not significant after Holm's correction",
    "cost: everything the result needs, in trainings on full data; below 1, pruning paid at once",
)
WORST = "worst class: accuracy of the class that is worst, mean ± sample sd (n seeds)"
RANK = "rank: by mean accuracy among the methods at the ratio, 1 is the best; bold: the best mean of at least two seeds"
ONE_MASK = "(this mask): one mask for all seeds; the verdict holds for it, and it is neither ranked nor in bold"
VISITS = "of visits: share of all visits that was trained on; another subset in every epoch, nothing is kept for good"
COMPARED = "(compare_with): trained beside other runs to compare them with, at their size"
DETECTABLE = "finds: smallest difference to {} that these seeds find with 80 % power, in points"
ROBUST = "robust: accuracy on test images attacked by PGD, an upper bound of what other attacks leave"


@dataclass(frozen=True)
class Column:
    """One column of every printed form of the table.

    Attributes:
        header: its name.
        text: what it shows of a row.
        number: whether that is a number, set to the right and never folded.
        verdict: the words that color it; empty for none.
        bold: whether it is set in bold where the form has that.
    """

    header: str
    text: Callable[[Row], str]
    number: bool = False
    verdict: Callable[[Row], str] = lambda _: ""
    bold: Callable[[Row], bool] = lambda _: False


def columns(rows: Sequence[Row], baseline: str, *, wide: bool = False) -> list[Column]:
    """Return the columns of a table of some rows; the robust accuracy only where any row has it.

    Args:
        rows: what is to be shown.
        baseline: label of the method that the others are compared with.
        wide: also the worst class, where it was measured, and the rank.
    """
    worst = [Column("worst class (n)", lambda row: _accuracy_or_dash(row.worst_class_accuracy), number=True)]
    rank = [Column("rank", rank_text, number=True)]
    robust = [Column("robust (n)", lambda row: _accuracy_or_dash(row.robust_accuracy), number=True)]
    return [
        Column("method", name_text),
        Column("pruned", pruned_text, number=True),
        Column("kept", kept_text, number=True),
        Column("accuracy (n)", lambda row: accuracy_text(row.accuracy), number=True, bold=lambda row: row.best),
        *(worst if wide and shows_worst_class(rows) else []),
        *(robust if shows_robust(rows) else []),
        Column(
            f"vs {baseline}",
            lambda row: _comparison(row.vs_baseline, row.verdict_baseline, baseline),
            verdict=lambda row: color_of(row.verdict_baseline),
        ),
        Column(
            "vs full",
            lambda row: _comparison(row.vs_full, row.verdict_full, "full"),
            verdict=lambda row: color_of(row.verdict_full),
        ),
        *([Column("finds", detectable_text, number=True)] if wide and any(map(_detectable, rows)) else []),
        Column("cost", lambda row: ratio_text(row.cost_vs_full), number=True),
        *(rank if wide and any(row.rank is not None for row in rows) else []),
    ]


def shows_robust(rows: Sequence[Row]) -> bool:
    """Whether any row has a robust accuracy."""
    return any(row.robust_accuracy is not None for row in rows)


def shows_worst_class(rows: Sequence[Row]) -> bool:
    """Whether any row has the accuracy of its worst class."""
    return any(row.worst_class_accuracy is not None for row in rows)


def legend(rows: Sequence[Row], *, wide: bool = False) -> list[str]:
    """Return what the columns mean, line by line."""
    worst = [WORST] if wide and shows_worst_class(rows) else []
    robust = [ROBUST] if shows_robust(rows) else []
    rank = [RANK] if wide and any(row.rank is not None for row in rows) else []
    visits = [VISITS] if any(row.per_epoch for row in rows) else []
    one_mask = [ONE_MASK] if any(row.one_mask for row in rows) else []
    compared = [COMPARED] if any(row.is_comparison and not row.is_full for row in rows) else []
    finds = [DETECTABLE.format(" or ".join(found_against(rows)))] if wide and any(map(_detectable, rows)) else []
    return [*LEGEND[:1], *worst, *robust, *visits, *LEGEND[1:-1], *one_mask, *compared, *finds, *LEGEND[-1:], *rank]


def table_notes(rows: Sequence[Row], margin: Margin | None = None) -> list[str]:
    """Return what stands below one table: its margin of equality, and the differences that its seeds can find.

    Args:
        rows: rows of one data set and model.
        margin: how the margin was set; None: the default.
    """
    judged = [row for row in rows if row.margin is not None and (row.vs_full or row.vs_baseline)]
    margins = sorted({row.margin for row in judged if row.margin is not None})
    lines = []
    if margins:
        errors = {FULL_DATA if row.has_full else row.baseline for row in judged}
        words = (margin or Margin()).words_of(_full_first(errors, FULL_DATA))
        lines.append(f"equal (ties, matches): within ±{_range(margins, 2)} points ({words})")
    for name in found_against(rows):
        found = sorted(value for row in rows if (value := _detectable(row)) is not None and _found_against(row) == name)
        lines.append(f"smallest difference to {name} that the seeds find with 80 % power: {_range(found, 1)} points")
    return lines + _fewer_steps(rows)


def found_against(rows: Sequence[Row]) -> list[str]:
    """Return what the smallest differences that are shown are differences to: full data, or without it the baseline."""
    return _full_first({_found_against(row) for row in rows if _detectable(row) is not None}, FULL)


def _full_first(names: Collection[str], full: str) -> list[str]:
    return sorted(names, key=lambda name: (name != full, name))


def _found_against(row: Row) -> str:
    return row.baseline if row.vs_full is None else FULL


def _fewer_steps(rows: Sequence[Row]) -> list[str]:
    """Return how many steps the most pruned training takes, where trainings on less data have as many epochs as full.

    Methods that choose anew in every epoch are left out: their ratio does not say how many steps they take.
    """
    epochs = {_epochs(row) for row in rows if row.is_full}
    ratios = [
        row.pruning_ratio
        for row in rows
        if not row.is_full and not row.per_epoch and not _has_equal_steps(row) and _epochs(row) in epochs
    ]
    if not ratios or max(ratios) <= 0:
        return []
    most = max(ratios)
    return [
        f"equal epochs, so fewer steps: {percent(most)} pruned takes {percent(1 - most)} of full's steps; "
        "budget=steps trains as many"
    ]


def _epochs(row: Row) -> str:
    """Return the epochs that the runs of a row were trained for."""
    return repr(sorted({repr(run.recipe.get("trainer.max_epochs")) for run in row.runs}))


def _has_equal_steps(row: Row) -> bool:
    return any(run.recipe.get("budget") == "steps" for run in row.runs)


def _range(values: Sequence[float], digits: int) -> str:
    """Return the smallest and the largest of some sorted shares in points."""
    texts = list(dict.fromkeys(f"{100 * value:.{digits}f}" for value in (values[0], values[-1])))
    return " to ".join(texts)


def comparison_table(rows: Sequence[Row], baseline: str = "random", margin: Margin | None = None) -> Table:
    """Return the table of all rows, readable at 100 columns; one part per data set and model.

    Args:
        rows: sorted as :func:`secateur.report.data.rows.make_rows` returns them.
        baseline: label of the method that the others are compared with.
        margin: how the margin of equality was set; None: the default.
    """
    grid = Table.grid(padding=(0, 0))
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        members = list(group)
        grid.add_row(_part(f"{data}, {model}", members, baseline))
        if below := table_notes(members, margin):
            grid.add_row(Text("\n".join([*below, ""])))
    grid.add_row(Text("\n".join(legend(rows)), style="dim"))
    return grid


def _part(title: str, rows: Sequence[Row], baseline: str) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    shown = columns(rows, baseline)
    for column in shown:  # a narrow terminal folds the names and the comparisons only
        table.add_column(Text(column.header), justify="right" if column.number else "left", no_wrap=column.number)
    for _, members in groupby(rows, key=lambda row: row.pruning_ratio):
        for row in members:
            table.add_row(*(_styled(row, column) for column in shown))
        table.add_section()
    return table


def _styled(row: Row, column: Column) -> Text:
    verdict = column.verdict(row)
    return Text(column.text(row), style=STYLES.get(verdict.split(" ")[0], "dim") if verdict else "")


def _comparison(difference: Comparison | None, words: str, reference: str) -> str:
    return f"{difference_text(difference)} {short(shown(words, difference), reference)}".strip()


def shown(words: str, difference: Comparison | None) -> str:
    """Return a verdict as it is shown: in parentheses where it does not survive Holm's correction."""
    if difference is None:
        return words
    return cautious(words, difference.survives_holm, difference.equal_survives_holm)


def color_of(words: str) -> str:
    """Return the words that color a verdict: those of a verdict that counts for no method have none."""
    return "no color" if is_limited(words) else words


def name_text(row: Row) -> str:
    """Return a row's method, and where it comes from if it is no run of its own."""
    return f"{row.label} (compare_with)" if row.is_comparison and not row.is_full else row.label


def pruned_text(row: Row) -> str:
    """Return a row's ratio, with the one asked for where it stands at what was realized: ``37 % (asked 70 %)``."""
    if row.is_full:
        return percent(None)
    shows = row.is_realized and row.asked_ratio is not None and not row.is_comparison
    asked = f" (asked {percent(row.asked_ratio)})" if shows else ""
    return f"{percent(row.pruning_ratio)}{asked}"


def kept_text(row: Row) -> str:
    """Return the share of the pool that was kept; of what is chosen anew in every epoch the share of the visits."""
    return f"{percent(row.visited_share)} of visits" if row.per_epoch else percent(row.keep_fraction)


def detectable_text(row: Row) -> str:
    """Return the smallest difference that the row's seeds find, to full data or without it to the baseline, in points.

    It is a dash where it is not known.
    """
    value = _detectable(row)
    return "-" if value is None else f"{100 * value:.1f}"


def _detectable(row: Row) -> float | None:
    difference = row.vs_baseline if row.vs_full is None else row.vs_full
    return None if difference is None else difference.detectable


def accuracy_text(accuracy: Estimate) -> str:
    """Return an accuracy in percent, for example ``95.1 ± 0.2 (3)``."""
    spread = f" ± {100 * accuracy.sd:.1f}" if accuracy.sd is not None else ""
    return f"{100 * accuracy.mean:.1f}{spread} ({accuracy.n})"


def _accuracy_or_dash(accuracy: Estimate | None) -> str:
    return "-" if accuracy is None else accuracy_text(accuracy)


def difference_text(difference: Estimate | None) -> str:
    """Return a difference in points and half its interval, for example ``-0.3 ± 0.5``; empty for None."""
    if difference is None:
        return ""
    half = "" if difference.high is None else f" ± {100 * (difference.high - difference.mean):.1f}"
    return f"{round(100 * difference.mean, 1) + 0.0:+.1f}{half}"  # + 0.0: never "-0.0"


def percent(share: float | None) -> str:
    """Return a share in percent without needless digits; a dash for None."""
    return "-" if share is None else f"{round(100 * share, 1):g} %"


def rank_text(row: Row) -> str:
    """Return a rank and among how many, for example ``2 / 4``; a dash for None."""
    return "-" if row.rank is None else f"{row.rank:g} / {row.num_ranked}"


def ratio_text(value: float | None) -> str:
    """Return a cost ratio with two digits; a dash when it was not measured."""
    return "-" if value is None else f"{value:.2f}"
