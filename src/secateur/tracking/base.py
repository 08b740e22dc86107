"""What every logger is told: that a job begins, each epoch of its trainings, what came out, that it ends.

A logger mirrors what the run's folder holds; run.json stays the source of truth. Each time a job opens its logger it
tells the whole history again, so that a resumed run is complete wherever the earlier part of it went; the loggers that
go on with what they have leave out what is already there.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secateur.core.errors import ConfigError
from secateur.core.record import RunRecord

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

    from secateur.data.prepared import PreparedData

Row = Mapping[str, float | int | None]
Status = Literal["finished", "failed", "interrupted"]

# The trainings a run can end with and the files in its folder with one row per epoch, in the order they happen.
HISTORIES = {"training": "metrics.csv", "linear_probe": "linear_probe.csv", "full": "full.csv"}


@dataclass(frozen=True)
class Job:
    """What is known of a run when it begins.

    Attributes:
        run_dir: its folder.
        run_key: its key, 12 hex digits; the same when it is started again.
        group: name of the folder its sweep's runs share.
        name: for people: data, method, ratio, seed.
        method: the option of ``method=``.
        label: the method in words, as far as the configuration tells.
        tags: what it can be found by.
        config: the resolved configuration.
    """

    run_dir: Path
    run_key: str
    group: str
    name: str
    method: str
    label: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What is known of a run when it ends: its record, its folder, and the data where it could be read."""

    record: RunRecord
    run_dir: Path
    data: "PreparedData | None" = None


class Session:
    """One job's time with a logger.

    Args:
        logger: Lightning's.
        resources: what is to be given back in the end.
        num_logged: rows of the history that the logger has from an earlier start of the same run.
    """

    def __init__(self, logger: "Logger", resources: ExitStack, num_logged: int = 0) -> None:
        self.logger, self.resources, self.num_logged = logger, resources, num_logged

    def log_epoch(self, training: str, row: Row, position: int) -> None:
        """Log one epoch.

        Args:
            training: which of the run's trainings, a key of :data:`HISTORIES`.
            row: a row of its metrics.csv; None is left out.
            position: how many rows of the run's whole history come before.
        """
        if position >= self.num_logged:
            values = {f"{training}/{key}": float(value) for key, value in row.items() if value is not None}
            self.logger.log_metrics(values, step=position)

    def log_result(self, result: Result) -> None:
        """Log what a finished run came to."""

    def log_failure(self, result: Result) -> None:
        """Log why a run failed or was interrupted."""

    def release(self, status: Status) -> None:
        """End the session and give everything back, whatever happened before."""
        with self.resources:
            self.logger.finalize({"finished": "success", "failed": "failed", "interrupted": "KILLED"}[status])


class Tracker(ABC):
    """A logger as the configuration describes it."""

    package = ""  # what has to be installed
    extra = ""  # the extra of Secateur that installs it

    @property
    @abstractmethod
    def destination(self) -> str | None:
        """Where runs are logged to, in words; None: nowhere beside the run's folder."""

    def check(self) -> None:
        """Raise :class:`ConfigError` if it cannot work on this machine; starts nothing."""
        if self.package and find_spec(self.package) is None:
            option = type(self).__module__.rpartition(".")[2]
            install = f"secateur[{self.extra}]" if self.extra else self.package
            raise ConfigError(f"logger={option} needs {self.package}: pip install '{install}', or take logger=csv.")

    def state(self) -> str:
        """Return in words how it works on this machine, for ``secateur doctor``."""
        return "works"

    @abstractmethod
    def open(self, job: Job) -> Session | None:
        """Begin to log a job."""


@contextmanager
def environment(values: Mapping[str, str], also_restored: tuple[str, ...] = ()) -> Iterator[None]:
    """Set environment variables inside the block and put back afterwards what was there.

    Args:
        values: variables to set.
        also_restored: variables that something in the block may set.
    """
    before = {name: os.environ.get(name) for name in (*values, *also_restored)}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
