"""All figures of a report: which there are, what they are called, what they show."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

from secateur.report.data.rows import Row
from secateur.report.figures.by_cost import cost_figure
from secateur.report.figures.by_ratio import ACCURACY, ROBUST, WORST_CLASS, Measure, accuracy_figure
from secateur.report.figures.class_balance import balance_figure
from secateur.report.figures.overlap import overlap_figure
from secateur.report.figures.scores import dynamics_figure, score_figure
from secateur.report.figures.style import DEFAULT_FORMATS, Look, looks_of, save_figure

FOLDER = "figures"
MAX_NAME = 120  # characters that a table's name may have in that of a file; the usual limit is 255 for the whole


@dataclass(frozen=True)
class Drawn:
    """A figure that was written.

    Attributes:
        id: its file name without suffix.
        kind: what it is of.
        table: data set and model; None when it is of none.
        title: its headline.
        caption: what is to be seen.
        files: its files by format.
    """

    id: str
    kind: str
    table: str | None
    title: str
    caption: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Kind:
    """A figure that every table may have.

    Attributes:
        name: the first part of its file name.
        title: its headline.
        caption: what is to be seen.
        draw: returns it, or None where the table has not what it needs.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Sequence[Row], Mapping[str, Look], str], Figure | None]


def table_id(row: Row) -> str:
    """Return the name of the table that a row belongs to."""
    return f"{row.data}, {row.model}"


def save_figures(
    rows: Sequence[Row], output_dir: Path, baseline: str = "random", formats: Sequence[str] = DEFAULT_FORMATS
) -> list[Drawn]:
    """Draw every data set and model into ``output_dir/figures/<kind>_<data>-<model>.svg`` and so on.

    Args:
        rows: sorted as :func:`secateur.report.data.rows.make_rows` returns them.
        output_dir: folder of the report.
        baseline: label of the method that the others are compared with.
        formats: of ``svg``, ``pdf`` and ``png``; none: nothing is drawn.
    """
    looks = looks_of([row.label for row in rows], baseline)
    drawn = []
    for _, group in groupby(rows, key=table_id):
        members = list(group)
        for kind in KINDS if formats else ():
            figure = kind.draw(members, looks, baseline)
            if figure is not None:
                name = f"{kind.name}_{file_name(table_id(members[0]))}"
                paths = save_figure(figure, output_dir / FOLDER / name, formats)
                files = dict(zip(formats, paths, strict=True))
                drawn.append(Drawn(name, kind.name, table_id(members[0]), kind.title, kind.caption, files))
    return drawn


def file_name(text: str) -> str:
    """Return a text as part of a file name; of a long one the beginning and a hash, as names have a limit.

    Example:
        >>> file_name("emnist -> mnist, small_cnn")
        'emnist-mnist-small-cnn'
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", text)
    if len(name) <= MAX_NAME:
        return name
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - len(mark) - 1]}-{mark}"


def _measured(rows: Sequence[Row], looks: Mapping[str, Look], baseline: str, measure: Measure) -> Figure | None:
    known = [row for row in rows if measure.value(row) is not None]
    return accuracy_figure(known, baseline, looks, measure) if any(not row.is_full for row in known) else None


def _accuracy(rows: Sequence[Row], looks: Mapping[str, Look], baseline: str) -> Figure:
    return accuracy_figure(rows, baseline, looks, ACCURACY)


def class_names_of(rows: Sequence[Row]) -> list[str] | None:
    """Return the names of the classes of a table's pool, as its records have them."""
    for row in rows:
        for run in row.runs:
            if names := run.record.data.class_names:
                return list(names)
    return None


BARS = (
    "Mean over seeds, bars: 95 % t interval as far as it lies within 0 and 100 %; a hollow marker is a single seed, "
    "which has none. A bar that leaves the axes is cut there, at a small triangle."
)
ONE_RUN = "One run per method, of at most six methods: those with the highest mean accuracy."
KINDS = (
    Kind("accuracy", "Accuracy against pruning ratio", f"{BARS} Black: full data, with its interval.", _accuracy),
    Kind(
        "worst_class",
        "Worst class against pruning ratio",
        f"Accuracy of the class that is worst. {BARS}",
        partial(_measured, measure=WORST_CLASS),
    ),
    Kind(
        "robust",
        "Robust accuracy against pruning ratio",
        f"Accuracy on test images attacked by PGD. {BARS}",
        partial(_measured, measure=ROBUST),
    ),
    Kind(
        "cost",
        "Accuracy against total cost",
        "Cost of everything the result needs, in trainings on full data; a line joins a method's ratios. Ringed: "
        "nothing cheaper is more accurate (Pareto front of the means). Left of the dotted line pruning paid at once. "
        f"Points of one cost stand beside each other. {BARS}",
        lambda rows, looks, baseline: cost_figure(rows, looks),
    ),
    Kind(
        "overlap",
        "Overlap of the kept sets",
        "Jaccard index: samples both keep over samples either keeps, mean over up to three masks of equal seed. "
        "Diagonal: masks of one method with different seeds. Chance: two random subsets of that size. Methods that "
        "draw a new subset every epoch have no kept set.",
        lambda rows, looks, baseline: overlap_figure(rows, baseline),
    ),
    Kind(
        "class_balance",
        "Class balance of the kept sets",
        "Kept share of each class over the kept share of the pool, mean over seeds: 1 keeps the pool's balance, 0 "
        "loses the class. What is beyond a quarter or four times is drawn as just that. Methods that draw a new subset "
        "every epoch have no kept set.",
        lambda rows, looks, baseline: balance_figure(rows, looks, class_names_of(rows)),
    ),
    Kind(
        "scores",
        "Distribution of the scores",
        f"{ONE_RUN} With score extrapolation: predicted beside observed scores, before they are merged; "
        "otherwise kept and pruned samples. Each group's bins sum to 100 %: a bin with an arrowhead also holds the up "
        "to 0.5 % of all scores that lie beyond it.",
        lambda rows, looks, baseline: score_figure(rows),
    ),
    Kind(
        "dynamics",
        "Training dynamics of kept and pruned samples",
        f"{ONE_RUN} Mean and standard deviation, over the epochs of the scoring training, of the probability "
        "of a sample's label: easy samples lie at the top left, hard ones at the bottom left, ambiguous ones to the "
        "right.",
        lambda rows, looks, baseline: dynamics_figure(rows),
    ),
)
