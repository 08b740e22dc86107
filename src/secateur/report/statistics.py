"""Means, intervals, paired differences with their tests, and what may be said about them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
TIE_MARGIN = 0.01  # an interval that holds 0 says "equal" only when it reaches no further than one point
ROUNDING = 1e-12  # an interval that ends at 0 up to rounding holds 0
MIN_EXACT, MAX_EXACT = 6, 20  # below, no sign-flip test can reach p < 0.05; above, 2^n sums are too many, and t is fine


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


@dataclass(frozen=True)
class Comparison(Estimate):
    """A paired difference with its tests; ``n`` counts pairs.

    Attributes:
        p_t: two-sided p of the paired t test, below 0.05 exactly where the interval leaves 0 out; None for one pair.
        p_exact: two-sided p of the exact sign-flip test; None below 6 pairs, where it cannot reach 0.05, and above 20.
        p_holm: ``p_t`` after Holm's correction over the table; None before it is known.
    """

    p_t: float | None = None
    p_exact: float | None = None
    p_holm: float | None = None

    @property
    def survives_holm(self) -> bool | None:
        """Whether the difference is still significant after Holm's correction; None where that is not known."""
        return None if self.p_holm is None else self.p_holm < 1 - CONFIDENCE


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
    half = quantile(n - 1) * sd / math.sqrt(n)
    return Estimate(mean, n, sd, mean - half, mean + half)


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], resolution: float = 0.0
) -> Comparison | None:
    """Return the difference ``values - reference`` over the seeds that both have; None when they share none.

    Args:
        values: accuracy by seed.
        reference: accuracy by seed.
        resolution: the smallest step of an accuracy, one test image. Half the interval is never less: a few seeds
            that happen to differ by the same single image are no evidence. The t test takes the standard error that
            belongs to that interval.

    Example:
        >>> difference = paired_difference({0: 0.98, 1: 0.97}, {0: 0.99, 1: 0.98}, resolution=0.01)
        >>> round(difference.low, 3), round(difference.high, 3) + 0.0
        (-0.02, 0.0)
    """
    differences = [values[seed] - reference[seed] for seed in sorted(values.keys() & reference.keys())]
    if not differences:
        return None
    plain = estimate(differences)
    if plain.sd is None:
        return Comparison(plain.mean, plain.n)
    return compared(plain.mean, plain.sd, plain.sd / math.sqrt(plain.n), plain.n - 1, differences, resolution)


def compared(
    mean: float,
    sd: float,
    error: float,
    freedom: int,
    differences: Sequence[float],
    resolution: float,
    *,
    exact: bool = True,
) -> Comparison:
    """Return a mean difference with its interval and its tests.

    Args:
        mean: of the differences.
        sd: their standard deviation.
        error: standard error of the mean.
        freedom: its degrees of freedom.
        differences: one per seed, at least two.
        resolution: half the interval is never less; the t test takes the standard error that belongs to it.
        exact: whether the differences are independent, so that their signs may be flipped.
    """
    n, reach = len(differences), quantile(freedom)
    half = max(reach * error, resolution)
    return Comparison(
        *(mean, n, sd, mean - half, mean + half),
        p_t=p_of_t(mean, half / reach, freedom),
        p_exact=sign_flip_p(differences) if exact and MIN_EXACT <= n <= MAX_EXACT else None,
    )


def quantile(freedom: int) -> float:
    """Return the quantile of Student's t that a two-sided 95 % interval reaches to."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def p_of_t(mean: float, error: float, freedom: int) -> float:
    """Return the two-sided p of a t test of a mean with its standard error and degrees of freedom."""
    if error <= ROUNDING:
        return 1.0 if abs(mean) <= ROUNDING else 0.0
    return float(2 * stdtr(freedom, -abs(mean) / error))


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the exact paired permutation test.

    Under the hypothesis that both are alike every difference could as well have the other sign. p is the share of
    the ``2^n`` choices of signs whose sum is at least as far from 0 as the one observed, which is one of them.

    Args:
        differences: one per pair, at most 20.

    Example:
        >>> sign_flip_p([0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
        0.03125
    """
    values = np.abs(np.asarray(differences, dtype=np.float64))
    sums = np.zeros(1)
    for value in values[1:]:  # the first sign is fixed: the other half mirrors this one
        sums = np.concatenate([sums + value, sums - value])
    sums = np.abs(sums + values[0])
    return float(np.mean(sums >= abs(math.fsum(differences)) - ROUNDING))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values after Holm's step-down correction, in the same order.

    The i-th smallest of m (from 0) is multiplied by ``m - i``; none becomes less than a smaller one before it, nor
    more than 1. [Holm, Scandinavian Journal of Statistics 6, 1979]

    Example:
        >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
        [0.06, 0.03, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min((len(p_values) - rank) * p_values[position], 1.0))
        adjusted[position] = largest
    return adjusted


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
        'n too small: one seed'
    """
    if difference is None:
        return f"no seed in common with {reference}"
    if difference.low is None or difference.high is None:
        return "n too small: one seed"
    if difference.low > ROUNDING:
        return f"above {reference}"
    if difference.high < -ROUNDING:
        return f"below {reference}"
    if max(-difference.low, difference.high) <= TIE_MARGIN:
        return f"{equal} {reference}"
    return "undecided: interval too wide"


def cautious(words: str, survives_holm: bool | None) -> str:
    """Return a verdict as it is shown: in parentheses where it does not survive Holm's correction.

    Example:
        >>> cautious("above random", False)
        '(above) random'
        >>> cautious("ties random", False)
        'ties random'
    """
    first, _, rest = words.partition(" ")
    return f"({first}) {rest}" if survives_holm is False and first in ("above", "below") else words
