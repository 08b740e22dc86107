"""What the figures of fidelity share: which rows they draw, how each looks, and names beside the points."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from secateur.report.data.chance import NO_BETTER, NOT_SHOWN
from secateur.report.data.fidelity_rows import FidelityRow
from secateur.report.data.statistics import Estimate
from secateur.report.figures.style import BASELINE_COLOR, COLORS, MARKERS, Look

PREFERRED_MERGE = "quantile_match"
FONT = 8.0
LABEL_HEIGHT = 0.145  # inches from one label to the next


def to_draw(rows: Sequence[FidelityRow]) -> list[FidelityRow]:
    """Return one row per extrapolator and subset: how scores are merged does not change their order.

    Controls that were compared with chance and are not better, as random predictions, are left out: their correlation
    is near 0, and would press all others together.
    """
    chosen: dict[tuple[Any, ...], FidelityRow] = {}
    for row in rows:
        if row.is_control and row.chance in (NO_BETTER, NOT_SHOWN):
            continue
        key = (row.label, row.subset)
        if key not in chosen or row.merge == PREFERRED_MERGE:
            chosen[key] = row
    return list(chosen.values())


def height(rows: Sequence[FidelityRow]) -> float:
    """Return the height of a figure, in inches, beside which all names have room."""
    return max(3.8, 0.9 + 0.22 * len({row.label for row in rows}))


def looks_of_labels(rows: Sequence[FidelityRow]) -> dict[str, Look]:
    """Return a look for each label: controls gray and dashed, the others in color."""
    looks: dict[str, Look] = {}
    for control in (True, False):
        labels = sorted({row.label for row in rows if row.is_control == control})
        for number, label in enumerate(labels):
            marker = MARKERS[number % len(MARKERS)]
            if control:
                looks[label] = Look(BASELINE_COLOR, marker, "--")
            else:
                looks[label] = Look(COLORS[number % len(COLORS)], marker, "-" if number < len(COLORS) else ":")
    return looks


def limits(values: Sequence[Estimate | None], reference: float | None) -> tuple[float, float]:
    """Return y limits that show all means and the reference, and bars as far as they do not press the means flat."""
    known = [value for value in values if value is not None]
    means = [value.mean for value in known] + ([] if reference is None else [reference])
    span = max(max(means) - min(means), 0.02)
    low = min([*means, *(value.low for value in known if value.low is not None)])
    high = max([*means, *(value.high for value in known if value.high is not None)])
    low, high = max(low, min(means) - span / 5), min(high, max(means) + span / 5)
    return low - 0.05 * span, high + 0.07 * span


def draw_level(axes: Axes, level: float, cost: float | None) -> None:
    """Draw the level between full scorings as a line, with a star at their cost."""
    axes.axhline(level, color="black", linewidth=1.0, zorder=1.5)
    axes.annotate(
        "full scoring, other seed",
        xy=(0.01, level),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=FONT,
    )
    if cost is not None:
        axes.plot([cost], [level], marker="*", markersize=11, color="black", linestyle="none", zorder=4)


def last_points(
    rows: Sequence[FidelityRow], point: Callable[[FidelityRow], tuple[float | None, Estimate | None]]
) -> dict[str, tuple[float, float]]:
    """Return each label's right-most point."""
    ends: dict[str, tuple[float, float]] = {}
    for row in rows:
        x, value = point(row)
        if x is not None and value is not None and (row.label not in ends or x > ends[row.label][0]):
            ends[row.label] = (x, value.mean)
    return ends


def draw_labels(
    axes: Axes,
    ends: Mapping[str, tuple[float, float]],
    looks: Mapping[str, Look],
    num_inches: float,
    column: float = 1.03,
) -> None:
    """Write the names in a column, apart from each other, each with a thin line to its point.

    Args:
        axes: a panel with its final y limits.
        ends: the point of each name.
        looks: the color of each name.
        num_inches: height of the figure.
        column: where the column begins, in widths of the axes.
    """
    bottom, top = axes.get_ylim()
    inches = num_inches - 0.9  # less title and axis labels
    places = spread([y for _, y in ends.values()], LABEL_HEIGHT / inches * (top - bottom))
    for (label, point), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            label,
            xy=point,
            xytext=(column, place),
            textcoords=axes.get_yaxis_transform(),
            color=looks[label].color,
            fontsize=FONT,
            verticalalignment="center",
            arrowprops={
                **{"arrowstyle": "-", "color": looks[label].color, "linewidth": 0.5, "alpha": 0.6},
                **{"shrinkA": 1.0, "shrinkB": 3.0, "relpos": (0.0, 0.5)},
            },
        )


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Return positions near the values that are at least ``gap`` apart, in the same order (least squares).

    Example:
        >>> spread([0.0, 0.0, 5.0], 1.0)
        [-0.5, 0.5, 5.0]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    blocks: list[tuple[float, int]] = []  # mean and size of runs of touching labels
    for position, i in enumerate(order):
        mean, size = values[i] - position * gap, 1
        while blocks and blocks[-1][0] >= mean:
            before, count = blocks.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        blocks.append((mean, size))
    flat = [mean for mean, size in blocks for _ in range(size)]
    places = [0.0] * len(values)
    for position, i in enumerate(order):
        places[i] = flat[position] + position * gap
    return places
