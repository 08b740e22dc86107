"""What sweeps were to run, as their ``sweep.json`` says; what of it there is no record of."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import DataError
from secateur.core.manifest import FILE_NAME, Cell, load_manifest


@dataclass(frozen=True)
class Sweep:
    """A sweep that was launched.

    Attributes:
        folder: where its ``sweep.json`` lies.
        name: the name of its runs.
        cells: its jobs.
    """

    folder: Path
    name: str
    cells: tuple[Cell, ...]

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
    return Sweep(folder, manifest.name, tuple(manifest.cells))


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
    except (DataError, OSError):
        return None


def without_record(sweep: Sweep, known: Iterable[Path]) -> list[Cell]:
    """Return the jobs of a sweep of which there is no record at all.

    Args:
        sweep: the sweep.
        known: folders of every record that was found, whatever is in it.
    """
    folders: set[Path | None] = set(known)
    return [cell for cell in sweep.cells if sweep.run_dir(cell) not in folders]
