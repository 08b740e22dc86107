"""Images that lie there as encoded files (JPEG, PNG, ...), decoded one at a time."""

import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from secateur.core.errors import DataError
from secateur.data.images import IndexedImages, from_pil

GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "F"})


class EncodedImages(IndexedImages):
    """Base of the formats that store encoded images: ``stored_bytes`` is what there is to read."""

    @abstractmethod
    def stored_bytes(self, row: int) -> bytes:
        """Return the encoded file of one image."""

    def num_channels(self, row: int) -> int:
        """Return 1 for a grey image and 3 for any other, from the file's header.

        Raises:
            DataError: the header cannot be read.
        """
        try:
            with Image.open(io.BytesIO(self.stored_bytes(row))) as image:
                return 1 if image.mode in GREY_MODES else 3
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"Cannot read the image in {self.describe(row)}: {_first_line(error)}.") from error

    def decode(self, row: int, channels: int) -> Tensor:
        """Decode one image as uint8 ``[channels, H, W]``.

        Raises:
            DataError: the image is corrupt; the message names the file and the row.
        """
        try:
            with Image.open(io.BytesIO(self.stored_bytes(row))) as image:
                return from_pil(image, channels)
        except (OSError, ValueError, SyntaxError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"Cannot decode the image in {self.describe(row)}: {_first_line(error)}.") from error


class FileImages(EncodedImages):
    """Images that are one file each.

    Args:
        paths: the M files.
        labels: ``[M]``, any integer type.
        groups: int64 ``[M]`` of a second annotation, or None.
        group_names: names of the groups.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        labels: Tensor,
        groups: Tensor | None = None,
        group_names: tuple[str, ...] = (),
    ) -> None:
        self.paths = [str(path) for path in paths]
        self.labels = labels.to(torch.int64)
        self.groups = groups
        self.group_names = group_names

    def stored_bytes(self, row: int) -> bytes:
        """Return the file's bytes.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            return Path(self.paths[row]).read_bytes()
        except OSError as error:
            raise DataError(f"Cannot read {self.describe(row)}: {error.strerror}.") from error

    def describe(self, row: int) -> str:
        """Return the file and the row."""
        return f"{self.paths[row]} (row {row})"


def _first_line(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):  # whose own message is a memory address
        return "not in an image format that Pillow knows"
    return str(error).split("\n", 1)[0].rstrip(".") or type(error).__name__
