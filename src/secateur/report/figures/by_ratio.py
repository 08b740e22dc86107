"""A measure against the pruning ratio: one line per method, full data as a horizontal band."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from secateur.report.data.cells import is_method
from secateur.report.data.rows import Row
from secateur.report.data.statistics import Estimate
from secateur.report.figures.points import dodged, draw_points, ends
from secateur.report.figures.style import Look, house_style, looks_of, new_figure, size_of

PERCENT = FuncFormatter(lambda value, _: f"{value:g} %" if 0 <= value <= 100 else "")  # the margins hold no share


@dataclass(frozen=True)
class Measure:
    """What is on the vertical axis.

    Attributes:
        kind: its name in files.
        axis: its name on the axis.
        value: takes it from a row; None where it was not measured.
    """

    kind: str
    axis: str
    value: Callable[[Row], Estimate | None]


ACCURACY = Measure("accuracy", "test accuracy, last epoch", lambda row: row.accuracy)
WORST_CLASS = Measure("worst_class", "accuracy of the worst class", lambda row: row.worst_class_accuracy)
ROBUST = Measure("robust", "accuracy under PGD attack", lambda row: row.robust_accuracy)


def accuracy_figure(
    rows: Sequence[Row],
    baseline: str = "random",
    looks: Mapping[str, Look] | None = None,
    measure: Measure = ACCURACY,
) -> Figure:
    """Draw one data set and model.

    A bar is the 95 % t interval of the mean over seeds, cut at 0 and 100 %; a hollow marker is a single seed, which
    has none. The methods are shifted a little sideways so that bars do not hide each other.

    Args:
        rows: the rows of one data set and model; those without the measure are left out.
        baseline: label of the method that comes first.
        looks: how each method is drawn; None: as if there were no other table.
        measure: what is drawn.
    """
    rows = [row for row in rows if measure.value(row) is not None]
    looks = looks_of([row.label for row in rows], baseline) if looks is None else looks
    labels = sorted(
        {row.label for row in rows if not row.is_full}, key=lambda name: (not is_method(name, baseline), name)
    )
    ratios = sorted({row.pruning_ratio for row in rows if not row.is_full})
    with house_style():
        longest, num_lines = size_of(labels)
        figure = new_figure(7.0 + 0.06 * max(longest - 24, 0), max(3.6, 0.17 * num_lines + 1.0))
        axes = figure.add_subplot()
        axes.set_ylim(*limits(_all(rows, measure)))
        for row in rows:
            if row.is_full:
                _draw_full(axes, row.label, _known(row, measure), looks[row.label])
        places = _places(rows, labels)
        for label in labels:
            _draw_method(axes, [row for row in rows if row.label == label], looks[label], places, measure)
        _decorate(axes, rows, ratios, measure)
        figure.legend(
            loc="outside right upper", handlelength=2.6, title=legend_title(_all(rows, measure)), alignment="left"
        )
    return figure


def _known(row: Row, measure: Measure) -> Estimate:
    value = measure.value(row)
    return row.accuracy if value is None else value  # rows without the measure have been left out


def _all(rows: Sequence[Row], measure: Measure) -> list[Estimate]:
    return [_known(row, measure) for row in rows]


def _places(rows: Sequence[Row], labels: Sequence[str]) -> dict[tuple[str, float], float]:
    """Return where each method's point stands, in percent: beside the others at its ratio, around it."""
    points = [(row.label, row.pruning_ratio) for label in labels for row in rows if row.label == label]
    x = [100 * ratio for _, ratio in points]
    span = max(x, default=0.0) - min(x, default=0.0)
    return dict(zip(points, dodged(x, span or 100.0), strict=True))


def _draw_full(axes: Axes, label: str, value: Estimate, look: Look) -> None:
    axes.axhline(100 * value.mean, color=look.color, linewidth=1.0, linestyle=look.line, label=label, zorder=1.5)
    if (band := ends(value)) is not None:
        axes.axhspan(*band, color=look.color, alpha=0.10, linewidth=0, zorder=1)


def _draw_method(
    axes: Axes, rows: Sequence[Row], look: Look, places: Mapping[tuple[str, float], float], measure: Measure
) -> None:
    rows = sorted(rows, key=lambda row: row.pruning_ratio)
    x = [places[row.label, row.pruning_ratio] for row in rows]
    draw_points(axes, x, _all(rows, measure), look, rows[0].label)


def _decorate(axes: Axes, rows: Sequence[Row], ratios: Sequence[float], measure: Measure) -> None:
    axes.set_title(f"{rows[0].data}, {rows[0].model}", loc="left", fontsize=9.5)
    axes.set_xlabel("removed share of the training set")
    axes.set_ylabel(measure.axis)
    axes.set_xticks([100 * ratio for ratio in ratios])
    axes.margins(x=0.05)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid(visible=False, axis="x")


def legend_title(values: Sequence[Estimate]) -> str:
    """Return how many seeds a figure's means are over, and what its bars are."""
    seeds = sorted({value.n for value in values})
    if seeds[-1] == 1:
        return "one seed"
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return f"mean of {count} seeds, 95 % interval" + ("\n(hollow: one seed)" if seeds[0] == 1 else "")


def limits(values: Sequence[Estimate]) -> tuple[float, float]:
    """Return y limits, in percent, that show all means and all bars but those longer than the range of the means.

    There is room for a whole marker at the lowest and at the highest mean, even where that is 0 or 100.
    """
    means = [100 * value.mean for value in values]
    span = max(max(means) - min(means), 1.0)
    seen = list(means)
    for value in values:
        if (bar := ends(value)) is not None:
            low, high = bar
            if high - low > span:
                low, high = max(low, min(means) - span / 4), min(high, max(means) + span / 4)
            seen += [low, high]
    margin = 0.05 * (max(seen) - min(seen) or 1.0)
    return min(seen) - margin, max(seen) + margin
