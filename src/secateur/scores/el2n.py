r"""EL2N: the length of the error vector early in the training.

Needs logits of one pass after an early epoch. Memory O(N) floats. Wrong on noisy labels: a wrong label is a large
error, and is kept first. One network is noisy; the paper averages 10 (``variant=paper``).
"""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from secateur.scores.base import BatchSignals, widen
from secateur.scores.checks import check_shape
from secateur.scores.snapshot import EarlyScore


def el2n(logits: Tensor, target: Tensor) -> Tensor:
    r"""Euclidean distance between the predicted distribution and the one-hot label.

    .. math:: \mathrm{EL2N}(n) = \left\| \mathrm{softmax}(f(x_n)) - e_{y_n} \right\|_2

    High: far from the label, kept first. Ranges from 0 to the square root of 2.

    [EL2N] Paul et al., NeurIPS 2021, arXiv 2107.07075, definition 2.3 (its mean over networks is left to the
    caller).

    Args:
        logits: float ``[N, C]``.
        target: labels, int64 ``[N]``.

    Returns:
        float ``[N]`` in the logits' dtype (at least float32).

    Raises:
        ConfigError: a shape is wrong.

    Example:
        >>> import torch
        >>> el2n(torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 0, 1]))
        tensor([0.7071, 0.0254, 1.3888])
    """
    check_shape("el2n", "logits", logits, "NC")
    check_shape("el2n", "target", target, "N")
    probs = widen(logits).softmax(dim=1)
    error = probs - F.one_hot(target, probs.shape[1]).to(probs.dtype)
    return error.square().sum(dim=1).sqrt()


class EL2N(EarlyScore):
    """Streaming :func:`el2n`, read once; see :class:`~secateur.scores.snapshot.EarlyScore` for the arguments.

    Deviations:
        The paper averages 10 networks (``variant=paper``); one is the default. The extrapolation release reads it on
        augmented images after 2 epochs of 2 networks (``variant=released_extrapolation``).
    """

    NAME: ClassVar[str] = "score/el2n"

    def measure(self, batch: BatchSignals) -> Tensor:
        """Return the scores ``[B]`` of one batch."""
        return el2n(batch.logits_float, batch.target)
