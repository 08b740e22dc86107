"""The comparison on the terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from secateur.report.statistics import Estimate
from secateur.report.summary import Row

STYLES = {"above": "green", "matches": "green", "below": "red"}
LEGEND = (
    "accuracy: test accuracy in % after the last epoch, mean ± sample sd (n seeds)",
    "vs: difference in points, paired by seed, ± half of its 95 % t interval;",
    "    ties, matches: the interval holds 0 and lies within ±1 point; undecided: it is wider",
    "cost: everything the result needs, in trainings on full data; below 1, pruning paid at once",
)


def comparison_table(rows: Sequence[Row], baseline: str = "random") -> Table:
    """Return the table of all rows, readable at 100 columns; one part per data set and model.

    Args:
        rows: sorted as :func:`secateur.report.summary.make_rows` returns them.
        baseline: label of the method that the others are compared with.
    """
    grid = Table.grid(padding=(0, 0))
    for (data, model), group in groupby(rows, key=lambda row: (row.data, row.model)):
        grid.add_row(_part(f"{data}, {model}", list(group), baseline))
    grid.add_row(Text("\n".join(LEGEND), style="dim"))
    return grid


def _part(title: str, rows: Sequence[Row], baseline: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
    for position, header in enumerate(headers(baseline)):
        number = position in (1, 2, 3, 6)  # a narrow terminal folds the names and the comparisons only
        table.add_column(header, justify="right" if number else "left", no_wrap=number)
    for _, members in groupby(rows, key=lambda row: row.pruning_ratio):
        for row in members:
            table.add_row(*_styled(row, baseline))
        table.add_section()
    return table


def _styled(row: Row, baseline: str) -> list[Text]:
    words = ["", "", "", "", row.verdict_baseline, row.verdict_full, ""]
    styles = [STYLES.get(verdict.split(" ")[0], "dim") if verdict else "" for verdict in words]
    return [Text(text, style=style) for text, style in zip(row_texts(row, baseline), styles, strict=True)]


def headers(baseline: str) -> list[str]:
    """Return the headers of the columns that :func:`row_texts` fills."""
    return ["method", "pruned", "kept", "accuracy (n)", f"vs {baseline}", "vs full", "cost"]


def row_texts(row: Row, baseline: str) -> list[str]:
    """Return a row as the seven texts that every printed form of the table shows."""
    return [
        row.label,
        percent(None if row.is_full else row.pruning_ratio),
        percent(row.keep_fraction),
        accuracy_text(row.accuracy),
        _comparison(row.vs_baseline, row.verdict_baseline, baseline),
        _comparison(row.vs_full, row.verdict_full, "full"),
        ratio_text(row.cost_vs_full),
    ]


def _comparison(difference: Estimate | None, words: str, reference: str) -> str:
    short = words.split(":")[0].removesuffix(f" {reference}")
    return f"{difference_text(difference)} {short}".strip()


def accuracy_text(accuracy: Estimate) -> str:
    """Return an accuracy in percent, for example ``95.1 ± 0.2 (3)``."""
    spread = f" ± {100 * accuracy.sd:.1f}" if accuracy.sd is not None else ""
    return f"{100 * accuracy.mean:.1f}{spread} ({accuracy.n})"


def difference_text(difference: Estimate | None) -> str:
    """Return a difference in points and half its interval, for example ``-0.3 ± 0.5``; empty for None."""
    if difference is None:
        return ""
    half = "" if difference.high is None else f" ± {100 * (difference.high - difference.mean):.1f}"
    return f"{round(100 * difference.mean, 1) + 0.0:+.1f}{half}"  # + 0.0: never "-0.0"


def percent(share: float | None) -> str:
    """Return a share in percent without needless digits; a dash for None."""
    return "-" if share is None else f"{round(100 * share, 1):g} %"


def ratio_text(value: float | None) -> str:
    """Return a cost ratio with two digits; a dash when it was not measured."""
    return "-" if value is None else f"{value:.2f}"
