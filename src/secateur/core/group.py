"""The processes that run one job together, and what they must agree on.

Everything outside :mod:`secateur.cli` and :mod:`secateur.training` asks :func:`current`, which is one process unless
somebody said otherwise, and never asks torch. All processes of a group run the same code in the same order. What one
of them does alone (looking for a file, taking a lock, writing) is decided by the first one, rank 0, and handed on.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # locks and files need no torch, which takes seconds to import
    import torch
    from torch import Tensor


class Group:
    """One process on its own: rank 0 of 1. Groups of many override all of it.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        device: where this process computes; None: whatever the configuration says.
    """

    rank: int = 0
    size: int = 1
    device: "torch.device | None" = None

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on all processes; they wait for it as long as it takes."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank, on each of them."""
        return [value]

    def barrier(self) -> None:
        """Wait until all processes are here."""

    def total(self, value: "Tensor") -> "Tensor":
        """Return the sum over processes of a tensor of any one shape."""
        return value

    def gather_rows(self, *tensors: "Tensor", sizes: Sequence[int] | None = None) -> "list[Tensor]":
        """Return the rows of all processes, by rank.

        Args:
            *tensors: ``[n, ...]`` each; n may differ from process to process, all other dimensions may not.
            sizes: n of every process, where all of them know it; None: they tell each other.
        """
        return list(tensors)

    def failed(self, error: BaseException) -> BaseException:
        """Tell the others of an error; return the one that all should raise, which is that of the first to fail."""
        return error

    def from_zero(self, make: Callable[[], Any]) -> Any:
        """Let rank 0 alone make (or read) something, and return it on all processes."""
        return self.broadcast(make() if self.rank == 0 else None)


_current = Group()  # of the process, also in the threads that compute gradients


def current() -> Group:
    """Return the group this process is in."""
    return _current


def is_rank_zero() -> bool:
    """Whether this process writes files and speaks for all: the only one, or the first of its group."""
    return current().rank == 0


@contextmanager
def use(group: Group) -> Iterator[Group]:
    """Be in a group inside the block."""
    global _current
    before, _current = _current, group
    try:
        yield group
    finally:
        _current = before


@contextmanager
def alone() -> Iterator[None]:
    """Compute without the others inside the block, on the same device: nothing in it waits for them."""
    group = Group()
    group.device = current().device
    with use(group):
        yield


@contextmanager
def failing_together() -> Iterator[None]:
    """Make an error of one process the error of all: the others would wait for it for ever."""
    group = current()
    try:
        yield
    except BaseException as error:
        cause = group.failed(error)
        if cause is error:
            raise
        raise cause from error
