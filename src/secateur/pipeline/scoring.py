"""Stage ``scoring``: one training of the measuring network records every standard scorer at once."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.group import is_rank_zero
from secateur.core.ledger import StageCost
from secateur.core.seeds import stream_seed
from secateur.core.store import StageResult, stage_key
from secateur.core.tables import ScoreTable
from secateur.data.order import Shuffled
from secateur.pipeline.config import Config, build, stage_reads
from secateur.pipeline.context import EVALUATION_BATCH, Context
from secateur.pipeline.costs import recording_cost, training_cost
from secateur.pipeline.paradigms import make_module, passes_of, recording_passes_of
from secateur.pipeline.paths import conf_folder
from secateur.pipeline.unsupervised import find_and_score
from secateur.scores.base import Score
from secateur.training.clocks import Clocks
from secateur.training.fit import finish_folder, fit
from secateur.training.metrics import EpochMetrics
from secateur.training.progress import ProgressBar
from secateur.training.recorder import ScoreRecorder
from secateur.training.unsupervised import Unsupervised

VERSION = 2


def standard_scores(num_epochs: int) -> dict[str, Config]:
    """Return the shipped scorers, with their default settings, that a training of this length can feed."""
    paths = sorted(conf_folder().glob("score/*.yaml"))
    nodes = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in paths}
    return {name: node for name, node in nodes.items() if build(node).epochs_needed <= num_epochs}  # type: ignore[arg-type,misc]


@dataclass(frozen=True)
class Measuring:
    """Which samples the measuring network is trained on and scores, and for how long.

    Attributes:
        sample_ids: the samples, int64 ``[M]``, increasing.
        num_epochs: length of the training's schedule.
        subset: what a subset was drawn by, for the stage's key; None for the whole pool.
    """

    sample_ids: Tensor
    num_epochs: int
    subset: Config | None = None


@dataclass(frozen=True)
class Measured:
    """What measuring gave.

    Attributes:
        table: the scores, ``[M]``.
        stages: what they are the mean of, one per network.
        network: the stage whose weights embed the pool.
        labels: the label every sample of the pool was given, int64 ``[N]``; the data's own, or found without them.
    """

    table: ScoreTable
    stages: list[StageResult]
    network: StageResult
    labels: Tensor


def measure(context: Context, on: Measuring | None = None) -> Measured:
    """Return the scores by ``score=``, averaged over its networks; books what they cost.

    The stage's key does not depend on which standard scorer is asked for: all of them are recorded by one training.
    A scorer with other settings, or one of the user's own, has a stage of its own.

    Args:
        context: the run.
        on: what is measured; None: the whole pool, for ``scoring.max_epochs``.
    """
    on = on or Measuring(context.data.pool, context.config["scoring"]["max_epochs"])
    node = context.config["score"]
    standard = standard_scores(on.num_epochs)
    name = next((known for known, settings in standard.items() if settings == node), None)
    scorers = standard if name else {"score": node}
    if isinstance(build(context.config["paradigm"]), Unsupervised):
        found = find_and_score(context, VERSION, on.sample_ids, on.num_epochs, scorers, _reads(on, scorers, 0))
        stages, network, labels = [found.scoring], found.encoder, found.labels
    else:
        numbers = range(build(node).num_networks)
        stages = [_network(context, on, scorers, name or "score", number) for number in numbers]
        network, labels = stages[0], context.data.pool_labels
    return Measured(_mean_table(context, stages, name or "score"), stages, network, labels)


def _mean_table(context: Context, stages: list[StageResult], name: str) -> ScoreTable:
    """Return the mean of the stages' tables of one scorer."""
    files = [stage.path / "scores" / f"{name}.parquet" for stage in stages]
    tables = [ScoreTable.load(file, context.data.fingerprint) for file in files]
    if len(tables) == 1:
        return tables[0]
    mean = torch.stack([table.score for table in tables]).double().mean(dim=0)
    return replace(tables[0], score=mean)


def _reads(on: Measuring, scorers: dict[str, Config], network: int) -> Config:
    """Return what of a measuring enters its stage's key, whoever measures."""
    subset = {"subset": on.subset, "num_epochs": on.num_epochs} if on.subset else {}
    return {"scorers": scorers, "network": network, **subset}


def _network(context: Context, on: Measuring, scorers: dict[str, Config], name: str, network: int) -> StageResult:
    """Train (or find) one network. Those after the first train no longer than their scorer reads."""
    config = context.config
    stop = on.num_epochs if network == 0 else _epochs_read(config, on.num_epochs)
    nodes = {key: config[key] for key in ("model", "paradigm", "scoring", "score_seed")}
    reads = stage_reads(config, **nodes, **_reads(on, scorers, network), stop=stop)
    result = context.store.get(
        "scoring",
        stage_key("scoring", VERSION, reads, context.data.fingerprint),
        lambda folder: _score(context, folder, on, scorers, network, stop),
        recompute=context.recompute,
    )
    context.book(result)
    if build(scorers[name]).measured == "final":  # the pass after training is paid for only by who reads it
        context.ledger.add(StageCost.from_json(result.summary["final_pass"], reused=result.reused))
    return result


def _epochs_read(config: Config, num_epochs: int) -> int:
    score = build(config["score"])
    score.setup(1, num_epochs)
    if not hasattr(score, "read_epoch"):
        raise ConfigError(f"{type(score).__name__} has several networks and must say its read_epoch.")
    return int(score.read_epoch) + 1


def _score(
    context: Context, folder: Path, on: Measuring, scorers: dict[str, Config], network: int, stop: int
) -> dict[str, Any]:
    """Train the measuring network in ``folder`` (resuming what lies there) and write every table."""
    config, data, settings = context.config, context.data, context.trainer
    recipe, score_seed = context.recipe(config["scoring"]["optim"]), config["score_seed"]
    clocks = Clocks(settings.device)
    model = context.fresh_model("model", stream_seed(score_seed, "scoring-model", network))
    seed = stream_seed(score_seed, "scoring-training", network)
    loader = data.train_loader(Shuffled(on.sample_ids, seed), recipe.batch_size, seed, **context.placement)
    module = make_module(context, config["paradigm"], model, recipe, num_epochs=on.num_epochs, seed=seed)
    recorder = _recorder(context, on, scorers)
    metrics = EpochMetrics({}, data.num_classes, clocks=clocks)
    title = "scoring" if on.subset is None else f"scoring {len(on.sample_ids)} of {context.num_total}"
    title += f", network {network}" if network else ""
    callbacks = [metrics, recorder, ProgressBar(title, context.console)]
    trainer = fit(module, loader, settings, folder, callbacks, max_epochs=stop, say=context.say)
    recorder.finish(trainer, module)
    for name, table in recorder.compute().items() if is_rank_zero() else ():
        table.save(folder / "scores" / f"{name}.parquet")
    finish_folder(folder, model, metrics)
    seen, recording = recorder.forward_samples, recording_passes_of(module)
    cost = training_cost(
        *(context, "scoring", "model", metrics), passes=passes_of(module), forward_only=seen, recording=recording
    )
    final = recording_cost(context, "scoring_final_pass", "model", recorder.final_samples, recording)
    return {"cost": cost.to_json(), "final_pass": final.to_json()}


def _recorder(context: Context, on: Measuring, scorers: dict[str, Config]) -> ScoreRecorder:
    """Build the recorder; the scorers' lengths are those of the schedule, also when the training stops earlier."""
    data, scores = context.data, {name: build(node) for name, node in scorers.items()}
    wrong = [name for name, score in scores.items() if not isinstance(score, Score)]
    if wrong:
        raise ConfigError(f"score={wrong[0]} is not a secateur.scores.base.Score.")
    return ScoreRecorder(
        scores,
        sample_ids=on.sample_ids,
        num_epochs=on.num_epochs,
        record=context.config["scoring"]["record"],
        eval_loader=lambda: data.eval_loader(on.sample_ids, EVALUATION_BATCH, **context.placement),
        fingerprint=data.fingerprint,
        metadata={name: {"score": node} for name, node in scorers.items()},
    )
