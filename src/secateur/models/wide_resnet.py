"""Wide residual networks for small images, with pre-activation blocks.

Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, arXiv 1605.07146.
"""

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.models.backbone import Backbone, kaiming_init

ACTIVATIONS: dict[str, type[nn.ReLU] | type[nn.SiLU]] = {"relu": nn.ReLU, "silu": nn.SiLU}


class PreActivationBlock(nn.Module):
    """Norm, activation and 3x3 convolution, twice, with a 1x1 shortcut where the shape changes.

    Args:
        in_channels: channels that come in.
        width: channels that come out.
        stride: stride of the first convolution.
        dropout: dropout probability between the convolutions.
        activation: ``relu`` or ``silu``.
    """

    def __init__(self, in_channels: int, width: int, stride: int, dropout: float, activation: str) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = dropout
        same_shape = stride == 1 and in_channels == width
        self.shortcut = None if same_shape else nn.Conv2d(in_channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in_channels, H, W]`` to ``[B, width, H / stride, W / stride]``."""
        activated = self.activation(self.norm1(x))
        residual = x if self.shortcut is None else self.shortcut(activated)
        y = self.activation(self.norm2(self.conv1(activated)))
        y = F.dropout(y, self.dropout, self.training)
        out: Tensor = self.conv2(y) + residual
        return out


class WideResNet(Backbone):
    """WRN-depth-widen_factor: three stages of 16, 32 and 64 channels times the factor.

    Args:
        num_classes: number of classes ``C``.
        in_channels: channels of the images.
        depth: number of convolutions, ``6 n + 4``.
        widen_factor: multiplier of the channels.
        dropout: dropout probability inside the blocks, in ``[0, 1)``.
        activation: ``relu``, or ``silu`` (swish), which robust training prefers.

    Raises:
        ConfigError: if the depth is not ``6 n + 4`` or the activation unknown.
    """

    NAME: ClassVar[str] = "model/wide_resnet"

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        depth: int,
        widen_factor: int,
        dropout: float = 0.0,
        activation: Literal["relu", "silu"] = "relu",
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ConfigError(f"model.depth of a wide ResNet must be 6 n + 4 (10, 16, 22, 28, ...), got {depth}.")
        if activation not in ACTIVATIONS:
            raise ConfigError(f"model.activation must be one of {', '.join(ACTIVATIONS)}, got {activation}.")
        self.stem = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        channels = 16
        for stage in range(3):
            width = 16 * 2**stage * widen_factor
            for position in range((depth - 4) // 6):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(PreActivationBlock(channels, width, stride, dropout, activation))
                channels = width
        self.blocks = nn.Sequential(*blocks, nn.BatchNorm2d(channels), ACTIVATIONS[activation]())
        self.head = nn.Linear(channels, num_classes)
        kaiming_init(self)

    def features(self, x: Tensor) -> Tensor:
        """Return pooled features ``[B, 64 * widen_factor]`` of images ``[B, in_channels, H, W]``."""
        features: Tensor = self.blocks(self.stem(x)).mean(dim=(2, 3))
        return features
