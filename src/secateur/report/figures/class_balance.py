"""Which classes the methods keep: the kept share of each class, relative to the kept share of the whole pool."""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from secateur.report.data.kept import chosen_ratios, heading, without_per_epoch
from secateur.report.data.rows import Row
from secateur.report.data.run import Run
from secateur.report.figures.style import (
    CHARACTER,
    LINE,
    MAX_WIDTH,
    ROW_WRAP,
    Look,
    add_color_bar,
    house_style,
    new_figure,
    size_of,
    text_color,
    wrapped,
)

MAX_CLASSES = 20  # more are drawn as sorted curves
TICKS = ("¼", "½", "1", "2", "4")
OCTAVES = 2  # shares below a quarter, or above four times, the average are drawn as if they were just that
CELL, AROUND = 0.45, 1.8  # inches: of a cell, and around all of them
ALL_DIGITS = 0.33  # inches that 0.53 takes
Array = NDArray[np.float64]


def class_counts(row: Row) -> Array | None:
    """Return the kept samples of each class, mean over the runs, float64 ``[C]``; None where a run has none."""
    counts = [counts_of(run) for run in row.runs if not run.is_comparison]
    known = [count for count in counts if count is not None]
    if not known or len(known) != len(counts) or len({len(count) for count in known}) != 1:
        return None
    mean: Array = np.mean(known, axis=0)
    return mean


def counts_of(run: Run) -> Array | None:
    """Return the kept samples of each class as a run's record has them, float64 ``[C]``; None where it has none."""
    counts = None if run.is_comparison else run.record.pruning.class_counts
    return np.asarray(counts, dtype=np.float64) if counts else None


def class_totals(rows: Sequence[Row]) -> Array | None:
    """Return the samples of each class in the pool of a table, from its run on full data; None without one."""
    totals = (class_counts(row) for row in rows if row.is_full)
    return next((total for total in totals if total is not None), None)


def relative_shares(counts: Array, totals: Array | None) -> Array:
    """Return each class's kept share over the kept share of all; 1 is the pool's own balance.

    Args:
        counts: kept samples, ``[C]``.
        totals: samples in the pool, ``[C]``; None: as if the pool were balanced.
    """
    totals = np.ones_like(counts) if totals is None else totals
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    result: Array = shares / max(counts.sum() / totals.sum(), 1e-12)
    return result


def balance_figure(
    rows: Sequence[Row], looks: Mapping[str, Look], class_names: Sequence[str] | None = None
) -> Figure | None:
    """Draw up to three ratios of one table: heat maps of methods by classes, or curves where there are many classes.

    Methods that draw a new subset every epoch are left out, and named.

    Args:
        rows: the rows of one data set and model.
        looks: how each method is drawn.
        class_names: one per class; None: their numbers.

    Returns:
        The figure; None where no run recorded the classes of what it kept.
    """
    rows, left_out = without_per_epoch(rows)
    totals = class_totals(rows)
    panels: list[tuple[float, dict[str, Array]]] = []
    for ratio in chosen_ratios(rows):
        at = [row for row in rows if row.pruning_ratio == ratio and not row.is_full]
        counts = {row.label: count for row in at if (count := class_counts(row)) is not None}
        shares = {
            label: relative_shares(count, totals if totals is not None and len(totals) == len(count) else None)
            for label, count in counts.items()
        }
        if shares:
            panels.append((ratio, shares))
    sizes = {len(values) for _, shares in panels for values in shares.values()}
    if len(sizes) != 1:
        return None
    with house_style():
        title = heading(rows, left_out)
        if max(sizes) > MAX_CLASSES:
            return _curves(panels, looks, title)
        names = list(class_names or [])
        return _heat_maps(panels, names if {len(names)} == sizes else [str(i) for i in range(max(sizes))], title)


def _log2(shares: Array) -> Array:
    result: Array = np.log2(np.clip(shares, 2.0**-OCTAVES, 2.0**OCTAVES))
    return result


def _text(share: float, cell: float) -> str:
    """Return a share with two digits behind the point where a cell, in inches, has room for them."""
    if cell >= ALL_DIGITS:
        return f"{share:.2f}"
    return f"{share:.2f}".removeprefix("0") if share < 0.995 else f"{share:.1f}" if share < 9.95 else f"{share:.0f}"


def _heat_maps(panels: Sequence[tuple[float, dict[str, Array]]], names: Sequence[str], title: str) -> Figure:
    longest, _ = size_of((label for _, shares in panels for label in shares), ROW_WRAP)
    cell = min(CELL, (MAX_WIDTH - CHARACTER * longest - AROUND) / len(names))
    tallest = max(1 + wrapped(label, ROW_WRAP).count("\n") for _, shares in panels for label in shares)
    num_rows = sum(len(shares) for _, shares in panels)
    height = (
        max(0.25, LINE * tallest + 0.03) * num_rows
        + 0.4 * len(panels)
        + 0.06 * max(map(len, names))
        + LINE * title.count("\n")
        + 0.6
    )
    figure = new_figure(CHARACTER * longest + AROUND + cell * len(names), height)
    heights = [len(shares) for _, shares in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, (ratio, shares) in zip(grid, panels, strict=True):
        axes.grid(visible=False)
        image = axes.imshow(
            np.stack([_log2(values) for values in shares.values()]),
            cmap="PuOr_r",
            vmin=-OCTAVES,
            vmax=OCTAVES,
            aspect="auto",
        )
        for i, values in enumerate(shares.values()):
            for j, value in enumerate(values):
                color = text_color(image.cmap(image.norm(_log2(np.array([value]))[0])))
                axes.text(j, i, _text(value, cell), ha="center", va="center", color=color)
        axes.set_yticks(range(len(shares)), [wrapped(label, ROW_WRAP) for label in shares])
        axes.tick_params(length=0)
        axes.set_title(f"{100 * ratio:g} % pruned", loc="left", fontsize=9.0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    turned = max(map(len, names)) > 3
    grid[-1].set_xticks(range(len(names)), names, rotation=40 if turned else 0, ha="right" if turned else "center")
    grid[-1].set_xlabel("" if turned else "class")
    bar = add_color_bar(figure, grid[0].images[0], list(grid), ticks=range(-OCTAVES, OCTAVES + 1))
    bar.ax.set_yticklabels(TICKS)
    bar.set_label("kept share of the class / of the pool")
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    return figure


def _curves(panels: Sequence[tuple[float, dict[str, Array]]], looks: Mapping[str, Look], title: str) -> Figure:
    labels = sorted({label for _, shares in panels for label in shares})
    longest, num_lines = size_of(labels)
    across = min(len(panels), 2)
    down = ceil(len(panels) / across)
    width = min(1.2 + 2.9 * across + CHARACTER * longest, MAX_WIDTH)
    figure = new_figure(width, max(3.0 * down + 0.4, 0.19 * num_lines + 0.8))
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (ratio, shares) in zip(grid.flat, panels, strict=False):
        for label, values in shares.items():
            _draw_curve(axes, label, values, looks[label])
        axes.axhline(0.0, color="black", linewidth=0.8, zorder=1.5)
        axes.set_title(f"{100 * ratio:g} % pruned", loc="left", fontsize=9.0)
        axes.set_xlabel("classes, sorted")
        axes.set_yticks(range(-OCTAVES, OCTAVES + 1), TICKS)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axes in grid[:, 0]:
        axes.set_ylabel("kept share of the class / of the pool")
    named: dict[str, Artist] = {}
    for axes in grid.flat:  # a method may be missing at the first ratio
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    figure.legend(list(named.values()), list(named), loc="outside right upper", handlelength=2.6)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    return figure


def _draw_curve(axes: Axes, label: str, values: Array, look: Look) -> None:
    axes.plot(
        np.arange(1, len(values) + 1),
        np.sort(_log2(values)),
        color=look.color,
        linestyle=look.line,
        marker=look.marker,
        markevery=max(len(values) // 6, 1),
        markersize=3.5,
        linewidth=1.3,
        label=wrapped(label),
        zorder=3,
    )
