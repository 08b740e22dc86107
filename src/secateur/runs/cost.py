"""What a stage that trained a network cost."""

import torch

from secateur.core.ledger import StageCost
from secateur.runs.context import Context
from secateur.runs.paradigms import FORWARD_ONLY
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.modules.classifier import ONE_PASS, Passes


def training_cost(
    context: Context,
    stage: str,
    model: str,
    metrics: EpochMetrics,
    *,
    passes: Passes = ONE_PASS,
    forward_only: int = 0,
    recording: Passes = FORWARD_ONLY,
    pruning: bool = True,
) -> StageCost:
    """Return the cost of a training.

    Args:
        context: the run.
        stage: name of the stage.
        model: the network's node, ``model`` or ``retrain_model``.
        metrics: counted the samples and the seconds. All processes of a group call this, to sum these up.
        passes: how often a training step passes each sample; an attack's steps are passes too.
        forward_only: samples of passes beside the training, which only record.
        recording: how often such a pass passes each sample.
        pruning: the stage exists only to decide which samples are kept.
    """
    flops = context.flops(model)
    device = context.trainer.device
    forward, backward = (
        metrics.num_samples * training + forward_only * beside
        for training, beside in zip(passes, recording, strict=True)
    )
    return StageCost(
        stage=stage,
        samples_forward=forward,
        samples_backward=backward,
        flops=(forward + 2 * backward) * flops,
        **metrics.clocks.parts(),
        peak_memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        pruning=pruning,
    )


def recording_cost(context: Context, stage: str, model: str, num_samples: int, recording: Passes) -> StageCost:
    """Return the cost of one pass that only records; its seconds are within those of the stage it belongs to."""
    forward, backward = (num_samples * times for times in recording)
    flops = (forward + 2 * backward) * context.flops(model)
    return StageCost(stage, forward, backward, flops=flops, seconds=0.0)
