"""What the stages of a run will cost, from its configuration alone: the ledger before anything is trained.

Every function here is the forecast of what a stage books in the ledger when it has run: same names, same samples, same
operations. Seconds are not forecast.
"""

from collections.abc import Iterable

from secateur.core.ledger import StageCost
from secateur.pipeline.config import build
from secateur.pipeline.context import Context
from secateur.pipeline.paradigms import passes_of
from secateur.pipeline.training import final_epochs
from secateur.pipeline.unsupervised import turtle_flops
from secateur.training.classifier import Passes
from secateur.training.unsupervised import Unsupervised


def choosing_flops(stages: Iterable[StageCost]) -> float:
    """Return the operations of the stages that only decide which samples are kept."""
    return sum(stage.flops for stage in stages if stage.pruning)


def training_plan(
    context: Context,
    stage: str,
    model: str,
    num_visits: int,
    *,
    passes: Passes,
    forward_only: int = 0,
    pruning: bool = True,
) -> StageCost:
    """Return the cost of a training that visits so many samples.

    Args:
        context: the run.
        stage: name of the stage.
        model: ``model`` or ``retrain_model``.
        num_visits: samples times epochs.
        passes: how often a visit passes forward and backward.
        forward_only: samples passed forward beside the training.
        pruning: the stage exists only to decide which samples are kept.
    """
    forward, backward = (num_visits * times for times in passes)
    flops = context.flops(model)
    return StageCost(
        stage=stage,
        samples_forward=forward + forward_only,
        samples_backward=backward,
        flops=(forward + 2 * backward) * flops + forward_only * flops,
        seconds=0.0,
        pruning=pruning,
    )


def forward_plan(context: Context, stage: str, num_samples: int) -> StageCost:
    """Return the cost of passing samples forward once through the measuring network."""
    return StageCost(stage, num_samples, 0, flops=num_samples * context.flops("model"), seconds=0.0)


def scoring_plan(context: Context, num_samples: int, num_epochs: int) -> list[StageCost]:
    """Return the cost of measuring ``score=`` on so many samples: all its networks, and the pass after training."""
    config = context.config
    paradigm = build(config["paradigm"])
    if isinstance(paradigm, Unsupervised):
        return _unsupervised_plan(context, paradigm, num_samples, num_epochs)
    score, passes = build(config["score"]), passes_of(config["paradigm"])
    score.setup(1, num_epochs)
    later = getattr(score, "read_epoch", num_epochs - 1) + 1
    stages = []
    for network in range(score.num_networks):
        visits = num_samples * (later if network else num_epochs)
        recording = visits if config["scoring"]["record"] == "eval_pass" else 0
        stages.append(training_plan(context, "scoring", "model", visits, passes=passes, forward_only=recording))
        if score.measured == "final":
            stages.append(forward_plan(context, "scoring_final_pass", num_samples))
    return stages


def _unsupervised_plan(context: Context, paradigm: Unsupervised, num_samples: int, num_epochs: int) -> list[StageCost]:
    """Return the cost of the encoder, of the embeddings of the whole pool, and of TURTLE on some of them."""
    stages = []
    if paradigm.encoder is not None:
        visits, passes = context.num_total * paradigm.encoder_epochs, passes_of(context.config["paradigm"]["encoder"])
        stages.append(training_plan(context, "encoder", "model", visits, passes=passes))
    turtle = paradigm.turtle(context.data.num_classes, num_epochs)
    flops = turtle_flops(turtle, num_samples, context.model("model").num_features)
    return [*stages, embeddings_plan(context), StageCost("scoring", 0, 0, flops=flops, seconds=0.0)]


def surrogate_plan(context: Context) -> StageCost:
    """Return the cost of training the surrogate on the whole source."""
    visits, passes = context.num_total * context.config["scoring"]["max_epochs"], passes_of(context.config["paradigm"])
    return training_plan(context, "surrogate", "model", visits, passes=passes)


def embeddings_plan(context: Context) -> StageCost:
    """Return the cost of the pass that embeds the whole pool."""
    return forward_plan(context, "embeddings", context.num_total)


def final_plan(context: Context, num_kept: int) -> StageCost:
    """Return the cost of the final training on so many samples per epoch."""
    visits, passes = num_kept * final_epochs(context, num_kept), passes_of(context.config["final_paradigm"])
    return training_plan(context, "training", "retrain_model", visits, passes=passes, pruning=False)


def if_trained(context: Context, final: StageCost) -> list[StageCost]:
    """Return the final training, or nothing where ``train_final=false`` ends with the mask."""
    return [final] if context.config["train_final"] else []
