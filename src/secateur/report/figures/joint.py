"""What joint pruning did, epoch by epoch, on one page; drawn from the ``diagnostics.json`` of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from secateur.core.errors import DataError
from secateur.core.files import read_json
from secateur.report.figures.style import BASELINE_COLOR, COLORS, house_style, new_figure, save_figure

KEPT, PRUNED = COLORS[0], COLORS[1]
LAYOUT = [["kept", "scale", "penalty", "flipped"], ["mask", "mask", "loss", "classes"]]
MAX_BARS = 20  # classes that get a bar each; more are drawn as a sorted curve
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.3g} %")

Row = Mapping[str, Any]


def save_joint_figure(diagnostics_path: Path, output_dir: Path) -> list[Path]:
    """Draw a run's diagnostics into ``output_dir/joint_pruning.svg`` and ``.png``; equal runs give equal bytes.

    Args:
        diagnostics_path: ``diagnostics.json`` of an AdaPruner run.
        output_dir: folder of the figures; made if missing.

    Raises:
        DataError: the file has no rows.
    """
    rows = read_json(diagnostics_path)
    if not rows:
        raise DataError(f"{diagnostics_path} holds no epoch.")
    return save_figure(joint_figure(rows), output_dir / "joint_pruning")


def joint_figure(rows: Sequence[Row]) -> Figure:
    """Draw the diagnostics of joint pruning.

    Args:
        rows: one mapping per epoch, as :class:`~secateur.training.callbacks.mask_tracker.MaskTracker` writes them.
    """
    with house_style():
        figure = new_figure(11.0, 5.4)
        axes = figure.subplot_mosaic(LAYOUT)  # type: ignore[arg-type]
        _draw_kept(axes["kept"], rows)
        _draw_lines(axes["scale"], rows, "scale g", {"scale": "g"})
        _draw_lines(axes["penalty"], rows, "ratio penalty", {"penalty": "λ", "ratio_penalty": "λ (mean s − r)²"})
        axes["penalty"].set_yscale("log")
        axes["penalty"].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes["penalty"].yaxis.set_minor_formatter(NullFormatter())
        axes["penalty"].set_ylim(bottom=1e-4)
        _draw_flipped(axes["flipped"], rows)
        _draw_mask(axes["mask"], rows)
        _draw_losses(axes["loss"], rows[-1])
        _draw_classes(axes["classes"], rows[-1])
        for name in ("kept", "scale", "penalty", "flipped", "mask"):
            axes[name].set_xlabel("epoch")
            axes[name].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _epochs(rows: Sequence[Row]) -> list[int]:
    return [int(row["epoch"]) for row in rows]


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=9.0)


def _draw_kept(axes: Axes, rows: Sequence[Row]) -> None:
    _title(axes, "kept by the threshold, m > 0")
    asked = float(rows[-1]["keep_fraction"])
    axes.axhline(asked, color=BASELINE_COLOR, linestyle="--", linewidth=1.0, label=f"asked, {100 * asked:g} %")
    axes.plot(_epochs(rows), [row["raw_kept_fraction"] for row in rows], color=KEPT, **_marks(rows))
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(loc="lower left")


def _draw_lines(axes: Axes, rows: Sequence[Row], title: str, keys: Mapping[str, str]) -> None:
    _title(axes, title)
    for (key, label), color, line in zip(keys.items(), (KEPT, PRUNED), ("-", "--"), strict=False):
        axes.plot(_epochs(rows), [row[key] for row in rows], color=color, linestyle=line, label=label, **_marks(rows))
    if len(keys) > 1:
        axes.legend()
    else:
        axes.set_ylim(bottom=0)


def _draw_flipped(axes: Axes, rows: Sequence[Row]) -> None:
    _title(axes, "share of flipped labels")
    shares = {name: [row[f"flipped_share_{name}"] for row in rows] for name in ("kept", "pruned")}
    if all(value is None for values in shares.values() for value in values):
        axes.text(0.5, 0.5, "no flipped labels", transform=axes.transAxes, ha="center", color=BASELINE_COLOR)
        axes.set_yticks([])
    for (name, values), color, line in zip(shares.items(), (KEPT, PRUNED), ("-", "--"), strict=True):
        if any(value is not None for value in values):
            points = [np.nan if value is None else value for value in values]
            axes.plot(_epochs(rows), points, color=color, linestyle=line, label=name, **_marks(rows))
            axes.legend()
            axes.yaxis.set_major_formatter(PERCENT)
    axes.set_ylim(bottom=0)


def _draw_mask(axes: Axes, rows: Sequence[Row]) -> None:
    _title(axes, "soft keep weights s, share of the pool")
    counts = np.array([row["soft_mask_histogram"] for row in rows], dtype=float).T
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    first, last = _epochs(rows)[0], _epochs(rows)[-1]
    axes.grid(visible=False)
    image = axes.imshow(
        np.ma.masked_equal(shares, 0),
        origin="lower",
        aspect="auto",
        extent=(first - 0.5, last + 0.5, 0, 1),
        interpolation="nearest",
        cmap="cividis_r",
        norm=LogNorm(1e-3, 1, clip=True),
    )
    axes.axhline(0.5, color=BASELINE_COLOR, linestyle=":", linewidth=1.0)
    # s starts above 0.5, so the lower left corner is free
    place = axes.inset_axes((0.07, 0.2, 0.35, 0.05))
    bar = axes.figure.colorbar(image, cax=place, orientation="horizontal", ticks=[1e-3, 1e-2, 1e-1, 1])
    bar.ax.set_xticklabels(["≤ 0.1 %", "1 %", "10 %", "100 %"], fontsize=8.0)
    bar.ax.minorticks_off()
    axes.set_ylabel("s")


def _draw_losses(axes: Axes, row: Row) -> None:
    _title(axes, "loss in the last epoch")
    for name, color, fill in (("kept", KEPT, False), ("pruned", PRUNED, True)):
        counts = np.array(row[f"loss_histogram_{name}"], dtype=float)
        edges = np.linspace(0, row["loss_histogram_top"], len(counts) + 1)
        shares = counts / max(counts.sum(), 1)
        axes.stairs(shares, edges, color=color, fill=fill, alpha=0.55 if fill else 1.0, linewidth=1.4, label=name)
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_ylim(0, 1.3)
    axes.set_yticks([0, 0.01, 0.1, 1], ["0", "1 %", "10 %", "100 %"])
    axes.set_yticks([], minor=True)
    axes.set_xlabel("cross-entropy")
    axes.set_ylabel("share of each group")
    axes.legend()


def _draw_classes(axes: Axes, row: Row) -> None:
    _title(axes, "kept share per class, last epoch")
    totals = np.maximum(np.array(row["class_totals"], dtype=float), 1)
    shares = np.array(row["class_counts"], dtype=float) / totals
    places = np.arange(len(shares))
    if len(shares) <= MAX_BARS:
        axes.bar(places, shares, color=KEPT, width=0.75)
        axes.set_xticks(places)
        axes.set_xlabel("class")
    else:
        axes.plot(places, np.sort(shares), color=KEPT)
        axes.set_xlabel("classes, sorted by their share")
    axes.axhline(row["keep_fraction"], color=BASELINE_COLOR, linestyle="--", linewidth=1.0)
    axes.set_ylim(0, 1.02)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(PERCENT)


def _marks(rows: Sequence[Row]) -> dict[str, Any]:
    """Return a marker for runs so short that a line might be a dot."""
    return {"linewidth": 1.4, "marker": "o" if len(rows) < 3 else "", "markersize": 4.0}
