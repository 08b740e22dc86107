"""Two random views of every image of a batch, on the device the batch lies on.

All images are transformed at once, each with its own parameters; the parameters are drawn on the CPU from a generator
that is passed in, so the views do not depend on the device.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import ConfigError

NUM_DRAWS = 11  # uniform numbers per view
LOG_ASPECT = math.log(4 / 3)
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class TwoViews:
    """Random resized crop, flip, color jitter and grayscale, as SimSiam and MoCo v2 use them.

    Images of one channel get crop, flip, brightness and contrast; saturation, hue and grayscale need three channels.

    Args:
        min_scale: smallest share of the image's area that a crop may have, in (0, 1]; 1 turns cropping off.
        flip: probability of mirroring.
        jitter: probability of changing the colors.
        brightness: largest relative change of the brightness, in [0, 1]; the next two alike.
        contrast: of the contrast.
        saturation: of the saturation.
        hue: largest shift of the hue, as a share of the color circle, in [0, 0.5].
        grayscale: probability of removing the color.

    Raises:
        ConfigError: a number is outside its range.

    Deviations:
        The four color changes come in one fixed order, torchvision's in a random one. A crop that does not fit is
        narrowed, torchvision draws again. No blur: both papers blur ImageNet's images, and neither those of CIFAR.
    """

    NAME: ClassVar[str] = "paradigm/two_views"
    min_scale: float = 0.2
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grayscale: float = 0.2

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "brightness", "contrast", "saturation", "grayscale"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"views.{name} must be in [0, 1], got {value}.")
        if not 0 < self.min_scale <= 1:
            raise ConfigError(f"views.min_scale must be in (0, 1], got {self.min_scale}; 1 turns cropping off.")
        if not 0 <= self.hue <= 0.5:
            raise ConfigError(f"views.hue must be in [0, 0.5], got {self.hue}.")

    def __call__(self, images: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return two views of every image.

        Args:
            images: float ``[B, C, H, W]`` in [0, 1].
            draw: CPU generator of all the randomness.

        Returns:
            Two batches of the shape and range of the input.
        """
        uniform = torch.rand(2 * len(images), NUM_DRAWS, generator=draw).to(images.device)
        with torch.no_grad():
            views = self._recolor(self._crop(images.repeat(2, 1, 1, 1), uniform), uniform)
        first, second = views.chunk(2)
        return first, second

    def _crop(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Cut out rectangles, some mirrored, and resize them to the full size."""
        if self.min_scale == 1 and not self.flip:
            return images
        area = 1 - (1 - self.min_scale) * uniform[:, 0]
        half_aspect = 0.5 * (2 * uniform[:, 1] - 1) * LOG_ASPECT * (self.min_scale < 1)
        height = (area.sqrt() * torch.exp(-half_aspect)).clamp(max=1)
        width = (area.sqrt() * torch.exp(half_aspect)).clamp(max=1)
        center_y, center_x = (2 * uniform[:, 2] - 1) * (1 - height), (2 * uniform[:, 3] - 1) * (1 - width)
        mirrored = torch.where(uniform[:, 4] < self.flip, -width, width)
        y = center_y[:, None] + height[:, None] * _pixel_centers(images.shape[2], images)
        x = center_x[:, None] + mirrored[:, None] * _pixel_centers(images.shape[3], images)
        size = (len(images), *images.shape[2:])
        grid = torch.stack([x[:, None, :].expand(size), y[:, :, None].expand(size)], dim=-1).to(images.dtype)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _recolor(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Change brightness, contrast, saturation and hue, and remove the color of some."""
        uniform = uniform[:, :, None, None, None].to(images.dtype)
        chosen = (uniform[:, 5] < self.jitter).to(images.dtype)

        def factor(column: int, strength: float) -> Tensor:
            return 1 + chosen * strength * (2 * uniform[:, column] - 1)

        images = _blend(torch.zeros_like(images), images, factor(6, self.brightness))
        images = _blend(_gray(images).mean(dim=(2, 3), keepdim=True), images, factor(7, self.contrast))
        if images.shape[1] != 3:
            return images
        images = _blend(_gray(images), images, factor(8, self.saturation))
        images = shift_hue(images, factor(9, self.hue)[:, 0] - 1)
        return torch.where(uniform[:, 10] < self.grayscale, _gray(images), images)


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of RGB images, at constant saturation and value (HSV).

    Args:
        images: ``[B, 3, H, W]`` in [0, 1].
        turns: share of the color circle per image, ``[B, 1, 1]``.

    Returns:
        Images of the same shape and range.
    """
    red, green, blue = images.unbind(dim=1)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    divisor = torch.where(chroma > 0, chroma, 1)
    from_blue = 4 + (red - green) / divisor
    from_green = torch.where(value == green, 2 + (blue - red) / divisor, from_blue)
    hue = torch.where(value == red, (green - blue) / divisor, from_green)  # in sixths of a turn
    offsets = torch.tensor([5, 3, 1], device=images.device).view(1, 3, 1, 1)
    position = (offsets + (hue + 6 * turns)[:, None]) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(position, 4 - position).clamp(0, 1)


def _pixel_centers(length: int, like: Tensor) -> Tensor:
    """Return where the pixels of a row lie, in [-1, 1] from edge to edge."""
    return (2 * torch.arange(length, device=like.device) + 1) / length - 1


def _gray(images: Tensor) -> Tensor:
    """Return the brightness ``[B, 1, H, W]``."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)


def _blend(base: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    """Move from a base to the images and beyond, within [0, 1]."""
    return (base + weight * (images - base)).clamp(0, 1)
