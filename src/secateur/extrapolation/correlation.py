"""Pearson and Spearman correlation of two vectors of scores, and the mid-ranks behind the second.

Both are NaN where they are undefined: a constant vector, fewer than two values, or a value that is not finite. Whoever
compares candidates decides what NaN counts as; here it is never hidden as 0.
"""

import math

import torch
from torch import Tensor

from secateur.core.errors import DataError


def pearson(a: Tensor, b: Tensor) -> float:
    """Return Pearson's correlation of two vectors, computed in float64.

    Args:
        a: real ``[n]``.
        b: real ``[n]``.

    Returns:
        A number in ``[-1, 1]``; NaN when either vector is constant, has fewer than two values, or is not finite.

    Raises:
        DataError: the shapes differ, or are not ``[n]``.

    Example:
        >>> round(pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])), 4)
        0.982
    """
    check_pair(a, b)
    left, right = deviations(a), deviations(b)
    if left is None or right is None:
        return math.nan
    return float((left @ right).clamp(-1.0, 1.0))


def spearman(a: Tensor, b: Tensor) -> float:
    """Return Spearman's rank correlation of two vectors: Pearson's of their mid-ranks.

    Args:
        a: real ``[n]``.
        b: real ``[n]``.

    Returns:
        A number in ``[-1, 1]``; NaN when either vector is constant, has fewer than two values, or is not finite.

    Raises:
        DataError: the shapes differ, or are not ``[n]``.

    Example:
        >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 40.0])), 4)
        1.0
    """
    check_pair(a, b)
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return math.nan
    return pearson(ranks(a), ranks(b))


def ranks(values: Tensor) -> Tensor:
    """Return the mid-ranks of a vector: 1 for the smallest value, and the mean of their ranks for equal ones.

    Args:
        values: real ``[n]``, without NaN.

    Returns:
        float64 ``[n]`` on the CPU; the sum is always ``n * (n + 1) / 2``.

    Example:
        >>> ranks(torch.tensor([0.5, 0.1, 0.5, 0.9])).tolist()
        [2.5, 1.0, 2.5, 4.0]
    """
    _, place, count = torch.unique(values.detach().cpu(), sorted=True, return_inverse=True, return_counts=True)
    middle: Tensor = count.cumsum(0).double() - (count - 1) / 2
    return middle[place]


def deviations(values: Tensor) -> Tensor | None:
    """Return the deviations from the mean scaled to length 1, float64 ``[n]``, or None where that is undefined.

    They are divided by the largest one first, so that neither tiny nor huge values lose their squares.
    """
    values = values.detach().cpu().double()
    if len(values) < 2 or not bool(torch.isfinite(values).all()) or bool((values == values[0]).all()):
        return None
    centered = values - values.mean()
    centered = centered / centered.abs().max()
    return centered / centered.square().sum().sqrt()


def check_pair(a: Tensor, b: Tensor) -> None:
    """Raise :class:`DataError` unless both are vectors of the same length."""
    if a.ndim != 1 or a.shape != b.shape:
        raise DataError(
            f"Two vectors [n] of the same length are compared; got shapes {list(a.shape)} and {list(b.shape)}."
        )
