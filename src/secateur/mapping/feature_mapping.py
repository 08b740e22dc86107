r"""Feature mapping (FM): each downstream sample votes for the group of source samples whose mean is nearest.

Needs penultimate features of the surrogate on the downstream training split and the group means of the source (see
:class:`secateur.grouping.means.GroupMeans`), both with the test transform; labels are not read. Memory O(K * D). Time
O(n * K * D). Wrong when the means do not stand for their groups, as of groups with several modes.

[DP4TL] Zhang et al., NeurIPS 2023, arXiv 2310.08782.

Tensor legend: n downstream samples, B batch, D features, K groups.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from secateur.core.errors import DataError, NumericalError
from secateur.core.neighbors import search
from secateur.mapping.votes import VoteCounter, check_signals, chunks


class FeatureVotes(VoteCounter):
    """Streaming :func:`feature_votes` and :func:`feature_soft_scores`.

    Args:
        group_means: mean features of each group, floats ``[K, D]``, K at least 2. Distances are taken on their device.

    Raises:
        DataError: fewer than two groups, or no matrix of floats.
        NumericalError: a mean is not finite.

    Example:
        >>> counter = FeatureVotes(torch.tensor([[0.0], [4.0]]))
        >>> counter.update(torch.tensor([[1.0], [2.0], [5.0]]))
        >>> counter.compute().votes.tolist()
        [2, 1]
    """

    def __init__(self, group_means: Tensor) -> None:
        if group_means.ndim != 2 or not group_means.shape[1] or not group_means.is_floating_point():
            raise DataError(f"group_means must be floats [K, D], got {group_means.dtype} {list(group_means.shape)}.")
        super().__init__(len(group_means))
        bad = ~torch.isfinite(group_means).all(dim=1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise NumericalError(f"The means of {int(bad.sum())} groups are not finite; group {first} first.")
        self.means = group_means.detach().double()

    def update(self, signals: Tensor) -> None:
        """Take in the features of one batch, floats ``[B, D]``.

        Raises:
            DataError: another number of features than the means have.
            NumericalError: a feature is not finite.
        """
        check_signals("Downstream features", signals, self.means.shape[1], "as wide as the group means")
        for part in chunks(signals.detach(), self.num_groups):
            points = part.to(self.means.device, torch.float64)
            self._count(_nearest(points, self.means))
            self.soft.add(_distances(points, self.means))

    def merge(self, others: Sequence[Self]) -> None:
        """Take in what others have counted.

        Raises:
            DataError: they measured distances to other means.
        """
        if any(not torch.equal(other.means.to(self.means.device), self.means) for other in others):
            raise DataError("Votes for the nearest of other group means cannot join these.")
        super().merge(others)

    def _soft_scores(self, total: Tensor, num_samples: int) -> Tensor:
        return -total / num_samples


def feature_votes(downstream_features: Tensor, group_means: Tensor) -> Tensor:
    r"""Count for how many downstream samples each group's mean is the nearest.

    .. math::
        s_{FM}(k) = \sum_n \mathbb{1}[\arg\min_j \| g(t_n) - \mu_j \|_2 = k]

    Args:
        downstream_features: features of downstream samples, floats ``[n, D]``.
        group_means: mean features of the source groups, floats ``[K, D]``, on the same device.

    Returns:
        int64 ``[K]``, on the CPU, sums to n; equally near means: the lower group. Exact: distances are taken in
        float64, from differences.

    Raises:
        DataError: no sample, fewer than two groups, or different D.
        NumericalError: a feature or a mean is not finite.

    Deviations:
        The release's loop writes each distance to the place of the downstream sample instead of the source group: all
        votes then go to groups 0 and 1, and it stops where a class has more samples than there are groups.

    Example:
        >>> feature_votes(torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([[0.0], [4.0], [9.0]])).tolist()
        [2, 1, 0]
    """
    checked = FeatureVotes(group_means)
    check_signals("Downstream features", downstream_features, group_means.shape[1], "as wide as the group means")
    if not len(downstream_features):
        return checked.compute().votes  # raises
    return torch.bincount(_nearest(downstream_features.detach(), checked.means).cpu(), minlength=len(group_means))


def feature_soft_scores(downstream_features: Tensor, group_means: Tensor) -> Tensor:
    r"""Return minus the mean distance of the downstream samples to each mean: :math:`-\frac1n \sum_n \|g(t_n)-\mu_k\|`.

    Args:
        downstream_features: features of downstream samples, floats ``[n, D]``.
        group_means: mean features of the source groups, floats ``[K, D]``.

    Returns:
        float64 ``[K]``, on the CPU, at most 0.

    Raises:
        DataError: see :func:`feature_votes`.
        NumericalError: see :func:`feature_votes`.
    """
    counter = FeatureVotes(group_means)
    counter.update(downstream_features)
    return counter.compute().soft_scores


def _nearest(points: Tensor, means: Tensor) -> Tensor:
    return search(points, means, 1).ids.flatten()


def _distances(points: Tensor, means: Tensor) -> Tensor:
    """Return all distances ``[B, K]``, each from the differences of its own pair alone."""
    return torch.cdist(points, means, compute_mode="donot_use_mm_for_euclid_dist")
