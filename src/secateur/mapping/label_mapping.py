r"""Label mapping (LM): each downstream sample votes for the source class that the surrogate takes it for.

Needs the logits of the surrogate's source head on the downstream training split, one pass, test transform; downstream
labels are not read. Memory O(K). Wrong when the surrogate sees all of a narrow downstream set as a few classes: most
groups then have no vote, and beyond those the soft score alone decides.

[DP4TL] Zhang et al., NeurIPS 2023, arXiv 2310.08782.

Tensor legend: n downstream samples, B batch, K source classes.
"""

from torch import Tensor

from secateur.mapping.votes import VoteCounter, check_signals, chunks


class LabelVotes(VoteCounter):
    """Streaming :func:`label_votes` and :func:`label_soft_scores`.

    Args:
        num_groups: number of source classes K, at least 2.

    Raises:
        DataError: fewer than two groups.

    Example:
        >>> import torch
        >>> counter = LabelVotes(3)
        >>> counter.update(torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 5.0]]))
        >>> counter.compute().votes.tolist()
        [1, 1, 0]
    """

    def update(self, signals: Tensor) -> None:
        """Take in the logits of the source head for one batch, floats ``[B, K]``.

        Raises:
            DataError: another number of classes.
            NumericalError: a logit is not finite.
        """
        check_signals("Source head logits", signals, self.num_groups, "one per source class")
        for part in chunks(signals.detach(), self.num_groups):
            self._count(part.argmax(dim=1))
            self.soft.add(part.double().softmax(dim=1))

    def _soft_scores(self, total: Tensor, num_samples: int) -> Tensor:
        return total


def label_votes(source_head_logits: Tensor) -> Tensor:
    r"""Count how many downstream samples the surrogate takes for each source class.

    .. math::
        s_{LM}(k) = \sum_n \mathbb{1}[\arg\max_j f(t_n)_j = k]

    Args:
        source_head_logits: logits of downstream samples, floats ``[n, K]``.

    Returns:
        int64 ``[K]``, on the CPU, sums to n; equal largest logits: the lower class.

    Raises:
        DataError: no sample, fewer than two classes, or no matrix of floats.
        NumericalError: a logit is not finite.

    Example:
        >>> import torch
        >>> label_votes(torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 3.0], [0.0, 1.0, 0.0]])).tolist()
        [1, 2, 0]
    """
    return _counted(source_head_logits).compute().votes


def label_soft_scores(source_head_logits: Tensor) -> Tensor:
    r"""Return the expected number of downstream samples in each class: :math:`\sum_n \mathrm{softmax}(f(t_n))_k`.

    Args:
        source_head_logits: logits of downstream samples, floats ``[n, K]``.

    Returns:
        float64 ``[K]``, on the CPU, sums to n.

    Raises:
        DataError: see :func:`label_votes`.
        NumericalError: see :func:`label_votes`.

    Deviations:
        The release breaks ties as ``torch.topk`` happens to, which is not defined.
    """
    return _counted(source_head_logits).compute().soft_scores


def _counted(logits: Tensor) -> LabelVotes:
    check_signals("Source head logits", logits, None, "one per source class")
    counter = LabelVotes(logits.shape[1])
    counter.update(logits)
    return counter
