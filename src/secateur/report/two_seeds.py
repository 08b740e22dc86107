"""Means and paired differences of runs that have two seeds: that of the training and that of the mask.

Runs that share a training seed, or a mask, are not independent. Where every run has a mask of its own, or all have
the same, the unit is the training seed and nothing else is to be done. Where masks recur (every mask trained with
every seed, or several trainings of each mask) an average over them hides how much masks differ. There the variance of
the mean is clustered by both seeds, V = V(by seed) + V(by mask) - V(by run), with the smaller number of clusters less
one as degrees of freedom. [Cameron, Gelbach and Miller, Journal of Business & Economic Statistics 29, 2011, eq. 2.13]
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from statistics import fmean, stdev
from typing import Any

from secateur.report.statistics import Comparison, Estimate, compared, quantile

Values = Mapping[tuple[int, Any], float]


def by_seed(values: Values) -> dict[int, float]:
    """Return the mean over the masks of each training seed, by seed.

    Args:
        values: by ``(seed, score_seed)``.
    """
    members = defaultdict(list)
    for (seed, _), value in values.items():
        members[seed].append(value)
    return {seed: fmean(group) for seed, group in sorted(members.items())}


def estimate_runs(values: Values, resolution: float = 0.0) -> Estimate:
    """Return the mean over training seeds, the sample standard deviation over runs, and the 95 % t interval.

    Args:
        values: by ``(seed, score_seed)``, at least one; n is the number of seeds.
        resolution: the smallest step of a value, one test image. Half the interval is never less: seeds that happen to
            agree are not certainty.

    Example:
        >>> crossed = {(0, 0): 0.90, (1, 0): 0.90, (0, 1): 0.80, (1, 1): 0.80}
        >>> result = estimate_runs(crossed)
        >>> result.n, round(result.mean, 2), round(result.high - result.low, 2)
        (2, 0.85, 1.27)
    """
    means = by_seed(values)
    mean = fmean(means.values())
    if len(means) == 1:
        return Estimate(mean, 1)
    error, freedom = standard_error(values)
    half = max(quantile(freedom) * error, resolution)
    return Estimate(mean, len(means), stdev(values.values()), mean - half, mean + half)


def compare_runs(values: Values, reference: Values, resolution: float = 0.0) -> Comparison | None:
    """Return the paired difference ``values - reference``; None when no training seed is in both.

    A run is compared with the reference's run of the same two seeds, or where there is none with the reference's mean
    over that training seed.

    Args:
        values: accuracy by ``(seed, score_seed)``.
        reference: likewise.
        resolution: the smallest step of an accuracy, one test image. Half the interval is never less: a few seeds that
            happen to differ by the same single image are no evidence. The t test takes the standard error that belongs
            to that interval.
    """
    means = by_seed(reference)
    runs = {
        (seed, mask): value - reference.get((seed, mask), means[seed])
        for (seed, mask), value in values.items()
        if seed in means
    }
    if not runs:
        return None
    differences = by_seed(runs)
    mean = fmean(differences.values())
    if len(differences) == 1:
        return Comparison(mean, 1)
    error, freedom = standard_error(runs)
    exact = not _masks_recur(runs)
    return compared(mean, stdev(runs.values()), error, freedom, list(differences.values()), resolution, exact=exact)


def standard_error(values: Values) -> tuple[float, int]:
    """Return the standard error of the mean over training seeds, and its degrees of freedom.

    Args:
        values: by ``(seed, score_seed)``, of at least two seeds. With one mask it is conditional on that mask.
    """
    counts: dict[int, int] = defaultdict(int)
    for seed, _ in values:
        counts[seed] += 1
    mean = fmean(by_seed(values).values())
    parts = {key: (value - mean) / (len(counts) * counts[key[0]]) for key, value in values.items()}
    seeds = _clustered((seed, part) for (seed, _), part in parts.items())
    if not _masks_recur(values):
        return math.sqrt(seeds), len(counts) - 1
    num_masks = len({mask for _, mask in values})
    masks = _clustered((mask, part) for (_, mask), part in parts.items())
    both = seeds + masks - _clustered(parts.items())
    return math.sqrt(max(both, seeds, masks)), min(len(counts), num_masks) - 1


def _masks_recur(values: Values) -> bool:
    """Whether there are several masks, and one of them belongs to several runs."""
    return 1 < len({mask for _, mask in values}) < len(values)


def _clustered(parts: Iterable[tuple[Hashable, float]]) -> float:
    """Return the variance of a sum whose parts are independent between clusters only."""
    sums: dict[Hashable, float] = defaultdict(float)
    for cluster, part in parts:
        sums[cluster] += part
    return len(sums) / (len(sums) - 1) * math.fsum(total**2 for total in sums.values())
