r"""Ridge regression of the score on label and embedding, with a penalty chosen by leave-one-out, all in closed form.

Tensor legend: M observed samples, F features, r = min(M, F). Memory O(M F) in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator, Needs, check_finite
from secateur.extrapolation.features import CHUNK, Features

ALPHAS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0)


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """A fitted ridge regression: ``features @ coefficients + intercept``.

    Attributes:
        coefficients: float64 ``[F]``.
        intercept: float64, a scalar.
        alpha: the penalty that was chosen.
        errors: mean squared leave-one-out error of every penalty, float64, in the order they were given.
        flops: floating-point operations of the fit, estimated.
    """

    coefficients: Tensor
    intercept: Tensor
    alpha: float
    errors: Tensor
    flops: float


def fit_ridge(features: Tensor, scores: Tensor, alphas: Sequence[float] = ALPHAS) -> RidgeFit:
    r"""Fit a ridge regression with an intercept that is not penalized.

    .. math:: \min_{w, b} \sum_i (s_i - x_i^\top w - b)^2 + \alpha \| w \|_2^2

    With the singular value decomposition :math:`U \Sigma V^\top` of the centered features, the residual of sample i
    is :math:`(s - \bar s)_i - \sum_j U_{ij} \frac{\sigma_j^2}{\sigma_j^2 + \alpha} (U^\top s)_j`, its leverage
    :math:`h_i = \frac{1}{M} + \sum_j U_{ij}^2 \frac{\sigma_j^2}{\sigma_j^2 + \alpha}`, and residual over
    :math:`1 - h_i` is exactly the error on i of a fit without i. One decomposition serves every :math:`\alpha`, and
    both M > F and M <= F. The smallest mean squared error wins; of equal ones the largest penalty.

    Args:
        features: float ``[M, F]``.
        scores: float ``[M]``.
        alphas: penalties to choose from, positive. They are absolute: standardized features make
            :math:`\sigma^2` about M, so that penalties matter from about M upwards when the features say little.

    Raises:
        ConfigError: there are no alphas, or one is not positive and finite.
        DataError: a shape is wrong, or M is 0.
        NumericalError: a feature or a score is not finite.
    """
    check_alphas(alphas)
    if features.ndim != 2 or scores.ndim != 1 or len(features) != len(scores) or not len(scores):
        raise DataError(
            f"ridge: needs features [M, F] and scores [M], M >= 1; got {list(features.shape)}, {list(scores.shape)}."
        )
    check_finite("features", features)
    check_finite("scores", scores)
    center, mean = features.double().mean(dim=0), scores.double().mean()
    u, sigma, vt = _thin_svd(features.double() - center)
    centered = scores.double() - mean
    largest_first = sorted(alphas, reverse=True)
    errors = [_leave_one_out_error(u, sigma, centered, alpha) for alpha in largest_first]
    alpha = largest_first[errors.index(min(errors))]
    coefficients = vt.T @ (sigma / (sigma.square() + alpha) * (u.T @ centered))
    in_order = torch.tensor([errors[largest_first.index(alpha)] for alpha in alphas], dtype=torch.float64)
    flops = _flops(len(features), features.shape[1], len(alphas))
    return RidgeFit(coefficients, mean - center @ coefficients, alpha, in_order, flops)


@dataclass(frozen=True)
class Ridge(Extrapolator):
    """Ridge regression on the one-hot label and the standardized embedding.

    The linear reference: what neighbors and graphs add, they must add to this. Unobserved rows contribute the scale of
    their features and nothing else. With one observed sample, constant scores or constant features it predicts the
    mean.

    Args:
        alphas: penalties; the one with the smallest leave-one-out error on the observed samples is taken.
        use_labels: read the one-hot label too; it is left out where labels are not known.

    Raises:
        ConfigError: there are no alphas, or one is not positive and finite.
    """

    NAME: ClassVar[str] = "extrapolation/ridge"
    alphas: Sequence[float] = ALPHAS
    use_labels: bool = True
    needs: ClassVar[frozenset[Needs]] = frozenset({Needs.EMBEDDINGS})

    def __post_init__(self) -> None:
        check_alphas(self.alphas)

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype.

        Raises:
            ConfigError: there are no embeddings.
        """
        features = Features.of(inputs, self.use_labels)
        fit = fit_ridge(features.rows(inputs.sample_ids), inputs.scores, self.alphas)
        predicted = [
            features.rows(rows) @ fit.coefficients + fit.intercept for rows in torch.split(inputs.queries, CHUNK)
        ]
        inputs.flops += fit.flops + 2.0 * len(inputs.queries) * features.width
        return inputs.filled(torch.cat(predicted))

    def planned_flops(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float:
        """Return the operations of fit and prediction, as they will be counted."""
        width = num_features + (num_classes if self.use_labels else 0)
        return _flops(num_observed, width, len(self.alphas)) + 2.0 * (num_samples - num_observed) * width


def check_alphas(alphas: Sequence[float]) -> None:
    """Raise :class:`ConfigError` unless there are penalties, all positive and finite."""
    if not len(alphas) or not all(0 < alpha < float("inf") for alpha in alphas):
        raise ConfigError(f"ridge: alphas must be positive numbers, at least one; got {list(alphas)}.")


def _thin_svd(centered: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U ``[M, r]``, sigma ``[r]``, Vt ``[r, F]`` of the singular values that are not 0 numerically."""
    u, sigma, vt = torch.linalg.svd(centered, full_matrices=False)
    if not len(sigma):
        return u, sigma, vt
    kept = sigma > sigma[0] * max(centered.shape) * torch.finfo(sigma.dtype).eps
    return u[:, kept], sigma[kept], vt[kept]


def _leave_one_out_error(u: Tensor, sigma: Tensor, centered: Tensor, alpha: float) -> float:
    """Return the mean squared leave-one-out error of one penalty.

    Residuals and ``1 - h`` are summed from ``alpha / (sigma^2 + alpha)``, not subtracted from what is fitted: both
    nearly vanish together when M <= F, and their ratio would be rounding.
    """
    shrunk = alpha / (sigma.square() + alpha)
    along = u.T @ centered
    rest = centered - u @ along
    outside = (1 - 1 / len(centered) - u.square().sum(dim=1)).clamp(min=0)
    residual = rest + u @ (shrunk * along)
    free = outside + u.square() @ shrunk
    floor = torch.finfo(free.dtype).tiny
    return float(torch.where(free > floor, residual / free.clamp(min=floor), 0.0).square().mean())


def _flops(rows: int, columns: int, num_alphas: int) -> float:
    """Return an estimate: a thin decomposition takes 6 M F r + 20 r^3, and each penalty two products with U."""
    rank = min(rows, columns)
    return 6.0 * rows * columns * rank + 20.0 * rank**3 + 6.0 * rows * rank * num_alphas
