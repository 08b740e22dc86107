"""The ImageNet architectures of torchvision, untrained, split into features and head."""

import math
from typing import ClassVar, cast

import torchvision.models as torchvision_models
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.models.backbone import Backbone, with_in_channels

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


class TorchvisionResNet(Backbone):
    """A torchvision ResNet: 7x7 stem of stride 2, max-pooling, stride on the 3x3 of a bottleneck.

    Args:
        num_classes: number of classes ``C``.
        in_channels: channels of the images; anything but 3 replaces the first convolution.
        architecture: ``resnet18``, ``resnet34``, ``resnet50``, ``resnet101`` or ``resnet152``.
        zero_init_residual: start the last batch norm of every block at 0.
        max_pool: pool after the stem; false for small images (64x64, say).

    Raises:
        ConfigError: if the architecture is unknown.
    """

    NAME: ClassVar[str] = "model/torchvision_resnet"

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        architecture: str,
        zero_init_residual: bool = False,
        max_pool: bool = True,
    ) -> None:
        super().__init__()
        if architecture not in RESNETS:
            raise ConfigError(f"model.architecture must be one of {', '.join(RESNETS)}, got {architecture}.")
        body = torchvision_models.get_model(
            architecture, weights=None, num_classes=num_classes, zero_init_residual=zero_init_residual
        )
        stem = cast(nn.Conv2d, body.conv1)
        if stem.in_channels != in_channels:
            stem = with_in_channels(stem, in_channels)
            nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        body.conv1 = stem
        if not max_pool:
            body.maxpool = nn.Identity()
        self.head = cast(nn.Linear, body.fc)
        body.fc = nn.Identity()
        self.body = body

    def features(self, x: Tensor) -> Tensor:
        """Return pooled features ``[B, 512]`` or ``[B, 2048]`` of images ``[B, in_channels, H, W]``."""
        return cast(Tensor, self.body(x))


class TorchvisionViT(Backbone):
    """ViT-B/16 of torchvision; the features are the class token after the last layer norm.

    Args:
        num_classes: number of classes ``C``.
        in_channels: channels of the images; anything but 3 replaces the patch projection.
        image_size: side of the images in pixels, a multiple of 16; other sizes are refused by the network.
        dropout: dropout probability inside the encoder, in ``[0, 1)``.

    Raises:
        ConfigError: if the side is not a multiple of 16.
    """

    NAME: ClassVar[str] = "model/torchvision_vit"

    def __init__(self, *, num_classes: int, in_channels: int, image_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        if image_size < 16 or image_size % 16:
            raise ConfigError(f"model.image_size of vit_b_16 must be a multiple of 16, got {image_size}.")
        body = torchvision_models.vit_b_16(
            weights=None, num_classes=num_classes, image_size=image_size, dropout=dropout
        )
        if body.conv_proj.in_channels != in_channels:
            body.conv_proj = _patch_projection(body.conv_proj, in_channels)
        self.head = cast(nn.Linear, body.heads.head)
        body.heads = nn.Sequential()
        self.body = body

    def features(self, x: Tensor) -> Tensor:
        """Return the class token ``[B, 768]`` of images ``[B, in_channels, image_size, image_size]``."""
        return cast(Tensor, self.body(x))


def _patch_projection(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """Return an untrained projection, initialized as torchvision does: LeCun's normal, truncated; bias 0."""
    projection = with_in_channels(conv, in_channels)
    fan_in = in_channels * math.prod(projection.kernel_size)
    nn.init.trunc_normal_(projection.weight, std=math.sqrt(1 / fan_in))
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)
    return projection
