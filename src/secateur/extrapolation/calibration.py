"""Quantile matching: predictions take the distribution of the observed scores, and keep their order.

Predictions are means of several scores, so they spread less than scores do: compared as they are, the observed
samples fill both ends of the ranking, and at high pruning ratios hardly anything else is kept.
"""

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.extrapolation.base import check_finite
from secateur.extrapolation.correlation import ranks


def quantile_match(predicted: Tensor, observed: Tensor) -> Tensor:
    r"""Replace every prediction by the observed scores' quantile of the same rank.

    .. math:: m_i = Q\left(\frac{r_i - 1}{R - 1}\right), \qquad
              Q\left(\frac{j}{M - 1}\right) = o_{(j + 1)}, \quad j = 0, \dots, M - 1

    :math:`r_i` is the rank of the prediction from 1 to R, the mean of their ranks for equal predictions. Q is the
    empirical quantile function of the observed scores, linear between the sorted values :math:`o_{(1)} \le \dots`
    (definition 7 of Hyndman and Fan 1996, the default of ``numpy.quantile``). With R = 1 the fraction is 1/2.

    - The order is preserved: larger predictions never become smaller ones, equal ones stay equal, and different
      ones stay different unless the observed scores repeat themselves there.
    - The lowest and highest prediction, where they are single, become the lowest and highest observed score.
    - With R = M different predictions the result is exactly the observed scores, in the predictions' order.
    - Constant predictions all become the median of the observed scores.

    Args:
        predicted: float ``[R]``, finite; R may be 0.
        observed: float ``[M]``, finite, M at least 1, in any order.

    Returns:
        float ``[R]`` in the wider of both dtypes (computed in float64), within the observed minimum and maximum.

    Raises:
        DataError: a shape is wrong, or there is no observed score.
        NumericalError: a value is not finite.

    Deviations:
        The release of score extrapolation (arXiv 2506.09010) has no such step.

    Example:
        >>> import torch
        >>> quantile_match(torch.tensor([0.51, 0.49, 0.50]), torch.tensor([1.0, 2.0, 8.0]))
        tensor([8., 1., 2.])
        >>> quantile_match(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 2.0, 8.0]))
        tensor([2., 2.])
    """
    _check(predicted, observed)
    dtype = torch.promote_types(predicted.dtype, observed.dtype)
    num_predicted, last = len(predicted), len(observed) - 1
    if not num_predicted:
        return predicted.to(dtype)
    if num_predicted == 1:
        places = torch.full((1,), last / 2, dtype=torch.float64)
    else:
        places = (ranks(predicted) - 1) * last / (num_predicted - 1)  # the last one is exactly M - 1
    ordered = observed.double().sort().values
    return _between(ordered, places.to(ordered.device)).to(predicted.device, dtype)


def _between(ordered: Tensor, places: Tensor) -> Tensor:
    """Return ``ordered [M]`` at fractional positions ``[R]`` in [0, M - 1]; increasing in the position."""
    below = places.floor().long()
    above = (below + 1).clamp(max=len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return torch.minimum(low + (places - below) * (high - low), high)


def _check(predicted: Tensor, observed: Tensor) -> None:
    """Raise unless both are finite vectors, the second with at least one value."""
    if predicted.ndim != 1 or observed.ndim != 1 or not len(observed):
        raise DataError(
            "quantile_match: needs predicted [R] and at least one observed score [M]; got shapes "
            f"{list(predicted.shape)} and {list(observed.shape)}."
        )
    if not (predicted.is_floating_point() and observed.is_floating_point()):
        raise DataError(f"quantile_match: needs floating-point scores, got {predicted.dtype} and {observed.dtype}.")
    check_finite("predicted", predicted)
    check_finite("observed", observed)
