"""Find run.json records under some folders and read what a report needs; nothing broken is fatal."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from secateur.core.errors import DataError
from secateur.core.record import FILE_NAME, load_record
from secateur.report.fidelity_run import FidelityRun, fidelity_run_of
from secateur.report.run import Run, is_mask_only, runs_of

MASK_ONLY: Final = "mask only"
REASONS = {"running": "still running, or lost", "interrupted": "interrupted; the same command goes on with it"}


@dataclass(frozen=True)
class LeftOut:
    """A record that does not enter the statistics, and why."""

    path: Path
    kind: Literal["unreadable", "failed", "unfinished", "unusable", "superseded", "mask only"]
    reason: str


@dataclass(frozen=True)
class Loaded:
    """What was found.

    Attributes:
        runs: the finished runs with an accuracy.
        left_out: the records that had to be left out of those.
        extrapolated: what the finished runs with score extrapolation say of it, also those that made a mask only.
    """

    runs: list[Run]
    left_out: list[LeftOut]
    extrapolated: list[FidelityRun] = field(default_factory=list)


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
        _read(folder, loaded)
    return loaded


def _records_under(path: Path) -> list[Path]:
    if path.is_file():
        return [path.resolve().parent]
    return [Path(folder).resolve() for folder, _, files in os.walk(path) if FILE_NAME in files]


def _read(folder: Path, loaded: Loaded) -> None:
    """Add one record (a run, and the runs it was compared with), or say why it cannot be used."""
    record = _finished(folder)
    if isinstance(record, LeftOut):
        loaded.left_out.append(record)
        return
    try:
        if is_mask_only(record):
            loaded.left_out.append(LeftOut(folder, MASK_ONLY, "nothing was trained on the mask"))
        else:
            loaded.runs.extend(runs_of(folder, record))
        extrapolated = fidelity_run_of(folder, record)
        loaded.extrapolated.extend([extrapolated] if extrapolated else [])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"no key {error}" if isinstance(error, KeyError) else str(error)
        loaded.left_out.append(LeftOut(folder, "unusable", what))


def _finished(folder: Path) -> Mapping[str, Any] | LeftOut:
    try:
        record = load_record(folder)
    except (DataError, OSError, RecursionError) as error:
        return LeftOut(folder, "unreadable", " ".join(str(error).replace(f"{folder}/", "").split()))
    status = record.get("status")
    if status == "failed":
        return LeftOut(folder, "failed", str(record.get("error") or "no reason recorded"))
    if status != "finished":
        return LeftOut(folder, "unfinished", REASONS.get(str(status), f"status is {status!r}"))
    return record
