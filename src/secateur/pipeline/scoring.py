"""Stage ``scoring``: one training of the measuring network records every standard scorer at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.core.ledger import StageCost
from secateur.core.seeds import stream_seed
from secateur.core.store import stage_key
from secateur.core.tables import ScoreTable
from secateur.data.order import Shuffled
from secateur.pipeline.config import Config, build, stage_reads
from secateur.pipeline.context import EVALUATION_BATCH, Context
from secateur.pipeline.costs import forward_cost, training_cost
from secateur.pipeline.paths import CONF
from secateur.scores.base import Score
from secateur.training.fit import finish_folder, fit
from secateur.training.metrics import EpochMetrics
from secateur.training.progress import ProgressBar
from secateur.training.recorder import ScoreRecorder

VERSION = 2


def standard_scores(num_epochs: int) -> dict[str, Config]:
    """Return the shipped scorers, with their default settings, that a training of this length can feed."""
    nodes = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in sorted(CONF.glob("score/*.yaml"))}
    return {name: node for name, node in nodes.items() if build(node).epochs_needed <= num_epochs}  # type: ignore[arg-type,misc]


def observed_scores(context: Context) -> ScoreTable:
    """Return the scores of the whole pool by ``score=``, averaged over its networks; books what they cost.

    The stage's key does not depend on which standard scorer is asked for: all of them are recorded by one training.
    A scorer with other settings, or one of the user's own, has a stage of its own.
    """
    node = context.config["score"]
    standard = standard_scores(context.config["scoring"]["max_epochs"])
    name = next((known for known, settings in standard.items() if settings == node), None)
    scorers = standard if name else {"score": node}
    networks = build(node).num_networks
    tables = [_network_scores(context, scorers, name or "score", number) for number in range(networks)]
    if networks == 1:
        return tables[0]
    mean = torch.stack([table.score for table in tables]).double().mean(dim=0)
    return replace(tables[0], score=mean)


def _network_scores(context: Context, scorers: dict[str, Config], name: str, network: int) -> ScoreTable:
    """Return one network's table. Networks after the first train no longer than their scorer reads."""
    config = context.config
    stop = config["scoring"]["max_epochs"] if network == 0 else _epochs_read(config)
    nodes = {key: config[key] for key in ("model", "paradigm", "scoring", "score_seed")}
    reads = stage_reads(config, **nodes, scorers=scorers, network=network, stop=stop)
    result = context.store.get(
        "scoring",
        stage_key("scoring", VERSION, reads, context.data.fingerprint),
        lambda folder: _score(context, folder, scorers, network, stop),
        recompute=context.recompute,
    )
    context.ledger.add(StageCost.from_json(result.summary["cost"], reused=result.reused))
    if build(scorers[name]).measured == "final":  # the pass after training is paid for only by who reads it
        context.ledger.add(StageCost.from_json(result.summary["final_pass"], reused=result.reused))
    return ScoreTable.load(result.path / "scores" / f"{name}.parquet", context.data.fingerprint)


def _epochs_read(config: Config) -> int:
    score = build(config["score"])
    score.setup(1, config["scoring"]["max_epochs"])
    if not hasattr(score, "read_epoch"):
        raise ConfigError(f"{type(score).__name__} has several networks and must say its read_epoch.")
    return int(score.read_epoch) + 1


def _score(context: Context, folder: Path, scorers: dict[str, Config], network: int, stop: int) -> dict[str, Any]:
    """Train the measuring network in ``folder`` (resuming what lies there) and write every table."""
    config, data, settings = context.config, context.data, context.trainer
    recipe, score_seed = context.recipe(config["scoring"]["optim"]), config["score_seed"]
    model = context.fresh_model("model", stream_seed(score_seed, "scoring-model", network))
    seed = stream_seed(score_seed, "scoring-training", network)
    loader = data.train_loader(Shuffled(data.pool, seed), recipe.batch_size, seed, **context.placement)
    num_epochs = config["scoring"]["max_epochs"]
    module = build(config["paradigm"])(model, recipe, num_epochs=num_epochs, seed=seed)
    recorder = _recorder(context, scorers, num_epochs)
    metrics = EpochMetrics({}, data.num_classes)
    title = "scoring" if network == 0 else f"scoring, network {network}"
    callbacks = [metrics, recorder, ProgressBar(title, context.console)]
    trainer = fit(module, loader, settings, folder, callbacks, max_epochs=stop)
    recorder.finish(trainer, module)
    for name, table in recorder.compute().items():
        table.save(folder / "scores" / f"{name}.parquet")
    finish_folder(folder, model, metrics)
    cost = training_cost(context, "scoring", "model", metrics, forward_only=recorder.forward_samples)
    final = forward_cost(context, "scoring_final_pass", "model", recorder.final_samples)
    return {"cost": cost.to_json(), "final_pass": final.to_json()}


def _recorder(context: Context, scorers: dict[str, Config], num_epochs: int) -> ScoreRecorder:
    """Build the recorder; the scorers' lengths are those of the schedule, also when the training stops earlier."""
    data, scores = context.data, {name: build(node) for name, node in scorers.items()}
    wrong = [name for name, score in scores.items() if not isinstance(score, Score)]
    if wrong:
        raise ConfigError(f"score={wrong[0]} is not a secateur.scores.base.Score.")
    return ScoreRecorder(
        scores,
        sample_ids=data.pool,
        num_epochs=num_epochs,
        record=context.config["scoring"]["record"],
        eval_loader=lambda: data.eval_loader(data.pool, EVALUATION_BATCH, **context.placement),
        fingerprint=data.fingerprint,
        metadata={name: {"score": node} for name, node in scorers.items()},
    )
