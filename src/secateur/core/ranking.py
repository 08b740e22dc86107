"""The GroupRanking: groups of source samples, what a downstream set says of each, and the order they are kept in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from secateur.core.columns import read_columns
from secateur.core.errors import DataError, NumericalError
from secateur.core.parquet import write_table

GroupKind = Literal["class", "cluster"]
_COLUMNS = ("size", "votes", "soft_score")


@dataclass(frozen=True)
class GroupRanking:
    """All groups of a source pool, best first; every number of kept groups is a prefix of one order.

    Group k is class or cluster k of the pool. A ranking that nobody voted for (at random, by scores) has votes of 0
    and says all in its soft scores.

    Attributes:
        size: samples of the pool in each group, int64 ``[K]``; 0 for a class that the pool lacks.
        votes: downstream samples that chose the group, int64 ``[K]``, or shares of them, float64 ``[K]`` (several
            downstream sets).
        soft_score: breaks ties of votes, float64 ``[K]``, finite; higher = kept first.
        order: groups, best first, int64 ``[K]``.
        kind: what the groups are, ``"class"`` or ``"cluster"``.
        fingerprint: the source pool's fingerprint, or ``""`` when unknown.
        metadata: what made the ranking (JSON values; never a time, a host or a path).

    Raises:
        DataError: fewer than two groups, shapes or types differ, the order is no permutation, or a count is negative.
        NumericalError: a vote or a soft score is not finite.
    """

    size: Tensor
    votes: Tensor
    soft_score: Tensor
    order: Tensor
    kind: GroupKind = "class"
    fingerprint: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_num_groups(len(self.size))
        object.__setattr__(self, "soft_score", self.soft_score.to(torch.float64))
        if self.votes.is_floating_point():
            object.__setattr__(self, "votes", self.votes.to(torch.float64))
        for name in (*_COLUMNS, "order"):
            values: Tensor = getattr(self, name)
            whole = name in ("size", "order") or not values.is_floating_point()
            if values.shape != (len(self),) or (whole and values.dtype != torch.int64):
                kind = "int64" if whole else "float"
                raise DataError(f"{name} must be {kind} [{len(self)}], got {values.dtype} {list(values.shape)}.")
            _check_finite(name, values)
            if name in ("size", "votes") and bool((values < 0).any()):
                raise DataError(f"{name} must not be negative, got {values.min().item()}.")
        if not torch.equal(self.order.sort().values, torch.arange(len(self))):
            raise DataError(f"order must name each of the {len(self)} groups once.")
        if self.kind not in ("class", "cluster"):
            raise DataError(f"kind must be 'class' or 'cluster', got {self.kind!r}.")

    def __len__(self) -> int:
        return len(self.size)

    @property
    def num_samples(self) -> int:
        """Number of samples in all groups."""
        return int(self.size.sum())

    @property
    def voted(self) -> bool:
        """Whether there were votes; false for a ranking at random or by scores."""
        return bool((self.votes > 0).any())

    @property
    def num_zero_vote_groups(self) -> int | None:
        """Groups that no downstream sample chose: the tie-break alone orders them. None: there were no votes."""
        return int((self.votes == 0).sum()) if self.voted else None

    def save(self, path: Path | str) -> Path:
        """Write the ranking as Parquet, one row per group; equal rankings give equal bytes.

        The column ``rank`` is a group's place in the order, 0 = kept first.
        """
        columns = {name: getattr(self, name).numpy() for name in _COLUMNS}
        names = {"group": torch.arange(len(self)).numpy(), **columns, "rank": self.order.argsort().numpy()}
        header = {
            "kind": "ranking",
            "schema": 1,
            "fingerprint": self.fingerprint,
            "direction": "rank 0 is kept first",
            "groups": self.kind,
        }
        return write_table(path, names, {**header, "made_by": dict(self.metadata)})

    @classmethod
    def load(cls, path: Path | str, fingerprint: str | None = None) -> "GroupRanking":
        """Read a ranking; with ``fingerprint`` refuse one that was made for another pool.

        Raises:
            FingerprintError: the ranking belongs to another data set or pool.
        """
        columns, header = read_columns(path, "ranking", fingerprint)
        return cls(
            size=columns["size"],
            votes=columns["votes"],
            soft_score=columns["soft_score"],
            order=columns["rank"].argsort(),
            kind=header["groups"],
            fingerprint=header["fingerprint"],
            metadata=header["made_by"],
        )


def check_num_groups(num_groups: int) -> None:
    """Raise :class:`DataError` unless there are at least two groups."""
    if num_groups < 2:
        raise DataError(
            f"A ranking needs at least 2 groups, got {num_groups}: of one group all is kept or nothing. "
            "Group the source by classes, or by more clusters."
        )


def check_groups(groups: Tensor, num_groups: int) -> None:
    """Raise :class:`DataError` unless ``groups [N]`` are integers in ``[0, K)``, one per row, and there is a row."""
    if groups.ndim != 1 or groups.is_floating_point() or groups.dtype == torch.bool or not len(groups):
        raise DataError(f"groups must be integers [N], N at least 1, got {groups.dtype} {list(groups.shape)}.")
    low, high = (int(value) for value in torch.aminmax(groups))
    if low < 0 or high >= num_groups:
        raise DataError(f"Groups are numbered 0 to {num_groups - 1}, got {low if low < 0 else high}.")


def group_sizes(groups: Tensor, num_groups: int) -> Tensor:
    """Return how many rows each group has.

    Args:
        groups: group of every row, integers ``[N]`` in ``[0, K)``.
        num_groups: number of groups K.

    Returns:
        int64 ``[K]``, on the CPU.

    Raises:
        DataError: there is no row, or a group is out of range.

    Example:
        >>> group_sizes(torch.tensor([2, 0, 2]), 4).tolist()
        [1, 0, 2, 0]
    """
    check_groups(groups, num_groups)
    return torch.bincount(groups.cpu(), minlength=num_groups)


def _check_finite(name: str, values: Tensor) -> None:
    bad = ~torch.isfinite(values)
    if bool(bad.any()):
        raise NumericalError(
            f"{int(bad.sum())} of {len(bad)} {name} are not finite; group {int(bad.nonzero()[0])} first."
        )
