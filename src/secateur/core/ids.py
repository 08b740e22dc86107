"""From ``sample_id`` to pool position and back.

A ``sample_id`` is the row of a sample in its data set's own training split. The pool is the sorted set of ids
that training may use; a *row* is a position in the pool, and the only thing arrays are indexed by.
"""

import torch
from torch import Tensor

from secateur.core.errors import DataError


def check_sample_ids(sample_id: Tensor, name: str = "sample_id") -> None:
    """Raise :class:`DataError` unless the ids ``[N]`` are int64, non-negative and strictly increasing."""
    if sample_id.dtype != torch.int64 or sample_id.ndim != 1:
        raise DataError(f"{name} must be a 1-d int64 tensor, got {sample_id.dtype} of shape {list(sample_id.shape)}.")
    if len(sample_id) and int(sample_id[0]) < 0:
        raise DataError(f"{name} must not be negative, got {int(sample_id[0])}.")
    if len(sample_id) > 1 and not bool((sample_id[1:] > sample_id[:-1]).all()):
        raise DataError(f"{name} must be strictly increasing: sort the table and drop duplicates first.")


def rows_of(sample_id: Tensor, pool: Tensor) -> Tensor:
    """Return the pool positions of some ids.

    Args:
        sample_id: ids to look up, int64 ``[B]``, any order.
        pool: the pool's ids, int64 ``[N]``, strictly increasing.

    Returns:
        int64 ``[B]`` with ``pool[rows] == sample_id``.

    Raises:
        DataError: an id is not in the pool; the message names the first one.
    """
    rows = torch.searchsorted(pool, sample_id)
    inside = rows < len(pool)
    found = inside & (pool[rows.clamp(max=max(len(pool) - 1, 0))] == sample_id) if len(pool) else inside
    if not bool(found.all()):
        raise DataError(f"sample_id {int(sample_id[~found][0])} is not in the pool of {len(pool)} samples.")
    return rows
