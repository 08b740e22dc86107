"""Keep samples at random, whatever their scores."""

from typing import ClassVar

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.selection.base import Selection, check_num_keep, make_mask, random_rows


class RandomSelection(Selection):
    """Keep ``num_keep`` samples drawn uniformly without replacement; the scores are not looked at.

    Example:
        >>> import torch
        >>> flags = torch.ones(6, dtype=torch.bool)
        >>> table = ScoreTable(torch.arange(6), torch.zeros(6), torch.zeros(6), flags)
        >>> RandomSelection()(table, num_keep=3, seed=0).num_kept
        3
    """

    NAME: ClassVar[str] = "selection/random"
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, table: ScoreTable, num_keep: int, seed: int) -> Mask:
        """Keep exactly ``num_keep`` samples.

        Args:
            table: scores of the whole pool.
            num_keep: number of samples to keep, in ``[1, N]``.
            seed: seed of the draw.

        Raises:
            ConfigError: ``num_keep`` is out of range.
        """
        check_num_keep(table, num_keep)
        return make_mask(self, table, random_rows(len(table), seed)[:num_keep])
