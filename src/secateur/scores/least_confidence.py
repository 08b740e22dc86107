"""Least confidence of the trained network.

Needs logits in one pass after the training. Memory O(N) floats. Does not look at the label.
"""

from typing import ClassVar

from torch import Tensor

from secateur.scores.base import BatchSignals, widen
from secateur.scores.checks import check_shape
from secateur.scores.snapshot import FinalScore


def least_confidence(logits: Tensor) -> Tensor:
    r"""One minus the largest probability.

    .. math:: L(n) = 1 - \max_c p_c

    High: unsure, kept first. Ranges from 0 to 1 - 1/C.

    [SVP] Coleman et al., ICLR 2020, arXiv 1906.11829 (least confidence).

    Args:
        logits: float ``[N, C]``.

    Returns:
        float ``[N]`` in the logits' dtype (at least float32).

    Raises:
        ConfigError: the shape is wrong.

    Example:
        >>> import torch
        >>> least_confidence(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
        tensor([0.5000, 0.0180])
    """
    check_shape("least_confidence", "logits", logits, "NC")
    return 1 - widen(logits).softmax(dim=1).amax(dim=1)


class LeastConfidence(FinalScore):
    """Streaming :func:`least_confidence`."""

    NAME: ClassVar[str] = "score/least_confidence"

    def measure(self, batch: BatchSignals) -> Tensor:
        """Return the scores ``[B]`` of one batch."""
        return least_confidence(batch.logits_float)
