"""Wrap the run of one sweep job: check that the code is the launched one, and record the status of the job."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secateur.core.code import check_code
from secateur.core.manifest import FILE_NAME, Cell, editing, load_manifest
from secateur.core.record import now
from secateur.launch.freeze import Frozen
from secateur.launch.ranks import is_follower
from secateur.runs.compose import running_job
from secateur.runs.paths import frozen_conf
from secateur.runs.user_code import make_importable


class SingleRun:
    """A run of its own, which has nobody to tell."""

    num: int = 0

    def start(self) -> None:
        """Say that the job runs."""

    def runs_in(self, run_dir: Path) -> None:
        """Say which folder the run has."""

    def finish(self) -> None:
        """Say that the run is finished."""

    def fail(self, error: str) -> None:
        """Say why the run failed, in one line."""


class JobCell(SingleRun):
    """A job's place in its sweep's manifest.

    Args:
        folder: the sweep's folder.
        num: the job's number.
        own_process: a launcher started a process for this job.
    """

    def __init__(self, folder: Path, num: int, *, own_process: bool) -> None:
        self.folder, self.num, self.own_process = folder, num, own_process

    def start(self) -> None:
        """Say that the job runs; let its user's modules be found.

        Raises:
            ConfigError: the code is not the one that the sweep was launched with.
        """
        self._write(status="running", error=None, started=now(), ended=None, **self._slurm_job())
        if self.own_process:  # in the launching process it is what was loaded at the launch
            manifest = load_manifest(self.folder)
            make_importable(manifest.config_dir)
            check_code(manifest.code, manifest.user_code, self.folder)

    def runs_in(self, run_dir: Path) -> None:
        """Say which folder the run has."""
        self._write(run=Path(os.path.relpath(run_dir, self.folder)).as_posix())

    def finish(self) -> None:
        """Say that the run is finished."""
        self._write(status="finished", ended=now())

    def fail(self, error: str) -> None:
        """Say why the run failed, in one line."""
        self._write(status="failed", error=error, ended=now())

    def _write(self, **values: str | None) -> None:
        if is_follower():
            return
        with editing(self.folder) as manifest:
            cell: Cell = manifest.cells[self.num]
            for key, value in values.items():
                setattr(cell, key, value)
            cell.attempts += values.get("status") == "running"

    def _slurm_job(self) -> dict[str, str | None]:
        """Return the id squeue shows; nothing of a Slurm job that the whole sweep runs inside."""
        if not self.own_process or os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
            return {"job": None}
        array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        return {"job": f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")}


@contextmanager
def job_of_sweep(*, own_process: bool) -> Iterator[SingleRun]:
    """Yield the job's place in its sweep, if it is part of one; inside the block the sweep's copy of conf/ holds.

    Args:
        own_process: a launcher started a process for this job.
    """
    job = running_job()
    if job.sweep is None or not (job.sweep / FILE_NAME).is_file():
        yield SingleRun()
        return
    with frozen_conf(Frozen(job.sweep).conf):
        yield JobCell(job.sweep, int(Path(job.place).name), own_process=own_process)
