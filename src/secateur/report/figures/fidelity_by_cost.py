"""Fidelity of predicted scores against what they cost."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from secateur.report.data.fidelity_rows import FidelityRow
from secateur.report.data.fidelity_run import mean_of_all
from secateur.report.figures.fidelity_drawing import (
    draw_labels,
    draw_level,
    height,
    last_points,
    limits,
    looks_of_labels,
    to_draw,
)
from secateur.report.figures.style import BASELINE_COLOR, MARKERS, Look, house_style, new_figure


def cost_figure(rows: Sequence[FidelityRow]) -> Figure | None:
    """Draw the correlation with full scores against the cost, in units of one full scoring.

    One color per extrapolator, a marker per length of the subset's training. The black line is the level between
    full scorings of different seeds, the star on it is a full scoring.

    Args:
        rows: the rows of one data set, scoring network and scorer.

    Returns:
        The figure; None when there are not at least two kinds of subset to draw.
    """
    drawn = [row for row in to_draw(rows) if row.spearman and row.cost_vs_full_scoring is not None]
    if len({row.subset for row in drawn}) < 2:
        return None
    level = mean_of_all([row.seed_spearman for row in drawn])
    looks = looks_of_labels(drawn)
    factors = sorted({row.subset_epochs_factor for row in drawn})
    markers = {factor: MARKERS[number % len(MARKERS)] for number, factor in enumerate(factors)}
    with house_style():
        figure = new_figure(7.0, height(drawn))
        axes = figure.add_subplot()
        _draw_points(axes, drawn, looks, markers)
        axes.set_xlim(0.0, 1.05 * max(1.0, *(row.cost_vs_full_scoring or 0.0 for row in drawn)))
        axes.set_ylim(*limits([row.spearman for row in drawn], level))
        if level is not None:
            draw_level(axes, level, 1.0)
        ends = last_points(drawn, lambda row: (row.cost_vs_full_scoring, row.spearman))
        dearest = max(x for x, _ in ends.values()) / axes.get_xlim()[1]
        draw_labels(axes, ends, looks, height(drawn), dearest + 0.05 if dearest < 0.7 else 1.03)
        if len(markers) > 1:
            axes.legend(handles=_marker_handles(markers), loc="lower right")
        axes.set_title(", ".join(rows[0].study), loc="left", fontsize=9.5)
        axes.set_xlabel("cost of the scores, in full scorings")
        axes.set_ylabel("Spearman correlation with full scores")
    return figure


def _draw_points(
    axes: Axes, rows: Sequence[FidelityRow], looks: Mapping[str, Look], markers: Mapping[float, str]
) -> None:
    """Draw a point per row; a thin line joins those of one extrapolator and length over the subset sizes."""
    paths: dict[tuple[str, float | None], list[FidelityRow]] = defaultdict(list)
    several = len({row.subset_fraction for row in rows}) > 1
    for row in sorted(rows, key=lambda row: row.subset):
        paths[row.label, row.subset_epochs_factor if several else None].append(row)
    for (label, _), members in paths.items():
        x = [row.cost_vs_full_scoring or 0.0 for row in members]
        y = [row.spearman.mean for row in members if row.spearman]
        axes.plot(x, y, color=looks[label].color, linestyle=looks[label].line, linewidth=0.9, alpha=0.6, zorder=2)
        for row, a, b in zip(members, x, y, strict=True):
            marker = markers[row.subset_epochs_factor]
            axes.plot([a], [b], marker=marker, markersize=5.0, color=looks[label].color, linestyle="none", zorder=3)


def _marker_handles(markers: Mapping[float, str]) -> list[Line2D]:
    return [
        Line2D(
            [], [], color=BASELINE_COLOR, marker=marker, markersize=5.0, linestyle="none", label=f"epochs x{factor:g}"
        )
        for factor, marker in markers.items()
    ]
