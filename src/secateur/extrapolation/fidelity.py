"""How good predicted scores are, against a full scoring: a diagnostic, read by nothing that chooses or predicts.

Metrics of single samples (correlations, tails, distributions) are over the rows *without* an observed score; those of
kept sets are over the whole pool and of the merged scores, as selection sees them. Levels that chance reaches stand
next to every recall. What is undefined (a constant vector, no row at all) is NaN here and null in a record.

Tensor legend: N samples of the pool, M observed ones, R = N - M others, k neighbors.

Source: the correlations are those of score extrapolation (arXiv 2506.09010). Deviations: its release reports a final
correlation that includes the observed rows; here they are left out, and the correlation of the observed scores with
the full scoring (its "maximum achievable correlation") is a number of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.core.mask import keep_count
from secateur.core.neighbors import Neighbors
from secateur.extrapolation.base import check_finite
from secateur.extrapolation.correlation import pearson, spearman

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, kw_only=True)
class KeptSetAgreement:
    """The kept set of the merged scores against that of the full scoring, at one ratio, over the whole pool.

    Attributes:
        pruning_ratio: fraction removed.
        num_keep: size K of both sets.
        recall: fraction of the true kept set that is kept. Both sets have K samples, so this is the precision too.
        chance_recall: what a random set of K reaches, K / N.
        jaccard: intersection over union.
        chance_jaccard: what a random set of K reaches, q / (2 - q) with q = K / N (up to a term of order 1 / N).
        observed_share: fraction of the set kept by the merged scores that has an observed score.
    """

    pruning_ratio: float
    num_keep: int
    recall: float
    chance_recall: float
    jaccard: float
    chance_jaccard: float
    observed_share: float


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Predicted scores against a full scoring.

    Attributes:
        num_compared: R, the rows without an observed score; all single-sample metrics are over these.
        pearson: linear correlation of predicted and true scores.
        spearman: rank correlation of them.
        observed_pearson: linear correlation of *observed* and true scores, on the observed rows: what a predictor that
            reproduces the subset's scorer can hope for. A reference, not a bound.
        observed_spearman: rank correlation of those.
        tail_fraction: fraction of the R rows that counts as a tail.
        top_recall: fraction of the true highest tail that is in the predicted highest tail.
        bottom_recall: fraction of the true lowest tail that is in the predicted lowest tail.
        chance_tail_recall: what random predictions reach in both.
        ks: largest difference of the two distribution functions, in ``[0, 1]``.
        wasserstein: mean difference of the sorted scores (first Wasserstein distance), in units of the score.
        spread_ratio: standard deviation of the predicted scores over that of the true ones; below 1: smoothed.
        predicted_quantiles: quantile -> value of the predicted scores.
        true_quantiles: quantile -> value of the true ones.
        kept: one entry per pruning ratio asked for.
    """

    num_compared: int
    pearson: float
    spearman: float
    observed_pearson: float
    observed_spearman: float
    tail_fraction: float
    top_recall: float
    bottom_recall: float
    chance_tail_recall: float
    ks: float
    wasserstein: float
    spread_ratio: float
    predicted_quantiles: Mapping[str, float]
    true_quantiles: Mapping[str, float]
    kept: tuple[KeptSetAgreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a run record; NaN and infinities become None."""
        values: dict[str, Any] = to_plain(asdict(self))
        return values


def fidelity(
    merged: Tensor, true: Tensor, observed: Tensor, ratios: Sequence[float], tail_fraction: float = 0.05
) -> Fidelity:
    """Compare merged scores with a full scoring of the same pool.

    Args:
        merged: what selection reads: observed scores on their rows, predicted ones elsewhere, float ``[N]``.
        true: scores of a scoring of the whole pool, float ``[N]``.
        observed: which rows have an observed score, bool ``[N]``.
        ratios: pruning ratios at which kept sets are compared, each in ``[0, 1)``.
        tail_fraction: fraction of the unobserved rows in a tail, in ``(0, 1]``; at least one row.

    Raises:
        DataError: shapes or types do not fit.
        NumericalError: a score is not finite.
        ConfigError: a ratio is outside ``[0, 1)`` or keeps nothing, or tail_fraction is not in ``(0, 1]``.

    Example:
        >>> true = torch.arange(100.0)
        >>> result = fidelity(true.clone(), true, true < 20, [0.5])
        >>> result.spearman, result.kept[0].recall, result.kept[0].chance_recall
        (1.0, 1.0, 0.5)
    """
    _check(merged, true, observed, tail_fraction)
    merged, true = merged.double(), true.double()
    predicted, wanted = merged[~observed], true[~observed]
    place, true_place = places(merged), places(true)
    num_tail = min(len(wanted), max(1, round(tail_fraction * len(wanted))))
    return Fidelity(
        num_compared=len(wanted),
        pearson=pearson(predicted, wanted),
        spearman=spearman(predicted, wanted),
        observed_pearson=pearson(merged[observed], true[observed]),
        observed_spearman=spearman(merged[observed], true[observed]),
        tail_fraction=tail_fraction,
        top_recall=recall(predicted, wanted, num_tail),
        bottom_recall=bottom_recall(predicted, wanted, num_tail),
        chance_tail_recall=num_tail / len(wanted) if len(wanted) else math.nan,
        ks=kolmogorov_smirnov(predicted, wanted),
        wasserstein=wasserstein(predicted, wanted),
        spread_ratio=spread_ratio(predicted, wanted),
        predicted_quantiles=quantiles(predicted),
        true_quantiles=quantiles(wanted),
        kept=tuple(_agreement(place, true_place, observed, ratio) for ratio in ratios),
    )


def seed_level(true_a: Tensor, true_b: Tensor, rows: Tensor, ratios: Sequence[float]) -> Fidelity:
    """Return the same metrics between two full scorings with different seeds: a level to judge by, not a bound.

    Args:
        true_a: scores of one full scoring, in the place of the merged ones, float ``[N]``.
        true_b: scores of the other, in the place of the true ones, float ``[N]``.
        rows: the rows that the predictions are judged on (those without an observed score), int64 ``[R]``.
        ratios: pruning ratios at which kept sets are compared.

    Returns:
        The metrics; ``observed_*`` are those of the remaining rows.

    Raises:
        DataError: shapes or types do not fit.
        NumericalError: a score is not finite.
        ConfigError: a ratio is outside ``[0, 1)`` or keeps nothing.
    """
    others = torch.ones(len(true_b), dtype=torch.bool)
    others[rows] = False
    return fidelity(true_a, true_b, others, ratios)


def places(scores: Tensor) -> Tensor:
    """Return the place of every row, int64 ``[n]``: 0 is kept first.

    Ties go to the smaller row, as ``selection=top`` breaks them.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def recall(predicted: Tensor, true: Tensor, num_keep: int) -> float:
    """Return the fraction of the ``num_keep`` highest of ``true [n]`` among those of ``predicted [n]``; NaN for none.

    Example:
        >>> recall(torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([3.0, 0.0, 2.0, 1.0]), 2)
        0.5
    """
    if not num_keep:
        return math.nan
    return int(((places(predicted) < num_keep) & (places(true) < num_keep)).sum()) / num_keep


def bottom_recall(predicted: Tensor, true: Tensor, num_drop: int) -> float:
    """Return the fraction of the ``num_drop`` that ``true [n]`` drops first among those that ``predicted`` does."""
    if not num_drop:
        return math.nan
    rest = len(true) - num_drop
    return int(((places(predicted) >= rest) & (places(true) >= rest)).sum()) / num_drop


def kolmogorov_smirnov(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of the distribution functions of ``a [n]`` and ``b [m]``; NaN if one is empty."""
    if not len(a) or not len(b):
        return math.nan
    a, b = a.double().sort().values, b.double().sort().values
    points = torch.cat([a, b])
    below_a = torch.searchsorted(a, points, right=True).double() / len(a)
    below_b = torch.searchsorted(b, points, right=True).double() / len(b)
    return float((below_a - below_b).abs().max())


def wasserstein(a: Tensor, b: Tensor) -> float:
    """Return the first Wasserstein distance of ``a [n]`` and ``b [m]``, in units of the score; NaN if one is empty."""
    from scipy.stats import wasserstein_distance

    if not len(a) or not len(b):
        return math.nan
    return float(wasserstein_distance(a.double().cpu().numpy(), b.double().cpu().numpy()))


def spread_ratio(predicted: Tensor, true: Tensor) -> float:
    """Return sd(predicted) / sd(true); NaN where the true scores are constant or there are fewer than two."""
    if len(true) < 2 or bool((true == true[0]).all()):
        return math.nan
    return float(predicted.double().std() / true.double().std())


def quantiles(values: Tensor) -> dict[str, float]:
    """Return quantile -> value of ``values [n]`` at :data:`QUANTILES`, linearly interpolated; NaN for no values.

    ``torch.quantile`` is not used because it refuses more than 16 million values.
    """
    if not len(values):
        return {f"{q:g}": math.nan for q in QUANTILES}
    ordered = values.double().cpu().sort().values
    place = torch.tensor(QUANTILES, dtype=torch.float64) * (len(ordered) - 1)
    low, high = place.floor().long(), place.ceil().long()
    found = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return {f"{q:g}": float(value) for q, value in zip(QUANTILES, found, strict=True)}


def without_same_class(ids: Tensor, query_labels: Tensor, reference_labels: Tensor) -> float:
    """Return the fraction of queries none of whose neighbors has their class; NaN where there are no queries.

    Args:
        ids: neighbors, positions among the references, int64 ``[R, k]``; -1: no neighbor.
        query_labels: int64 ``[R]``.
        reference_labels: int64 ``[M]``.
    """
    if not len(ids):
        return math.nan
    same = (reference_labels[ids.clamp(min=0)] == query_labels.unsqueeze(1)) & (ids >= 0)
    return float((~same.any(dim=1)).double().mean())


def effective_neighbors(weights: Tensor) -> Tensor:
    r"""Return how many equally weighted neighbors the weights are worth, :math:`1 / \sum_i w_i^2`.

    Args:
        weights: ``[R, k]``, every row summing to 1 (or all 0: no neighbor).

    Returns:
        ``[R]``, from 1 (one neighbor decides) to k (a plain average); 0 for a row without neighbors.

    Example:
        >>> effective_neighbors(torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))
        tensor([2., 1.])
    """
    squares = weights.square().sum(dim=1)
    return torch.where(squares > 0, 1 / squares, 0.0)


def per_query_diagnostics(
    neighbors: Neighbors,
    weights: Tensor | None = None,
    query_labels: Tensor | None = None,
    reference_labels: Tensor | None = None,
) -> dict[str, Any]:
    """Return what shows whether neighbors can tell anything; plain values, None where unknown.

    Args:
        neighbors: ids and distances ``[R, k]``, ascending by distance; -1 and inf where there is no neighbor.
        weights: the weights that were used, ``[R, k]``, each row summing to 1, or None: an average.
        query_labels: class of every query, int64 ``[R]``, or None when not known.
        reference_labels: class of every reference, int64 ``[M]``, or None when not known.

    Returns:
        ``nearest_distance`` and ``farthest_distance`` (quantiles over the queries of the distance to the nearest
        neighbor and to the farthest of the k), ``effective_neighbors`` (quantiles), ``without_same_class`` (fraction),
        ``without_neighbor`` (fraction of queries with none at all).
    """
    found = neighbors.ids >= 0
    some = found.any(dim=1)
    farthest = neighbors.distances.masked_fill(~found, -math.inf).amax(dim=1)[some]
    if weights is None:
        weights = found / found.sum(dim=1, keepdim=True).clamp(min=1)
    lonely = None
    if query_labels is not None and reference_labels is not None:
        lonely = without_same_class(neighbors.ids, query_labels, reference_labels)
    values: dict[str, Any] = to_plain(
        {
            "nearest_distance": quantiles(neighbors.distances[some, 0]),
            "farthest_distance": quantiles(farthest),
            "effective_neighbors": quantiles(effective_neighbors(weights)),
            "without_same_class": lonely,
            "without_neighbor": float((~some).double().mean()) if len(some) else None,
        }
    )
    return values


def to_plain(value: Any) -> Any:
    """Return nested dicts and sequences of numbers as JSON values: NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {key: to_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _agreement(place: Tensor, true_place: Tensor, observed: Tensor, pruning_ratio: float) -> KeptSetAgreement:
    """Return how the kept sets of two scorings agree at one ratio; both are given by their :func:`places`."""
    num_keep = keep_count(len(place), pruning_ratio)
    kept, wanted = place < num_keep, true_place < num_keep
    common = int((kept & wanted).sum())
    fraction = num_keep / len(place)
    return KeptSetAgreement(
        pruning_ratio=float(pruning_ratio),
        num_keep=num_keep,
        recall=common / num_keep,
        chance_recall=fraction,
        jaccard=common / (2 * num_keep - common),
        chance_jaccard=fraction / (2 - fraction),
        observed_share=int((kept & observed).sum()) / num_keep,
    )


def _check(merged: Tensor, true: Tensor, observed: Tensor, tail_fraction: float) -> None:
    if not 0 < tail_fraction <= 1:
        raise ConfigError(f"tail_fraction must be in (0, 1], got {tail_fraction!r}.")
    if true.ndim != 1 or not len(true) or merged.shape != true.shape or observed.shape != true.shape:
        raise DataError(
            "merged, true and observed must be [N] for the same N samples; got "
            f"{list(merged.shape)}, {list(true.shape)} and {list(observed.shape)}."
        )
    if observed.dtype != torch.bool:
        raise DataError(f"observed must be bool [N], got {observed.dtype}. Rows are given as inputs.observed.")
    check_finite("merged", merged)
    check_finite("true", true)
