"""Keep the highest scores of every class, in proportion to the class sizes."""

from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.selection.base import Selection, best_first, check_num_keep, first_of_each_group, make_mask


def class_quotas(class_sizes: Tensor, num_keep: int) -> Tensor:
    """Share ``num_keep`` among classes in proportion to their sizes, by largest remainder.

    As long as there is one sample for each, no class is left empty: classes whose share is below one get one,
    and the others share the rest.

    Args:
        class_sizes: samples per class, int64 ``[K]``, each at least 1.
        num_keep: total to share, in ``[1, sum(class_sizes)]``.

    Returns:
        int64 ``[K]``, at most the class sizes, which sums to ``num_keep``.

    Example:
        >>> class_quotas(torch.tensor([50, 30, 20]), 9)
        tensor([4, 3, 2])
        >>> class_quotas(torch.tensor([97, 2, 1]), 5)
        tensor([3, 1, 1])
    """
    quota = torch.zeros_like(class_sizes)
    shared = torch.ones_like(class_sizes, dtype=torch.bool)
    left, total = num_keep, int(class_sizes.sum())
    while num_keep >= len(class_sizes):
        small = shared & (left * class_sizes < total)
        if not bool(small.any()):
            break
        quota[small], shared = 1, shared & ~small
        left, total = left - int(small.sum()), int(class_sizes[shared].sum())
    if left > 0:
        sizes = class_sizes[shared]
        quota[shared] = _largest_remainder(sizes, left)
    return quota


def _largest_remainder(sizes: Tensor, num_keep: int) -> Tensor:
    """Return whole shares ``[K]`` of ``num_keep``; what rounding leaves goes to the largest remainders."""
    total = int(sizes.sum())
    quota = num_keep * sizes // total
    remainder = num_keep * sizes % total
    missing = num_keep - int(quota.sum())
    quota[torch.argsort(remainder, descending=True, stable=True)[:missing]] += 1
    return quota


class ClassBalanced(Selection):
    """Keep each class's highest scores, as many as :func:`class_quotas` gives it.

    Ties go to the smaller ``sample_id``. Draws nothing at random. Classes are the labels that occur in the
    pool.

    Deviations:
        The CCS release gives every class the count of the last one, and rounds down.
    """

    NAME: ClassVar[str] = "selection/class_balanced"
    needs: ClassVar[tuple[str, ...]] = ("label",)

    def __call__(self, table: ScoreTable, num_keep: int, seed: int) -> Mask:
        """Keep exactly ``num_keep`` samples.

        Args:
            table: scores and labels of the whole pool, higher = kept first.
            num_keep: number of samples to keep, in ``[1, N]``.
            seed: unused.

        Raises:
            ConfigError: ``num_keep`` is out of range.
        """
        check_num_keep(table, num_keep)
        _, group, sizes = torch.unique(table.label, return_inverse=True, return_counts=True)
        rows = first_of_each_group(best_first(table.score), group, class_quotas(sizes, num_keep))
        return make_mask(self, table, rows)
