"""Figures of fidelity: of predicted scores against the scored share of the pool, and against their cost."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from secateur.report.data.chance import NO_BETTER, NOT_SHOWN
from secateur.report.data.fidelity_rows import FidelityRow
from secateur.report.data.fidelity_run import mean_of_all
from secateur.report.data.statistics import Estimate
from secateur.report.figures.all import file_name
from secateur.report.figures.style import (
    BASELINE_COLOR,
    COLORS,
    DEFAULT_FORMATS,
    MARKERS,
    Look,
    house_style,
    new_figure,
    save_figure,
)


def save_fidelity_figures(
    rows: Sequence[FidelityRow], output_dir: Path, formats: Sequence[str] = DEFAULT_FORMATS
) -> list[Path]:
    """Draw what there is to draw into ``output_dir/fidelity_fraction_<study>`` and ``fidelity_cost_<study>``.

    Args:
        rows: sorted as :func:`secateur.report.data.fidelity_rows.make_fidelity_rows` returns them.
        output_dir: folder of the figures; made if missing.
        formats: of ``svg``, ``pdf`` and ``png``; none: nothing is drawn.

    Returns:
        The files, one per format of each figure; empty when no study has two kinds of subset.
    """
    paths = []
    for study, members in groupby(rows, key=lambda row: row.study):
        group = list(members)
        name = file_name("_".join(study))
        for kind, figure in (("fraction", fraction_figure(group)), ("cost", cost_figure(group))):
            if figure is not None and formats:
                paths += save_figure(figure, output_dir / f"fidelity_{kind}_{name}", formats)
    return paths


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
