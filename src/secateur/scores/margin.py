"""Margin between the two most probable classes of the trained network.

Needs logits in one pass after the training. Memory O(N) floats. Does not look at the label, unlike AUM.
"""

from typing import ClassVar

from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.scores.base import BatchSignals, widen
from secateur.scores.checks import check_shape
from secateur.scores.snapshot import FinalScore


def margin(logits: Tensor) -> Tensor:
    r"""Minus the difference between the largest and the second largest probability.

    .. math:: M(n) = - (p_{(1)} - p_{(2)})

    High (near 0): undecided between two classes, kept first. Ranges from -1 to 0.

    [DeepCore] Guo et al., DEXA 2022, arXiv 2204.08499 (margin as an uncertainty).

    Args:
        logits: float ``[N, C]``, C at least 2.

    Returns:
        float ``[N]`` in the logits' dtype (at least float32).

    Raises:
        ConfigError: the shape is wrong, or there is only one class.

    Deviations:
        The sign: a small margin is a high score.

    Example:
        >>> import torch
        >>> margin(torch.tensor([[0.0, 0.0], [4.0, 0.0]]))
        tensor([ 0.0000, -0.9640])
    """
    check_shape("margin", "logits", logits, "NC")
    if logits.shape[1] < 2:
        raise ConfigError(f"margin: needs at least 2 classes, got {logits.shape[1]}. Use another score.")
    largest = widen(logits).softmax(dim=1).topk(2, dim=1).values
    return largest[:, 1] - largest[:, 0]


class Margin(FinalScore):
    """Streaming :func:`margin`."""

    NAME: ClassVar[str] = "score/margin"
    signed: ClassVar[bool] = True

    def measure(self, batch: BatchSignals) -> Tensor:
        """Return the scores ``[B]`` of one batch."""
        return margin(batch.logits_float)
