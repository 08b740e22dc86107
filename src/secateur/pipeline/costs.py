"""What a stage that trained a network cost."""

import torch

from secateur.core.ledger import StageCost
from secateur.pipeline.context import Context
from secateur.training.classifier import ONE_PASS, Passes
from secateur.training.metrics import EpochMetrics


def training_cost(
    context: Context,
    stage: str,
    model: str,
    metrics: EpochMetrics,
    *,
    passes: Passes = ONE_PASS,
    forward_only: int = 0,
    pruning: bool = True,
) -> StageCost:
    """Return the cost of a training.

    Args:
        context: the run.
        stage: name of the stage.
        model: the network's node, ``model`` or ``retrain_model``.
        metrics: counted the samples and the seconds.
        passes: how often a training step passes each sample; an attack's steps are passes too.
        forward_only: samples passed forward beside the training, for recording.
        pruning: the stage exists only to decide which samples are kept.
    """
    flops = context.flops(model)
    device = context.trainer.device
    forward, backward = (metrics.num_samples * times for times in passes)
    return StageCost(
        stage=stage,
        samples_forward=forward + forward_only,
        samples_backward=backward,
        flops=(forward + 2 * backward) * flops + forward_only * flops,
        seconds=metrics.seconds,
        device_seconds=metrics.seconds,
        peak_memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        pruning=pruning,
    )


def forward_cost(context: Context, stage: str, model: str, num_samples: int) -> StageCost:
    """Return the cost of passing samples forward once; its seconds are within those of the stage it belongs to."""
    flops = context.flops(model)
    return StageCost(stage, num_samples, 0, flops=num_samples * flops, seconds=0.0)
