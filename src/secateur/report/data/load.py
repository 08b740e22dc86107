"""Find run.json records under some folders and read what a report needs; nothing broken is fatal."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from secateur.core.errors import DataError
from secateur.core.files import flaw_of
from secateur.core.manifest import Cell
from secateur.core.record import FILE_NAME, RunRecord, one_line, read_record
from secateur.core.store import is_held
from secateur.report.data.fidelity_run import FidelityRun, fidelity_run_of
from secateur.report.data.run import Run, is_mask_only, runs_of
from secateur.report.data.sweeps import (
    Job,
    Sweep,
    job_of,
    load_sweep,
    settled,
    sweep_folders,
    unfinished,
    without_record,
)

MASK_ONLY: Final = "mask only"
LOCK, CONFIG, LAUNCH_LOCK = "run.lock", "config.yaml", "launch.lock"
Kind = Literal[
    "missing",
    "not started",
    "failed",
    "running",
    "interrupted",
    "damaged",
    "unusable",
    "superseded",
    "stale",
    "mask only",
]


@dataclass(frozen=True)
class LeftOut:
    """A record that does not enter the statistics, and why; a stale one does, and a missing one is none.

    Attributes:
        path: folder of the record; of a missing run the folder its sweep's runs lie in.
        kind: what is wrong.
        reason: the same in words, one line.
        record: what could be read of the record, as it is.
        name: what was to be run, in words; empty where that is not known.
        method: label of the method, where known.
        pruning_ratio: its ratio.
        seed: seed of the final training.
        score_seed: seed of the mask.
        table: data set and final model, where known.
    """

    path: Path
    kind: Kind
    reason: str
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    name: str = ""
    method: str | None = None
    pruning_ratio: float | None = None
    seed: int | None = None
    score_seed: int | None = None
    table: str = ""


@dataclass(frozen=True)
class Loaded:
    """What was found.

    Attributes:
        runs: the finished runs with an accuracy.
        left_out: the records that had to be left out of those.
        extrapolated: what the finished runs with score extrapolation say of it, also those that made a mask only.
        planned: names of the runs whose sweep says what there ought to be; no grid need be guessed for them.
        unfinished: in words, the choices of those sweeps of which no job has finished.
    """

    runs: list[Run]
    left_out: list[LeftOut]
    extrapolated: list[FidelityRun] = field(default_factory=list)
    planned: set[str] = field(default_factory=set)
    unfinished: list[str] = field(default_factory=list)


def load_runs(paths: Iterable[Path | str]) -> Loaded:
    """Read every run record under some folders, in the order of their paths; each record once.

    Args:
        paths: folders that are searched recursively, or run.json files; of the folder of a sweep, the sweep's runs.

    Raises:
        DataError: a path does not exist.
    """
    found: set[Path] = set()
    named = [Path(path) for path in paths]
    for path in named:
        if not path.exists():
            raise DataError(f"{path} does not exist.")
        found.update(_records_under(path))
    loaded = Loaded([], [])
    sweeps = _sweeps(named, found, loaded)
    for sweep in sweeps:  # of a sweep that was named itself
        if any(sweep.folder.is_relative_to(path.resolve()) for path in named):
            run_dirs = filter(None, map(sweep.run_dir, sweep.cells))
            # os.path.isfile is false of what is no path, where Path.is_file raises
            found.update(folder for folder in run_dirs if os.path.isfile(folder / FILE_NAME))
    for folder in sorted(found):
        _read(folder, loaded)
    done: list[Run | LeftOut] = [*loaded.runs, *(one for one in loaded.left_out if one.kind == MASK_ONLY)]
    finished = {one.path for one in done}
    elsewhere = settled(sweeps, finished, {_job(one) for one in done})
    for sweep in sweeps:
        gone = without_record(sweep, found, elsewhere[sweep.folder])
        loaded.left_out.extend(_without_record(sweep, cell) for cell in gone)
        loaded.unfinished.extend(unfinished(sweep, finished, elsewhere[sweep.folder]))
    return loaded


def _job(one: Run | LeftOut) -> Job:
    record = one.record
    if isinstance(record, RunRecord):
        return job_of(record.name, record.command)
    return job_of(record.get("name"), record.get("command"))


def _sweeps(paths: Sequence[Path], found: Iterable[Path], loaded: Loaded) -> list[Sweep]:
    """Read the manifests of the sweeps that made the runs; a broken one is a problem of its own."""
    sweeps = []
    for folder in sweep_folders(paths, found):
        try:
            sweeps.append(load_sweep(folder))
        except (DataError, OSError) as error:
            loaded.left_out.append(LeftOut(folder, "damaged", one_line(error).replace(f"{folder}/", "")))
    loaded.planned.update(sweep.name for sweep in sweeps)
    return sweeps


def _without_record(sweep: Sweep, cell: Cell) -> LeftOut:
    """Return what became of a job without a record: as the sweep says, as far as it can still be so."""
    begun = bool(cell.attempts or cell.started or cell.run is not None)
    launched = is_held(sweep.folder / LAUNCH_LOCK) or cell.job is not None
    gone: tuple[Kind, str] = (
        ("interrupted", "it was started, and left no record") if begun else ("not started", "it was never started")
    )
    found: dict[str, tuple[Kind, str]] = {
        "failed": ("failed", "no reason recorded"),
        "finished": ("missing", "its record is gone"),
        "running": ("running", "it has no record yet") if launched else gone,
        "pending": ("not started", "it is not started yet") if launched else gone,
    }
    kind, reason = found.get(cell.status, gone)
    name = f"job {cell.num} of {sweep.name}: {' '.join(cell.overrides)}"
    return LeftOut(sweep.run_dir(cell) or sweep.folder, kind, _flat(cell.error) or reason, name=name)


def _flat(said: Any) -> str:
    return " ".join(str(said or "").split())


def _records_under(path: Path) -> list[Path]:
    """Return the folders with a record, or with the configuration and lock of a run whose record is gone."""
    if path.is_file():
        return [path.resolve().parent]
    return [
        Path(folder).resolve()
        for folder, _, files in os.walk(path)
        if FILE_NAME in files or (LOCK in files and CONFIG in files)
    ]


def _read(folder: Path, loaded: Loaded) -> None:
    """Add one record (a run, and the runs it was compared with), or say why it cannot be used."""
    values = _finished(folder)
    if isinstance(values, LeftOut):
        loaded.left_out.append(values)
        return
    try:
        record = RunRecord.of(values)
        mask_only = is_mask_only(record)
        runs = [] if mask_only else runs_of(folder, record)
        extrapolated = fidelity_run_of(folder, record)
    except DataError as error:
        loaded.left_out.append(LeftOut(folder, "unusable", one_line(error), values))
        return
    if mask_only:
        loaded.left_out.append(LeftOut(folder, MASK_ONLY, "nothing was trained on the mask", values))
    loaded.runs.extend(runs)
    loaded.extrapolated.extend([extrapolated] if extrapolated else [])


def _finished(folder: Path) -> Mapping[str, Any] | LeftOut:
    try:
        record = read_record(folder)
    except (DataError, OSError) as error:
        return LeftOut(folder, "damaged", one_line(error).replace(f"{folder}/", ""))
    if flaw := flaw_of(record):
        return LeftOut(folder, "unusable", flaw)  # without the record, which nothing could be done with
    status = record.get("status")
    if status == "failed":
        return LeftOut(folder, "failed", _flat(record.get("error")) or "no reason recorded", record)
    if status == "interrupted":
        return LeftOut(folder, "interrupted", "the same command goes on with it", record)
    if status == "running":
        if is_held(folder / LOCK):
            return LeftOut(folder, "running", "its process still runs", record)
        return LeftOut(folder, "interrupted", "its process is gone; the same command goes on with it", record)
    return record if status == "finished" else LeftOut(folder, "damaged", f"status is {status!r:.40}", record)
