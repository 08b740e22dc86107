"""Sweeps that launched runs, as their ``sweep.json`` says: the jobs without a record, the choices without a result."""

import os
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from secateur.core.errors import DataError
from secateur.core.manifest import FILE_NAME, Cell, common_overrides, load_manifest
from secateur.core.record import FILE_NAME as RECORD
from secateur.core.record import is_finished
from secateur.runs.config import is_compared

Job = tuple[str, frozenset[str]]


@dataclass(frozen=True)
class Sweep:
    """A sweep that was launched.

    Attributes:
        folder: where its ``sweep.json`` lies.
        name: the name of its runs.
        cells: its jobs.
        created: when it was launched (ISO 8601); empty where that is not known.
    """

    folder: Path
    name: str
    cells: tuple[Cell, ...]
    created: str = ""

    def job(self, cell: Cell) -> Job:
        """Return what tells a job from others: the name of its runs, and its overrides, in any order."""
        return self.name, frozenset(cell.overrides)

    def run_dir(self, cell: Cell) -> Path | None:
        """Return the folder of a job's run; None until it is known."""
        found = cell.run_dir(self.folder)
        return None if found is None else Path(os.path.realpath(found))  # never raises, whatever is there


def load_sweep(folder: Path) -> Sweep:
    """Read a sweep's manifest.

    Raises:
        DataError: it is missing or cannot be read.
    """
    manifest = load_manifest(folder)
    return Sweep(folder, manifest.name, tuple(manifest.cells), str(manifest.created or ""))


def sweep_folders(paths: Iterable[Path], run_folders: Iterable[Path]) -> list[Path]:
    """Return the folders of sweeps below some paths, and of those that made some runs and lie where ours do.

    A run in ``outputs/runs/<name>/<key>`` may be of any sweep below ``outputs/sweeps/`` whose runs have that name. A
    named folder ``outputs/runs/<name>`` counts, whether it has a record or not.

    Args:
        paths: what the user named.
        run_folders: folders of records that were found.
    """
    found = {Path(folder).resolve() for path in paths for folder, _, files in os.walk(path) if FILE_NAME in files}
    named = [folder for path in paths if (folder := Path(path).resolve()).parent.name == "runs" and folder.is_dir()]
    groups = {folder.parent for folder in run_folders} | set(named)  # outputs/runs/<name>
    names = {folder.name for folder in groups}
    for sweeps in {folder.parents[1] / "sweeps" for folder in groups if len(folder.parents) > 1}:
        manifests = (Path(folder) for folder, _, files in os.walk(sweeps) if FILE_NAME in files)
        found.update(folder.resolve() for folder in manifests if _is_of(folder, sweeps, names))
    return sorted(found)


def _is_of(folder: Path, sweeps: Path, names: Collection[str]) -> bool:
    """Whether a sweep's runs have one of some names; of a manifest that cannot be read its folder tells."""
    try:
        return load_sweep(folder).name in names
    except (DataError, OSError):
        return folder.relative_to(sweeps).parts[0] in names


def settled(
    sweeps: Sequence[Sweep], finished: Collection[Path], single: Collection[Job] = ()
) -> dict[Path, frozenset[int]]:
    """Return which jobs of each sweep are settled elsewhere, as their numbers by the sweep's folder.

    A command that is given again after an interruption launches another sweep, with the same jobs. Of jobs with equal
    overrides and the same name of runs those of one sweep count: of the last sweep in which one of them has finished,
    or where none has, of the last sweep. The others are settled. So is a job that was run by itself and has finished.

    Args:
        sweeps: all that were found.
        finished: folders of the finished runs.
        single: name and overrides of the finished runs that were started by themselves.
    """
    counting: dict[Job, tuple[bool, str, Path]] = {}
    for sweep in sweeps:
        for cell in sweep.cells:
            known = (_is_finished(sweep.run_dir(cell), finished), sweep.created, sweep.folder)
            counting[sweep.job(cell)] = max(known, counting.get(sweep.job(cell), known))
    return {
        sweep.folder: frozenset(
            cell.num
            for cell in sweep.cells
            for done, _, folder in [counting[sweep.job(cell)]]
            if folder != sweep.folder or (not done and sweep.job(cell) in single)
        )
        for sweep in sweeps
    }


def job_of(name: Any, command: Any) -> Job:
    """Return name and overrides of a run that was started by itself; of a sweep's they are those of no single job.

    Args:
        name: what its record has under that key.
        command: likewise.
    """
    try:
        words = shlex.split(str(command or ""))
    except ValueError:  # a quotation mark without its other one
        words = []
    return str(name or ""), frozenset(word for word in words if "=" in word)


def unfinished(sweep: Sweep, finished: Collection[Path], elsewhere: Collection[int] = ()) -> list[str]:
    """Return, in words, the choices of a sweep of which no job has finished.

    A choice is what tells its jobs from others beside their seeds and their ratio.

    Args:
        sweep: the sweep.
        finished: folders of the finished runs.
        elsewhere: numbers of the jobs that are settled elsewhere, see :func:`settled`.
    """
    common = common_overrides(sweep.cells)
    jobs: dict[str, list[Cell]] = defaultdict(list)
    for cell in sweep.cells:
        own = [text for text in cell.overrides if text not in common and _tells_apart(text.split("=", 1)[0])]
        jobs[" ".join(own) or "its configuration"].append(cell)
    lines = []
    for choice, cells in jobs.items():
        cells = [cell for cell in cells if cell.num not in elsewhere]
        if cells and not any(map(partial(_is_finished, finished=finished), map(sweep.run_dir, cells))):
            many = f"{len(cells)} job{'s' * (len(cells) > 1)}"
            lines.append(f"none of the {many} with {choice} of the sweep {sweep.name} has finished")
    return lines


def _tells_apart(key: str) -> bool:
    """Whether jobs with other values of a key make another choice; ``ratio=`` sets the pruning ratio."""
    return is_compared("pruning_ratio" if key == "ratio" else key)


def _is_finished(run_dir: Path | None, finished: Collection[Path]) -> bool:
    """Whether a run is among those that were found finished, or lies elsewhere and is."""
    if run_dir is None or run_dir in finished:
        return run_dir is not None
    return os.path.isfile(run_dir / RECORD) and is_finished(run_dir)  # of what is no path it is false, and never raises


def without_record(sweep: Sweep, known: Iterable[Path], elsewhere: Collection[int] = ()) -> list[Cell]:
    """Return the jobs of a sweep of which there is no record at all.

    Args:
        sweep: the sweep.
        known: folders of every record that was found, whatever is in it.
        elsewhere: numbers of the jobs that are settled elsewhere, see :func:`settled`.
    """
    folders: set[Path | None] = set(known)
    return [cell for cell in sweep.cells if cell.num not in elsewhere and sweep.run_dir(cell) not in folders]
