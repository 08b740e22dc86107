"""Histograms of groups of scores, drawn as shares so that a small group is as high as a large one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

NUM_BINS = 40
OUTSIDE = 0.005  # share of the scores at each end that may lie beyond the histogram
ARROWS = {
    CARETLEFTBASE: "\N{BLACK LEFT-POINTING SMALL TRIANGLE}",
    CARETRIGHTBASE: "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}",
}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Scores that are drawn together.

    Attributes:
        name: what they are.
        values: float64 ``[M]``.
        color: of line and area.
        line: its style.
        fill: whether the area below is filled.
    """

    name: str
    values: Array
    color: str
    line: str = "-"
    fill: bool = False


def draw_histograms(axes: Axes, groups: Sequence[Group]) -> None:
    """Draw groups that are not empty over common bins; the end bins hold what lies beyond them, and say so."""
    groups = [group for group in groups if len(group.values)]
    ends = np.concatenate([group.values for group in groups])
    edges = np.histogram_bin_edges(ends, NUM_BINS, range=tuple(np.quantile(ends, [OUTSIDE, 1 - OUTSIDE])))
    for group in groups:
        shares = np.histogram(np.clip(group.values, edges[0], edges[-1]), edges)[0] / len(group.values)
        size = f"{len(group.values):,}".replace(",", " ")
        axes.stairs(
            shares,
            edges,
            color=group.color,
            fill=group.fill,
            alpha=0.4 if group.fill else 1.0,
            linewidth=1.4,
            linestyle=group.line,
            label=f"{group.name} ({size})",
        )
    axes.set_xlabel("score (higher is kept first)" + _mark_outside(axes, ends, edges))
    axes.set_ylabel("share of each group")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.legend()


def _mark_outside(axes: Axes, values: Array, edges: Array) -> str:
    """Draw an arrowhead at the end bins that hold what lies beyond them, and return the line that says so."""
    sides = [
        (edges[0], CARETLEFTBASE, bool((values < edges[0]).any())),
        (edges[-1], CARETRIGHTBASE, bool((values > edges[-1]).any())),
    ]
    for edge, marker, is_beyond in sides:
        if is_beyond:
            axes.plot(edge, 0.0, marker=marker, color="black", markersize=5.0, clip_on=False, zorder=5)
    arrows = " ".join(ARROWS[marker] for _, marker, is_beyond in sides if is_beyond)
    return f"\n{arrows}: this bin and all beyond" if arrows else ""
