"""Fidelity of predicted scores against the scored share of the pool."""

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from secateur.report.data.fidelity_rows import FidelityRow
from secateur.report.data.statistics import Estimate
from secateur.report.figures.fidelity_drawing import (
    draw_labels,
    draw_level,
    height,
    last_points,
    limits,
    looks_of_labels,
    to_draw,
)
from secateur.report.figures.style import Look, house_style, new_figure


def fraction_figure(rows: Sequence[FidelityRow]) -> Figure | None:
    """Draw the share of the level between full scorings against the scored share, one line per extrapolator.

    One panel per length of the subset's training; without a level between full scorings the correlation itself.

    Args:
        rows: the rows of one data set, scoring network and scorer.

    Returns:
        The figure; None when there are not at least two subset sizes to draw.
    """
    rows = to_draw(rows)
    relative = any(row.of_seed_level for row in rows)
    drawn = [row for row in rows if _value(row, relative)]
    if len({row.subset_fraction for row in drawn}) < 2:
        return None
    factors = sorted({row.subset_epochs_factor for row in drawn})
    looks = looks_of_labels(drawn)
    with house_style():
        figure = new_figure(1.4 + 4.4 * len(factors), height(drawn))
        panels = figure.subplots(1, len(factors), squeeze=False, sharey=True)[0]
        for axes, factor in zip(panels, factors, strict=True):
            panel = [row for row in drawn if row.subset_epochs_factor == factor]
            _draw_lines(axes, panel, looks, relative)
            axes.set_ylim(*limits([_value(row, relative) for row in drawn], 1.0 if relative else None))
            ends = last_points(panel, partial(_place, relative=relative, shifts=_shifts(panel)))
            draw_labels(axes, ends, looks, height(drawn))
            several = f", epochs x{factor:g}" if len(factors) > 1 or factor != 1 else ""
            axes.set_title(f"{', '.join(rows[0].study)}{several}", loc="left", fontsize=9.5)
        panels[0].set_ylabel(
            "Spearman correlation" + (",\nshare of the level between full scorings" if relative else "")
        )
    return figure


def _value(row: FidelityRow, relative: bool) -> Estimate | None:
    return row.of_seed_level if relative else row.spearman


def _draw_lines(axes: Axes, rows: Sequence[FidelityRow], looks: Mapping[str, Look], relative: bool) -> None:
    if relative:
        draw_level(axes, 1.0, None)
    shifts = _shifts(rows)
    fractions = sorted({row.subset_fraction for row in rows})
    wide = fractions[-1] / fractions[0] >= 4
    for label in shifts:
        line = sorted((row for row in rows if row.label == label), key=lambda row: row.subset_fraction)
        values = [value for row in line if (value := _value(row, relative))]
        half = [value.high - value.mean if value.high is not None else 0.0 for value in values]
        look = looks[label]
        bars = axes.errorbar(
            [_place(row, relative, shifts)[0] for row in line],
            [value.mean for value in values],
            half,
            color=look.color,
            marker=look.marker,
            linestyle=look.line,
            linewidth=1.4,
            markersize=4.5,
            elinewidth=0.8,
            capsize=2.0,
            zorder=3,
        )
        for bar in bars.lines[2]:
            bar.set_alpha(0.5)
    if wide:
        axes.set_xscale("log")
    axes.set_xticks(fractions)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.set_xlabel("scored share of the pool")
    axes.grid(visible=False, axis="x")
    if relative:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _shifts(rows: Sequence[FidelityRow]) -> dict[str, float]:
    """Return by how much each extrapolator is drawn to the side, so that bars do not hide each other."""
    labels = sorted({row.label for row in rows})
    return {label: 1 + 0.008 * (number - (len(labels) - 1) / 2) for number, label in enumerate(labels)}


def _place(row: FidelityRow, relative: bool, shifts: Mapping[str, float]) -> tuple[float, Estimate | None]:
    return row.subset_fraction * shifts[row.label], _value(row, relative)
