"""Accuracy against what the result costs in all: what pruning buys, and at which price."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from secateur.report.figure import PERCENT, legend_title, limits
from secateur.report.pareto import pareto_front
from secateur.report.style import Look, house_style, new_figure, size_of, wrapped
from secateur.report.summary import Row

WIDE = 20.0  # costs that differ by more are drawn on a logarithmic axis


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
        for label, members in by_label.items():
            if members:
                _draw_method(axes, members, looks[label])
        _draw_front(axes, pareto_front(drawn))
        figure.legend(
            loc="outside right upper",
            handlelength=2.6,
            title=legend_title([row.accuracy for row in drawn]),
            alignment="left",
        )
    return figure


def _draw_method(axes: Axes, rows: Sequence[Row], look: Look) -> None:
    values = [row.accuracy for row in rows]
    axes.errorbar(
        [row.cost_vs_full or 0.0 for row in rows],
        [100 * value.mean for value in values],
        [0.0 if value.high is None else 100 * (value.high - value.mean) for value in values],
        color=look.color,
        marker=look.marker,
        linestyle=look.line,
        linewidth=1.2,
        markersize=9.0 if rows[0].is_full else 4.5,
        elinewidth=0.8,
        capsize=2.0,
        label=wrapped(rows[0].label),
        zorder=3,
    )


def _draw_front(axes: Axes, front: Sequence[Row]) -> None:
    """Ring the front's points, join them by steps and write their ratios."""
    x = [row.cost_vs_full or 0.0 for row in front]
    y = [100 * row.accuracy.mean for row in front]
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
    for row, a, b in zip(front, x, y, strict=True):
        if any(row.pruning_ratio == other.pruning_ratio and abs(a - c) < 0.1 for other, c in written):
            continue  # its neighbor says the same
        written.append((row, a))
        text = "full" if row.is_full else f"{100 * row.pruning_ratio:g} %"
        axes.annotate(
            text, (a, b), (-6, 6), textcoords="offset points", ha="right", va="bottom", fontsize=7.5, zorder=5
        )


def _set_axes(axes: Axes, rows: Sequence[Row]) -> None:
    costs = [row.cost_vs_full or 0.0 for row in rows]
    axes.set_title(f"{rows[0].data}, {rows[0].model}", loc="left", fontsize=9.5)
    axes.set_xlabel("cost of the result, in trainings on full data")
    axes.set_ylabel("test accuracy, last epoch")
    axes.axvline(1.0, color="#999999", linestyle=":", linewidth=1.0, zorder=1)
    if min(costs) > 0 and max(costs) / min(costs) > WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        span = max(*costs, 1.0) - min(costs) or 1.0  # full data alone cost 1
        axes.set_xlim(max(0.0, min(costs) - 0.15 * span), max(*costs, 1.0) + 0.05 * span)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(PERCENT)
    low, high = limits([row.accuracy for row in rows])
    axes.set_ylim(low, high + 0.05 * (high - low))
