"""Foreign masks as masks over a pool of ours."""

from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.core.mask import Mask
from secateur.data.prepared import PreparedData
from secateur.interop.adapruner import ForeignMask


@dataclass(frozen=True)
class Imported:
    """A foreign mask over our pool.

    Attributes:
        mask: the mask.
        num_outside: kept rows of the file that are not in the pool (validation, imbalance) and were dropped.
        class_counts: kept samples per class, int64 ``[C]``.
    """

    mask: Mask
    num_outside: int
    class_counts: Tensor


def adopt(foreign: ForeignMask, data: PreparedData, source: str) -> Imported:
    """Lay a full-length mask over the pool.

    Args:
        foreign: covers the whole training split, in its order.
        data: the data set it belongs to.
        source: the file's format, written into the mask.

    Raises:
        DataError: its length is not that of the training split.
    """
    num_train = len(data.labels)
    if len(foreign.keep) != num_train:
        raise DataError(
            f"The file has {len(foreign.keep)} rows, but the training split of {data.name} has {num_train}: "
            "it was made for other data."
        )
    keep = foreign.keep[data.pool]
    metadata = {"imported_from": source, **foreign.facts}
    mask = Mask(data.pool, keep, data.fingerprint, metadata)
    counts = torch.bincount(data.labels[mask.kept_ids], minlength=data.num_classes)
    return Imported(mask, int(foreign.keep.sum()) - mask.num_kept, counts)
