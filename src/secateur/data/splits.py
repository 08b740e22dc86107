"""What is done to a data set before training: validation split, long tail, label noise. Pure functions."""

import torch
from torch import Tensor

from secateur.core.errors import ConfigError


def allocate(class_counts: Tensor, total: int) -> Tensor:
    """Share ``total`` draws among classes in proportion to their size, by largest remainder.

    Ties go to the class with the smaller number. The shares sum to ``total`` and none exceeds its class.

    Args:
        class_counts: int64 ``[C]``.
        total: at most ``class_counts.sum()``.

    Returns:
        int64 ``[C]``.

    Example:
        >>> allocate(torch.tensor([5, 5, 1]), 4).tolist()
        [2, 2, 0]
    """
    num_samples = max(int(class_counts.sum()), 1)
    shares = class_counts * total // num_samples
    remainders = class_counts * total % num_samples
    missing = total - int(shares.sum())
    shares[torch.argsort(remainders, descending=True, stable=True)[:missing]] += 1
    return shares


def stratified_rows(labels: Tensor, total: int, generator: torch.Generator) -> Tensor:
    """Draw ``total`` rows so that every class gets its share (see :func:`allocate`).

    Args:
        labels: int64 ``[M]``, non-negative.
        total: number of rows to draw, at most M.
        generator: decides which rows of a class.

    Returns:
        Increasing rows, int64 ``[total]``.
    """
    shares = allocate(torch.bincount(labels), total).tolist()
    order = torch.randperm(len(labels), generator=generator)
    drawn = [order[labels[order] == target][:share] for target, share in enumerate(shares)]
    return torch.cat([*drawn, order[:0]]).sort().values


def rows_per_class(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw ``count`` rows of every class, or all of a smaller one; more of them are a superset of fewer.

    Args:
        labels: int64 ``[N]``, non-negative.
        count: at least 1.
        generator: decides which rows of a class.

    Returns:
        Increasing rows, int64.

    Example:
        >>> rows_per_class(torch.tensor([0, 0, 1]), 1, torch.Generator().manual_seed(0)).tolist()
        [0, 2]
    """
    order = torch.randperm(len(labels), generator=generator)
    drawn = [order[labels[order] == target][:count] for target in labels.bincount().nonzero().flatten().tolist()]
    return torch.cat(drawn).sort().values


def long_tail_rows(labels: Tensor, num_classes: int, imbalance: float, generator: torch.Generator) -> Tensor:
    """Subsample classes to an exponential long tail (Cui et al., CVPR 2019, arXiv:1901.05555, section 5.1).

    Class c keeps ``min(n_c, round(n_max * imbalance ** (-c / (C - 1))))`` samples and at least one, where
    ``n_max`` is the largest class: class 0 is the head and class C - 1 the tail. For the same generator state
    a larger imbalance keeps a subset of what a smaller one keeps.

    Args:
        labels: int64 ``[N]`` in ``[0, C)``.
        num_classes: C.
        imbalance: largest over smallest class of the profile, at least 1.
        generator: decides which samples of a class stay.

    Returns:
        Increasing kept rows, int64.
    """
    counts = torch.bincount(labels, minlength=num_classes)
    exponents = torch.arange(num_classes, dtype=torch.float64) / max(num_classes - 1, 1)
    profile = (int(counts.max()) * float(imbalance) ** -exponents).round().to(torch.int64).clamp(min=1)
    order = torch.randperm(len(labels), generator=generator)
    kept = [order[labels[order] == target][:share] for target, share in enumerate(profile.tolist())]
    return torch.cat(kept).sort().values


def flip_labels(labels: Tensor, num_classes: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Give exactly ``round(N * fraction)`` samples a label drawn uniformly from the *other* classes.

    Args:
        labels: int64 ``[N]`` in ``[0, C)``.
        num_classes: C, at least 2 when any label is flipped.
        fraction: in ``[0, 1)``.
        generator: decides which samples and which labels.

    Returns:
        The noisy labels, int64 ``[N]``, and which were flipped, bool ``[N]``.

    Raises:
        ConfigError: there is no other class.
    """
    count = round(len(labels) * fraction)
    flipped = torch.zeros(len(labels), dtype=torch.bool)
    if count == 0:
        return labels.clone(), flipped
    if num_classes < 2:
        raise ConfigError("data.label_noise needs at least two classes; set data.label_noise=0.")
    rows = torch.randperm(len(labels), generator=generator)[:count]
    flipped[rows] = True
    noisy = labels.clone()
    shift = torch.randint(1, num_classes, (count,), generator=generator)
    noisy[rows] = (labels[rows] + shift) % num_classes
    return noisy, flipped
