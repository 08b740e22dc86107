"""Residual networks for small images: a 3x3 stem of stride 1 and no max-pooling.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385. ``resnet8``
and ``resnet20`` are the paper's CIFAR family (section 4.2: three stages of 16, 32 and 64 channels,
parameter-free shortcuts); ``resnet18``, ``resnet34`` and ``resnet50`` are its ImageNet family (table 1) with
the small stem.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.models.backbone import Backbone, kaiming_init

Shortcut = Literal["pad", "conv"]


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)


class PadShortcut(nn.Module):
    """Identity shortcut that subsamples and appends zero channels (option A of the paper).

    Args:
        extra_channels: number of zero channels to append.
        stride: spatial subsampling.
    """

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C + extra_channels, ceil(H / stride), ceil(W / stride)]``."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra_channels))


def _shortcut(kind: Shortcut, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind == "pad":
        return PadShortcut(out_channels - in_channels, stride)
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut around them.

    Args:
        in_channels: channels that come in.
        width: channels of the convolutions; as many come out.
        stride: stride of the first convolution.
        shortcut: ``pad`` (option A) or ``conv`` (option B) where the shape changes.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 3, stride)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.last_norm = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(shortcut, in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in_channels, H, W]`` to ``[B, width, H / stride, W / stride]``."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.last_norm(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut around them; the 3x3 carries the stride.

    Args:
        in_channels: channels that come in.
        width: channels of the first two convolutions; four times as many come out.
        stride: stride of the 3x3 convolution.
        shortcut: ``pad`` (option A) or ``conv`` (option B) where the shape changes.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = _conv(in_channels, width, 1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, out_channels, 1)
        self.last_norm = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(shortcut, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in_channels, H, W]`` to ``[B, 4 * width, H / stride, W / stride]``."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.last_norm(self.conv3(y)) + self.shortcut(x))


class CIFARResNet(Backbone):
    """Residual network with a 3x3 stem; every stage but the first halves the resolution.

    Args:
        num_classes: number of classes ``C``.
        in_channels: channels of the images.
        layers: residual blocks per stage.
        widths: base channels per stage; the stem has ``widths[0]``.
        block: ``basic`` or ``bottleneck``.
        shortcut: ``pad`` (option A, no parameters) or ``conv`` (option B) where the shape changes.
        zero_init_residual: start the last batch norm of every block at 0.

    Raises:
        ConfigError: if ``layers`` and ``widths`` differ in length, or an option is unknown.

    Example:
        >>> model = CIFARResNet(num_classes=10, in_channels=3, layers=[3, 3, 3], widths=[16, 32, 64],
        ...                     block="basic", shortcut="pad")
        >>> sum(p.numel() for p in model.parameters())
        269722
    """

    NAME: ClassVar[str] = "model/cifar_resnet"

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        layers: Sequence[int],
        widths: Sequence[int],
        block: Literal["basic", "bottleneck"],
        shortcut: Shortcut,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if len(layers) != len(widths) or not layers:
            raise ConfigError(f"model.layers and model.widths must be equally long, got {layers} and {widths}.")
        if block not in ("basic", "bottleneck") or shortcut not in ("pad", "conv"):
            raise ConfigError(
                f"model.block is basic or bottleneck and model.shortcut pad or conv, got {block}, {shortcut}."
            )
        block_class = BasicBlock if block == "basic" else Bottleneck
        self.stem = nn.Sequential(_conv(in_channels, widths[0], 3), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        blocks: list[nn.Module] = []
        channels = widths[0]
        for stage, (num_blocks, width) in enumerate(zip(layers, widths, strict=True)):
            for position in range(num_blocks):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(block_class(channels, width, stride, shortcut))
                channels = width * block_class.expansion
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)
        kaiming_init(self, zero_init_residual)

    def features(self, x: Tensor) -> Tensor:
        """Return pooled features ``[B, D]`` of images ``[B, in_channels, H, W]``."""
        features: Tensor = self.blocks(self.stem(x)).mean(dim=(2, 3))
        return features
