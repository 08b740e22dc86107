"""What the stages of a run will cost, from its configuration alone: the ledger before anything is trained.

Every function here is the forecast of what a stage books in the ledger when it has run: same names, same samples, same
operations. Seconds are not forecast.
"""

from collections.abc import Iterable

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.runs.context import Context
from secateur.runs.flops import flops_per_forward
from secateur.runs.nodes import scorer, shared
from secateur.runs.paradigms import FORWARD_ONLY, passes_of, recording_passes_of
from secateur.runs.stages.pseudo_labels import turtle_flops
from secateur.runs.stages.training import final_epochs
from secateur.scores.base import Score
from secateur.training.finetune import FineTuning
from secateur.training.modules.classifier import Passes
from secateur.training.modules.unsupervised import Unsupervised


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
    recorded: int = 0,
    recording: Passes = FORWARD_ONLY,
    pruning: bool = True,
) -> StageCost:
    """Return the cost of a training that visits so many samples.

    Args:
        context: the run.
        stage: name of the stage.
        model: ``model`` or ``retrain_model``.
        num_visits: samples times epochs.
        passes: how often a visit passes forward and backward.
        recorded: samples passed beside the training, for recording.
        recording: how often such a pass passes each of them.
        pruning: the stage exists only to decide which samples are kept.
    """
    forward, backward = (num_visits * times + recorded * more for times, more in zip(passes, recording, strict=True))
    flops = (forward + 2 * backward) * context.flops(model)
    return StageCost(stage, forward, backward, flops=flops, seconds=0.0, pruning=pruning)


def forward_plan(context: Context, stage: str, num_samples: int) -> StageCost:
    """Return the cost of passing samples forward once through the measuring network."""
    return StageCost(stage, num_samples, 0, flops=num_samples * context.flops("model"), seconds=0.0)


def scoring_plan(context: Context, num_samples: int, num_epochs: int) -> list[StageCost]:
    """Return the cost of measuring ``score=`` on so many samples: all its networks, and the pass after training."""
    config = context.config
    paradigm = shared(config.paradigm)
    if isinstance(paradigm, Unsupervised):
        return _unsupervised_plan(context, paradigm, num_samples, num_epochs)
    score = scorer(config.score)
    score.setup(1, num_epochs)
    visits, passed = num_samples * score.epochs.stop, num_samples * score.num_passes
    return [stage for _ in range(score.num_networks) for stage in scoring_costs(context, score, visits, passed)]


def scoring_costs(context: Context, score: Score, num_visits: int, num_passed: int) -> list[StageCost]:
    """Return what one network costs a run whose scorer reads it.

    The ledger of a run has the same stages, with the samples that were counted and the seconds.

    Args:
        context: the run.
        score: the scorer.
        num_visits: samples times epochs that the training shows until the scorer has read its last epoch.
        num_passed: samples times passes beside the training, during it or after it, that only record for this scorer.
    """
    paradigm = context.config.paradigm
    passes, recording = passes_of(paradigm), recording_passes_of(paradigm)
    if score.record != "final_pass":
        with_passes = {"recorded": num_passed, "recording": recording}
        return [training_plan(context, "scoring", "model", num_visits, passes=passes, **with_passes)]  # type: ignore[arg-type]
    return [
        training_plan(context, "scoring", "model", num_visits, passes=passes),
        training_plan(context, "scoring_final_pass", "model", num_passed, passes=recording),
    ]


def _unsupervised_plan(context: Context, paradigm: Unsupervised, num_samples: int, num_epochs: int) -> list[StageCost]:
    """Return the cost of the encoder, of the embeddings of the whole pool, and of TURTLE on some of them."""
    stages = []
    if paradigm.encoder is not None:
        visits, passes = context.num_total * paradigm.encoder_epochs, passes_of(context.config.paradigm["encoder"])
        stages.append(training_plan(context, "encoder", "model", visits, passes=passes))
    turtle = paradigm.turtle(context.data.num_classes, num_epochs)
    flops = turtle_flops(turtle, num_samples, context.model("model").num_features)
    return [*stages, embeddings_plan(context), StageCost("scoring", 0, 0, flops=flops, seconds=0.0)]


def surrogate_plan(context: Context) -> StageCost:
    """Return the cost of training the surrogate on the whole source."""
    visits, passes = context.num_total * context.config.scoring.max_epochs, passes_of(context.config.paradigm)
    return training_plan(context, "surrogate", "model", visits, passes=passes)


def full_scoring_flops(context: Context) -> float | None:
    """Return what scoring every sample takes; None where ``scoring.max_epochs`` are too few for the score.

    The subset's own training may be longer than that, by ``subset_epochs_factor``.
    """
    try:
        stages = scoring_plan(context, context.num_total, context.config.scoring.max_epochs)
    except ConfigError:
        return None
    return choosing_flops(stages)


def embeddings_plan(context: Context) -> StageCost:
    """Return the cost of the pass that embeds the whole pool."""
    return forward_plan(context, "embeddings", context.num_total)


def final_plan(context: Context, num_kept: int) -> StageCost:
    """Return the cost of the final training on so many samples per epoch."""
    visits, passes = num_kept * final_epochs(context, num_kept), passes_of(context.config.final_paradigm)
    return training_plan(context, "training", "retrain_model", visits, passes=passes, pruning=False)


def if_trained(context: Context, final: StageCost) -> list[StageCost]:
    """Return the final training, or nothing where ``train_final=false`` ends with the mask."""
    return [final, *_adapting(context)] if context.config.train_final else []


def _adapting(context: Context) -> list[StageCost]:
    """Return the cost of adapting the final network to the downstream set, where there is one."""
    data, stages = context.downstream, []
    if data is None:
        return []
    tuning: FineTuning = shared(context.config.finetune)
    model = context.model("retrain_model")
    if not tuning.reuse_head:
        model.reset_head(data.num_classes)
    flops = flops_per_forward(model, data.image_shape)
    for mode in tuning.modes:
        visits = len(data.pool) * (tuning.epochs(mode) if mode == "full" else 1)
        backward = visits if mode == "full" else 0
        stages.append(
            StageCost(mode, visits, backward, flops=(visits + 2 * backward) * flops, seconds=0.0, pruning=False)
        )
    return stages
