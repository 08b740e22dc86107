"""Means and paired differences of runs that have two seeds: that of the training and that of the mask.

Runs that share a training seed, or a mask, are not independent. Where every run has a mask of its own, or all have
the same, the unit is the training seed and nothing else is to be done. Where masks recur (every mask trained with
every seed, or several trainings of each mask) an average over them hides how much masks differ. There the variance of
the mean is clustered by training seed and mask, V = V(by seed) + V(by mask) - V(by run), with the smaller number of
clusters less one as degrees of freedom. [Cameron, Gelbach and Miller, Journal of Business & Economic Statistics 29,
2011, eq. 2.13]

Runs are paired by their seeds. They are clustered by the masks that they were trained on, which the seeds do not tell:
a baseline may draw anew for every training seed, and a mask from a file is the same for all.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from statistics import fmean, stdev
from typing import Any

from secateur.report.data.statistics import Comparison, Estimate, compared, quantile

Key = tuple[int, Any]
Values = Mapping[Key, float]
Masks = Mapping[Key, Hashable]


def by_seed(values: Values) -> dict[int, float]:
    """Return the mean over the masks of each training seed, by seed.

    Args:
        values: by ``(seed, score_seed)``.
    """
    members = defaultdict(list)
    for (seed, _), value in values.items():
        members[seed].append(value)
    return {seed: fmean(group) for seed, group in sorted(members.items())}


def estimate_runs(values: Values, resolution: float = 0.0, masks: Masks | None = None) -> Estimate:
    """Return the mean over training seeds, the sample standard deviation over runs, and the 95 % t interval.

    Args:
        values: by ``(seed, score_seed)``, at least one; n is the number of seeds.
        resolution: the smallest step of a value, one test image. Half the interval is never less: seeds that happen to
            agree are not certainty.
        masks: what tells the masks of the runs apart, likewise; None: the score seed does.

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
    error, freedom = standard_error(values, masks)
    half = max(quantile(freedom) * error, resolution)
    return Estimate(mean, len(means), stdev(values.values()), mean - half, mean + half)


def compare_runs(
    values: Values,
    reference: Values,
    resolution: float = 0.0,
    masks: Masks | None = None,
    reference_masks: Masks | None = None,
) -> Comparison | None:
    """Return the paired difference ``values - reference``; None when no training seed is in both.

    A run is compared with the reference's run of the same two seeds, or where there is none with the reference's mean
    over that training seed. Two differences are dependent where they share a mask, on either side.

    Args:
        values: accuracy by ``(seed, score_seed)``.
        reference: likewise.
        resolution: the smallest step of an accuracy, one test image. Half the interval is never less: a few seeds that
            happen to differ by the same single image are no evidence. The t test takes the standard error that belongs
            to that interval.
        masks: what tells the masks of the values apart; None: the score seed does.
        reference_masks: the same of the reference; None: it has no mask, as full data.
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
    clusters = _clusters(runs, masks, {} if reference_masks is None else used_masks(runs, reference_masks))
    error, freedom = standard_error(runs, clusters)
    exact = not _masks_recur(runs, clusters)
    return compared(mean, stdev(runs.values()), error, freedom, list(differences.values()), resolution, exact=exact)


def used_masks(runs: Iterable[Key], reference_masks: Masks) -> dict[Key, frozenset[Hashable]]:
    """Return the masks of the reference that each run is compared with: of its own seeds, or all of its training seed.

    Args:
        runs: keys ``(seed, score_seed)``; those whose training seed the reference has not are left out.
        reference_masks: masks of the reference by the same keys.
    """
    of_seed: dict[int, set[Hashable]] = defaultdict(set)
    for (seed, _), mask in reference_masks.items():
        of_seed[seed].add(mask)
    return {
        key: frozenset({reference_masks[key]} if key in reference_masks else of_seed[key[0]])
        for key in runs
        if key[0] in of_seed
    }


def is_one_draw(used: Mapping[Key, frozenset[Hashable]]) -> bool:
    """Whether runs of several training seeds are all compared with the same masks, so that those are no sample."""
    return len({seed for seed, _ in used}) > 1 and len(set(used.values())) == 1


def _clusters(runs: Values, masks: Masks | None, used: Mapping[Key, frozenset[Hashable]]) -> dict[Key, Hashable]:
    """Return what tells the masks of the runs apart, where runs that share a mask of the reference count as one mask.

    Only masks of the reference that belong to several training seeds join runs. A mask that the reference draws for one
    training seed is shared by runs of that seed alone, which the clusters by seed cover; joining them would chain the
    masks of a method that trains every mask with every seed into one, and hide how much these differ. Masks of the
    reference that all runs share join nothing: the comparison is conditional on them. Where the joined masks are all
    one, the own masks of the runs are the clusters.
    """
    own: dict[Key, Hashable] = {key: key[1] if masks is None else masks[key] for key in runs}
    seeds_of: dict[Hashable, set[int]] = defaultdict(set)
    for (seed, _), theirs in used.items():
        for mask in theirs:
            seeds_of[mask].add(seed)
    recurring = {mask for mask, seeds in seeds_of.items() if len(seeds) > 1}
    if not recurring or is_one_draw(used):
        return own
    sides: dict[Key, set[Hashable]] = {key: {("own", mask)} for key, mask in own.items()}
    for key, theirs in used.items():
        sides[key] |= {("reference", mask) for mask in theirs & recurring}
    found: list[tuple[set[Hashable], list[Key]]] = []
    for key, side in sides.items():
        joined = [part for part in found if part[0] & side]
        found = [part for part in found if not part[0] & side]
        found.append((side.union(*(part[0] for part in joined)), [key, *(one for part in joined for one in part[1])]))
    return own if len(found) == 1 else {key: number for number, (_, keys) in enumerate(found) for key in keys}


def standard_error(values: Values, masks: Masks | None = None) -> tuple[float, int]:
    """Return the standard error of the mean over training seeds, and its degrees of freedom.

    Args:
        values: by ``(seed, score_seed)``, of at least two seeds. With one mask it is conditional on that mask.
        masks: what tells the masks of the runs apart; None: the score seed does.
    """
    masks = {key: key[1] for key in values} if masks is None else masks
    counts: dict[int, int] = defaultdict(int)
    for seed, _ in values:
        counts[seed] += 1
    mean = fmean(by_seed(values).values())
    parts = {key: (value - mean) / (len(counts) * counts[key[0]]) for key, value in values.items()}
    seeds = _clustered((seed, part) for (seed, _), part in parts.items())
    if not _masks_recur(values, masks):
        return math.sqrt(seeds), len(counts) - 1
    num_masks = len({masks[key] for key in values})
    by_mask = _clustered((masks[key], part) for key, part in parts.items())
    both = seeds + by_mask - _clustered(parts.items())
    return math.sqrt(max(both, seeds, by_mask)), min(len(counts), num_masks) - 1


def _masks_recur(values: Values, masks: Masks) -> bool:
    """Whether there are several masks, and one of them belongs to several runs."""
    return 1 < len({masks[key] for key in values}) < len(values)


def _clustered(parts: Iterable[tuple[Hashable, float]]) -> float:
    """Return the variance of a sum whose parts are independent between clusters only."""
    sums: dict[Hashable, float] = defaultdict(float)
    for cluster, part in parts:
        sums[cluster] += part
    return len(sums) / (len(sums) - 1) * math.fsum(total**2 for total in sums.values())
