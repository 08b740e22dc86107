"""Predicted scores of one run: how they are distributed, and how near they come to fully measured ones."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from secateur.core.errors import DataError
from secateur.core.tables import ScoreTable
from secateur.report.figures.histogram import Group, draw_histograms
from secateur.report.figures.style import BASELINE_COLOR, COLORS, house_style, new_figure, save_figure

OBSERVED, PREDICTED, MERGED = COLORS[0], COLORS[1], COLORS[2]
RAW = "predicted_raw"
MAX_POINTS = 1500  # more are drawn as hexagons
FILE_STEM = "predicted_scores"

Array = NDArray[np.float64]


def save_predicted_figure(run_dir: Path, output_dir: Path) -> list[Path]:
    """Draw ``scores.parquet`` of a run, against ``fidelity.parquet`` where there is one.

    Args:
        run_dir: folder of a run with extrapolation.
        output_dir: folder of ``predicted_scores.svg`` and ``.png``; made if missing.

    Raises:
        DataError: a table is missing or unreadable, or the two do not cover the same samples.
        FingerprintError: the full scores belong to another pool.
    """
    true_scores = run_dir / "fidelity.parquet"
    figure = predicted_figure(run_dir / "scores.parquet", true_scores if true_scores.is_file() else None)
    return save_figure(figure, output_dir / FILE_STEM)


def predicted_figure(scores_path: Path | str, true_scores_path: Path | str | None = None) -> Figure:
    """Draw the distribution of observed and predicted scores and, with full scores, those against the predicted.

    The predictions are those before they are merged with the observed scores (column ``predicted_raw``; without it
    the scores themselves). What the merge makes of them is drawn too where it differs.

    Args:
        scores_path: score table of the run.
        true_scores_path: score table of a full scoring of the same pool, or None.

    Raises:
        DataError: a table is missing or unreadable, or the two do not cover the same samples.
        FingerprintError: the full scores belong to another pool.
    """
    table = ScoreTable.load(scores_path)
    unscored = ~table.observed.numpy()
    merged = table.score.double().numpy()
    raw = table.columns[RAW].double().numpy() if RAW in table.columns else merged
    true = None if true_scores_path is None else _true_scores(table, true_scores_path)
    with house_style():
        figure = new_figure(4.4 if true is None else 8.4, 3.6)
        panels = figure.subplots(1, 1 if true is None else 2, squeeze=False)[0]
        _draw_histograms(panels[0], merged[~unscored], raw[unscored], merged[unscored])
        if true is not None:
            _draw_against(panels[1], true[unscored], raw[unscored])
    return figure


def _true_scores(table: ScoreTable, path: Path | str) -> Array:
    true = ScoreTable.load(path, table.fingerprint or None)
    if not np.array_equal(true.sample_id.numpy(), table.sample_id.numpy()):
        raise DataError(f"{path} has {len(true)} samples that are not the {len(table)} of the run's own scores.")
    return true.score.double().numpy()


def _draw_histograms(axes: Axes, observed: Array, raw: Array, merged: Array) -> None:
    """Draw what was measured and what was predicted, merged where that changes anything."""
    groups = [Group("observed", observed, OBSERVED, fill=True), Group("predicted", raw, PREDICTED)]
    if len(raw) and not np.array_equal(raw, merged):
        groups.append(Group("predicted, merged", merged, MERGED, "--"))
    draw_histograms(axes, groups)
    axes.set_title("distribution of the scores", loc="left", fontsize=9.0)


def _draw_against(axes: Axes, true: Array, predicted: Array) -> None:
    if len(true) > MAX_POINTS:
        axes.grid(visible=False)
        hexagons = axes.hexbin(true, predicted, gridsize=40, mincnt=1, bins="log", cmap="cividis_r", linewidths=0.1)
        bar = axes.figure.colorbar(hexagons, ax=axes, pad=0.02)
        bar.set_label("samples")
        bar.outline.set_visible(False)
    else:
        axes.plot(true, predicted, marker="o", markersize=2.5, linestyle="none", color=PREDICTED, alpha=0.4, mew=0)
    if len(true):
        low, high = max(true.min(), predicted.min()), min(true.max(), predicted.max())
        if low < high:
            axes.plot([low, high], [low, high], color=BASELINE_COLOR, linestyle="--", linewidth=1.0)
    axes.set_title(f"unscored samples: {_correlation(true, predicted)}", loc="left", fontsize=9.0)
    axes.set_xlabel("score of a full scoring")
    axes.set_ylabel("predicted score")


def _correlation(true: Array, predicted: Array) -> str:
    if len(true) < 2 or np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return "Spearman not defined"
    return f"Spearman {spearmanr(true, predicted).statistic:.3f}"
