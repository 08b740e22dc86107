r"""AdaPruner's objective: what one step of joint pruning and fine-tuning computes.

Every sample n has a learnable mask logit m_n. Its soft keep weight is s_n = sigmoid(g m_n) with a scale g that grows
over the run, so that s becomes nearly binary; the hard decision is m_n > 0.

Reference: [AP] Yang et al., Not All Data Matters, arXiv 2312.05599; the constants are those of the authors' release.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import ConfigError

EPSILON = 1e-5  # inside the logarithm of the selection term, as released


class AdaPrunerLoss(NamedTuple):
    """The terms of one step, scalars with gradients.

    Attributes:
        total: the sum of the other three.
        weighted_cross_entropy: trains the network on what is kept (PPC).
        selection: moves the mask alone (ADP).
        ratio_penalty: pulls the mean soft weight to the keep fraction.
    """

    total: Tensor
    weighted_cross_entropy: Tensor
    selection: Tensor
    ratio_penalty: Tensor


def adapruner_loss(
    logits: Tensor,
    target: Tensor,
    mask_logits: Tensor,
    scale: float,
    keep_fraction: float,
    penalty: float,
    *,
    share: float = 1.0,
    global_keep: Tensor | None = None,
) -> AdaPrunerLoss:
    r"""Compute the joint objective of one batch.

    .. math::
        L = \frac1B \sum_i l_i s_i \;-\; \frac1B \sum_i \log(\bar l_i + 10^{-5})\, s_i
            \;+\; \lambda \Big(\frac1B \sum_i s_i - r\Big)^2, \qquad s_i = \sigma(g\, m_i)

    with l the cross-entropy per sample and the bar a stopped gradient: the second term trains the mask alone.

    Args:
        logits: float ``[B, C]``.
        target: labels, int64 ``[B]``.
        mask_logits: the batch's rows of the mask parameter m, float ``[B]``.
        scale: g, >= 0.
        keep_fraction: r, in ``(0, 1]``.
        penalty: lambda, >= 0.
        share: with several processes, this one's batch size times their number over the global batch size; 1 when
            all batches are equal. The mean of the processes' gradients then is the gradient of the global batch.
        global_keep: with several processes, the mean soft weight of the global batch (no gradient); the penalty
            compares this with r.

    Returns:
        The loss and its terms; gradients reach ``logits`` through the first term only.

    Raises:
        ConfigError: shapes differ.

    Example:
        >>> import torch
        >>> loss = adapruner_loss(torch.zeros(2, 2), torch.tensor([0, 1]), torch.ones(2), 0.1, 0.8, 50.0)
        >>> [round(term.item(), 4) for term in loss]
        [4.3381, 0.3639, 0.1924, 3.7818]
    """
    if not logits.shape[0] == target.shape[0] == mask_logits.shape[0]:
        raise ConfigError(
            f"adapruner_loss needs one mask value per sample, got {len(logits)} logits, {len(target)} targets and "
            f"{len(mask_logits)} mask values."
        )
    losses = F.cross_entropy(logits, target, reduction="none")
    keep = torch.sigmoid(scale * mask_logits)
    factor = share / max(len(keep), 1)  # the last step of an epoch may leave a process without samples
    weighted = factor * (losses * keep).sum()
    selection = factor * (-torch.log(losses.detach() + EPSILON) * keep).sum()
    mean_keep = factor * keep.sum()
    if global_keep is not None:
        mean_keep = mean_keep + (global_keep - mean_keep).detach()  # the global value with the local gradient
    ratio = penalty * (mean_keep - keep_fraction) ** 2
    return AdaPrunerLoss(weighted + selection + ratio, weighted, selection, ratio)
