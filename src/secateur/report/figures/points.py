"""Means with their bars as every figure draws them, and points beside each other instead of on each other."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from secateur.report.data.statistics import Estimate
from secateur.report.figures.style import Look, wrapped

MARKER = 4.5  # points
CUT = 4.0  # size of the triangle where a bar is cut
STEP = 0.016  # of the axis, from one point to the next at most: about a marker
WIDEST = 0.08  # of the axis, that points beside each other may take
MAX_SHARE = 0.35  # of the way to the next group that points beside each other may take


def ends(value: Estimate) -> tuple[float, float] | None:
    """Return the ends of an accuracy's interval in percent, no further than 0 and 100; None where it has none."""
    if value.low is None or value.high is None:
        return None
    return max(100 * value.low, 0.0), min(100 * value.high, 100.0)


def draw_points(
    axes: Axes, x: Sequence[float], values: Sequence[Estimate], look: Look, label: str, size: float = MARKER
) -> None:
    """Draw the accuracies of one method, joined by its line, into axes whose y limits are set.

    A single seed has no bar and is hollow. Caps are wider than the marker, so an interval without width is seen. A
    bar that leaves the axes ends in a triangle there.

    Args:
        axes: with the final y limits, in percent.
        x: where each value stands.
        values: one for each x, in ``[0, 1]``.
        look: how the method is drawn.
        label: its name.
        size: of the marker, in points.
    """
    y = [100 * value.mean for value in values]
    bars = [ends(value) for value in values]
    hollow = [a for a, bar in enumerate(bars) if bar is None]
    line: dict[str, Any] = {
        "color": look.color,
        "linestyle": look.line,
        "marker": look.marker,
        "markersize": size,
        "linewidth": 1.3,
    }
    if len(hollow) == len(values):
        axes.plot(x, y, markerfacecolor="white", label=wrapped(label), zorder=3, **line)
        return
    below = [math.nan if bar is None else max(mean - bar[0], 0.0) for mean, bar in zip(y, bars, strict=True)]
    above = [math.nan if bar is None else max(bar[1] - mean, 0.0) for mean, bar in zip(y, bars, strict=True)]
    axes.errorbar(x, y, (below, above), label=wrapped(label), zorder=3, capsize=size / 2 + 1.25, elinewidth=1.0, **line)
    if hollow:
        over = {**line, "linestyle": "none", "markerfacecolor": "white"}
        axes.plot([x[a] for a in hollow], [y[a] for a in hollow], zorder=4, **over)
    _draw_cuts(axes, x, bars, look)


def _draw_cuts(axes: Axes, x: Sequence[float], bars: Sequence[tuple[float, float] | None], look: Look) -> None:
    bottom, top = axes.get_ylim()
    for edge, marker, is_cut in (
        (bottom, "v", [bar is not None and bar[0] < bottom for bar in bars]),
        (top, "^", [bar is not None and bar[1] > top for bar in bars]),
    ):
        at = [a for a, cut in zip(x, is_cut, strict=True) if cut]
        if at:
            axes.plot(
                *(at, [edge] * len(at)),
                linestyle="none",
                marker=marker,
                markersize=CUT,
                color=look.color,
                clip_on=False,
                zorder=5,
            )


def dodged(x: Sequence[float], span: float, tolerance: float = 0.0) -> list[float]:
    """Return where points stand: beside those at the same x, around it, in the order in which they come.

    Args:
        x: where they would stand.
        span: length of the axis.
        tolerance: points that lie no further apart count as being at the same x.

    Example:
        >>> dodged([50.0, 50.0, 80.0], span=100.0)
        [49.2, 50.8, 80.0]
    """
    groups: list[list[int]] = []
    for number in sorted(range(len(x)), key=lambda number: x[number]):
        if groups and x[number] - x[groups[-1][0]] <= tolerance:
            groups[-1].append(number)
        else:
            groups.append([number])
    places = list(x)
    for position, group in enumerate(groups):
        neighbors = [groups[other][0] for other in (position - 1, position + 1) if 0 <= other < len(groups)]
        gap = min((abs(x[group[0]] - x[neighbor]) for neighbor in neighbors), default=span)
        step = min(gap * MAX_SHARE / len(group), STEP * span, WIDEST * span / len(group))
        center = math.fsum(x[number] for number in group) / len(group)
        for place, number in enumerate(sorted(group)):
            places[number] = center + (place - (len(group) - 1) / 2) * step
    return places
