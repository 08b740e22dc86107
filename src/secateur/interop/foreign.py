"""What a foreign file holds, whatever its format: a mask over all rows, a list of rows, or scores of rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import DataError

MAX_DIGITS = 18  # of a row or a label written as text: more do not fit into int64


@dataclass(frozen=True)
class ForeignMask:
    """A mask from elsewhere: ``keep`` bool ``[M]`` over a whole training split, and what its file says of itself."""

    keep: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ForeignRows:
    """Rows of a training split that a file lists: those that are kept, unless one says otherwise.

    Attributes:
        sample_id: int64 ``[n]``, in any order, no duplicates.
        facts: what the file, or its name, says of itself.
    """

    sample_id: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_id", checked_ids(self.sample_id))


@dataclass(frozen=True)
class ForeignScores:
    """Scores of some rows of a training split.

    Attributes:
        sample_id: int64 ``[n]``, in any order, no duplicates.
        score: float64 ``[n]``, as in the file; finite ones fit into float32.
        higher_is_kept: what the format says of its direction; None: it does not.
        facts: what the file says of itself.
        target: labels ``[n]`` that the file holds; None without any.
        harder: other measures ``[n]`` in the file that are known to be higher for harder samples, by name.
    """

    sample_id: Tensor
    score: Tensor
    higher_is_kept: bool | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    target: Tensor | None = None
    harder: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_id", checked_ids(self.sample_id))
        object.__setattr__(self, "score", self.score.to(torch.float64))
        if self.score.shape != self.sample_id.shape:
            raise DataError(
                f"The file has ids {list(self.sample_id.shape)} and scores {list(self.score.shape)}: they are no pair."
            )
        _check_range(self.sample_id, self.score)


def checked_ids(sample_id: Tensor) -> Tensor:
    """Return rows as int64 ``[n]``.

    Raises:
        DataError: they are not whole numbers in one dimension, are negative, or come twice; the message names one.
    """
    dense = sample_id.layout == torch.strided
    if sample_id.ndim != 1 or sample_id.dtype == torch.bool or sample_id.is_complex() or not dense:
        kind = f"{'' if dense else f'{sample_id.layout} '}{sample_id.dtype} {list(sample_id.shape)}"
        raise DataError(f"A list of rows must be numbers [n], got {kind}.")
    ids = sample_id.to(torch.int64)
    if sample_id.is_floating_point() and not torch.equal(ids.to(sample_id.dtype), sample_id):
        raise DataError("A list of rows must be whole numbers; these look like scores.")
    ordered = ids.sort().values
    if len(ids) and int(ordered[0]) < 0:
        raise DataError(f"A list of rows must not hold negative numbers, got {int(ordered[0])}.")
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise DataError(f"Row {int(twice[0])} is in the list twice.")
    return ids


def _check_range(sample_id: Tensor, score: Tensor) -> None:
    """Refuse finite scores that our tables, which are float32, would hold as infinity."""
    beyond = torch.isfinite(score) & ~torch.isfinite(score.to(torch.float32))
    if bool(beyond.any()):
        first = int(beyond.nonzero()[0])
        raise DataError(
            f"{int(beyond.sum())} of {len(score)} scores of the file are beyond float32 (3.4e38), in which tables are "
            f"kept; the first is {float(score[first]):.3g}, of row {int(sample_id[first])}. Scale the file's scores."
        )
