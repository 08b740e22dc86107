"""Where the spread of a cell comes from: the seed that decides the mask, or the seed of the final training."""

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

import numpy as np

from secateur.report.data.two_seeds import Values

Design = Literal["crossed", "nested", "tied", "training only", "masks only", "one run", "incomplete"]


@dataclass(frozen=True)
class Spread:
    """Standard deviations by source, in the unit of the values; None where the design cannot tell them apart.

    Attributes:
        design: ``crossed``: every mask trained with every seed. ``nested``: several trainings of each mask, with seeds
            of its own. ``tied``: each run has a mask and a seed of its own, so the two are mixed. ``training only``,
            ``masks only``: one mask, one training seed. ``incomplete``: some combinations only.
        train_sd: between training seeds on one mask.
        score_sd: between masks.
        residual_sd: what mask and training seed leave unexplained; only crossed designs can tell.
    """

    design: Design
    train_sd: float | None = None
    score_sd: float | None = None
    residual_sd: float | None = None


def spread(values: Values) -> Spread:
    """Split the variance of a cell by the method of moments; a negative component counts as 0.

    Args:
        values: accuracy by ``(seed, score_seed)``; a score_seed of None (nothing is drawn for the mask) is one mask.

    Example:
        >>> result = spread({(0, 0): 0.90, (1, 0): 0.92, (0, 1): 0.80, (1, 1): 0.82})
        >>> result.design, round(result.train_sd, 4), round(result.score_sd, 4), round(result.residual_sd, 4)
        ('crossed', 0.0141, 0.0707, 0.0)
    """
    seeds = sorted({seed for seed, _ in values})
    masks = sorted({mask for _, mask in values}, key=str)
    if len(values) < 2:
        return Spread("one run")
    if len(masks) == 1:
        return Spread("training only", train_sd=stdev(values.values()))
    if len(seeds) == 1:
        return Spread("masks only", score_sd=stdev(values.values()))
    if len(values) == len(seeds) * len(masks):
        return _crossed(np.array([[values[seed, mask] for mask in masks] for seed in seeds]))
    if len(seeds) == len(masks) == len(values):
        return Spread("tied")
    if len(seeds) == len(values):
        return _nested(values)
    return Spread("incomplete")


def _crossed(table: np.ndarray) -> Spread:
    """Two-way random effects without replication; ``table`` is ``[seeds, masks]``."""
    num_seeds, num_masks = table.shape
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - rows[:, None] - columns[None, :] + mean
    residual = float((rest**2).sum()) / ((num_seeds - 1) * (num_masks - 1))
    by_seed = num_masks * float(((rows - mean) ** 2).sum()) / (num_seeds - 1)
    by_mask = num_seeds * float(((columns - mean) ** 2).sum()) / (num_masks - 1)
    return Spread(
        "crossed", _sd((by_seed - residual) / num_masks), _sd((by_mask - residual) / num_seeds), _sd(residual)
    )


def _nested(values: Values) -> Spread:
    """One-way random effects, masks of different numbers of trainings allowed."""
    groups = defaultdict(list)
    for (_, mask), value in values.items():
        groups[mask].append(value)
    sizes = [len(group) for group in groups.values()]
    total, num_masks = sum(sizes), len(sizes)
    mean = fmean(values.values())
    within = math.fsum((value - fmean(group)) ** 2 for group in groups.values() for value in group)
    within /= total - num_masks
    between = math.fsum(len(group) * (fmean(group) - mean) ** 2 for group in groups.values()) / (num_masks - 1)
    typical = (total - sum(size**2 for size in sizes) / total) / (num_masks - 1)
    return Spread("nested", _sd(within), _sd((between - within) / typical))


def _sd(variance: float) -> float:
    return math.sqrt(max(variance, 0.0))
