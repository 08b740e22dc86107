"""Keep the highest scores."""

from typing import ClassVar

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.selection.base import Selection, best_first, check_num_keep, make_mask


class Top(Selection):
    """Keep the ``num_keep`` highest scores; ties go to the smaller ``sample_id``. Draws nothing at random.

    Example:
        >>> import torch
        >>> score = torch.tensor([0.5, 0.9, 0.5, 0.1])
        >>> table = ScoreTable(torch.arange(4), torch.zeros(4), score, torch.ones(4, dtype=torch.bool))
        >>> Top()(table, num_keep=2, seed=0).kept_ids
        tensor([0, 1])
    """

    NAME: ClassVar[str] = "selection/top"
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, table: ScoreTable, num_keep: int, seed: int) -> Mask:
        """Keep exactly ``num_keep`` samples.

        Args:
            table: scores of the whole pool, higher = kept first.
            num_keep: number of samples to keep, in ``[1, N]``.
            seed: unused.

        Raises:
            ConfigError: ``num_keep`` is out of range.
        """
        check_num_keep(table, num_keep)
        return make_mask(self, table, best_first(table.score)[:num_keep])
