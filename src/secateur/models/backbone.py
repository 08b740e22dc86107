"""What every network here is: a feature extractor followed by one linear head."""

from abc import ABC, abstractmethod
from typing import cast

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """A classifier split where scores, embeddings and votes need it.

    Subclasses set ``head`` and implement :meth:`features`; they never override :meth:`forward`, so
    ``forward(x) == head(features(x))`` holds for all of them.

    Attributes:
        head: linear layer from ``num_features`` to ``num_classes``.
    """

    head: nn.Linear

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate features after global pooling.

        Args:
            x: normalized images, float ``[B, in_channels, H, W]``.

        Returns:
            Features, float ``[B, num_features]``.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, float ``[B, num_classes]``, of images ``[B, in_channels, H, W]``."""
        return cast(Tensor, self.head(self.features(x)))

    @property
    def num_features(self) -> int:
        """Width ``D`` of the penultimate features."""
        return self.head.in_features

    @property
    def num_classes(self) -> int:
        """Number of logits ``C``."""
        return self.head.out_features

    def reset_head(self, num_classes: int) -> None:
        """Replace the head by a freshly initialized one, on the same device and in the same dtype.

        Args:
            num_classes: width of the new head, for example the number of downstream classes.
        """
        weight = self.head.weight
        self.head = nn.Linear(self.num_features, num_classes, device=weight.device, dtype=weight.dtype)


def kaiming_init(module: nn.Module, zero_init_residual: bool = False) -> None:
    """Initialize convolutions with He's normal (fan-out) and batch norms with 1 and 0; keep linear layers.

    Args:
        module: network to initialize in place.
        zero_init_residual: start the last batch norm of each residual branch (attribute ``last_norm``) at 0,
            so that every block is the identity at first.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    if zero_init_residual:
        for layer in module.modules():
            if isinstance(last_norm := getattr(layer, "last_norm", None), nn.BatchNorm2d):
                nn.init.zeros_(last_norm.weight)


def with_in_channels(conv: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """Return ``conv`` itself, or an untrained copy of its geometry that reads ``in_channels`` channels.

    Args:
        conv: first convolution of a network.
        in_channels: channels of the images.

    Returns:
        A convolution with torch's default initialization unless the channel count already matches.
    """
    if conv.in_channels == in_channels:
        return conv
    return nn.Conv2d(
        in_channels,
        conv.out_channels,
        kernel_size=cast(tuple[int, int], conv.kernel_size),
        stride=cast(tuple[int, int], conv.stride),
        padding=cast(tuple[int, int], conv.padding),
        bias=conv.bias is not None,
    )
