"""What sweeps were to run, as their ``sweep.json`` says; what of it there is no record of."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.core.files import read_json
from secateur.core.manifest import FILE_NAME


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        num: its number.
        overrides: its configuration, as overrides.
        status: what the sweep says of it: pending, running, finished, failed or lost.
        run: folder of its run; None until it is known.
        error: why it failed; None when it did not.
    """

    num: int
    overrides: tuple[str, ...]
    status: str
    run: Path | None
    error: str | None


@dataclass(frozen=True)
class Sweep:
    """A sweep that was launched.

    Attributes:
        folder: where its ``sweep.json`` lies.
        name: the name of its runs.
        jobs: what was to be run.
    """

    folder: Path
    name: str
    jobs: tuple[Job, ...]


def load_sweep(folder: Path) -> Sweep:
    """Read a sweep's manifest.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: it cannot be read, or is not what it should be.
    """
    values = read_json(folder / FILE_NAME)
    return Sweep(folder, str(values["name"]), tuple(_job(folder, cell) for cell in values["cells"]))


def _job(folder: Path, cell: Mapping[str, Any]) -> Job:
    run = cell.get("run")
    return Job(
        num=int(cell["num"]),
        overrides=tuple(str(override) for override in cell["overrides"]),
        status=str(cell.get("status")),
        run=None if run is None else Path(os.path.normpath(folder / str(run))).resolve(),
        error=None if cell.get("error") is None else " ".join(str(cell["error"]).split()),
    )


def sweep_folders(paths: Iterable[Path], run_folders: Iterable[Path]) -> list[Path]:
    """Return the folders of sweeps below some paths, and of those that made some runs and lie where ours do.

    A run in ``outputs/runs/<name>/<key>`` may be of any sweep in ``outputs/sweeps/`` whose runs have that name.

    Args:
        paths: what the user named.
        run_folders: folders of records that were found.
    """
    found = {Path(folder).resolve() for path in paths for folder, _, files in os.walk(path) if FILE_NAME in files}
    beside = {folder.parents[2] / "sweeps" for folder in run_folders if len(folder.parents) > 2}
    names = {folder.parent.name for folder in run_folders}
    for sweeps in beside:
        for manifest in sorted(sweeps.glob(f"*/{FILE_NAME}")):
            if manifest.parent.name in names or _name(manifest.parent) in names:
                found.add(manifest.parent.resolve())
    return sorted(found)


def _name(folder: Path) -> str | None:
    try:
        return load_sweep(folder).name
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def without_record(sweep: Sweep, known: Iterable[Path]) -> Sequence[Job]:
    """Return the jobs of a sweep of which there is no record at all.

    Args:
        sweep: the sweep.
        known: folders of every record that was found, whatever is in it.
    """
    folders = set(known)
    return [job for job in sweep.jobs if job.run is None or job.run not in folders]
