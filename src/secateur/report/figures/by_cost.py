"""Accuracy against what the result costs in all: what pruning buys, and at which price."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from secateur.report.data.pareto import pareto_front
from secateur.report.data.rows import Row
from secateur.report.figures.by_ratio import PERCENT, legend_title, limits
from secateur.report.figures.points import MARKER, dodged, draw_points
from secateur.report.figures.style import Look, house_style, new_figure, size_of

WIDE = 20.0  # costs that differ by more are drawn on a logarithmic axis
SAME_COST = 0.01  # of the axis: costs no further apart cover each other
STAR = 9.0  # points
NEAR_AXIS = 0.15  # of the axis: text to the left of such a point would lie across it


def cost_figure(rows: Sequence[Row], looks: Mapping[str, Look]) -> Figure | None:
    """Draw the rows of one data set and model; the ratios of a method are joined, the Pareto front is ringed.

    Args:
        rows: the rows of one data set and model.
        looks: how each method is drawn.

    Returns:
        The figure; None with fewer than two rows whose cost is known.
    """
    drawn = [row for row in rows if row.cost_vs_full is not None]
    if len(drawn) < 2:
        return None
    by_label: dict[str, list[Row]] = {label: [] for label in looks}  # in the order of the looks
    for row in sorted(drawn, key=lambda row: row.pruning_ratio):
        by_label[row.label].append(row)
    longest, num_lines = size_of(label for label, members in by_label.items() if members)
    with house_style():
        figure = new_figure(7.0 + 0.06 * max(longest - 24, 0), max(3.8, 0.17 * num_lines + 1.2))
        axes = figure.add_subplot()
        _set_axes(axes, drawn)
        ordered = [row for members in by_label.values() for row in members]
        places = dict(zip(map(id, ordered), _places(axes, ordered), strict=True))
        for label, members in by_label.items():
            if members:
                x, values = [places[id(row)] for row in members], [row.accuracy for row in members]
                draw_points(axes, x, values, looks[label], label, STAR if members[0].is_full else MARKER)
        _draw_front(axes, [(row, places[id(row)]) for row in pareto_front(drawn)])
        figure.legend(
            loc="outside right upper",
            handlelength=2.6,
            title=legend_title([row.accuracy for row in drawn]),
            alignment="left",
        )
    return figure


def _places(axes: Axes, rows: Sequence[Row]) -> list[float]:
    """Return where each row's point stands: at its cost, beside others of that cost; to be called with final limits."""
    is_log = axes.get_xscale() == "log"
    costs = [math.log10(_cost(row)) if is_log else _cost(row) for row in rows]
    low, high = (math.log10(end) if is_log else end for end in axes.get_xlim())
    places = dodged(costs, high - low, SAME_COST * (high - low))
    return [10**place for place in places] if is_log else places


def _cost(row: Row) -> float:
    return row.cost_vs_full or 0.0  # rows without a cost have been left out


def _draw_front(axes: Axes, front: Sequence[tuple[Row, float]]) -> None:
    """Ring the front's points, join them by steps and write their ratios.

    Args:
        axes: with the final limits.
        front: rows and where each stands.
    """
    x = [place for _, place in front]
    y = [100 * row.accuracy.mean for row, _ in front]
    axes.plot(x, y, drawstyle="steps-post", color="#999999", linewidth=3.0, alpha=0.45, zorder=1.5)
    axes.plot(
        *(x, y),
        linestyle="none",
        marker="o",
        markersize=10.5,
        markerfacecolor="none",
        markeredgecolor="black",
        markeredgewidth=0.9,
        label="Pareto front",
        zorder=4,
    )
    written: list[tuple[Row, float]] = []
    for (row, a), b in zip(front, y, strict=True):
        if any(row.pruning_ratio == other.pruning_ratio and abs(a - c) < 0.1 for other, c in written):
            continue  # its neighbor says the same
        written.append((row, a))
        text = "full" if row.is_full else f"{100 * row.pruning_ratio:g} %"
        at_axis = axes.transAxes.inverted().transform(axes.transData.transform((a, b)))[0] < NEAR_AXIS
        offset, align = ((7, -6), ("left", "top")) if at_axis else ((-6, 6), ("right", "bottom"))
        axes.annotate(text, (a, b), offset, textcoords="offset points", ha=align[0], va=align[1], zorder=5)


def _set_axes(axes: Axes, rows: Sequence[Row]) -> None:
    costs = [_cost(row) for row in rows]
    axes.set_title(f"{rows[0].data}, {rows[0].model}", loc="left", fontsize=9.5)
    axes.set_xlabel("cost of the result, in trainings on full data")
    axes.set_ylabel("test accuracy, last epoch")
    axes.axvline(1.0, color="#999999", linestyle=":", linewidth=1.0, zorder=1)
    if min(costs) > 0 and max(costs) / min(costs) > WIDE:
        axes.set_xscale("log")
        low, high = min(costs), max(*costs, 1.0)
        axes.set_xlim(low * (low / high) ** 0.15, high * (high / low) ** 0.05)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        span = max(*costs, 1.0) - min(costs) or 1.0  # full data alone cost 1
        axes.set_xlim(max(0.0, min(costs) - 0.15 * span), max(*costs, 1.0) + 0.05 * span)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(PERCENT)
    bottom, top = limits([row.accuracy for row in rows])
    axes.set_ylim(bottom, top + 0.05 * (top - bottom))
