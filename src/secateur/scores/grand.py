r"""GraNd: the norm of each sample's gradient, in closed form for the last layer.

Needs logits and penultimate features of one pass after an early epoch. Memory O(N) floats. Wrong on noisy labels, like
EL2N, and when the head is not a linear layer with a bias.
"""

from typing import ClassVar

from torch import Tensor

from secateur.scores.base import BatchSignals, Signal, widen
from secateur.scores.checks import check_shape
from secateur.scores.el2n import el2n
from secateur.scores.snapshot import EarlyScore


def grand(logits: Tensor, target: Tensor, features: Tensor) -> Tensor:
    r"""Norm of the cross-entropy's gradient with respect to weights and bias of the last linear layer.

    .. math::
        \mathrm{GraNd}(n) = \left\| [g, g h^\top] \right\|_F = \| g \|_2 \sqrt{1 + \| h \|_2^2}, \quad
        g = \mathrm{softmax}(f(x_n)) - e_{y_n}

    with h the features that enter the layer. High: a large step, kept first.

    [GraNd] Paul et al., NeurIPS 2021, arXiv 2107.07075, definition 2.1.

    Args:
        logits: float ``[N, C]``.
        target: labels, int64 ``[N]``.
        features: penultimate features, float ``[N, D]``.

    Returns:
        float ``[N]`` in the wider of the two dtypes.

    Raises:
        ConfigError: a shape is wrong.

    Deviations:
        The paper takes the gradient of all weights. The last layer's is what common implementations use,
        needs no backward pass, and is exact for that layer.

    Example:
        >>> import torch
        >>> grand(torch.zeros(2, 2), torch.tensor([0, 0]), torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([0.7071, 3.6056])
    """
    check_shape("grand", "features", features, "ND")
    return el2n(logits, target) * (1 + widen(features).square().sum(dim=1)).sqrt()


class GraNd(EarlyScore):
    """Streaming :func:`grand`, read once.

    :class:`~secateur.scores.snapshot.EarlyScore` has the arguments.
    """

    NAME: ClassVar[str] = "score/grand"
    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.LOGITS, Signal.FEATURES})

    def measure(self, batch: BatchSignals) -> Tensor:
        """Return the scores ``[B]`` of one batch."""
        return grand(batch.logits_float, batch.target, batch.features_float)
