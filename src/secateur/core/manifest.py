"""sweep.json: what a sweep is made of, and what became of each of its jobs.

Every job writes its own cell when it starts, when its run's folder is known and when it ends, under a lock. What a
job cannot write, because it was killed or never started, is found out from run.json, the locks and the scheduler.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from secateur.core.errors import DataError
from secateur.core.files import flaw_of, read_document, write_json
from secateur.core.store import locked

SCHEMA = 1
FILE_NAME = "sweep.json"
Status = Literal["pending", "running", "finished", "failed", "interrupted", "not started"]
SETTLED: tuple[Status, ...] = ("finished", "failed", "interrupted", "not started")
TO_RESUME: tuple[Status, ...] = SETTLED[1:]


@dataclass
class Cell:
    """One job of a sweep.

    Attributes:
        num: its number, from 0; never changes.
        overrides: its configuration, as overrides.
        status: pending (it will be started), running, finished, failed, interrupted (it was started, has no result, and
            no process works on it) or not started (and no process will start it).
        run: the run's folder, relative to the sweep's; None until it is known.
        error: why it failed, one line.
        job: id of its Slurm job; None where there is none.
        attempts: how often it was started.
        started: when it was last started (ISO 8601).
        ended: when it said that it had finished or failed.
    """

    num: int
    overrides: list[str]
    status: Status = "pending"
    run: str | None = None
    error: str | None = None
    job: str | None = None
    attempts: int = 0
    started: str | None = None
    ended: str | None = None

    def run_dir(self, folder: Path) -> Path | None:
        """Return the folder of the job's run, once it is known; ``folder`` is the sweep's."""
        return None if self.run is None else Path(os.path.normpath(folder / self.run))


def common_overrides(cells: Sequence[Cell]) -> list[str]:
    """Return the overrides that all jobs have, in the order of the first one."""
    others = [set(cell.overrides) for cell in cells[1:]]
    return [text for text in cells[0].overrides if all(text in texts for texts in others)] if cells else []


@dataclass
class Manifest:
    """A sweep.

    Attributes:
        name: the name of its runs.
        command: what was typed.
        created: when it was launched (ISO 8601).
        cwd: the working folder: relative paths of the configuration start here.
        config_name: the primary configuration.
        config_dir: the user's ``--config-dir``, where code beside it is found; None without one.
        hydra: overrides of Hydra's own node, the launcher's among them.
        launcher: the option of ``hydra/launcher`` that launched it last.
        code: sha256 of the package's files.
        user_code: ``{path: sha256}`` of the user's own modules.
        cells: the jobs, by number.
    """

    name: str
    command: str
    created: str
    cwd: str
    config_name: str
    config_dir: str | None
    hydra: list[str]
    launcher: str
    code: str
    user_code: dict[str, str]
    cells: list[Cell] = field(default_factory=list)

    def common(self) -> list[str]:
        """Return the overrides that all jobs have, in their order."""
        return common_overrides(self.cells)

    def counts(self) -> dict[Status, int]:
        """Return how many cells have each status: finished, running, pending, and what is to be resumed."""
        order: tuple[Status, ...] = ("finished", "running", "pending", *TO_RESUME)
        return {status: sum(cell.status == status for cell in self.cells) for status in order}


def load_manifest(folder: Path) -> Manifest:
    """Read a sweep's manifest.

    Raises:
        DataError: it is missing, is not JSON, has another schema, lacks something or has it wrong.
    """
    missing = f"No sweep at {folder}: it has no {FILE_NAME}."
    values = read_document(folder / FILE_NAME, SCHEMA, "a sweep", missing)
    if flaw := flaw_of(values):
        raise DataError(f"{folder / FILE_NAME} is not a sweep's manifest: {flaw}.")
    try:
        cells = [Cell(**_known(Cell, cell)) for cell in values["cells"]]
        _check(values, cells)
        return Manifest(**{**_known(Manifest, values), "cells": cells})
    except (AttributeError, KeyError, TypeError) as error:
        what = f"no key {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{folder / FILE_NAME} is not a sweep's manifest: {what}.") from error


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a sweep's manifest atomically."""
    write_json(folder / FILE_NAME, {"schema": SCHEMA, **asdict(manifest)})


@contextmanager
def editing(folder: Path) -> Iterator[Manifest]:
    """Hold the manifest's lock, yield what is in it, and save it if the block changed it."""
    with locked(folder / "manifest.lock", "the manifest", lambda line: None):
        manifest = load_manifest(folder)
        before = asdict(manifest)
        yield manifest
        if asdict(manifest) != before:
            save_manifest(folder, manifest)


def _check(values: dict[str, Any], cells: list[Cell]) -> None:
    """Raise :class:`TypeError` where what everybody reads is not of its type."""
    if not isinstance(values["name"], str):
        raise TypeError(f"name is {values['name']!r}")
    for cell in cells:
        texts = isinstance(cell.overrides, list) and all(isinstance(text, str) for text in cell.overrides)
        known = isinstance(cell.num, int) and isinstance(cell.status, str) and isinstance(cell.run, str | None)
        if not (known and texts) or "\0" in (cell.run or ""):
            raise TypeError(f"a cell is {asdict(cell)}")


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that this version knows; later ones may add keys."""
    names = {entry.name for entry in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
