"""How much of what one method keeps another keeps as well: Jaccard indices of the kept sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secateur.report.kept import NUM_SEEDS, chosen_ratios, heading, keep_of, without_redrawn
from secateur.report.style import ROW_FONT, ROW_WRAP, house_style, new_figure, size_of, text_color, wrapped
from secateur.report.summary import Row
from secateur.report.tables import Keep

COLORS = "YlGnBu"
MAX_NAME = 20  # characters of a name that may stand below a column


@dataclass(frozen=True)
class Overlap:
    """Kept sets compared at one ratio.

    Attributes:
        pruning_ratio: the ratio.
        labels: the methods.
        jaccard: ``[M, M]``, mean over the masks of equal seed; on the diagonal over pairs of masks of different seeds
            of one method; NaN where there is no such pair.
        chance: what two random subsets of these sizes have.
        num_seeds: the most masks of one method that were read.
    """

    pruning_ratio: float
    labels: list[str]
    jaccard: NDArray[np.float64]
    chance: float
    num_seeds: int


def overlap(rows: Sequence[Row], ratio: float) -> Overlap | None:
    """Read the masks of one table at one ratio, up to three per method, and compare them.

    Returns:
        The comparison; None with fewer than two methods that left masks of one pool.
    """
    masks: dict[str, dict[Any, Keep]] = {}
    for row in rows:
        if row.pruning_ratio == ratio and not row.is_full and (found := _masks(row)):
            masks[row.label] = found
    sizes = [len(keep) for found in masks.values() for keep in found.values()]
    if len(masks) < 2 or len(set(sizes)) != 1:
        return None
    labels = list(masks)
    table = np.full((len(labels), len(labels)), np.nan)
    for i, one in enumerate(labels):
        table[i, i] = _mean([jaccard(a, b) for a, b in combinations(masks[one].values(), 2)])
        for j, other in enumerate(labels[:i]):
            shared = [seed for seed in masks[one] if seed in masks[other]]
            values = [jaccard(masks[one][seed], masks[other][seed]) for seed in shared]
            table[i, j] = table[j, i] = _mean(values)
    kept = fmean(float(keep.mean()) for found in masks.values() for keep in found.values())
    return Overlap(ratio, labels, table, chance_level(kept), max(map(len, masks.values())))


def _masks(row: Row) -> dict[Any, Keep]:
    """Return up to three masks by the seed that decided them."""
    masks: dict[Any, Keep] = {}
    for run in row.runs:
        seed = run.seed if run.score_seed is None else run.score_seed
        if seed not in masks and len(masks) < NUM_SEEDS and (keep := keep_of(run)) is not None:
            masks[seed] = keep
    return masks


def jaccard(one: Keep, other: Keep) -> float:
    """Return the size of the intersection over that of the union.

    Args:
        one: bool ``[N]``.
        other: bool ``[N]``.
    """
    return int(np.count_nonzero(one & other)) / max(int(np.count_nonzero(one | other)), 1)


def chance_level(keep_fraction: float) -> float:
    """Return the Jaccard index that two independent random subsets are expected to have (ratio of expectations).

    Example:
        >>> round(chance_level(0.5), 3)
        0.333
    """
    return keep_fraction / (2 - keep_fraction)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else float("nan")


def overlap_figure(rows: Sequence[Row]) -> Figure | None:
    """Draw a heat map for each of up to three ratios of one table; None where there are no masks to compare.

    Methods that draw a new subset every epoch are left out, and named.
    """
    rows, left_out = without_redrawn(rows)
    found = [result for ratio in chosen_ratios(rows) if (result := overlap(rows, ratio))]
    if not found:
        return None
    most = max(len(one.labels) for one in found)
    longest, _ = size_of((label for one in found for label in one.labels), ROW_WRAP)
    numbered = longest > MAX_NAME  # long names stand at the rows only, with the number of their column
    side = 0.42 * most + 0.6
    with house_style():
        height = side + 0.7 + (0.0 if numbered else 0.055 * longest)
        figure = new_figure(0.065 * longest + 1.1 + side * len(found), height)
        panels = figure.subplots(1, len(found), squeeze=False)[0]
        for number, (axes, one) in enumerate(zip(panels, found, strict=True)):
            _draw(axes, one, names=number == 0 or one.labels != found[0].labels, numbered=numbered)
        bar = figure.colorbar(panels[0].images[0], ax=list(panels), pad=0.02, aspect=25)
        bar.set_label("Jaccard index")
        bar.outline.set_visible(False)
        figure.suptitle(heading(rows, left_out), x=0.01, ha="left", fontsize=9.5)
    return figure


def _draw(axes: Axes, one: Overlap, *, names: bool, numbered: bool) -> None:
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    image = axes.imshow(np.ma.masked_invalid(one.jaccard), cmap=COLORS, vmin=0.0, vmax=1.0)
    for (i, j), value in np.ndenumerate(one.jaccard):
        text = "-" if np.isnan(value) else f"{value:.2f}"
        color = "black" if np.isnan(value) else text_color(image.cmap(value))
        axes.text(j, i, text, ha="center", va="center", color=color, fontsize=7.5)
    places = range(len(one.labels))
    lines = [wrapped(label, ROW_WRAP) for label in one.labels]
    if numbered:
        axes.set_xticks(places, [str(place + 1) for place in places])
        lines = [f"{line}  {place + 1}" for place, line in zip(places, lines, strict=True)]
    else:
        axes.set_xticks(places, lines, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, lines if names else [], fontsize=ROW_FONT)
    axes.tick_params(length=0)
    axes.set_title(f"{100 * one.pruning_ratio:g} % pruned\nchance {one.chance:.2f}", loc="left", fontsize=8.5)
