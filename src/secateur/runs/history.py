"""One logger per job: opened when the job begins, told every epoch once, closed by what run.json says."""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from secateur.core.errors import DataError
from secateur.core.files import read_json, write_json
from secateur.core.group import is_rank_zero
from secateur.core.hashing import file_sha256
from secateur.core.names import TARGET, named
from secateur.core.record import FILE_NAME, Pruning, RunRecord, label_of, load_record, one_line
from secateur.data.prepared import PreparedData
from secateur.runs.config import Experiment
from secateur.runs.naming import Choices, choices_of_parts
from secateur.runs.nodes import build
from secateur.tracking.base import HISTORIES, Job, Result, Row, Session, Status, Tracker
from secateur.tracking.csv import FilesOnly

MIRRORED = "tracking.json"  # where a finished run was logged to, and the hash of the run.json that was


class History:
    """What a job tells its logger. A logger that fails is left out with a warning: it is a mirror, and the run goes on.

    Args:
        session: the open logger; None: there is none.
        say: called with a line of text when the logger fails.
    """

    def __init__(self, session: Session | None, say: Callable[[str], None]) -> None:
        self.session, self.say = session, say
        self.failed = False
        self._told: dict[str, int] = {}

    def epoch(self, training: str, row: Row) -> None:
        """Log one epoch, unless it was.

        Args:
            training: a key of :data:`secateur.tracking.base.HISTORIES`.
            row: a row of metrics.csv; epochs follow each other from 0.
        """
        session = self.session
        if session is None or int(row["epoch"] or 0) < self._told.get(training, 0):
            return
        position = sum(self._told.values())
        self._told[training] = self._told.get(training, 0) + 1
        self._try(lambda: session.log_epoch(training, row, position))

    def complete(self, training: str, path: Path) -> None:
        """Log the epochs of a finished training's metrics.csv that were not logged while it ran, if it ran."""
        if self.session is not None and path.is_file():
            for row in read_rows(path):
                self.epoch(training, row)

    def close(self, run_dir: Path, data: PreparedData | None) -> bool:
        """Log what came out, end the session, and return whether all of a finished run was logged.

        Args:
            run_dir: the run's folder; its run.json says how the run ended.
            data: the data set, if it could be read.
        """
        session = self.session
        if session is None:
            return False
        record = _record(run_dir)
        ended = _ended(record)
        try:
            if record is not None:
                self._log_end(session, Result(record, run_dir, data), ended)
        finally:
            complete, self.failed = not self.failed, False
            self._try(lambda: session.release(ended))
            self.session = None
        return ended == "finished" and complete and not self.failed

    def _log_end(self, session: Session, result: Result, ended: Status) -> None:
        if ended != "finished":
            self._try(lambda: session.log_failure(result))
            return
        for training, name in HISTORIES.items():
            self.complete(training, result.run_dir / name)
        self._try(lambda: session.log_result(result))

    def _try(self, action: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            action()
        except Exception as error:  # whatever a logger raises must not end a run
            self.failed = True
            self.say(_left_out(error))


def tracker_of(config: Experiment) -> Tracker:
    """Return the logger that ``logger:`` describes; a node of an older record describes none."""
    tracker: Tracker = build(config.logger) if config.logger and TARGET in config.logger else FilesOnly()
    return tracker


@contextmanager
def following(
    config: Experiment,
    run_dir: Path,
    choices: Choices,
    say: Callable[[str], None],
    data: PreparedData | None = None,
) -> Iterator[History]:
    """Open the job's logger, and close it by what run.json says when the block has ended, however it did.

    Args:
        config: the canonical configuration.
        run_dir: the run's folder.
        choices: the option each group was set to.
        say: called with a line of text when the logger fails.
        data: the prepared data set, for images.
    """
    tracker = tracker_of(config)
    history = History(_open(tracker, job_of(config, run_dir, choices), say), say)
    try:
        yield history
    finally:
        if history.close(run_dir, data):
            _note_mirrored(run_dir, tracker)


def mirror(
    config: Experiment,
    run_dir: Path,
    choices: Choices,
    say: Callable[[str], None],
    data: PreparedData | None = None,
) -> None:
    """Log a run that has ended, unless the same logger has logged the same record."""
    destination = tracker_of(config).destination
    if destination is None or _mirrored(run_dir).get(destination) == file_sha256(run_dir / FILE_NAME):
        return
    with following(config, run_dir, choices, say, data):
        pass


def job_of(config: Experiment, run_dir: Path, choices: Choices) -> Job:
    """Return what is known of a run before it begins."""
    options = choices_of_parts(config, choices)
    label = label_of(Pruning.of({**options, "variant": config.variant}))
    data = "-".join(node["name"] for node in (config.data, config.downstream) if node)
    experiment = str(choices.get("experiment") or "")
    paper = experiment.split("/")[0] if "/" in experiment else ""
    ratio = f"{config.pruning_ratio:g}"
    return Job(
        run_dir=run_dir,
        run_key=run_dir.name,
        group=config.name,
        name=f"{data}/{label}/r{ratio}/s{config.seed}",
        method=str(options["method"]),
        label=label,
        tags=tuple(filter(None, (data, label, paper))),
        config=named(config.to_json()),
    )


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a metrics.csv; what was not measured is None."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {key: float(value) if value else None for key, value in row.items()}


def _open(tracker: Tracker, job: Job, say: Callable[[str], None]) -> Session | None:
    """Open the logger on rank 0; None without one, or if it cannot be opened."""
    if not is_rank_zero():
        return None
    try:
        return tracker.open(job)
    except Exception as error:  # a server that does not answer raises anything
        say(_left_out(error))
        return None


def _left_out(error: Exception) -> str:
    return (
        f"the logger failed and is left out ({one_line(error)}); the run goes on, all of it is in its folder, and the "
        "same command logs it once it is finished"
    )


def _record(run_dir: Path) -> RunRecord | None:
    with suppress(DataError):
        return load_record(run_dir)
    return None


def _ended(record: RunRecord | None) -> Status:
    """Return how a run ended; without a record that says so it failed."""
    return "failed" if record is None or record.status == "running" else record.status


def _mirrored(run_dir: Path) -> Mapping[str, str]:
    """Return the hash of run.json by the destination it was logged to."""
    with suppress(OSError, ValueError):
        found: Mapping[str, str] = read_json(run_dir / MIRRORED)
        return found
    return {}


def _note_mirrored(run_dir: Path, tracker: Tracker) -> None:
    if tracker.destination is not None:
        sha256 = file_sha256(run_dir / FILE_NAME)
        write_json(run_dir / MIRRORED, {**_mirrored(run_dir), tracker.destination: sha256})
