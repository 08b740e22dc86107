"""Scores as they are distributed, and where samples lie that a method keeps; of one run each of up to six methods."""

from collections.abc import Callable, Collection, Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from secateur.report.data.arrays import Array, Keep, Scores
from secateur.report.data.kept import chosen_ratios, keep_of, scores_per_method
from secateur.report.data.rows import Row
from secateur.report.data.run import Run
from secateur.report.figures.histogram import Group, draw_histograms
from secateur.report.figures.style import BASELINE_COLOR, COLORS, LINE, MAX_WIDTH, house_style, new_figure, wrapped

KEPT, PRUNED = COLORS[0], COLORS[1]
RAW = "predicted_raw"
MEAN, DEVIATION = "mean_probability", "std_probability"
MAX_PANELS = 6
TITLE_WRAP = 28  # characters in a line above a panel
MAX_POINTS = 2000  # more samples are drawn as bins
NUM_BINS = 48
SHARE = LinearSegmentedColormap.from_list("kept", [PRUNED, "#F2F2F2", KEPT])


def score_figure(rows: Sequence[Row]) -> Figure | None:
    """Draw a histogram per method that scores: predicted scores beside observed, else pruned beside kept ones.

    Args:
        rows: the rows of one data set and model; of up to six methods, the most accurate ones, one run is read.

    Returns:
        The figure; None where no run left scores.
    """
    return _panels(rows, _draw_scores, {"score"}, shared=False)


def dynamics_figure(rows: Sequence[Row]) -> Figure | None:
    """Draw mean confidence against its variability over training, kept and pruned samples apart, a panel per method.

    Args:
        rows: the rows of one data set and model; of up to six methods, the most accurate ones, one run is read.

    Returns:
        The figure; None where no run left scores with these columns and a mask.
    """
    return _panels(rows, _draw_dynamics, {MEAN, DEVIATION}, shared=True)


def _panels(
    rows: Sequence[Row], draw: Callable[[Axes, Scores, Keep | None], None], columns: Collection[str], *, shared: bool
) -> Figure | None:
    ratios = chosen_ratios(rows)
    if not ratios:
        return None
    ratio = ratios[len(ratios) // 2]
    found, total = scores_per_method(rows, ratio, columns, MAX_PANELS)
    if not found:
        return None
    across = min(len(found), 3)
    titles = [_title(row, run) for row, run, _ in found]
    down = ceil(len(found) / across)
    with house_style():
        title_height = LINE * max(title.count("\n") + 1 for title in titles)
        figure = new_figure((MAX_WIDTH - 0.3) / 3 * across + 0.3, (2.4 + title_height) * down + 0.6)
        grid = figure.subplots(down, across, squeeze=False, sharex=shared, sharey=shared)
        for axes in grid.flat[len(found) :]:
            axes.set_visible(False)
        for axes, title, (_, run, table) in zip(grid.flat, titles, found, strict=False):
            draw(axes, table, _keep(run, table))
            axes.set_title(title, loc="left", fontsize=9.0)
        for number, axes in enumerate(grid.flat):
            axes.tick_params(labelbottom=True)
            if number % across:
                axes.set_ylabel("")
        if shared and (handles := grid.flat[0].get_legend_handles_labels())[0]:
            figure.legend(*handles, loc="upper right", ncols=2, markerscale=1.8, handletextpad=0.2)
        figure.suptitle(_heading(rows, len(found), total, ratio), x=0.01, ha="left", fontsize=9.5)
    return figure


def _title(row: Row, run: Run) -> str:
    seed = run.seed if run.score_seed is None else run.score_seed
    return f"{wrapped(row.label, TITLE_WRAP)}\n{100 * row.pruning_ratio:g} % pruned, seed {seed}"


def _heading(rows: Sequence[Row], shown: int, total: int, ratio: float) -> str:
    title = f"{rows[0].data}, {rows[0].model}"
    return title if shown == total else f"{title}\n{shown} of {total} methods: the most accurate at {100 * ratio:g} %"


def _keep(run: Run, table: Scores) -> Keep | None:
    keep = keep_of(run)
    return keep if keep is not None and len(keep) == len(table) else None


def _draw_scores(axes: Axes, table: Scores, keep: Keep | None) -> None:
    scores, observed = table.score, table.observed
    if not observed.all():
        raw = table.columns.get(RAW, scores)
        predicted = Group("predicted", raw[~observed], PRUNED)
        groups = [Group("observed", scores[observed], KEPT, fill=True), predicted]
    elif keep is not None:
        groups = [Group("kept", scores[keep], KEPT, fill=True), Group("pruned", scores[~keep], PRUNED)]
    else:
        groups = [Group("all", scores, BASELINE_COLOR, fill=True)]
    draw_histograms(axes, groups)


def _draw_dynamics(axes: Axes, table: Scores, keep: Keep | None) -> None:
    x, y = table.columns[DEVIATION], table.columns[MEAN]
    keep = np.ones(len(x), dtype=bool) if keep is None else keep
    if len(x) > MAX_POINTS:
        _draw_bins(axes, x, y, keep)
    else:
        _draw_points(axes, x[~keep], y[~keep], "x", label="pruned", color=PRUNED, markersize=3.0, mew=0.7, zorder=2)
        _draw_points(axes, x[keep], y[keep], "o", label="kept", color=KEPT, markersize=2.2, mew=0, alpha=0.65, zorder=3)
    axes.set_xlabel("variability (sd of probability)")
    axes.set_ylabel("mean confidence")


def _draw_points(axes: Axes, x: Array, y: Array, marker: str, **look: Any) -> None:
    axes.plot(x, y, marker, rasterized=True, **look)  # a picture inside the vector file: thousands of paths are slow


def _draw_bins(axes: Axes, x: Array, y: Array, keep: Keep) -> None:
    """Draw the share of each bin's samples that is kept; bins without a sample stay white."""
    edges = [np.linspace(float(v.min()), float(v.max()) + 1e-6, NUM_BINS + 1) for v in (x, y)]
    counts = np.histogram2d(x, y, bins=edges)[0]
    kept = np.histogram2d(x[keep], y[keep], bins=edges)[0]
    shares = np.ma.masked_where(counts == 0, kept / np.maximum(counts, 1))
    axes.grid(visible=False)
    mesh = axes.pcolormesh(edges[0], edges[1], shares.T, cmap=SHARE, vmin=0.0, vmax=1.0, linewidth=0, rasterized=True)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    bar.set_label("kept")
    bar.outline.set_visible(False)
