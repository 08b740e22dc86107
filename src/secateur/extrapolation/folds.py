"""Folds among the scored samples: which scores are hidden, and what is known without them.

Tensor legend: M observed (scored) samples.
"""

import torch
from torch import Tensor

from secateur.core.seeds import permutation
from secateur.extrapolation.base import ExtrapolationInputs


def observed_only(inputs: ExtrapolationInputs) -> ExtrapolationInputs:
    """Return the inputs as if the scored samples were the whole pool, ordered by row: N becomes M."""
    order = inputs.sample_ids.argsort()
    rows = inputs.sample_ids[order]
    return ExtrapolationInputs(
        embeddings=None if inputs.embeddings is None else inputs.embeddings[rows],
        sample_ids=torch.arange(len(rows), device=rows.device),
        scores=inputs.scores[order],
        labels=None if inputs.labels is None else inputs.labels[rows],
        proxy_logits=None if inputs.proxy_logits is None else inputs.proxy_logits[rows],
        num_samples=len(rows),
        num_classes=inputs.num_classes,
        seed=inputs.seed,
    )


def hide(subset: ExtrapolationInputs, held_out: Tensor, largest_k: int = 1) -> ExtrapolationInputs:
    """Return fully scored inputs without the scores of the rows in ``held_out``, bool ``[M]``."""
    rows = (~held_out).nonzero().flatten().to(subset.sample_ids.device)
    return ExtrapolationInputs(
        embeddings=subset.embeddings,
        sample_ids=rows,
        scores=subset.scores[rows],
        labels=subset.labels,
        proxy_logits=subset.proxy_logits,
        num_samples=subset.num_samples,
        num_classes=subset.num_classes,
        seed=subset.seed,
        largest_k=largest_k,
    )


def assign_folds(num_samples: int, num_folds: int, seed: int, labels: Tensor | None = None) -> Tensor:
    """Return the fold of every sample, int64 ``[M]`` in ``[0, num_folds)``.

    Sizes of folds differ by at most one, and so do the counts of each class among them where labels are known.

    Args:
        num_samples: M.
        num_folds: number of folds.
        seed: user-facing seed; the folds have a stream of their own.
        labels: class of every sample, int64 ``[M]``, or None.

    Example:
        >>> assign_folds(6, 3, seed=0).bincount().tolist()
        [2, 2, 2]
    """
    order = permutation(num_samples, seed, "cross_validation")
    if labels is not None:
        order = order[labels.cpu()[order].argsort(stable=True)]
    return torch.empty_like(order).scatter_(0, order, torch.arange(num_samples) % num_folds)
