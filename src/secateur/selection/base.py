"""Base class of selections: ``(table, num_keep, seed) -> Mask`` with exactly ``num_keep`` samples kept.

Tables are sorted by ``sample_id``, so a stable sort breaks ties by ascending id, and no rule depends on the
order in which rows once arrived.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.mask import Mask
from secateur.core.seeds import permutation
from secateur.core.tables import ScoreTable


class Selection(ABC):
    """A rule that turns scores into a mask (``selection=``).

    A rule of one's own is a subclass that defines :meth:`__call__`; everything else has a default.

    Attributes:
        needs: columns of the ScoreTable the rule reads; checked before anything is trained.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(self, table: ScoreTable, num_keep: int, seed: int) -> Mask:
        """Keep exactly ``num_keep`` of the table's samples.

        Args:
            table: scores of the whole pool, higher = kept first.
            num_keep: number of samples to keep, in ``[1, N]``.
            seed: seed of whatever the rule draws at random (``score_seed``).
        """

    def check(self, pruning_ratio: float, signed: bool) -> None:
        """Raise :class:`ConfigError` for what cannot work. Defaults to no check; called before anything starts.

        Args:
            pruning_ratio: the ratio asked for.
            signed: whether scores can be negative.
        """


def describe(selection: object) -> Mapping[str, Any]:
    """Return the name and plain settings of a selection, for a mask's metadata."""
    settings = {k: v for k, v in vars(selection).items() if isinstance(v, bool | int | float | str | None)}
    return {"selection": type(selection).__name__, **settings}


def check_num_keep(table: ScoreTable, num_keep: int) -> None:
    """Raise :class:`ConfigError` unless ``num_keep`` is an integer in ``[1, N]``."""
    if isinstance(num_keep, bool) or not isinstance(num_keep, int) or not 1 <= num_keep <= len(table):
        raise ConfigError(
            f"num_keep must be an integer in [1, {len(table)}], the size of the pool; got {num_keep!r}. "
            "Take it from keep_count(num_samples, pruning_ratio)."
        )


def check_number(owner: str, name: str, value: object, low: float, high: float, advice: str) -> None:
    """Raise :class:`ConfigError` unless ``value`` is a number in ``[low, high)``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        raise ConfigError(f"{owner}: {name} must be in [{low:g}, {high:g}), got {value!r}. {advice}")


def best_first(score: Tensor) -> Tensor:
    """Return the rows ``[N]`` by descending score; ties by ascending row, hence by ascending sample_id."""
    return torch.argsort(score, descending=True, stable=True)


def random_rows(num_rows: int, seed: int) -> Tensor:
    """Return a random order of the rows ``[N]``, from the stream that all selections draw from."""
    return permutation(num_rows, seed, "selection")


def first_of_each_group(order: Tensor, group: Tensor, quota: Tensor) -> Tensor:
    """Return, from an order of rows, the first ``quota[g]`` rows of each group g.

    Args:
        order: rows, best first, int64 ``[n]``.
        group: group of every row, int64 ``[N]`` in ``[0, G)``.
        quota: how many rows each group may give, int64 ``[G]``.
    """
    groups = group[order]
    by_group = torch.argsort(groups, stable=True)
    size = torch.bincount(groups, minlength=len(quota))
    start = size.cumsum(0) - size
    place = torch.arange(len(order)) - start[groups[by_group]]
    return order[by_group[place < quota[groups[by_group]]]]


def make_mask(selection: object, table: ScoreTable, rows: Tensor) -> Mask:
    """Return the mask that keeps some rows of a table, with the table's fingerprint and what made it."""
    return Mask.from_rows(table.sample_id, rows, fingerprint=table.fingerprint, metadata=describe(selection))
