"""A training split made of parts: the first rows of one, then the rows of another."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.data.images import IndexedImages
from secateur.data.npz import read_labelled
from secateur.data.parquet import ParquetImages


class JoinedImages(IndexedImages):
    """Several splits as one: the rows of each follow those of the one before.

    Args:
        parts: the splits.
        counts: how many of the first rows of each part are taken.
    """

    def __init__(self, parts: Sequence[IndexedImages], counts: Sequence[int]) -> None:
        self._parts = list(parts)
        self._starts = np.array([0, *accumulate(counts)][:-1])
        self.labels = torch.cat([part.labels[:count] for part, count in zip(parts, counts, strict=True)])
        groups = [part.groups for part in parts]
        if len(parts) == 1 and groups[0] is not None:
            self.groups, self.group_names = groups[0][: counts[0]], parts[0].group_names

    def stored_bytes(self, row: int) -> bytes:
        """Return one image's bytes as stored."""
        part, local = self._locate(row)
        return part.stored_bytes(local)

    def num_channels(self, row: int) -> int:
        """Return 1 for a grey image and 3 for any other."""
        part, local = self._locate(row)
        return part.num_channels(local)

    def decode(self, row: int, channels: int) -> Tensor:
        """Decode one image as uint8 ``[channels, H, W]``."""
        part, local = self._locate(row)
        return part.decode(local, channels)

    def describe(self, row: int) -> str:
        """Return where one image is stored."""
        part, local = self._locate(row)
        return part.describe(local)

    def _locate(self, row: int) -> tuple[IndexedImages, int]:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._parts[number], row - int(self._starts[number])


def first_and_extra(images: IndexedImages, first: int | None, extra: str | None) -> tuple[IndexedImages, int]:
    """Return a training split cut to its first rows and lengthened by extra images, and how many rows are its own.

    Args:
        images: the data set's own training split.
        first: how many of its rows are used; None: all.
        extra: a ``.npz`` or ``.parquet`` file with images and labels of the same classes; None: none.

    Raises:
        ConfigError: there are fewer rows than ``first``.
        DataError: the file is missing or unreadable.
    """
    count = len(images) if first is None else first
    if count > len(images):
        raise ConfigError(f"data.first={first} is more than the {len(images)} rows of the training split.")
    if extra is not None:
        added = _read(check_extra(extra))
        return JoinedImages([images, added], [count, len(added)]), count
    return (images if count == len(images) else JoinedImages([images], [count])), count


def check_extra(extra: str) -> Path:
    """Return the file of extra images; :class:`DataError` where its name says that it cannot be one. Opens nothing."""
    path = Path(extra).expanduser()
    if not path.is_file() or path.suffix not in (".npz", ".parquet"):
        raise DataError(f"data.extra={path} is not an .npz or .parquet file with images and labels.")
    return path


def _read(path: Path) -> IndexedImages:
    return read_labelled(path) if path.suffix == ".npz" else ParquetImages([path], "image", "label")
