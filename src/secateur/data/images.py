"""An indexed set of images: one split of a data set, before any choice of samples."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from secateur.core.errors import DataError


class IndexedImages(ABC):
    """Images and labels of one split; the row of a training sample is its ``sample_id``.

    Attributes:
        labels: int64 ``[M]``, read without decoding any image.
        groups: int64 ``[M]`` of a second annotation (the place of a bird, say) for worst-group accuracy, or
            None.
        group_names: names of the groups; empty without them.
    """

    labels: Tensor
    groups: Tensor | None = None
    group_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of images M."""
        return len(self.labels)

    @abstractmethod
    def stored_bytes(self, row: int) -> bytes:
        """Return one image's bytes as stored (the encoded file, or the raw pixels), for the fingerprint."""

    @abstractmethod
    def num_channels(self, row: int) -> int:
        """Return 1 for a grey image and 3 for any other, without decoding it."""

    @abstractmethod
    def decode(self, row: int, channels: int) -> Tensor:
        """Decode one image as uint8 ``[channels, H, W]``, converted to grey (1) or RGB (3).

        Raises:
            DataError: the image cannot be decoded; the message names the file and the row.
        """

    def image(self, row: int) -> Image.Image:
        """Return one image as PIL (``L`` or ``RGB``), for figures.

        Raises:
            DataError: the image cannot be decoded.
        """
        return _to_pil(self.decode(row, self.num_channels(row)))

    def describe(self, row: int) -> str:
        """Return where one image is stored, for messages."""
        return f"row {row}"


class ArrayImages(IndexedImages):
    """Images that already are one array in memory.

    Args:
        pixels: uint8 ``[M, C, H, W]`` with C = 1 or 3.
        labels: ``[M]``, any integer type.
        source: where the array comes from, for messages.

    Raises:
        DataError: another shape or type, or labels that do not match the images in number.
    """

    def __init__(self, pixels: Tensor, labels: Tensor, source: str = "array") -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
            raise DataError(
                f"{source}: images must be uint8 [M, C, H, W] with C = 1 or 3, got {pixels.dtype} "
                f"of shape {list(pixels.shape)}."
            )
        if labels.ndim != 1 or len(labels) != len(pixels):
            raise DataError(f"{source}: {len(pixels)} images need as many labels, got shape {list(labels.shape)}.")
        self.pixels = pixels.contiguous()
        self.labels = labels.to(torch.int64)
        self.source = source

    def stored_bytes(self, row: int) -> bytes:
        """Return the raw pixels of one image, channel by channel."""
        content: bytes = self.pixels[row].numpy().tobytes()
        return content

    def num_channels(self, row: int) -> int:
        """Return the number of channels, the same for all images."""
        return self.pixels.shape[1]

    def decode(self, row: int, channels: int) -> Tensor:
        """Return one image as uint8 ``[channels, H, W]``."""
        pixels = self.pixels[row]
        return pixels if len(pixels) == channels else from_pil(_to_pil(pixels), channels)

    def describe(self, row: int) -> str:
        """Return the source and the row."""
        return f"{self.source} row {row}"


def array_pixels(array: np.ndarray, source: str) -> Tensor:
    """Return an image array as uint8 ``[M, C, H, W]``.

    Args:
        array: uint8 ``[M, H, W]``, ``[M, H, W, C]`` or ``[M, C, H, W]`` with C = 1 or 3.
        source: where it comes from, for messages.

    Raises:
        DataError: another shape or type.
    """
    if array.dtype != np.uint8:
        raise DataError(f"{source}: images must be uint8 in 0..255, got {array.dtype}. Convert them first.")
    pixels = torch.from_numpy(np.ascontiguousarray(array))
    if pixels.ndim == 3:
        return pixels[:, None]
    if pixels.ndim == 4 and pixels.shape[3] in (1, 3):
        return pixels.permute(0, 3, 1, 2).contiguous()
    if pixels.ndim == 4 and pixels.shape[1] in (1, 3):
        return pixels
    raise DataError(f"{source}: images must be [M, H, W] or [M, H, W, C] with C = 1 or 3, got {list(pixels.shape)}.")


def from_pil(image: Image.Image, channels: int) -> Tensor:
    """Return a PIL image as uint8 ``[channels, H, W]``, converted to grey (1) or RGB (3)."""
    mode = "L" if channels == 1 else "RGB"
    array = np.array(image if image.mode == mode else image.convert(mode))
    return torch.from_numpy(array).reshape(*array.shape[:2], channels).permute(2, 0, 1)


def _to_pil(pixels: Tensor) -> Image.Image:
    """Return uint8 ``[C, H, W]`` as a PIL image."""
    array = pixels.permute(1, 2, 0).numpy()
    return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)
