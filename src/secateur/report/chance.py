"""Whether predicted scores are better than chance: than a prediction that has nothing to do with the full scores."""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

from secateur.report.fidelity_run import FidelityRun
from secateur.report.statistics import CONFIDENCE, Estimate, estimate

SPEARMAN_FACTOR = 1.06  # variance of Fisher's z of a Spearman correlation, times n - 3


def spearman_interval(runs: Sequence[FidelityRun]) -> Estimate | None:
    """Return the mean Spearman correlation with its 95 % interval; None where it is not defined.

    Over several score seeds it is the t interval. Of a single one it is the interval over its samples, by Fisher's z
    with the variance ``1.06 / (n - 3)``. [Fieller, Hartley and Pearson, Biometrika 44, 1957]

    Args:
        runs: one per score seed.
    """
    known = [(value, run.num_predicted) for run in runs if (value := run.values["spearman"]) is not None]
    if not known:
        return None
    if len(known) > 1:
        return estimate([value for value, _ in known])
    value, num_predicted = known[0]
    if num_predicted is None or num_predicted < 4:
        return Estimate(value, 1)
    z = math.atanh(max(min(value, 1 - 1e-9), -1 + 1e-9))
    half = _quantile() * math.sqrt(SPEARMAN_FACTOR / (num_predicted - 3))
    return Estimate(value, 1, None, math.tanh(z - half), math.tanh(z + half))


def recall_gain(runs: Sequence[FidelityRun], ratio: float) -> Estimate | None:
    """Return the recall of the kept set less that of a random mask, with its 95 % interval; None where not measured.

    Over several score seeds it is the t interval. Of a single one it is the interval over its samples: of two
    independent sets of K of N samples the overlap is hypergeometric, so the recall has the standard deviation
    ``(N - K) / (N sqrt(N - 1))``.

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
    if len(gains) > 1:
        return estimate([gain for gain, _ in gains])
    gain, num_total = gains[0]
    if num_total is None or num_total < 2:
        return Estimate(gain, 1)
    half = _quantile() * ratio / math.sqrt(num_total - 1)
    return Estimate(gain, 1, None, gain - half, gain + half)


def is_better(runs: Sequence[FidelityRun], ratios: Mapping[float, Estimate | None]) -> bool | None:
    """Whether predictions are better than chance, both in their order and in what they keep.

    Args:
        runs: one per score seed.
        ratios: :func:`recall_gain` by ratio.

    Returns:
        True where the interval of the correlation lies above 0 and, if a recall was measured, that of its gain lies
        above 0 at one ratio at least. None where no interval is known.
    """
    spearman = spearman_interval(runs)
    if spearman is None or spearman.low is None:
        return None
    gains = [gain for gain in ratios.values() if gain is not None and gain.low is not None]
    return spearman.low > 0 and (not gains or any(gain.low > 0 for gain in gains if gain.low is not None))


def _quantile() -> float:
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
