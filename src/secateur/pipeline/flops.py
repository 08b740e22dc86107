"""Operations of one forward pass: the deterministic unit of the cost ledger."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.training.evaluate import evaluating


def flops_per_forward(model: nn.Module, image_shape: tuple[int, int, int]) -> float:
    """Return the floating-point operations of one image's forward pass.

    Args:
        model: the network.
        image_shape: ``(channels, height, width)``.
    """
    with evaluating(model), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *image_shape, device=next(model.parameters()).device))
    return float(counter.get_total_flops())
