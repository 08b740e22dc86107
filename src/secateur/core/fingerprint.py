"""The fingerprint of a pool: tables and masks carry it, and one of another pool is refused."""

import hashlib
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from secateur.core.errors import DataError

if TYPE_CHECKING:  # the page's gallery names it before it knows whether there are images to open
    from torch import Tensor

_RECORD = struct.Struct("<qqQ")


def fingerprint(sample_ids: "Tensor", stored_bytes: Iterable[bytes], labels: "Tensor") -> str:
    """Return the sha256 of a pool's content: which samples, their stored bytes, their labels as trained on.

    One fixed-size record ``(sample_id, label, number of bytes)``, little-endian, stands before the bytes of
    each sample, so no two different pools give the same stream. Bytes are consumed one sample at a time.

    Args:
        sample_ids: int64 ``[N]``, in pool order.
        stored_bytes: N byte strings, one per sample in the same order (the encoded file, or the raw pixels).
        labels: int64 ``[N]``, as trained on.

    Returns:
        64 hexadecimal digits.

    Raises:
        DataError: the three do not have the same length.

    Example:
        >>> import torch
        >>> fingerprint(torch.tensor([0, 2]), [b"a", b"bc"], torch.tensor([1, 0]))[:12]
        '268afdf0e098'
    """
    if len(sample_ids) != len(labels):
        raise DataError(f"A fingerprint needs a label for every id: {len(sample_ids)} ids, {len(labels)} labels.")
    digest = hashlib.sha256()
    contents = iter(stored_bytes)
    for sample_id, label in zip(sample_ids.tolist(), labels.tolist(), strict=True):
        content = next(contents, None)
        if content is None:
            raise DataError(f"A fingerprint needs the bytes of all {len(sample_ids)} samples; some are missing.")
        digest.update(_RECORD.pack(sample_id, label, len(content)))
        digest.update(content)
    if next(contents, None) is not None:
        raise DataError(f"A fingerprint of {len(sample_ids)} samples was given the bytes of more.")
    return digest.hexdigest()
