"""Operations of one forward pass: the deterministic unit of the cost ledger."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.core.errors import ConfigError
from secateur.core.record import one_line
from secateur.training.evaluate import evaluating


def flops_per_forward(model: nn.Module, image_shape: tuple[int, int, int]) -> float:
    """Return the floating-point operations of one image's forward pass.

    Args:
        model: the network.
        image_shape: ``(channels, height, width)``.

    Raises:
        ConfigError: the network cannot take such images.
    """
    image = torch.zeros(1, *image_shape, device=next(model.parameters()).device)
    try:
        with evaluating(model), FlopCounterMode(display=False) as counter:
            model(image)
    except Exception as error:
        shape = "x".join(map(str, image_shape))
        raise ConfigError(
            f"{type(model).__name__} cannot take images of {shape} (channels x height x width): set data.image_size, "
            f"or model.image_size where the model has it. It said: {one_line(error)}"
        ) from error
    return float(counter.get_total_flops())
