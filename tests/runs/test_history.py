"""What a logger is told: every epoch once, in order, whatever was reused; and how it ends, whatever it raises."""

import json
from dataclasses import dataclass, field

import pytest

from secateur.runs.compose import default_experiment
from secateur.runs.history import History, job_of, read_rows, tracker_of
from secateur.tracking.csv import FilesOnly


@dataclass
class Heard:
    """A session that only keeps what it is told; it fails in the methods named in ``broken``."""

    broken: tuple[str, ...] = ()
    rows: list = field(default_factory=list)
    ended: list = field(default_factory=list)

    def _hear(self, name, value, into):
        if name in self.broken:
            raise ConnectionError(f"no {name}\ntoday")
        into.append(value)

    def log_epoch(self, training, row, position):
        self._hear("log_epoch", (position, training, row["epoch"]), self.rows)

    def log_result(self, result):
        self._hear("log_result", "result", self.ended)

    def log_failure(self, result):
        self._hear("log_failure", result.record.error, self.ended)

    def release(self, status):
        self._hear("release", status, self.ended)


@pytest.fixture
def run_dir(tmp_path):
    """A run folder with two epochs of training and one of fine-tuning."""
    (tmp_path / "metrics.csv").write_text("epoch,train_loss,test_accuracy\n0,1.5,\n1,0.5,0.75\n")
    (tmp_path / "full.csv").write_text("epoch,train_loss\n0,0.25\n")
    return tmp_path


def write_record(run_dir, status, error=None):
    (run_dir / "run.json").write_text(json.dumps({"schema": 1, "status": status, "error": error}))


def test_rows_are_read_as_they_were_written(run_dir):
    first, second = read_rows(run_dir / "metrics.csv")
    assert first == {"epoch": 0, "train_loss": 1.5, "test_accuracy": None}
    assert second == {"epoch": 1, "train_loss": 0.5, "test_accuracy": 0.75}


WHOLE = [(0, "training", 0), (1, "training", 1), (2, "full", 0)]


@pytest.mark.parametrize("streamed", [0, 1, 2], ids=lambda count: f"{count} streamed")
def test_every_epoch_is_told_once(run_dir, streamed):
    session = Heard()
    history = History(session, print)
    for row in list(read_rows(run_dir / "metrics.csv"))[:streamed]:
        history.epoch("training", row)
    history.complete("training", run_dir / "metrics.csv")
    history.complete("training", run_dir / "metrics.csv")
    write_record(run_dir, "finished")
    assert history.close(run_dir, None)
    assert session.rows == WHOLE
    assert session.ended == ["result", "finished"]


def test_a_resumed_training_tells_the_epochs_before_and_none_twice(run_dir):
    session = Heard()
    history = History(session, print)
    for epoch in (0, 0, 1, 1):  # a checkpoint is read and its epochs are told again
        history.epoch("training", {"epoch": epoch})
    assert session.rows == WHOLE[:2]


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_that_ends_early_says_why_and_replays_nothing(run_dir, status):
    session = Heard()
    write_record(run_dir, status, "out of memory")
    assert not History(session, print).close(run_dir, None)
    assert session.rows == []
    assert session.ended == ["out of memory", status]


@pytest.mark.parametrize("text", [None, "{", '{"schema": 1, "status": "running", "error": null}'])
def test_a_record_that_does_not_say_how_it_ended_is_a_failure(run_dir, text):
    if text is not None:
        (run_dir / "run.json").write_text(text)
    session = Heard()
    assert not History(session, print).close(run_dir, None)
    assert session.ended[-1] == "failed"


@pytest.mark.parametrize("broken", ["log_epoch", "log_result", "release"])
def test_a_logger_that_fails_is_left_out_with_one_line_and_still_released(run_dir, broken):
    session, lines = Heard(broken=(broken,)), []
    history = History(session, lines.append)
    history.complete("training", run_dir / "metrics.csv")
    write_record(run_dir, "finished")
    assert not history.close(run_dir, None)
    (line,) = lines
    assert f"no {broken} today" in line
    assert "the run goes on" in line
    assert "\n" not in line
    assert session.ended == {"log_epoch": ["finished"], "log_result": ["finished"], "release": ["result"]}[broken]


def test_without_a_logger_nothing_is_read(tmp_path):
    history = History(None, print)
    history.epoch("training", {"epoch": 0})
    history.complete("training", tmp_path / "absent.csv")
    assert not history.close(tmp_path, None)


@pytest.mark.parametrize("logger", [None, {"name": "csv"}], ids=["null", "older"])
def test_a_record_from_before_there_were_loggers_has_none(logger):
    assert isinstance(tracker_of(default_experiment().changed(logger=logger)), FilesOnly)


def test_a_job_is_named_after_what_it_does(tmp_path):
    nodes = {key: {"_target_": f"secateur.x.{key}.X"} for key in ("method", "score", "selection")}
    sets = {"data": {"name": "digits"}, "downstream": {"name": "mnist"}}
    config = default_experiment().changed(**nodes, **sets, name="table_1", seed=4)
    choices = {"method": "score", "score": "tdds", "selection": "top", "experiment": "dp4tl/some"}
    job = job_of(config, tmp_path / "0123456789ab", choices)
    assert (job.run_key, job.group, job.method) == ("0123456789ab", "table_1", "score")
    assert job.name == "digits-mnist/tdds/r0.3/s4"
    assert job.tags == ("digits-mnist", "tdds", "dp4tl")
