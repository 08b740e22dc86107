"""Augmentation and normalization of whole batches of uint8 images, on the device they lie on.

The randomness of a sample is a function of ``(seed, epoch, sample_id)`` alone: once per epoch a table of
parameters is drawn for all rows of the training split, and a batch looks up its own. So neither the batch a
sample is in, nor the order, the number of workers or the rank changes what it looks like.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from secateur.core.seeds import generator

STAGE = "augmentation"


class AugmentationTable(NamedTuple):
    """One epoch's parameters for all M rows of a training split; None where an augmentation is off.

    Attributes:
        top: crop offset from above in the padded image, int64 ``[M]``.
        left: crop offset from the left, int64 ``[M]``.
        flip: whether to mirror, bool ``[M]``.
        center_y: row of the cut-out's center, int64 ``[M]``.
        center_x: column of the cut-out's center, int64 ``[M]``.
    """

    top: Tensor | None = None
    left: Tensor | None = None
    flip: Tensor | None = None
    center_y: Tensor | None = None
    center_x: Tensor | None = None

    def to(self, device: torch.device) -> "AugmentationTable":
        """Return the table on a device."""
        return AugmentationTable(*(None if column is None else column.to(device) for column in self))

    def rows(self, sample_id: Tensor) -> "AugmentationTable":
        """Return the parameters ``[B]`` of some samples."""
        return AugmentationTable(*(None if column is None else column[sample_id] for column in self))


@dataclass(frozen=True)
class Augmentation:
    """Flip, then crop after padding, then (once normalized) cut out; each may be off.

    Args:
        crop_padding: black pixels added on each side before a crop of the original size.
        flip: mirror every second image, on average.
        cutout: side in pixels of a square set to the mean color; its center is uniform, so it may overlap the
            edge (DeVries & Taylor 2017, arXiv:1708.04552).
    """

    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0

    def draw(self, num_rows: int, height: int, width: int, seed: int, epoch: int) -> AugmentationTable:
        """Draw one epoch's parameters of all rows; turning one augmentation off leaves the others alone."""

        def integers(stream: int, high: int) -> Tensor:
            return torch.randint(high, (num_rows,), generator=generator(seed, STAGE, epoch, stream))

        offsets = 2 * self.crop_padding + 1
        return AugmentationTable(
            top=integers(0, offsets) if self.crop_padding else None,
            left=integers(1, offsets) if self.crop_padding else None,
            flip=integers(2, 2).bool() if self.flip else None,
            center_y=integers(3, height) if self.cutout else None,
            center_x=integers(4, width) if self.cutout else None,
        )

    def apply_pixels(self, pixels: Tensor, parameters: AugmentationTable, workspace: "Workspace") -> Tensor:
        """Flip and crop uint8 images ``[B, C, H, W]`` with parameters ``[B]``; the result may be a workspace's."""
        if parameters.flip is None and parameters.top is None:
            return pixels
        return flip_and_crop(pixels, parameters, self.crop_padding, workspace)

    def apply_normalized(self, images: Tensor, parameters: AugmentationTable) -> Tensor:
        """Cut out of normalized images ``[B, C, H, W]``, in place."""
        if parameters.center_y is not None and parameters.center_x is not None:
            cut_out_(images, parameters.center_y, parameters.center_x, self.cutout)
        return images


@dataclass(frozen=True)
class Normalization:
    """Turns uint8 pixels into ``(pixel / 255 - mean) / std``.

    Args:
        mean: per channel, in ``[0, 1]`` units.
        std: per channel, above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def factors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return scale and shift, float32 ``[C, 1, 1]`` each: normalized = pixel * scale + shift."""
        mean = torch.tensor(self.mean, dtype=torch.float64).view(-1, 1, 1)
        std = torch.tensor(self.std, dtype=torch.float64).view(-1, 1, 1)
        return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


class Workspace:
    """Buffers that are used for one batch after another, so that no batch has to touch fresh memory."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def zeros(self, name: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Return a uint8 buffer ``shape``; zero when it is new, otherwise with what was last written to it."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape or buffer.device != device:
            buffer = self._buffers[name] = torch.zeros(shape, dtype=torch.uint8, device=device)
        return buffer


def flip_and_crop(pixels: Tensor, parameters: AugmentationTable, padding: int, workspace: Workspace) -> Tensor:
    """Mirror some images left to right, pad all with black, and cut the original size out at their own offsets.

    Every image is laid into a padded buffer twice, as it is and mirrored. There all rows of a crop lie in one
    contiguous stretch, so choosing mirror image and crop is one copy per channel.

    Args:
        pixels: uint8 ``[B, C, H, W]``.
        parameters: ``[B]`` of a batch; the offsets lie in ``[0, 2 * padding]``.
        padding: pixels added on each side; 0 leaves the cropping out.
        workspace: holds the buffers.

    Returns:
        A view ``[B, C, H, W]`` of the workspace, not contiguous and valid until the next call.
    """
    num_images, channels, height, width = pixels.shape
    stride = width + 2 * padding
    plane = stride * (height + 2 * padding)
    length = (height - 1) * stride + width
    padded = workspace.zeros("padded", (2, *pixels.shape[:2], plane // stride, stride), pixels.device)
    inside = padded[..., padding : padding + height, padding : padding + width]
    inside[0] = pixels
    starts = torch.arange(num_images * channels, device=pixels.device).view(num_images, channels) * plane
    if parameters.flip is not None:
        inside[1] = pixels.flip(-1)
        starts += (parameters.flip * (num_images * channels * plane))[:, None]
    if parameters.top is not None and parameters.left is not None:
        starts += (parameters.top * stride + parameters.left)[:, None]
    stretches = padded.view(-1).as_strided((padded.numel() - length + 1, length), (1, 1))
    copied = workspace.zeros("copied", (num_images * channels, length), pixels.device)
    torch.index_select(stretches, 0, starts.flatten(), out=copied)
    return copied.as_strided(pixels.shape, (channels * length, length, stride, 1))


def cut_out_(images: Tensor, center_y: Tensor, center_x: Tensor, size: int) -> Tensor:
    """Set a square around a center of each image's own to 0 (the mean color once normalized), in place.

    Args:
        images: float ``[B, C, H, W]``.
        center_y: int64 ``[B]``.
        center_x: int64 ``[B]``.
        size: side of the square in pixels.
    """

    def inside(length: int, center: Tensor) -> Tensor:
        distance = torch.arange(length, device=images.device) - (center[:, None] - size // 2)
        return (distance >= 0) & (distance < size)

    square = inside(images.shape[2], center_y)[:, :, None] & inside(images.shape[3], center_x)[:, None, :]
    return images.masked_fill_(square[:, None], 0)
