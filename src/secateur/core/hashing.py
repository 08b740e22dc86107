"""Keys of configurations, hashes of files and fingerprints of pools."""

import hashlib
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secateur.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_key(value: Any, digits: int = 64) -> str:
    """Return the first ``digits`` hex digits of the sha256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:digits]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
