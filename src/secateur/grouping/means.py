"""Group means in one stream: never more than one batch of features at a time.

Memory O(K * D), whatever the number of samples: about 4 integers of 8 bytes for each mean's coordinate.

Tensor legend: N samples, B batch, D features, K groups.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from secateur.core.errors import DataError, NumericalError
from secateur.core.exact_sum import ExactSum
from secateur.core.ranking import check_groups, group_sizes


class GroupMeans:
    r"""Streaming means :math:`\mu_k = \frac{1}{|C_k|} \sum_{n \in C_k} g(s_n)` of the features of each group.

    The sums are exact (:class:`~secateur.core.exact_sum.ExactSum`) and rounded once, to float64: no order of samples,
    batch size or number of processes changes a bit. Pass every sample once.

    [DP4TL] Zhang et al., NeurIPS 2023, arXiv 2310.08782, feature mapping.

    Args:
        num_groups: number of groups K.

    Deviations:
        The release takes means of float16 features, in their own type, and keeps all features in Python lists.

    Example:
        >>> means = GroupMeans(2)
        >>> means.update(torch.tensor([[1.0], [5.0]]), torch.tensor([0, 1]))
        >>> means.update(torch.tensor([[3.0]]), torch.tensor([0]))
        >>> means.compute().tolist()
        [[2.0], [5.0]]
    """

    def __init__(self, num_groups: int) -> None:
        self.num_groups = num_groups
        self.counts = torch.zeros(num_groups, dtype=torch.int64)
        self.sums: ExactSum | None = None

    def update(self, features: Tensor, groups: Tensor) -> None:
        """Take in one batch.

        Args:
            features: floats ``[B, D]``.
            groups: group of each row, integers ``[B]`` in ``[0, K)``.

        Raises:
            DataError: shapes do not fit, to each other or to earlier batches, or a group is out of range.
            NumericalError: a feature is not finite; the message names the first row of the batch.
        """
        if features.ndim != 2 or not features.shape[1] or not features.is_floating_point():
            raise DataError(f"Group means need features [B, D], got {features.dtype} {list(features.shape)}.")
        if groups.shape != features.shape[:1]:
            raise DataError(f"Group means need one group per row: {len(features)} rows, groups {list(groups.shape)}.")
        if not len(features):
            return
        check_groups(groups, self.num_groups)
        bad = ~torch.isfinite(features).all(dim=1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            raise NumericalError(f"Features of {int(bad.sum())} of {len(bad)} rows are not finite; row {first} first.")
        self._sums(features.shape[1]).add(features, groups.long())
        self.counts += group_sizes(groups, self.num_groups)

    def merge(self, others: Sequence["GroupMeans"]) -> None:
        """Take in what others have seen.

        Raises:
            DataError: they have other groups or features.
        """
        for other in others:
            if other.num_groups != self.num_groups:
                raise DataError(f"Means of {other.num_groups} groups cannot join those of {self.num_groups}.")
            if other.sums is not None:
                self._sums(other.sums.shape[1]).merge([other.sums])
            self.counts += other.counts

    def compute(self) -> Tensor:
        """Return the means, float64 ``[K, D]``, on the CPU.

        Raises:
            DataError: a group has no sample; the message names the first.
        """
        empty = (self.counts == 0).nonzero().flatten()
        if self.sums is None or len(empty):
            raise DataError(
                f"{len(empty)} of {self.num_groups} groups have no sample and so no mean; the first is group "
                f"{int(empty[0])}. Leave such classes out, or ask for fewer clusters."
            )
        return self.sums.compute() / self.counts[:, None]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state: tensors only."""
        return {"counts": self.counts.clone(), **(self.sums.state_dict() if self.sums else {})}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            DataError: it is the state of other groups.
        """
        counts = state.get("counts")
        if counts is None or counts.shape != self.counts.shape:
            raise DataError(f"The saved means are not those of {self.num_groups} groups.")
        self.counts, self.sums = counts.clone(), None
        if sums := {name: values for name, values in state.items() if name != "counts"}:
            self._sums(next(iter(sums.values())).shape[-1]).load_state_dict(sums)

    def _sums(self, width: int) -> ExactSum:
        if self.sums is None:
            self.sums = ExactSum(self.num_groups, width)
        if self.sums.shape[1] != width:
            raise DataError(f"Group means of {self.sums.shape[1]} features were given {width} features.")
        return self.sums


def group_means(features: Tensor, groups: Tensor, num_groups: int) -> Tensor:
    """Return the mean features of each group; the pure function behind :class:`GroupMeans`.

    Args:
        features: floats ``[N, D]``.
        groups: group of each row, integers ``[N]`` in ``[0, K)``.
        num_groups: number of groups K.

    Returns:
        float64 ``[K, D]``, on the CPU.

    Raises:
        DataError: shapes do not fit, or a group has no sample.
        NumericalError: a feature is not finite.
    """
    means = GroupMeans(num_groups)
    means.update(features, groups)
    return means.compute()
