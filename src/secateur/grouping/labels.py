"""Groups of source samples by class: what LM ranks, and FM where there are labels."""

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.core.ranking import check_groups, check_num_groups


def label_groups(labels: Tensor, num_classes: int) -> Tensor:
    """Return the group of every row of a pool: its class.

    Args:
        labels: labels as trained on, integers ``[N]`` in ``[0, num_classes)``.
        num_classes: number of classes K, at least 2. A class without a row is a group of size 0.

    Returns:
        int64 ``[N]``, on the CPU.

    Raises:
        DataError: there is one class only, no row, or a label out of range.

    Example:
        >>> label_groups(torch.tensor([2, 0, 2], dtype=torch.int32), 3)
        tensor([2, 0, 2])
    """
    check_num_groups(num_classes)
    try:
        check_groups(labels, num_classes)
    except DataError as error:
        raise DataError(f"The labels cannot group the source set. {error}") from error
    return labels.to("cpu", torch.int64)
