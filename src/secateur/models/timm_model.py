"""Any classifier of timm by its name, split into features and head."""

from typing import Any, ClassVar, cast

import timm
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.models.backbone import Backbone


class TimmModel(Backbone):
    """A model of timm whose classifier is one linear layer.

    The features are what timm calls pre-logits: pooled, and after whatever the architecture puts before its
    last linear layer, dropout included.

    Args:
        num_classes: number of classes ``C``.
        in_channels: channels of the images; timm adapts the first layer, pretrained weights included.
        architecture: name of the model, for example ``convnext_tiny`` or ``resnet50.a1_in1k``.
        pretrained: load timm's weights (needs the network or a filled cache).
        image_size: side of the images for architectures that fix it (most transformers); null for its own.

    Raises:
        ConfigError: if timm knows no such model, or its classifier is not one linear layer.
    """

    NAME: ClassVar[str] = "model/timm"

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        architecture: str,
        pretrained: bool = False,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        if not timm.is_model(architecture):
            close = ", ".join(timm.list_models(f"*{architecture.split('.')[0].split('_')[0]}*")[:5])
            raise ConfigError(f"model.architecture: timm has no {architecture!r}; close: {close or 'none'}.")
        extra: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
        body = timm.create_model(
            architecture, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels, **extra
        )
        classifier = cast(Any, body).get_classifier()
        if not isinstance(classifier, nn.Linear):
            raise ConfigError(
                f"model.architecture {architecture!r} ends in {type(classifier).__name__}; "
                "choose one that ends in one linear layer."
            )
        cast(Any, body).reset_classifier(0)
        self.body = body
        self.head = classifier

    def features(self, x: Tensor) -> Tensor:
        """Return the pre-logits ``[B, D]`` of images ``[B, in_channels, H, W]``."""
        return cast(Tensor, self.body(x))
