"""Entropy of the trained network's prediction.

Needs logits in one pass after the training. Memory O(N) floats. Wrong for networks that have memorized their
training set: nearly all entropies are then nearly 0.
"""

from typing import ClassVar

from torch import Tensor, special

from secateur.scores.base import BatchSignals, widen
from secateur.scores.checks import check_shape
from secateur.scores.snapshot import FinalScore


def entropy(logits: Tensor) -> Tensor:
    r"""Shannon entropy of the predicted distribution, in nats.

    .. math:: H(n) = - \sum_c p_c \log p_c

    High: uncertain, kept first. Ranges from 0 to log C.

    [SVP] Coleman et al., ICLR 2020, arXiv 1906.11829 (max entropy).

    Args:
        logits: float ``[N, C]``.

    Returns:
        float ``[N]`` in the logits' dtype (at least float32).

    Raises:
        ConfigError: the shape is wrong.

    Example:
        >>> import torch
        >>> entropy(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
        tensor([0.6931, 0.0901])
    """
    check_shape("entropy", "logits", logits, "NC")
    entropies: Tensor = special.entr(widen(logits).softmax(dim=1)).sum(dim=1)
    return entropies


class Entropy(FinalScore):
    """Streaming :func:`entropy`."""

    NAME: ClassVar[str] = "score/entropy"

    def measure(self, batch: BatchSignals) -> Tensor:
        """Return the scores ``[B]`` of one batch."""
        return entropy(batch.logits_float)
