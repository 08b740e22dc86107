"""Means, intervals, paired differences with their tests, and what may be said about them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

CONFIDENCE = 0.95
POWER = 0.8  # of the smallest difference that a comparison can detect
CLAIMS = ("above", "below", "ties", "matches")  # first words of verdicts that Holm's correction may take back
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
        error: standard error of the mean that the tests take; None for one pair.
        freedom: its degrees of freedom.
        margin: two results count as equal where they differ by less; None where none was set.
        p_equal: p of the two one-sided tests that the difference is smaller than the margin; None without a margin.
        p_equal_holm: ``p_equal`` after Holm's correction over the table; None before it is known.
        detectable: the smallest difference that these pairs find, in two-sided tests at 95 %, with 80 % power; None for
            one pair.
    """

    p_t: float | None = None
    p_exact: float | None = None
    p_holm: float | None = None
    error: float | None = None
    freedom: int | None = None
    margin: float | None = None
    p_equal: float | None = None
    p_equal_holm: float | None = None
    detectable: float | None = None

    @property
    def survives_holm(self) -> bool | None:
        """Whether the difference is still significant after Holm's correction; None where that is not known."""
        return None if self.p_holm is None else self.p_holm < 1 - CONFIDENCE

    @property
    def equal_survives_holm(self) -> bool | None:
        """Whether the equality is still significant after Holm's correction; None where that is not known."""
        return None if self.p_equal_holm is None else self.p_equal_holm < 1 - CONFIDENCE

    def within(self, margin: float | None) -> "Comparison":
        """Return the comparison with the test that the difference is smaller than a margin; None takes it away."""
        if margin is None or self.error is None or self.freedom is None:
            return replace(self, margin=margin, p_equal=None)
        return replace(self, margin=margin, p_equal=p_of_equality(self.mean, self.error, self.freedom, margin))

    def untested(self) -> "Comparison":
        """Return the comparison without its tests, for differences of which nothing may be said."""
        return Comparison(self.mean, self.n, self.sd, self.low, self.high)


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
        error=half / reach,
        freedom=freedom,
        detectable=detectable(half / reach, freedom),
    )


def quantile(freedom: int) -> float:
    """Return the quantile of Student's t that a two-sided 95 % interval reaches to."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def p_of_t(mean: float, error: float, freedom: int) -> float:
    """Return the two-sided p of a t test of a mean with its standard error and degrees of freedom."""
    if error <= ROUNDING:
        return 1.0 if abs(mean) <= ROUNDING else 0.0
    return float(2 * stdtr(freedom, -abs(mean) / error))


def p_of_equality(mean: float, error: float, freedom: int, margin: float) -> float:
    """Return the p of two one-sided t tests: that the true mean lies within ``-margin`` and ``margin``.

    It is the larger of the two one-sided p values, against ``mean <= -margin`` and against ``mean >= margin``.
    [Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987]

    Args:
        mean: of the differences.
        error: its standard error.
        freedom: degrees of freedom.
        margin: positive, in the unit of the mean.

    Example:
        >>> round(p_of_equality(0.0, 0.002, 4, 0.01), 4)
        0.0037
    """
    distance = margin - abs(mean)
    if error <= ROUNDING:
        return 0.0 if distance > ROUNDING else 1.0
    return float(stdtr(freedom, -distance / error))


def detectable(error: float, freedom: int) -> float:
    """Return the smallest true mean that a two-sided t test at 95 % finds with 80 % power.

    The noncentral t distribution with noncentrality ``mean / error`` lies above the critical value with a probability
    of 80 %; the other tail is left out, which is below 1e-4 there.

    Args:
        error: standard error of the mean, as observed.
        freedom: its degrees of freedom.

    Example:
        >>> round(detectable(0.01 / 5**0.5, 4), 4)
        0.0168
    """
    return float(nctdtrinc(freedom, 1 - POWER, quantile(freedom))) * error


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


def verdict(difference: Comparison | None, reference: str, equal: str = "ties", only: str = "") -> str:
    """Return in plain words what a paired difference says.

    Args:
        difference: from :func:`paired_difference`, with its margin.
        reference: what it is compared with.
        equal: the word for an interval that holds 0 and a difference that is shown to be smaller than the margin.
        only: what the words hold for, where that is less than the method; empty where it is the method.

    Example:
        >>> difference = paired_difference({0: 0.98, 1: 0.97, 2: 0.99}, {0: 0.95, 1: 0.94, 2: 0.961})
        >>> verdict(difference, "random"), verdict(difference, "random", only="this mask")
        ('above random', 'above random (this mask)')
        >>> verdict(Comparison(0.012, 1), "random")
        'n too small: one seed'
    """
    if difference is None:
        return f"no seed in common with {reference}"
    if difference.low is None or difference.high is None:
        return "n too small: one seed"
    limited = f" ({only})" if only else ""
    if difference.low > ROUNDING:
        return f"above {reference}{limited}"
    if difference.high < -ROUNDING:
        return f"below {reference}{limited}"
    if difference.p_equal is not None and difference.p_equal < 1 - CONFIDENCE:
        return f"{equal} {reference}{limited}"
    return f"undecided{limited}: interval too wide"


def cautious(words: str, difference_survives: bool | None, equality_survives: bool | None = None) -> str:
    """Return a verdict as it is shown: in parentheses where it does not survive Holm's correction.

    Args:
        words: the verdict.
        difference_survives: whether the difference survives the correction; None: not known.
        equality_survives: whether the equality does.

    Example:
        >>> cautious("above random", False)
        '(above) random'
        >>> cautious("ties random (this mask)", None, False)
        '(ties) random (this mask)'
    """
    first, _, rest = words.partition(" ")
    survives = difference_survives if first in ("above", "below") else equality_survives
    return f"({first}) {rest}" if survives is False and first in CLAIMS else words


def short(words: str, reference: str) -> str:
    """Return a verdict for a column that names the reference in its header: without the reference and the reason.

    Example:
        >>> short("(above) random (this mask)", "random"), short("undecided: interval too wide", "random")
        ('(above) (this mask)', 'undecided')
    """
    words = words.split(":")[0]
    first, _, rest = words.partition(" ")
    if first.strip("()") not in CLAIMS:
        return words
    return f"{first} {rest.removeprefix(reference).strip()}".strip()


def is_limited(words: str) -> bool:
    """Whether a verdict holds for less than the method, so that nothing counts it: see ``only`` in :func:`verdict`.

    Example:
        >>> is_limited("above random (this mask)"), is_limited("undecided (this mask): interval too wide")
        (True, True)
        >>> is_limited("above random")
        False
    """
    return words.split(":")[0].endswith(")")
