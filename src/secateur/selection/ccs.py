"""Coverage-centric selection: cut the hardest samples, then cover the range of the other scores evenly."""

from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.selection.base import (
    Selection,
    best_first,
    check_num_keep,
    check_number,
    first_of_each_group,
    make_mask,
    random_rows,
)


def stratum_budgets(stratum_sizes: Tensor, num_keep: int) -> Tensor:
    """Share ``num_keep`` among strata: the smallest first, each up to an even share of what is left.

    Args:
        stratum_sizes: samples per stratum, int64 ``[S]``.
        num_keep: total to share, at most ``sum(stratum_sizes)``.

    Returns:
        int64 ``[S]``, at most the stratum sizes, which sums to ``num_keep``.

    Example:
        >>> stratum_budgets(torch.tensor([2, 100, 0, 50]), 20)
        tensor([2, 9, 0, 9])
    """
    budgets = torch.zeros_like(stratum_sizes)
    left = num_keep
    order = torch.argsort(stratum_sizes, stable=True).tolist()
    for done, stratum in enumerate(order):
        share = min(int(stratum_sizes[stratum]), left // (len(order) - done))
        budgets[stratum] = share
        left -= share
    return budgets


def strata_of(score: Tensor, num_strata: int) -> Tensor:
    """Return the equal-width stratum ``[n]`` of each score over their range; the last one is closed."""
    values = score.double()
    low, high = values.min(), values.max()
    position = (values - low) / (high - low).clamp(min=torch.finfo(torch.float64).tiny)
    return (position * num_strata).long().clamp(max=num_strata - 1)


class CCS(Selection):
    """Coverage-centric coreset selection.

    The ``round(mislabel_fraction * N)`` hardest samples (the highest scores) go first, because many of them
    are mislabeled. The range of the remaining scores is cut into ``num_strata`` strata of equal width, the
    budget is shared by :func:`stratum_budgets`, and within a stratum samples are drawn uniformly.

    [CCS] Zheng et al., ICLR 2023, arXiv 2210.15809, algorithm 1. The paper ranks by AUM, of which its release takes
    the margins of probabilities: ``score=aum score.margin=probability``. Strata have equal width, so margins of logits
    are covered otherwise.

    Args:
        mislabel_fraction: fraction of the pool that is cut as too hard (the paper's beta), in [0, 1). The
            paper tunes it per pruning ratio; its release uses 0.3 at 90 % pruned on CIFAR-10.
        num_strata: number of strata, at least 1.

    Raises:
        ConfigError: an argument is out of range.

    Deviations:
        The release stretches the range by a factor of 1.0001 so that the largest score is inside, which fails
        for negative scores; here the last stratum is closed. It sets no seed.
    """

    NAME: ClassVar[str] = "selection/ccs"
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, mislabel_fraction: float = 0.1, num_strata: int = 50) -> None:
        advice = "It is the fraction cut as too hard; 0 cuts nothing."
        check_number("ccs", "mislabel_fraction", mislabel_fraction, 0, 1, advice)
        if isinstance(num_strata, bool) or not isinstance(num_strata, int) or num_strata < 1:
            raise ConfigError(f"ccs: num_strata must be an integer >= 1, got {num_strata!r}. The paper uses 50.")
        self.mislabel_fraction = mislabel_fraction
        self.num_strata = num_strata

    def check(self, pruning_ratio: float, signed: bool) -> None:
        """Raise :class:`ConfigError` when the cut leaves fewer samples than are to be kept."""
        if self.mislabel_fraction > pruning_ratio:
            raise ConfigError(
                f"ccs: mislabel_fraction={self.mislabel_fraction:g} cuts more than pruning_ratio={pruning_ratio:g} "
                "removes. Lower selection.mislabel_fraction, or raise pruning_ratio."
            )

    def __call__(self, table: ScoreTable, num_keep: int, seed: int) -> Mask:
        """Keep exactly ``num_keep`` samples.

        Args:
            table: scores of the whole pool, higher = harder.
            num_keep: number of samples to keep, in ``[1, N]``.
            seed: seed of the draws.

        Raises:
            ConfigError: ``num_keep`` is out of range, or more than what the cut leaves.
        """
        check_num_keep(table, num_keep)
        num_cut = round(self.mislabel_fraction * len(table))
        if num_cut + num_keep == len(table) + 1:  # equal fractions of an odd pool, both rounded up
            num_cut -= 1
        if num_keep > len(table) - num_cut:
            raise ConfigError(
                f"ccs: mislabel_fraction={self.mislabel_fraction:g} cuts {num_cut} of {len(table)} samples, "
                f"which leaves fewer than the {num_keep} to keep. Lower selection.mislabel_fraction to at most "
                f"{1 - num_keep / len(table):g}, or raise pruning_ratio."
            )
        left = torch.ones(len(table), dtype=torch.bool)
        left[best_first(table.score)[:num_cut]] = False
        stratum = torch.zeros(len(table), dtype=torch.int64)
        stratum[left] = strata_of(table.score[left], self.num_strata)
        shuffled = random_rows(len(table), seed)
        budgets = stratum_budgets(torch.bincount(stratum[left], minlength=self.num_strata), num_keep)
        return make_mask(self, table, first_of_each_group(shuffled[left[shuffled]], stratum, budgets))
