"""Means, intervals, paired differences and what may be said about them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtrit

CONFIDENCE = 0.95
TIE_MARGIN = 0.01  # an interval that holds 0 says "equal" only when it reaches no further than one point
ROUNDING = 1e-12  # an interval that ends at 0 up to rounding holds 0


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its uncertainty.

    Attributes:
        mean: the mean.
        n: number of seeds (of pairs, for a difference).
        sd: sample standard deviation (divisor n - 1); None for one seed.
        low: lower end of the 95 % t interval of the mean; None for one seed.
        high: upper end.
    """

    mean: float
    n: int
    sd: float | None = None
    low: float | None = None
    high: float | None = None


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean, sample standard deviation and 95 % t interval.

    Args:
        values: one number per seed, at least one.

    Example:
        >>> result = estimate([0.90, 0.92, 0.94])
        >>> round(result.mean, 3), round(result.sd, 3), round(result.low, 3), round(result.high, 3)
        (0.92, 0.02, 0.87, 0.97)
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, n)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * sd / math.sqrt(n)
    return Estimate(mean, n, sd, mean - half, mean + half)


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], resolution: float = 0.0
) -> Estimate | None:
    """Return the difference ``values - reference`` over the seeds that both have; None when they share none.

    Args:
        values: accuracy by seed.
        reference: accuracy by seed.
        resolution: the smallest step of an accuracy, one test image. Half the interval is never less: a few seeds
            that happen to differ by the same single image are no evidence.

    Example:
        >>> difference = paired_difference({0: 0.98, 1: 0.97}, {0: 0.99, 1: 0.98}, resolution=0.01)
        >>> round(difference.low, 3), round(difference.high, 3) + 0.0
        (-0.02, 0.0)
    """
    shared = sorted(values.keys() & reference.keys())
    if not shared:
        return None
    difference = estimate([values[seed] - reference[seed] for seed in shared])
    if difference.low is None or difference.mean - difference.low >= resolution:
        return difference
    return replace(difference, low=difference.mean - resolution, high=difference.mean + resolution)


def verdict(difference: Estimate | None, reference: str, equal: str = "ties") -> str:
    """Return in plain words what a paired difference says.

    Args:
        difference: from :func:`paired_difference`.
        reference: what it is compared with.
        equal: the word for an interval that holds 0 and reaches no further than one point.

    Example:
        >>> verdict(Estimate(0.012, 3, 0.001, 0.009, 0.015), "random")
        'above random'
        >>> verdict(Estimate(0.012, 1), "random")
        'one seed: no verdict'
    """
    if difference is None:
        return f"no seed in common with {reference}"
    if difference.low is None or difference.high is None:
        return "one seed: no verdict"
    if difference.low > ROUNDING:
        return f"above {reference}"
    if difference.high < -ROUNDING:
        return f"below {reference}"
    if max(-difference.low, difference.high) <= TIE_MARGIN:
        return f"{equal} {reference}"
    return "undecided: interval too wide"
