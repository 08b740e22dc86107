"""A three-layer convolutional network for small images: the default of the demo."""

from typing import ClassVar

from torch import Tensor, nn

from secateur.models.backbone import Backbone, kaiming_init


class SmallCNN(Backbone):
    """Three 3x3 convolutions with batch norm, global average pooling and a linear head.

    The second and third layer halve the resolution and the second doubles the width, so images from 8x8 (the
    digits of scikit-learn) to 32x32 suit it.

    Args:
        num_classes: number of classes ``C``.
        in_channels: channels of the images.
        width: channels of the first layer; the features have ``2 * width``.

    Example:
        >>> import torch
        >>> model = SmallCNN(num_classes=10, in_channels=1, width=16)
        >>> model.features(torch.zeros(4, 1, 8, 8)).shape, model(torch.zeros(4, 1, 8, 8)).shape
        (torch.Size([4, 32]), torch.Size([4, 10]))
    """

    NAME: ClassVar[str] = "model/small_cnn"

    def __init__(self, *, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_layer(in_channels, width, stride=1),
            *_conv_layer(width, 2 * width, stride=2),
            *_conv_layer(2 * width, 2 * width, stride=2),
        )
        self.head = nn.Linear(2 * width, num_classes)
        kaiming_init(self)

    def features(self, x: Tensor) -> Tensor:
        """Return pooled features ``[B, 2 * width]`` of images ``[B, in_channels, H, W]``."""
        features: Tensor = self.body(x).mean(dim=(2, 3))
        return features


def _conv_layer(in_channels: int, out_channels: int, stride: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
