r"""Sums of floats that no order, batch size or number of processes changes: not even in the last bit.

A float64 sum depends on the order of its terms. Where sums decide a ranking, or a file must be equal byte for byte,
that is one bit too many. So each term is cut into whole numbers of :math:`2^{l}`, with l at steps of 32 bits, and
these are summed as integers, level by level. Integer sums do not depend on the order, so neither does what is read off
them at the end, once, in float64. As exact as float64 can be for terms of one sign; for mixed signs the error is at
most a few ulp of the sum of the absolute values.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from secateur.core.errors import DataError, NumericalError
from secateur.core.exact_search import spans

_STEP = 32
_LEVELS = tuple(range(96, -129, -_STEP))  # terms below 2^128 (all of float32); what is below 2^-128 is cut off
_LARGEST = 2.0 ** (_LEVELS[0] + _STEP)
_CACHED = 2**15  # terms cut at a time: they should stay in the processor's cache


class ExactSum:
    """A tensor of sums, in whole numbers; exact for up to 2^31 terms in each place.

    Memory: 8 bytes per place and level; terms of like size need 3 or 4 levels.

    Args:
        *shape: shape of the sum.
        device: where it is held.

    Example:
        >>> total = ExactSum(1)
        >>> for term in (1e16, 1.0, -1e16):
        ...     total.add(torch.tensor([[term]], dtype=torch.float64))
        >>> total.compute()
        tensor([1.], dtype=torch.float64)
    """

    def __init__(self, *shape: int, device: torch.device | str = "cpu") -> None:
        self.shape, self.device = shape, torch.device(device)
        self.levels: dict[int, Tensor] = {}

    def add(self, terms: Tensor, rows: Tensor | None = None) -> None:
        """Add terms.

        Args:
            terms: floats ``[B, *shape]``; with ``rows``, ``[B, *shape[1:]]``.
            rows: where along the first axis each term goes, int64 ``[B]``; None: each goes everywhere.

        Raises:
            NumericalError: a term is not finite, or 2^128 or larger.
        """
        size = _CACHED // max(1, terms[:1].numel()) if self.device.type == "cpu" else len(terms)
        for part in spans(len(terms), size):
            for level, whole in _cut(terms[part].detach().to(self.device, torch.float64)):
                if rows is None:
                    self._level(level).add_(whole.sum(dim=0))
                else:
                    self._level(level).index_add_(0, rows[part].to(self.device), whole)

    def merge(self, others: Sequence["ExactSum"]) -> None:
        """Add what others have summed."""
        for other in others:
            for level, whole in other.levels.items():
                self._level(level).add_(whole.to(self.device))

    def compute(self) -> Tensor:
        """Return the sum, float64 ``[*shape]``."""
        total = torch.zeros(self.shape, dtype=torch.float64, device=self.device)
        for level in reversed(_LEVELS):  # the small ones first
            if level in self.levels:
                total += self.levels[level].double() * 2.0**level
        return total

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state: tensors only."""
        return {f"level_{level}": whole.clone() for level, whole in self.levels.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            DataError: it is the state of something else.
        """
        known = {f"level_{level}": level for level in _LEVELS}
        for name, whole in state.items():
            if name not in known or whole.shape != torch.Size(self.shape) or whole.dtype != torch.int64:
                raise DataError(f"The saved sum's {name!r} {list(whole.shape)} is none of a sum {list(self.shape)}.")
        self.levels = {known[name]: whole.to(self.device, copy=True) for name, whole in state.items()}

    def _level(self, level: int) -> Tensor:
        if level not in self.levels:
            self.levels[level] = torch.zeros(self.shape, dtype=torch.int64, device=self.device)
        return self.levels[level]


def _cut(rest: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield levels and whole numbers below 2^32, such that ``sum(whole * 2**level)`` is what was given."""
    for level in _LEVELS:
        largest = float(rest.abs().amax()) if rest.numel() else 0.0
        if not largest < _LARGEST:  # true for NaN
            raise NumericalError(f"A sum needs finite terms below 2^128, got {largest}.")
        if not largest:
            return
        if largest < 2.0**level:
            continue
        whole = (rest * 2.0**-level).trunc_()
        rest = rest - whole * 2.0**level  # exact: both are multiples of the term's last bit
        yield level, whole.long()
