"""Whether a run's folder agrees with itself: record, configuration, key, files and their hashes. Trains nothing."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from secateur.core.errors import ConfigError, DataError
from secateur.core.hashing import file_sha256
from secateur.core.mask import Mask
from secateur.core.names import targeted
from secateur.core.predictions import Predictions
from secateur.core.record import RunRecord, load_record, one_line
from secateur.core.tables import ScoreTable
from secateur.runs.config import Config, Experiment, MissingKeyError
from secateur.runs.keys import foreign_code, run_key
from secateur.training.fit import PREDICTIONS
from secateur.verify.compare import UNREADABLE, first_difference
from secateur.verify.read import form_problem, missing_keys

# What a run makes, in this order; further files follow.
FILES = ("scores.parquet", "mask.parquet", "metrics.csv", "predictions.parquet")


class OlderRecordError(DataError):
    """A record of code that did not know all keys of today's configuration."""


def finished_record(run_dir: Path) -> RunRecord:
    """Return the record of a finished run.

    Raises:
        DataError: there is none, it cannot be read, a key is missing, a value is not what a run writes, or the run is
            not finished.
    """
    record = load_record(run_dir)
    if missing := missing_keys(record):
        raise DataError(f"{run_dir}/run.json has no {', '.join(missing)}: it is not the record of a run.")
    if record.status != "finished":
        raise DataError(f"The run in {run_dir} is {record.status!r}; only a finished run can be verified.")
    record.config = targeted(record.config)
    if problem := form_problem(record):
        raise DataError(f"{run_dir}/run.json is not the record of a finished run: {problem}.")
    return record


def configuration_problems(run_dir: Path, record: RunRecord) -> list[str]:
    """Return where the copies of the configuration disagree: it is not clear then what was run."""
    config: Config = record.config
    problems = [
        f"run.json: {key} is {said}, but its config says {config.get(key)}"
        for key, said in (("seed", record.seed), ("score_seed", record.score_seed), ("name", record.name))
        if said != config.get(key)
    ]
    try:
        stored = targeted(OmegaConf.to_container(OmegaConf.load(run_dir / "config.yaml")))
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError):
        return [*problems, "config.yaml: is missing or cannot be read"]
    found = first_difference(config, stored)
    if found:
        where = ".".join(map(str, found.path))
        problems.append(f"config.yaml: {where} is {found.after}, but run.json says {found.before}")
    return problems


def key_problem(record: RunRecord, versions: Mapping[str, int]) -> str | None:
    """Return what is wrong with the record's run_key, recomputed from its configuration, pool and stage versions.

    Args:
        record: the record.
        versions: today's ``VERSION`` of every stage, for a record that does not hold its own.

    Raises:
        ConfigError: a class of the user's own cannot be imported.
        OlderRecordError: its configuration lacks keys that today's run_key is made of.
    """
    config = record.config
    recorded = record.provenance.get("stage_versions")
    data, transfer = record.data, record.transfer
    pools = [data.fingerprint, transfer.fingerprint, data.evaluation_fingerprint, transfer.evaluation_fingerprint]
    try:
        own = foreign_code(config)
    except Exception as error:  # whatever the import of a user's module raises
        raise ConfigError(
            f"The run uses code that cannot be imported ({error}): start from its folder, or add --config-dir."
        ) from error
    try:
        key = run_key(Experiment.of(config, recorded=True), "+".join(filter(None, pools)), recorded or versions)
    except MissingKeyError as error:
        raise OlderRecordError(
            f"an older record: its key cannot be checked (its configuration has no {error.key!r})"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"The configuration in run.json is not one of a run ({error}).") from error
    if key == record.run_key:
        return None
    reasons = ["a setting, a seed or a fingerprint was changed after the run"]
    reasons += [f"{', '.join(own['code'])} was edited"] if own else []
    reasons += [] if recorded else ["the code has other stage versions (this record does not say its own)"]
    return f"run.json: run_key is {record.run_key}, but what it records gives {key}: {', or '.join(reasons)}"


def file_problems(run_dir: Path, record: RunRecord) -> Iterator[str]:
    """Yield every file that is not the one that was recorded, and every number that its own file contradicts."""
    for name, sha256 in sorted(record.artifacts.items()):
        path = run_dir / name
        size = record.artifact_bytes.get(name)
        if not path.is_file():
            yield f"{name}: is missing"
        elif size is not None and size != path.stat().st_size:
            yield f"{name}: is not the file that was recorded ({path.stat().st_size} bytes, recorded {size})"
        elif (found := file_sha256(path)) != sha256:
            yield f"{name}: is not the file that was recorded (sha256 {found[:12]}..., recorded {sha256[:12]}...)"
    for name in FILES:
        if name not in record.artifacts and (run_dir / name).is_file():
            yield f"{name}: is not among the files that run.json lists"
    for check in (_mask_problem, _scores_problem, _metrics_problem, _predictions_problem):
        if problem := _readable(check, run_dir, record):
            yield problem


def _readable(check: Callable[[Path, RunRecord], str | None], run_dir: Path, record: RunRecord) -> str | None:
    try:
        return check(run_dir, record)
    except UNREADABLE as error:
        return f"{check.__name__.split('_')[1]}: cannot be checked: {one_line(error)}"


def _mask_problem(run_dir: Path, record: RunRecord) -> str | None:
    pruning = record.pruning
    if pruning.per_epoch and "mask.parquet" not in record.artifacts:
        return None  # nothing is kept for good
    mask = Mask.load(run_dir / "mask.parquet")
    found = {
        "mask_sha256": (mask.sha256, pruning.mask_sha256),
        "num_kept": (mask.num_kept, pruning.num_kept),
        "num_total": (len(mask), pruning.num_total),
        "fingerprint": (mask.fingerprint, record.data.fingerprint),
    }
    wrong = [f"{key} {there} in the file, {said} in run.json" for key, (there, said) in found.items() if there != said]
    return f"mask.parquet: {wrong[0]}" if wrong else None


def _scores_problem(run_dir: Path, record: RunRecord) -> str | None:
    if "scores.parquet" not in record.artifacts:
        return None
    table = ScoreTable.load(run_dir / "scores.parquet")
    said = record.data.fingerprint
    if table.fingerprint != said:
        return f"scores.parquet: fingerprint {table.fingerprint} in the file, {said} in run.json"
    return None


def _metrics_problem(run_dir: Path, record: RunRecord) -> str | None:
    """Compare the last epoch's test accuracy with the record's; a transfer's metrics.csv is of its pretraining."""
    if "metrics.csv" not in record.artifacts:
        return None
    with (run_dir / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return "metrics.csv: has no epoch"
    (key, said), there = _of_the_table(record), rows[-1].get("test_accuracy")
    if not there or float(there) == said:
        return None
    return (
        f"run.json: metrics.{key} is {'null' if said is None else said}, but the last epoch in metrics.csv has {there}"
    )


def _predictions_problem(run_dir: Path, record: RunRecord) -> str | None:
    """Compare the accuracies in the record with the predictions they are of; a transfer's are of its pretraining."""
    if PREDICTIONS not in record.artifacts:
        return None
    table, (key, accuracy) = Predictions.load(run_dir / PREDICTIONS), _of_the_table(record)
    if table.accuracy != accuracy:
        return f"run.json: metrics.{key} is {accuracy}, but {PREDICTIONS} has {table.accuracy}"
    said = None if record.transfer.downstream else record.metrics.class_accuracy
    if said is not None and (wrong := _class_problem(table, said)):
        return f"run.json: metrics.class_accuracy {wrong} in {PREDICTIONS}"
    return None


def _of_the_table(record: RunRecord) -> tuple[str, float | None]:
    """Return the key of the accuracy that the final training's own files are of, and the accuracy."""
    if record.transfer.downstream:
        return "source_accuracy", record.metrics.source_accuracy
    return "test_accuracy", record.metrics.test_accuracy


def _class_problem(table: Predictions, said: list[float | None]) -> str | None:
    for label, accuracy in enumerate(said):
        hits = (table.prediction == table.label)[table.label == label]
        found = int(hits.sum()) / len(hits) if len(hits) else None
        if found != accuracy:
            return f"of class {label} is {accuracy}, but {found}"
    return None
