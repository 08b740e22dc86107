"""Stage ``scoring``: one training of the measuring network records every standard scorer at once.

The training follows the schedule of its full length and stops after the last epoch that the asked scorer reads. The
entry in the store keeps a checkpoint, from which it is extended when a later run's scorer reads more; the longer entry
replaces the shorter one, and what both hold is equal to the last byte. What a run pays is what its own scorer reads,
whatever the entry holds.
"""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.files import read_json, write_json
from secateur.core.group import current, is_rank_zero
from secateur.core.ledger import StageCost
from secateur.core.names import named
from secateur.core.seeds import stream_seed
from secateur.core.stage_files import CHECKPOINTS
from secateur.core.store import StageResult, read_stored, stage_key
from secateur.core.tables import ScoreTable
from secateur.data.order import Shuffled, positions
from secateur.data.prepared import EVALUATION_BATCH
from secateur.runs.compose import load_yaml
from secateur.runs.config import Config, Node
from secateur.runs.context import Context
from secateur.runs.keys import stage_reads
from secateur.runs.modules import make_module
from secateur.runs.nodes import scorer, shared
from secateur.runs.paths import conf_folder
from secateur.runs.plan import scoring_costs
from secateur.runs.stages.pseudo_labels import find_and_score
from secateur.scores.base import Score
from secateur.scores.order import is_too_ordered, order_r2
from secateur.training.callbacks.kept_weights import KeptWeights, weights_file
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.progress import ProgressBar
from secateur.training.callbacks.recorder import ScoreRecorder
from secateur.training.clocks import Clocks
from secateur.training.fit import RESUME, fit, keep_checkpoint, start_from
from secateur.training.modules.unsupervised import Unsupervised

VERSION = 3


def standard_scores(num_epochs: int) -> dict[str, Node]:
    """Return the shipped scorers, with their default settings, that a training of this length can feed."""
    paths = sorted(conf_folder().glob("score/*.yaml"))
    nodes = {path.stem: load_yaml(path) for path in paths}
    return {name: node for name, node in nodes.items() if shared(node).epochs_needed <= num_epochs}


def recorded_together(node: Node, num_epochs: int) -> dict[str, Node]:
    """Return the scorers that a scoring for one of them records by the way, by name, the asked one among them.

    A standard scorer is recorded with all standard ones that cost nothing beside the training, or a single pass over
    the data; those that need a pass after each epoch are recorded when they are asked for. A scorer with other
    settings, or one of the user's own, is recorded alone, as ``score``.
    """
    _, scorers = _entry(node, num_epochs)
    kinds = _costly(_set_up(node, num_epochs))
    return {name: one for name, one in scorers.items() if _costly(_set_up(one, num_epochs)) <= kinds}


def _entry(node: Node, num_epochs: int) -> tuple[str, dict[str, Node]]:
    """Return a scorer's name in its entry of the store, and all scorers whose settings enter that entry's key."""
    standard = standard_scores(num_epochs)
    name = next((known for known, settings in standard.items() if settings == node), None)
    return (name, standard) if name else ("score", {"score": node})


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
        weights: the file in it that holds them: the first network as it was when the scorer had read its last epoch.
        labels: the label every sample of the pool was given, int64 ``[N]``; the data's own, or found without them.
        order_r2: how much of the scores' ranks the order of the training explains, see
            :func:`~secateur.scores.order.order_r2`; None where nothing was trained in an order, or cannot be told.
    """

    table: ScoreTable
    stages: list[StageResult]
    network: StageResult
    weights: str
    labels: Tensor
    order_r2: float | None = None


def measure(context: Context, on: Measuring | None = None) -> Measured:
    """Return the scores by ``score=``, averaged over its networks; books what they cost.

    The stage's key does not depend on which standard scorer is asked for, nor on how many epochs it reads: all of them
    are recorded by one training. A scorer with other settings, or one of the user's own, has a stage of its own.

    Args:
        context: the run.
        on: what is measured; None: the whole pool, for ``scoring.max_epochs``.
    """
    on = on or Measuring(context.data.pool, context.config.scoring.max_epochs)
    node = context.config.score
    name, scorers = _entry(node, on.num_epochs)
    if isinstance(shared(context.config.paradigm), Unsupervised):
        found = find_and_score(context, VERSION, on.sample_ids, on.num_epochs, scorers, _reads(on, scorers, 0))
        table = _mean_table(context, [found.scoring], name)
        return Measured(table, [found.scoring], found.encoder, "model.safetensors", found.labels)
    score = _set_up(node, on.num_epochs)
    stages = [_network(context, on, scorers, name, number) for number in range(score.num_networks)]
    table = _mean_table(context, stages, name)
    r2 = _order_r2(context, on, score, table)
    return Measured(table, stages, stages[0], weights_file(score.epochs.stop), context.data.pool_labels, r2)


def _set_up(node: Node, num_epochs: int) -> Score:
    """Return a scorer that knows what it reads of a training of so many epochs."""
    score = scorer(node)
    if not isinstance(score, Score):
        raise ConfigError(f"{node['_target_']} is not a secateur.scores.base.Score.")
    score.setup(1, num_epochs)
    return score


def _mean_table(context: Context, stages: list[StageResult], name: str) -> ScoreTable:
    """Return the mean of the stages' tables of one scorer."""
    files = [stage.path / "scores" / f"{name}.parquet" for stage in stages]
    tables = [read_stored(partial(ScoreTable.load, file, context.data.fingerprint)) for file in files]
    if len(tables) == 1:
        return tables[0]
    mean = torch.stack([table.score for table in tables]).double().mean(dim=0)
    return replace(tables[0], score=mean)


def _reads(on: Measuring, scorers: dict[str, Node], network: int) -> Config:
    """Return what of a measuring enters its stage's key, whoever measures."""
    subset = {"subset": on.subset, "num_epochs": on.num_epochs} if on.subset else {}
    return {"scorers": scorers, "network": network, **subset}


def _order_r2(context: Context, on: Measuring, score: Score, table: ScoreTable) -> float | None:
    """Return how much of the scores' ranks the orders of all networks' trainings explain, and warn of much."""
    seeds = [_training_seed(context, network) for network in range(score.num_networks)]
    orders = [positions(Shuffled(on.sample_ids, seed), on.sample_ids, score.epochs.stop) for seed in seeds]
    places = torch.cat(orders)
    r2 = order_r2(table.score, places)
    if is_too_ordered(r2, len(table), len(places)):
        passes = "" if score.record == "eval_pass" else "read a pass after each epoch (score.record=eval_pass), "
        context.warn(
            f"The order in which the scoring network saw the samples explains {r2:.0%} of the ranks of these scores "
            f"(adjusted R2; at most 10 % is usual): part of the mask is chance that another seed does not repeat. "
            f"Remedies: {passes}train the scoring network longer (scoring.max_epochs), or average scores over seeds."
        )
    return None if math.isnan(r2) else r2


def _training_seed(context: Context, network: int) -> int:
    return stream_seed(context.config.score_seed, "scoring-training", network)


# -- one network ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extent:
    """How much of a training is recorded.

    Attributes:
        stop: epochs that are trained.
        kinds: kinds of passes that are made in more than one epoch, because a scorer reads them.
    """

    stop: int
    kinds: frozenset[str]

    def joined(self, other: "Extent | None") -> "Extent":
        """Return the extent that covers both."""
        if other is None:
            return self
        return Extent(max(self.stop, other.stop), self.kinds | other.kinds)

    def to_json(self) -> Config:
        """Return plain JSON values."""
        return {"epochs": self.stop, "kinds": sorted(self.kinds)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Extent":
        """Restore what :meth:`to_json` gave."""
        return cls(values["epochs"], frozenset(values["kinds"]))


def _costly(score: Score) -> frozenset[str]:
    """Return the kind of passes that a scorer reads in more than one epoch, alone or not at all."""
    return frozenset({score.record} if score.num_passes > 1 else ())


def _network(context: Context, on: Measuring, scorers: dict[str, Node], name: str, network: int) -> StageResult:
    """Train one network until the scorer has read its last epoch, or find it trained that far; books it."""
    config = context.config
    nodes = config.pick("model", "paradigm", "scoring", "score_seed")
    reads = stage_reads(config, **nodes, **_reads(on, scorers, network))
    key = stage_key("scoring", VERSION, reads, context.data.fingerprint)
    result = context.store.get(
        "scoring",
        key,
        lambda folder: _score(context, folder, key, on, scorers, name, network),
        recompute=context.recompute,
        suffices=lambda summary: name in summary["scores"],
    )
    for cost in _costs(context, _set_up(scorers[name], on.num_epochs), result):
        context.ledger.add(cost)
    return result


def _costs(context: Context, score: Score, result: StageResult) -> list[StageCost]:
    """Return what a scorer's part of an entry cost: the epochs until its last one, and the passes it reads."""
    summary, stop = result.summary, score.epochs.stop
    epochs = summary["epochs_trained"][:stop]
    passes = summary["passes"].get(score.record, {})
    read = [passes[str(epoch)] for epoch in score.epochs] if score.record != "train_forward" else []
    samples = sum(one["samples"] for one in read)
    passed = {key: sum(one[key] for one in read) for key in ("seconds", "device_seconds")}
    passed["device_seconds"] *= summary["num_processes"]
    parts = {key: sum(epoch[key] for epoch in epochs) for key in ("train_seconds", "train_device_seconds")}
    trained = {key: parts[f"train_{key}"] for key in passed}
    if score.record == "eval_pass":  # a pass before each step lies within the training's own time
        trained = {key: seconds + passed[key] for key, seconds in trained.items()}
    stages = scoring_costs(context, score, sum(epoch["samples"] for epoch in epochs), samples)
    about: dict[str, Any] = {"reused": result.reused, "peak_memory_bytes": summary["peak_memory_bytes"]}
    spent: list[dict[str, Any]] = [{**trained, **parts}, passed]
    return [replace(stage, **one, **about) for stage, one in zip(stages, spent, strict=False)]


def _score(
    context: Context, folder: Path, key: str, on: Measuring, scorers: dict[str, Node], name: str, network: int
) -> dict[str, Any]:
    """Train the measuring network in ``folder`` and write every table that is complete.

    The training goes on from what lies in the folder, which an earlier attempt left, or from the checkpoint of the
    finished entry, where these recorded all that is wanted now; else it starts anew.
    """
    config, data, settings = context.config, context.data, context.trainer
    recipe, score_seed = context.recipe(config.scoring.optim), config.score_seed
    clocks = Clocks(settings.device)
    set_up = {one: _set_up(node, on.num_epochs) for one, node in scorers.items()}
    wanted = Extent(set_up[name].epochs.stop, _costly(set_up[name]))
    extent = Extent.from_json(current().from_zero(lambda: _prepare(context, folder, key, wanted).to_json()))
    recorded = {one: score for one, score in set_up.items() if _costly(score) <= extent.kinds}
    longest = max(score.epochs.stop for score in recorded.values())

    model = context.fresh_model("model", stream_seed(score_seed, "scoring-model", network))
    seed = _training_seed(context, network)
    order = Shuffled(on.sample_ids, seed)
    loader = data.train_loader(order, recipe.batch_size, seed, **context.placement)
    module = make_module(context, config.paradigm, model, recipe, num_epochs=on.num_epochs, seed=seed)
    recorder = _recorder(context, on, {one: scorers[one] for one in recorded}, recipe.batch_size, order, seed)
    metrics = EpochMetrics({}, data.num_classes, clocks=clocks)
    weights = KeptWeights({score.epochs.stop for score in recorded.values()})
    title = "scoring" if on.subset is None else f"scoring {len(on.sample_ids)} of {context.num_total}"
    title += f", network {network}" if network else ""
    callbacks = [metrics, recorder, weights, ProgressBar(title, context.console)]
    trainer = fit(module, loader, settings, folder, callbacks, max_epochs=extent.stop, say=context.say)
    recorder.finish(trainer, module)
    complete = [one for one, score in recorded.items() if score.epochs.stop <= extent.stop]
    for one, table in recorder.compute(complete).items() if is_rank_zero() else ():
        table.save(folder / "scores" / f"{one}.parquet")
    weights.save(folder)
    if is_rank_zero():
        metrics.save(folder / "metrics.csv")
        if extent.stop < longest:
            keep_checkpoint(folder)
    return {**extent.to_json(), "scores": complete, **_spent(clocks, metrics, recorder, settings.device)}


def _prepare(context: Context, folder: Path, key: str, wanted: Extent) -> Extent:
    """Return how much is to be recorded, and put the checkpoint to go on from into the folder, if there is one.

    An attempt that was killed is finished as it was begun, even where less is wanted now. What the finished entry holds
    is recorded again, so that the new entry can take its place. With ``force=all`` no less is recorded than before,
    from the first epoch on.
    """
    checkpoints = folder / CHECKPOINTS
    note = checkpoints / "extent.json"
    summary = context.store.finished("scoring", key)
    entry = context.store.folder("scoring", key)
    begun = _begun(note)
    there = Extent.from_json(summary) if summary else None
    extent = wanted.joined(begun).joined(there)
    if begun is None or begun.kinds != extent.kinds:
        shutil.rmtree(checkpoints, ignore_errors=True)
        if not context.recompute and there and there.kinds == extent.kinds and (entry / RESUME).is_file():
            start_from(entry, folder)
    write_json(note, extent.to_json())
    return extent


def _begun(note: Path) -> Extent | None:
    """Return the extent of an attempt that was killed, or None where there was none or its note is damaged."""
    try:
        return Extent.from_json(read_json(note))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _spent(clocks: Clocks, metrics: EpochMetrics, recorder: ScoreRecorder, device: torch.device) -> dict[str, Any]:
    """Return what was trained and passed, epoch by epoch, for the costs of each scorer."""
    rows = zip(metrics.rows, clocks.epochs, strict=True)
    return {
        "epochs_trained": [{"samples": row["num_samples"], **seconds} for row, seconds in rows],
        "passes": {
            kind: {str(epoch): spent for epoch, spent in epochs.items()} for kind, epochs in recorder.passes.items()
        },
        "num_processes": current().size,
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def _recorder(
    context: Context, on: Measuring, scorers: dict[str, Node], batch_size: int, order: Shuffled, seed: int
) -> ScoreRecorder:
    """Build the recorder; the scorers' lengths are those of the schedule, also when the training stops earlier."""
    data = context.data
    plain = data.train_loader(order, batch_size, seed, augment=False, **context.placement)

    def clean(epoch: int) -> Any:
        plain.set_epoch(epoch)
        return plain

    return ScoreRecorder(
        {name: scorer(node) for name, node in scorers.items()},
        sample_ids=on.sample_ids,
        num_epochs=on.num_epochs,
        eval_loader=lambda: data.eval_loader(on.sample_ids, EVALUATION_BATCH, **context.placement),
        clean_loader=clean,
        fingerprint=data.fingerprint,
        metadata={name: {"score": named(node)} for name, node in scorers.items()},
    )
