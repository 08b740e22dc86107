"""Merging: how observed and predicted scores are brought into one ranking."""

from typing import Literal, get_args

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.extrapolation.base import check_finite
from secateur.extrapolation.calibration import quantile_match

Merge = Literal["raw", "quantile_match", "per_source_quota"]


def merge(scores: Tensor, observed: Tensor, how: str = "quantile_match") -> Tensor:
    """Bring the scores of both sources, observed and predicted, into one ranking.

    ``raw`` leaves them as they are: what the release of arXiv 2506.09010 does. Predictions are smoother than scores,
    so a high pruning ratio then keeps mostly observed samples. ``quantile_match`` replaces the predictions by
    :func:`~secateur.extrapolation.calibration.quantile_match`. ``per_source_quota`` replaces every score by its
    rank fraction ``(rank - 1/2) / n`` among the n of its own source, so that any number of samples kept first takes
    from either source its share, up to rounding; equal scores are told apart as selections do, the lower row first.

    The order within each source is preserved by all of them.

    Args:
        scores: float ``[N]``, finite; higher = kept first.
        observed: which were measured, bool ``[N]``.
        how: ``raw``, ``quantile_match`` or ``per_source_quota``.

    Returns:
        float ``[N]`` in the scores' dtype; rank fractions are in (0, 1).

    Raises:
        ConfigError: ``how`` is none of these.
        DataError: the shapes differ, or ``quantile_match`` finds no observed score.
        NumericalError: a score is not finite.

    Example:
        >>> scores, observed = torch.tensor([0.9, 0.1, 0.5, 0.6]), torch.tensor([True, True, False, False])
        >>> merge(scores, observed)
        tensor([0.9000, 0.1000, 0.1000, 0.9000])
        >>> merge(scores, observed, "per_source_quota")
        tensor([0.7500, 0.2500, 0.2500, 0.7500])
    """
    if how not in get_args(Merge):
        raise ConfigError(f"merge must be one of {', '.join(get_args(Merge))}; got {how!r}.")
    _check_rows("scores", scores, observed)
    check_finite("scores", scores)
    merged = scores.clone()
    if how == "quantile_match":
        merged[~observed] = quantile_match(scores[~observed], scores[observed])
    if how == "per_source_quota":
        for source in (observed, ~observed):
            merged[source] = _rank_fractions(scores[source])
    return merged


def observed_share(keep: Tensor, observed: Tensor) -> float:
    """Return the fraction of the kept samples whose score was measured, in [0, 1].

    Without a preference for either source it is near the fraction of the pool that was measured.

    Args:
        keep: which samples are kept, bool ``[N]``.
        observed: which were measured, bool ``[N]``.

    Raises:
        DataError: the shapes differ, or nothing is kept.

    Example:
        >>> observed_share(torch.tensor([True, True, False]), torch.tensor([True, False, True]))
        0.5
    """
    _check_rows("keep", keep, observed)
    num_keep = int(keep.count_nonzero())
    if not num_keep:
        raise DataError("observed_share: no sample is kept, so there is nothing to take a share of.")
    return int((keep & observed).sum()) / num_keep


def _rank_fractions(scores: Tensor) -> Tensor:
    """Return ``(rank - 1/2) / n`` of scores ``[n]``, all different: of equal ones the lower row ranks higher."""
    best_first = scores.argsort(descending=True, stable=True)
    ranks = torch.empty(len(scores), dtype=torch.float64, device=scores.device)
    ranks[best_first] = torch.arange(len(scores), 0, -1, dtype=torch.float64, device=scores.device)
    return ((ranks - 0.5) / max(len(scores), 1)).to(scores.dtype)


def _check_rows(name: str, values: Tensor, observed: Tensor) -> None:
    """Raise :class:`DataError` unless ``values`` and the bool ``observed`` are both ``[N]``."""
    if values.ndim != 1 or values.shape != observed.shape or observed.dtype != torch.bool:
        raise DataError(
            f"{name} and observed must be [N], the second bool; got shapes {list(values.shape)} and "
            f"{list(observed.shape)} ({observed.dtype})."
        )
