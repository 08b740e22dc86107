"""What LM and FM share: one hard vote per downstream sample, and a soft score per group that breaks ties.

Tensor legend: n downstream samples, B batch, K groups.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from secateur.core.errors import DataError, NumericalError
from secateur.core.exact_search import spans
from secateur.core.exact_sum import ExactSum
from secateur.core.ranking import check_num_groups

_CHUNK_VALUES = 2**22  # float64 worked on at a time: 32 MB
_SUM = "soft."


@dataclass(frozen=True)
class Votes:
    """What a downstream set says of the groups of a source.

    Attributes:
        votes: downstream samples that chose each group, int64 ``[K]``; they sum to ``num_samples``.
        soft_scores: float64 ``[K]``; higher = closer to the downstream set.
        num_samples: number of downstream samples n.
    """

    votes: Tensor
    soft_scores: Tensor
    num_samples: int


class VoteCounter(ABC):
    """Streaming votes: the same numbers, to the last bit, for any order, batches and number of processes.

    Downstream samples have no ids here: pass each one once, and drop what a distributed sampler adds as padding.
    The state is on the CPU.

    Args:
        num_groups: number of groups K, at least 2.

    Raises:
        DataError: fewer than two groups.
    """

    def __init__(self, num_groups: int) -> None:
        check_num_groups(num_groups)
        self.num_groups = num_groups
        self.votes = torch.zeros(num_groups, dtype=torch.int64)
        self.soft = ExactSum(num_groups)

    @abstractmethod
    def update(self, signals: Tensor) -> None:
        """Take in what the surrogate makes of one batch of downstream samples."""

    @abstractmethod
    def _soft_scores(self, total: Tensor, num_samples: int) -> Tensor:
        """Return the soft scores ``[K]``, given the sum ``[K]`` of what :meth:`_count` was given."""

    @property
    def num_samples(self) -> int:
        """Downstream samples so far."""
        return int(self.votes.sum())

    def merge(self, others: Sequence[Self]) -> None:
        """Take in what others have counted.

        Raises:
            DataError: they have another number of groups.
        """
        for other in others:
            if other.num_groups != self.num_groups:
                raise DataError(f"Votes for {other.num_groups} groups cannot join votes for {self.num_groups}.")
            self.votes += other.votes
            self.soft.merge([other.soft])

    def compute(self) -> Votes:
        """Return votes and soft scores.

        Raises:
            DataError: there was no downstream sample.
        """
        if not self.num_samples:
            raise DataError("The downstream set is empty: nobody voted. Does its training split have samples?")
        soft = self._soft_scores(self.soft.compute(), self.num_samples)
        return Votes(self.votes.clone(), soft, self.num_samples)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state: tensors only."""
        return {"votes": self.votes.clone(), **{_SUM + name: part for name, part in self.soft.state_dict().items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            DataError: it is the state of votes for other groups.
        """
        votes = state.get("votes")
        if votes is None or votes.shape != self.votes.shape:
            raise DataError(f"The saved votes are not for {self.num_groups} groups.")
        self.votes = votes.clone()
        self.soft.load_state_dict({name.removeprefix(_SUM): part for name, part in state.items() if name != "votes"})

    def _count(self, chosen: Tensor) -> None:
        self.votes += torch.bincount(chosen.cpu(), minlength=self.num_groups)


def check_signals(name: str, values: Tensor, width: int | None, what: str) -> None:
    """Raise unless ``values`` are finite floats ``[n, width]``.

    Raises:
        DataError: another shape or type; ``what`` says what the width is.
        NumericalError: a value is not finite; the message names the first row.
    """
    if values.ndim != 2 or not values.is_floating_point() or (width is not None and values.shape[1] != width):
        expected = "K" if width is None else width
        raise DataError(f"{name} must be floats [n, {expected}] ({what}), got {values.dtype} {list(values.shape)}.")
    bad = ~torch.isfinite(values).all(dim=1)
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        raise NumericalError(
            f"{name} of {int(bad.sum())} of {len(bad)} downstream samples are not finite; row {first} first. "
            "Did the surrogate diverge?"
        )


def chunks(values: Tensor, num_groups: int) -> Iterator[Tensor]:
    """Yield the rows of ``values [n, .]``, few enough at a time for a float64 ``[., K]`` of each to be small."""
    return (values[rows] for rows in spans(len(values), _CHUNK_VALUES // max(num_groups, values.shape[1])))
