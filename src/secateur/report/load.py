"""Find run.json records under some folders and read what a report needs; nothing broken is fatal."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secateur.core.errors import DataError
from secateur.core.record import FILE_NAME, load_record
from secateur.report.run import Run, runs_of

REASONS = {"running": "still running, or lost", "interrupted": "interrupted; the same command goes on with it"}


@dataclass(frozen=True)
class LeftOut:
    """A record that does not enter the statistics, and why."""

    path: Path
    kind: Literal["unreadable", "failed", "unfinished", "unusable", "superseded"]
    reason: str


@dataclass(frozen=True)
class Loaded:
    """What was found: the finished runs, and the records that had to be left out."""

    runs: list[Run]
    left_out: list[LeftOut]


def load_runs(paths: Iterable[Path | str]) -> Loaded:
    """Read every run record under some folders, in the order of their paths; each record once.

    Args:
        paths: folders that are searched recursively, or run.json files.

    Raises:
        DataError: a path does not exist.
    """
    found: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{path} does not exist.")
        found.update(_records_under(path))
    loaded = Loaded([], [])
    for folder in sorted(found):
        outcome = read_runs(folder)
        if isinstance(outcome, LeftOut):
            loaded.left_out.append(outcome)
        else:
            loaded.runs.extend(outcome)
    return loaded


def _records_under(path: Path) -> list[Path]:
    if path.is_file():
        return [path.resolve().parent]
    return [Path(folder).resolve() for folder, _, files in os.walk(path) if FILE_NAME in files]


def read_runs(folder: Path) -> list[Run] | LeftOut:
    """Read one record (a run, and the runs it was compared with), or say why it cannot be used."""
    try:
        record = load_record(folder)
    except (DataError, OSError, RecursionError) as error:
        return LeftOut(folder, "unreadable", " ".join(str(error).replace(f"{folder}/", "").split()))
    status = record.get("status")
    if status == "failed":
        return LeftOut(folder, "failed", str(record.get("error") or "no reason recorded"))
    if status != "finished":
        return LeftOut(folder, "unfinished", REASONS.get(str(status), f"status is {status!r}"))
    try:
        return runs_of(folder, record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"no key {error}" if isinstance(error, KeyError) else str(error)
        return LeftOut(folder, "unusable", what)
