"""Compare predicted scores with chance: with a prediction that is independent of the full scores."""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean
from typing import Final

from secateur.report.data.fidelity_run import FidelityRun
from secateur.report.data.statistics import CONFIDENCE, Estimate, estimate

SPEARMAN_FACTOR = 1.06  # variance of Fisher's z of a Spearman correlation, times n - 3
NEAR_CHANCE = 0.1  # share of what a perfect prediction reaches, below which nothing is reached
BETTER: Final = "better than chance"
NO_BETTER: Final = "no better than chance"
NOT_SHOWN: Final = "not shown to be better than chance"
NOT_COMPARED: Final = "not compared with chance"


def spearman_interval(runs: Sequence[FidelityRun]) -> Estimate | None:
    """Return the mean Spearman correlation with its 95 % interval; None where it is not defined.

    Of one score seed it is the interval over its samples, by Fisher's z with the variance ``1.06 / (n - 3)``.
    [Fieller, Hartley and Pearson, Biometrika 44, 1957] Of several it is that of the mean z. The seeds predict many of
    the same samples, so their errors are no independent ones; the standard error of a mean is never more than the mean
    of the standard errors, which is taken. Where the number of samples is not known it is the t interval over seeds.

    Args:
        runs: one per score seed.
    """
    known = [(value, run.num_predicted) for run in runs if (value := run.values["spearman"]) is not None]
    if not known:
        return None
    sizes = [num_predicted for _, num_predicted in known if num_predicted is not None and num_predicted > 3]
    if len(sizes) < len(known):
        return estimate([value for value, _ in known])
    z = fmean(math.atanh(max(min(value, 1 - 1e-9), -1 + 1e-9)) for value, _ in known)
    half = _quantile() * fmean(math.sqrt(SPEARMAN_FACTOR / (size - 3)) for size in sizes)
    return Estimate(fmean(value for value, _ in known), len(known), None, math.tanh(z - half), math.tanh(z + half))


def recall_gain(runs: Sequence[FidelityRun], ratio: float) -> Estimate | None:
    """Return the recall of the kept set less that of a random mask, with its 95 % interval; None where not measured.

    Of one score seed it is the interval over its samples: of two independent sets of K of N samples the overlap is
    hypergeometric, so the recall has the standard deviation ``(N - K) / (N sqrt(N - 1))``. Of several it has the mean
    width, as in :func:`spearman_interval`. Where the size of the pool is not known it is the t interval over seeds.

    Args:
        runs: one per score seed.
        ratio: pruning ratio of the kept sets.
    """
    lines = [(run.by_ratio[ratio], run.num_total) for run in runs if ratio in run.by_ratio]
    gains = [
        (line["recall"] - line["chance"], num_total)
        for line, num_total in lines
        if line["recall"] is not None and line["chance"] is not None
    ]
    if not gains:
        return None
    sizes = [num_total for _, num_total in gains if num_total is not None and num_total > 1]
    if len(sizes) < len(gains):
        return estimate([gain for gain, _ in gains])
    gain = fmean(gain for gain, _ in gains)
    half = _quantile() * fmean(ratio / math.sqrt(size - 1) for size in sizes)
    return Estimate(gain, len(gains), None, gain - half, gain + half)


def against_chance(runs: Sequence[FidelityRun], ratios: Mapping[float, Estimate | None]) -> str:
    """Return in words whether predictions are better than chance, both in their order and in what they keep.

    Args:
        runs: one per score seed.
        ratios: :func:`recall_gain` by ratio.

    Returns:
        ``BETTER`` where the interval of the correlation lies above 0 and, if a recall was measured, that of its gain
        lies above 0 at one ratio at least. ``NO_BETTER`` where either is shown to be near 0: the upper end of the
        correlation's interval is below ``NEAR_CHANCE``, or that of the gain is so at every ratio, as a share of the
        gain of a perfect prediction, which is the ratio. ``NOT_COMPARED`` where no interval is known. Else
        ``NOT_SHOWN``.
    """
    spearman = spearman_interval(runs)
    if spearman is None or spearman.low is None or spearman.high is None:
        return NOT_COMPARED
    gains = [
        (gain.low, gain.high / ratio)
        for ratio, gain in ratios.items()
        if gain is not None and gain.low is not None and gain.high is not None and ratio > 0
    ]
    if spearman.low > 0 and (not gains or any(low > 0 for low, _ in gains)):
        return BETTER
    keeps_nothing = bool(gains) and all(high < NEAR_CHANCE for _, high in gains)
    return NO_BETTER if spearman.high < NEAR_CHANCE or keeps_nothing else NOT_SHOWN


def _quantile() -> float:
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
