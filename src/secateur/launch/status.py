"""Determine the status of every job of a sweep from run.json, the locks and the queue, in this order."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from secateur.core.errors import ConfigError, DataError
from secateur.core.manifest import FILE_NAME, Cell, Manifest, Status, editing, load_manifest
from secateur.core.record import RunRecord, load_record
from secateur.core.store import is_held

LAUNCH_LOCK = "launch.lock"
INTERRUPTED = "it was started, has no result, and no process works on it"
NOT_STARTED = "no process has started it, and none will"


def refresh(folder: Path, queue: Mapping[str, str] | None) -> Manifest:
    """Find out the status of every job, and write it into the manifest where that may be written.

    Args:
        folder: the sweep's folder.
        queue: Slurm's queue, see :func:`secateur.launch.slurm.queue`, asked for *before* this call: a job not in
            it has ended. None: it is not known, and what the manifest says of jobs at Slurm is taken as it is.
    """
    if not os.access(folder, os.W_OK):
        manifest = load_manifest(folder)
        _update(folder, manifest, queue)
        return manifest
    with editing(folder) as manifest:
        _update(folder, manifest, queue)
    return manifest


def _update(folder: Path, manifest: Manifest, queue: Mapping[str, str] | None) -> None:
    launching = is_held(folder / LAUNCH_LOCK)
    for cell in manifest.cells:
        cell.status, cell.error = status_of(cell, folder, queue, launching=launching)


def status_of(
    cell: Cell, folder: Path, queue: Mapping[str, str] | None, *, launching: bool
) -> tuple[Status, str | None]:
    """Return a job's status, and why it has no result.

    Args:
        cell: what the manifest says.
        folder: the sweep's folder.
        queue: as in :func:`refresh`.
        launching: whether the command that launches the sweep is still there.
    """
    record = _record(folder, cell)
    ended = record.status if record else None
    if ended == "finished" and (cell.status == "finished" or _is_of_this_attempt(record, cell)):
        return "finished", None
    if cell.status == "failed":
        return "failed", cell.error
    if record and ended == "failed" and _is_of_this_attempt(record, cell):
        return "failed", record.error
    if (alive := _alive(cell, folder, queue, launching=launching)) is not None:
        return alive, None
    if record or cell.attempts or cell.started or cell.run is not None:
        return "interrupted", "stopped by hand or by its scheduler" if ended == "interrupted" else INTERRUPTED
    return "not started", NOT_STARTED


def find_sweep(path: Path, *, latest: bool = False) -> Path:
    """Return the sweep's folder that a user means: the given one, or the only one below it.

    Args:
        path: what the user named.
        latest: of several take the last that was launched, and say so on stderr.

    Raises:
        ConfigError: there is none, or there are several.
    """
    if (path / FILE_NAME).is_file():
        return path
    found = sorted(manifest.parent for manifest in path.glob(f"*/{FILE_NAME}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"{path} is not the folder of a sweep: it has no {FILE_NAME}. They lie in outputs/sweeps/.")
    if latest:
        sys.stderr.write(f"secateur: {path} holds {len(found)} sweeps; this is the latest, {found[-1]}\n")
        return found[-1]
    raise ConfigError(f"{path} holds {len(found)} sweeps; name one, the latest is {found[-1]}.")


def _alive(cell: Cell, folder: Path, queue: Mapping[str, str] | None, *, launching: bool) -> Status | None:
    """Return ``pending`` or ``running`` for a job that somebody works on, or will; None when nobody does."""
    if cell.job is not None:
        state = cell.status if queue is None else queue.get(cell.job)
        return state if state in ("pending", "running") else None  # type: ignore[return-value]
    run_dir = cell.run_dir(folder)
    if cell.status == "running" and (launching or (run_dir is not None and is_held(run_dir / "run.lock"))):
        return "running"
    return "pending" if launching and cell.status == "pending" else None


def _record(folder: Path, cell: Cell) -> RunRecord | None:
    run_dir = cell.run_dir(folder)
    try:
        return None if run_dir is None else load_record(run_dir)
    except DataError:
        return None


def _is_of_this_attempt(record: RunRecord | None, cell: Cell) -> bool:
    """Whether a record ended after the job's last start, and is thus not of an earlier run that is being redone."""
    return record is not None and str(record.finished) >= str(cell.started)
