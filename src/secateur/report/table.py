"""The comparison on the terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from secateur.report.statistics import Comparison, Estimate, cautious
from secateur.report.summary import Row

STYLES = {"above": "green", "matches": "green", "below": "red"}
LEGEND = (
    "accuracy: test accuracy in % after the last epoch, mean ± sample sd (n seeds)",
    "vs: difference in points, paired by seed, ± half of its 95 % t interval;",
    "    ties, matches: the interval holds 0 and lies within ±1 point; undecided: it is wider;",
    "    (above), (below): not significant after Holm's correction over the table",
    "cost: everything the result needs, in trainings on full data; below 1, pruning paid at once",
)
WORST = "worst class: accuracy of the class that is worst, mean ± sample sd (n seeds)"
RANK = "rank: by mean accuracy among the methods at the ratio, 1 is the best; bold: the best mean of at least two seeds"
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
        Column("method", lambda row: row.label),
        Column("pruned", lambda row: percent(None if row.is_full else row.pruning_ratio), number=True),
        Column("kept", lambda row: percent(row.keep_fraction), number=True),
        Column("accuracy (n)", lambda row: accuracy_text(row.accuracy), number=True, bold=lambda row: row.best),
        *(worst if wide and shows_worst_class(rows) else []),
        *(robust if shows_robust(rows) else []),
        Column(
            f"vs {baseline}",
            lambda row: _comparison(row.vs_baseline, row.verdict_baseline, baseline),
            verdict=lambda row: row.verdict_baseline,
        ),
        Column(
            "vs full",
            lambda row: _comparison(row.vs_full, row.verdict_full, "full"),
            verdict=lambda row: row.verdict_full,
        ),
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
    return [*LEGEND[:1], *worst, *robust, *LEGEND[1:], *rank]


def comparison_table(rows: Sequence[Row], baseline: str = "random") -> Table:
    """Return the table of all rows, readable at 100 columns; one part per data set and model.

    Args:
        rows: sorted as :func:`secateur.report.summary.make_rows` returns them.
        baseline: label of the method that the others are compared with.
    """
    grid = Table.grid(padding=(0, 0))
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        grid.add_row(_part(f"{data}, {model}", list(group), baseline))
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
    shown = cautious(words, None if difference is None else difference.survives_holm)
    short = shown.split(":")[0].removesuffix(f" {reference}")
    return f"{difference_text(difference)} {short}".strip()


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
