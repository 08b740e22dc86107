"""A whole split decoded once and kept as one uint8 tensor on the device that trains."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from secateur.core.errors import DataError
from secateur.data.augment import Workspace
from secateur.data.images import ArrayImages, IndexedImages

CHUNK = 256


@dataclass(frozen=True)
class Decoder:
    """The deterministic part of a data set's transform: decode, convert, resize, center crop.

    Args:
        channels: 1 (grey) or 3 (RGB).
        image_size: side of the center crop in pixels, or None for the stored size.
        resize_size: length of the shorter side before the crop, or None for ``image_size``.
    """

    channels: int
    image_size: int | None = None
    resize_size: int | None = None

    def __call__(self, images: IndexedImages, row: int) -> Tensor:
        """Return one image as uint8 ``[channels, H, W]``.

        Raises:
            DataError: the image cannot be decoded.
        """
        pixels = images.decode(row, self.channels)
        if self.image_size is None:
            return pixels
        pixels = TF.resize(pixels, [self.resize_size or self.image_size], antialias=True)
        cropped: Tensor = TF.center_crop(pixels, [self.image_size, self.image_size])
        return cropped

    def stack(
        self, images: IndexedImages, rows: Iterable[int], shape: tuple[int, ...], out: Tensor | None = None
    ) -> Tensor:
        """Return some images as uint8 ``[B, *shape]``, written to ``out`` if given.

        Raises:
            DataError: an image cannot be decoded, or has another shape.
        """
        decoded = []
        for row in rows:
            pixels = self(images, row)
            if tuple(pixels.shape) != shape:
                raise DataError(
                    f"The image in {images.describe(row)} is {pixels.shape[2]}x{pixels.shape[1]} pixels, others "
                    f"are {shape[2]}x{shape[1]}. Set data.image_size to resize them all."
                )
            decoded.append(pixels)
        if not decoded:  # a slice of a batch of fewer samples than there are processes
            return torch.empty(0, *shape, dtype=torch.uint8) if out is None else out
        return torch.stack(decoded, out=out)


class ResidentImages:
    """The decoded images of one split.

    Args:
        pixels: uint8 ``[M, C, H, W]``.
    """

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    @classmethod
    def decode(cls, images: IndexedImages, decoder: Decoder, shape: tuple[int, int, int]) -> "ResidentImages":
        """Decode all images of a split in threads.

        Args:
            images: M images.
            decoder: how to decode one.
            shape: ``(C, H, W)`` that every image must have.

        Raises:
            DataError: an image is corrupt or has another shape; the message names the first one.
        """
        if isinstance(images, ArrayImages) and tuple(images.pixels.shape[1:]) == shape:
            return cls(images.pixels)
        pixels = torch.empty((len(images), *shape), dtype=torch.uint8)

        def fill(start: int) -> None:
            stop = min(start + CHUNK, len(images))
            decoder.stack(images, range(start, stop), shape, out=pixels[start:stop])

        num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        with ThreadPoolExecutor(num_threads) as threads:
            for _ in threads.map(fill, range(0, len(images), CHUNK)):
                pass
        return cls(pixels)

    def to(self, device: torch.device) -> "ResidentImages":
        """Return the images on a device; on the same device nothing is copied."""
        return ResidentImages(self.pixels.to(device))

    def take(self, rows: Tensor, workspace: Workspace) -> Tensor:
        """Return images as uint8 ``[B, C, H, W]`` of the workspace, valid until the next call.

        Args:
            rows: int64 ``[B]`` on the same device.
            workspace: holds the buffer.
        """
        taken = workspace.zeros("taken", (len(rows), *self.pixels.shape[1:]), self.pixels.device)
        return torch.index_select(self.pixels, 0, rows, out=taken)

    def statistics(self, rows: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation per channel over some rows, in ``[0, 1]`` units.

        They come from exact counts of the 256 pixel values, so no chunking or number of threads changes them.
        A channel that never changes has deviation 1.
        """
        counts = torch.zeros((self.pixels.shape[1], 256), dtype=torch.int64)
        for chunk in torch.split(rows, CHUNK):
            values = self.pixels.index_select(0, chunk)
            for channel in range(len(counts)):
                counts[channel] += torch.bincount(values[:, channel].flatten(), minlength=256)
        share = counts.double() / counts.sum(1, keepdim=True)
        value = torch.arange(256, dtype=torch.float64) / 255
        mean = share @ value
        std = (share * (value - mean[:, None]).square()).sum(1).sqrt()
        std[std < 1e-6] = 1.0
        return tuple(mean.tolist()), tuple(std.tolist())
