"""How much of what one method keeps another keeps as well: Jaccard indices of the kept sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secateur.report.data.arrays import Keep
from secateur.report.data.cells import is_method
from secateur.report.data.kept import NUM_SEEDS, chosen_ratios, heading, keep_of, without_per_epoch
from secateur.report.data.rows import Row
from secateur.report.figures.style import (
    CHARACTER,
    LINE,
    MAX_WIDTH,
    ROW_WRAP,
    add_color_bar,
    house_style,
    new_figure,
    size_of,
    text_color,
    wrapped,
)

COLORS = "YlGnBu"
MAX_NAME = 20  # characters of a name that may stand below a column
CELL, BETWEEN, AROUND = 0.42, 0.3, 1.1  # inches: of a cell, between two panels, around all of them
ALL_DIGITS, SHORT = 0.33, 0.25  # inches that 0.53 and .53 take


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


def overlap_figure(rows: Sequence[Row], baseline: str = "random") -> Figure | None:
    """Draw a heat map for each of up to three ratios of one table; None where there are no masks to compare.

    Methods that draw a new subset every epoch are left out, and named.

    Args:
        rows: the rows of one data set and model.
        baseline: label of the method that comes first.
    """
    rows, left_out = without_per_epoch(rows)
    found = [result for ratio in chosen_ratios(rows) if (result := overlap(rows, ratio))]
    if not found:
        return None
    union = {label for one in found for label in one.labels}
    labels = sorted(union, key=lambda label: (not is_method(label, baseline), label))
    lines = {label: wrapped(label, ROW_WRAP) for label in labels}
    longest, _ = size_of(labels, ROW_WRAP)
    numbered = longest > MAX_NAME  # long names stand at the rows only, with the number of their column
    if numbered:
        lines = {label: f"{line}  {place + 1}" for place, (label, line) in enumerate(lines.items())}
    grid = _grid(found, CHARACTER * longest, 1 + max(line.count("\n") for line in lines.values()))
    below = 0.3 if numbered else 0.65 * CHARACTER * longest
    down = ceil(len(found) / grid.across)
    with house_style():
        heading_lines = heading(rows, left_out)
        height = (grid.height + 0.5 + below) * down + LINE * (heading_lines.count("\n") + 2)
        figure = new_figure(CHARACTER * longest + AROUND + (grid.width + BETWEEN) * grid.across, height)
        panels = figure.subplots(down, grid.across, squeeze=False)
        for axes in panels.flat[len(found) :]:
            axes.set_visible(False)
        for number, (axes, one) in enumerate(zip(panels.flat, found, strict=False)):
            _draw(axes, one, lines, names=number % grid.across == 0, numbered=numbered, digits=grid.digits)
        bar = add_color_bar(figure, panels.flat[0].images[0], list(panels.flat))
        bar.set_label("Jaccard index")
        figure.suptitle(heading_lines, x=0.01, ha="left", fontsize=9.5)
    return figure


@dataclass(frozen=True)
class _Grid:
    across: int
    width: float
    height: float
    digits: str


def _grid(found: Sequence[Overlap], names: float, num_lines: int) -> _Grid:
    """Return how many panels stand beside each other, their sizes in inches, and how much of a number has room."""
    most = max(len(one.labels) for one in found)
    room = MAX_WIDTH - AROUND - names
    across = max(1, min(len(found), int(room / (CELL * most + BETWEEN))))
    if any(one.labels != found[0].labels for one in found):
        across = 1  # the rows of each have names of their own
    cell = min(CELL, (room / across - BETWEEN) / most)
    digits = "all" if cell >= ALL_DIGITS else "short" if cell >= SHORT else "none"
    return _Grid(across, cell * most, max(cell, LINE * num_lines + 0.03) * most, digits)


def _draw(axes: Axes, one: Overlap, lines: Mapping[str, str], *, names: bool, numbered: bool, digits: str) -> None:
    """Draw one ratio; a method has the same number in all panels, whichever others are in them."""
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    image = axes.imshow(np.ma.masked_invalid(one.jaccard), cmap=COLORS, vmin=0.0, vmax=1.0, aspect="auto")
    for (i, j), value in np.ndenumerate(one.jaccard):
        color = "black" if np.isnan(value) else text_color(image.cmap(value))
        axes.text(j, i, _text(float(value), digits), ha="center", va="center", color=color)
    places = range(len(one.labels))
    if numbered:
        axes.set_xticks(places, [lines[label].rsplit(" ", 1)[1] for label in one.labels])
    else:
        axes.set_xticks(places, [lines[label] for label in one.labels], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, [lines[label] for label in one.labels] if names else [])
    axes.tick_params(length=0)
    axes.set_title(f"{100 * one.pruning_ratio:g} % pruned\nchance {one.chance:.2f}", loc="left", fontsize=9.0)


def _text(value: float, digits: str) -> str:
    """Return a number as far as a cell has room for it."""
    if digits == "none":
        return ""
    if np.isnan(value):
        return "-"
    return f"{value:.2f}" if digits == "all" else f"{value:.2f}".removeprefix("0").removesuffix(".00")
