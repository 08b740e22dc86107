"""Accuracy against pruning ratio: one line per method, full data as a horizontal band."""

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from secateur.report.summary import Row

# The palette of Okabe and Ito (safe for color-blind readers), without its yellow, which is too pale for a line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
BASELINE_COLOR = "#555555"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "secateur",  # equal data, equal bytes
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def accuracy_figure(rows: Sequence[Row], baseline: str = "random") -> Figure:
    """Draw one data set and model.

    A bar is the 95 % t interval of the mean over seeds; a hollow marker is a single seed, which has none. The
    methods are shifted a little sideways so that bars do not hide each other.

    Args:
        rows: the rows of one data set and model.
        baseline: label of the method drawn in gray.
    """
    labels = sorted({row.label for row in rows if not row.is_full}, key=lambda name: (name != baseline, name))
    ratios = sorted({row.pruning_ratio for row in rows if not row.is_full})
    with house_style():
        longest = max((len(label) for label in labels), default=0)
        figure = Figure(
            figsize=(7.0 + 0.06 * max(longest - 24, 0), max(3.6, 0.2 * len(labels) + 1.0)), layout="constrained"
        )
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _draw_full(axes, [row for row in rows if row.is_full])
        for position, label in enumerate(labels):
            shift = (position - (len(labels) - 1) / 2) * _jitter(ratios, len(labels))
            _draw_method(axes, [row for row in rows if row.label == label], position, label == baseline, shift)
        _decorate(axes, rows, ratios)
        figure.legend(loc="outside right upper", handlelength=2.6, title=_legend_title(rows), alignment="left")
    return figure


def house_style() -> AbstractContextManager[None]:
    """Return a context in which a reader's own matplotlibrc has no say."""
    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")}
    return mpl.rc_context({**defaults, **STYLE})


def _jitter(ratios: Sequence[float], num_methods: int) -> float:
    gaps = [right - left for left, right in pairwise(ratios)]
    return min(100 * min(gaps, default=0.1) * 0.35 / max(num_methods, 1), 0.8)


def _draw_full(axes: Axes, rows: Sequence[Row]) -> None:
    for number, row in enumerate(rows):
        value = 100 * row.accuracy.mean
        style = ("-", "--", ":")[number % 3]
        axes.axhline(value, color="black", linewidth=1.0, linestyle=style, label=row.label, zorder=1.5)
        if row.accuracy.low is not None and row.accuracy.high is not None:
            axes.axhspan(
                100 * row.accuracy.low, 100 * row.accuracy.high, color="black", alpha=0.10, linewidth=0, zorder=1
            )


def _draw_method(axes: Axes, rows: Sequence[Row], position: int, is_baseline: bool, shift: float) -> None:
    rows = sorted(rows, key=lambda row: row.pruning_ratio)
    x = [100 * row.pruning_ratio + shift for row in rows]
    y = [100 * row.accuracy.mean for row in rows]
    half = [100 * (row.accuracy.high - row.accuracy.mean) if row.accuracy.high else math.nan for row in rows]
    color = BASELINE_COLOR if is_baseline else COLORS[(position - 1) % len(COLORS)]
    line: Any = "--" if is_baseline else ":" if position > len(COLORS) else "-"
    marker = MARKERS[position % len(MARKERS)]
    axes.errorbar(
        x,
        y,
        half,
        capsize=2.5,
        elinewidth=1.0,
        linewidth=1.4,
        marker=marker,
        markersize=4.5,
        label=rows[0].label,
        zorder=3,
        color=color,
        linestyle=line,
    )
    single = [(a, b) for a, b, row in zip(x, y, rows, strict=True) if row.accuracy.sd is None]
    if single:
        axes.plot(
            *zip(*single, strict=True),
            linestyle="none",
            marker=marker,
            markersize=4.5,
            color=color,
            markerfacecolor="white",
            zorder=4,
        )


def _decorate(axes: Axes, rows: Sequence[Row], ratios: Sequence[float]) -> None:
    axes.set_title(f"{rows[0].data}, {rows[0].model}", loc="left", fontsize=9.5)
    axes.set_xlabel("removed share of the training set")
    axes.set_ylabel("test accuracy, last epoch")
    axes.set_xticks([100 * ratio for ratio in ratios])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.grid(visible=False, axis="x")
    axes.set_ylim(*_limits(rows))


def _legend_title(rows: Sequence[Row]) -> str:
    seeds = sorted({row.accuracy.n for row in rows})
    if seeds[-1] == 1:
        return "one seed"
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return f"mean of {count} seeds, 95 % interval" + ("\n(hollow: one seed)" if seeds[0] == 1 else "")


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Return y limits that show all means and all bars but those longer than the range of the means."""
    means = [100 * row.accuracy.mean for row in rows]
    span = max(max(means) - min(means), 1.0)
    ends = list(means)
    for row in rows:
        if row.accuracy.low is not None and row.accuracy.high is not None:
            low, high = 100 * row.accuracy.low, 100 * row.accuracy.high
            ends += (
                [low, high]
                if high - low <= span
                else [max(low, min(means) - span / 4), min(high, max(means) + span / 4)]
            )
    margin = 0.05 * (max(ends) - min(ends) or 1.0)
    return min(ends) - margin, min(max(ends) + margin, 100.5)


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write ``<stem>.svg`` and ``<stem>.png``; equal figures give equal bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")]
    with house_style():
        figure.savefig(paths[0], format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(paths[1], format="png", dpi=200, metadata={"Software": None})
    return paths


def save_figures(rows: Sequence[Row], output_dir: Path, baseline: str = "random") -> list[Path]:
    """Draw every data set and model into ``output_dir/accuracy_<data>_<model>.svg`` and ``.png``."""
    paths = []
    for (data, model), members in groupby(rows, key=lambda row: (row.data, row.model)):
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{data}_{model}")
        paths += save_figure(accuracy_figure(list(members), baseline), output_dir / f"accuracy_{name}")
    return paths
