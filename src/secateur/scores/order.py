"""Order dependence: the share of a score that the order of visits in its training explains.

A score that is read while the network learns measures each sample at another moment, and what was learned just before
differs from sample to sample. Part of its ranking is then the shuffled order, which no other training repeats.
"""

import math

import torch
from torch import Tensor

from secateur.scores.checks import check_shape

WARNED_ABOVE = 0.1  # adjusted R2 from which on a mask owes too much to the order
ROWS_PER_CHUNK = 65_536
RANK_TOLERANCE = 1e-9  # directions of the positions with less than this share of the largest variance are none


def mean_ranks(values: Tensor) -> Tensor:
    """Return the rank of each value from 0, float64 ``[N]``; equal values share the mean of their ranks.

    Example:
        >>> mean_ranks(torch.tensor([5.0, 1.0, 5.0]))
        tensor([1.5000, 0.0000, 1.5000], dtype=torch.float64)
    """
    ordered = values.sort().values
    first = torch.searchsorted(ordered, values)
    beyond = torch.searchsorted(ordered, values, right=True)
    return (first + beyond - 1).double() / 2


def order_r2(score: Tensor, positions: Tensor) -> float:
    r"""Adjusted share of the variance of a score's ranks that the positions in the training's orders explain.

    .. math:: \bar R^2 = 1 - (1 - R^2) \frac{N - 1}{N - p - 1}

    with :math:`R^2` of the least squares regression of the ranks on an intercept and the position of each sample in
    each epoch's order, and p the number of linearly independent positions (at most the number of epochs E). For a score
    that owes nothing to the orders it is 0 on average, and it may be below 0.

    Args:
        score: finite, ``[N]``.
        positions: ``[E, N]``, where in the order of each epoch the sample came.

    Returns:
        At most 1; 0 for a score that is the same for all samples; NaN where there are too few samples for so many
        epochs.

    Raises:
        ConfigError: a shape is wrong.

    Example:
        >>> order = torch.tensor([[3, 0, 2, 1, 4]])
        >>> order_r2(-2.0 * order[0], order)
        1.0
    """
    check_shape("order_r2", "score", score, "N")
    check_shape("order_r2", "positions", positions, "EN")
    num_samples, ranks = len(score), mean_ranks(score.cpu())
    ranks -= ranks.mean()
    variance, covariance, products = ranks.square().sum(), *_moments(ranks, positions.cpu())
    values, directions = torch.linalg.eigh(products)
    kept = values > RANK_TOLERANCE * values.max().clamp(min=torch.finfo(torch.float64).tiny)
    num_regressors = int(kept.sum())
    left = num_samples - num_regressors - 1
    if left < 1:
        return math.nan
    if float(variance) == 0:
        return 0.0
    along = directions.T[kept] @ covariance
    explained = float((along.square() / values[kept]).sum() / variance)
    return 1.0 - (1.0 - min(explained, 1.0)) * (num_samples - 1) / left


def _moments(ranks: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the covariances ``[E]`` of centered ranks and positions, and ``[E, E]`` of positions, times N."""
    num_epochs, num_samples = positions.shape
    means = torch.stack([row.double().mean() for row in positions])[:, None]
    covariance, products = ranks.new_zeros(num_epochs), ranks.new_zeros(num_epochs, num_epochs)
    for first in range(0, num_samples, ROWS_PER_CHUNK):
        rows = slice(first, first + ROWS_PER_CHUNK)
        centered = positions[:, rows].double() - means
        covariance += centered @ ranks[rows]
        products += centered @ centered.T
    return covariance, products


def chance_spread(num_samples: int, num_regressors: int) -> float:
    """Return the standard deviation of :func:`order_r2` for scores that owe nothing to the orders.

    :math:`R^2` of unrelated normal values follows a Beta distribution with parameters p/2 and (N - p - 1)/2.

    Args:
        num_samples: N.
        num_regressors: p, below N - 1.
    """
    left = num_samples - num_regressors - 1
    variance = 2 * num_regressors * left / ((num_samples - 1) ** 2 * (num_samples + 1))
    return math.sqrt(variance) * (num_samples - 1) / left


def is_too_ordered(r2: float, num_samples: int, num_regressors: int) -> bool:
    """Whether an :func:`order_r2` is above 0.1, and above what chance gives with so few samples (3 spreads)."""
    if math.isnan(r2):
        return False
    return r2 > max(WARNED_ABOVE, 3 * chance_spread(num_samples, num_regressors))
