"""Follow a sweep's jobs until each has a result, or no process works on it; print the state of a sweep."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.core.errors import DataError
from secateur.core.manifest import SETTLED, TO_RESUME, Cell, Manifest
from secateur.core.record import load_record
from secateur.launch.slurm import queue
from secateur.launch.status import refresh

if TYPE_CHECKING:
    from submitit import Job

GONE = ("interrupted", "not started")
POLL_SECONDS = 5.0
# A network file system may show what another node wrote only after a while.
GRACE_SECONDS = 60.0


class Watch:
    """Says what became of some jobs of a sweep, each once.

    Args:
        folder: the sweep's folder.
        numbers: the jobs.
        console: where lines go.
    """

    def __init__(self, folder: Path, numbers: Sequence[int], console: Console) -> None:
        self.folder, self.numbers, self.console = folder, numbers, console
        self.told: set[int] = set()
        self.gone_since: dict[int, float] = {}

    def processes(self, jobs: "Sequence[Job[Any]]") -> None:
        """Follow jobs that are processes of this machine until all have ended."""
        while any(not job.done() for job in jobs):
            self._tell(refresh(self.folder, {}))
            time.sleep(min(1.0, POLL_SECONDS))

    def until_settled(self) -> None:
        """Follow jobs until each is finished or failed, or is gone.

        A job is gone (interrupted, or not started) when for a while it was neither in the queue nor had a result.
        Whether Slurm keeps accounts does not matter, and while squeue does not answer nothing is concluded.
        """
        while len(self.told) < len(set(self.numbers)):
            listed = queue()
            manifest = refresh(self.folder, listed)
            self._tell(manifest, {num for num in self.numbers if self._is_long_gone(manifest.cells[num])})
            if len(self.told) < len(set(self.numbers)):
                time.sleep(POLL_SECONDS)

    def _is_long_gone(self, cell: Cell) -> bool:
        if cell.status not in GONE:
            self.gone_since.pop(cell.num, None)
            return False
        if cell.job is None:  # no queue and no other machine is involved
            return True
        return time.monotonic() - self.gone_since.setdefault(cell.num, time.monotonic()) >= GRACE_SECONDS

    def _tell(self, manifest: Manifest, gone: "set[int] | frozenset[int]" = frozenset()) -> None:
        for cell in (manifest.cells[num] for num in self.numbers if num not in self.told):
            if cell.status in SETTLED and (cell.status not in GONE or cell.num in gone):
                self.told.add(cell.num)
                self.console.print(Text(f"#{cell.num} {outcome_of(self.folder, cell)}"), soft_wrap=True)


def outcome_of(folder: Path, cell: Cell) -> str:
    """Return what became of a job in one line."""
    if cell.status == "finished":
        return f"finished: {cell.run_dir(folder)}"
    where = f" (log: {log})" if (log := log_of(folder, cell)) else ""
    return f"{cell.status}: {cell.error}{where} [{' '.join(cell.overrides)}]"


def log_of(folder: Path, cell: Cell) -> Path | None:
    """Return what a job at Slurm wrote to standard error, or to standard output where that is one file."""
    logs = [folder / "logs" / f"{cell.job}_0_log.{end}" for end in ("err", "out")]
    return next((path for path in logs if cell.job and path.is_file()), None)


SHOWN = 20  # jobs; --all shows every one
BAR = 30  # characters
STYLES = {"finished": "green", "running": "cyan", "pending": "default", "failed": "red"}
STYLES |= {"interrupted": "yellow", "not started": "yellow"}


def print_status(
    folder: Path, manifest: Manifest, console: Console, *, all_jobs: bool = False, queue_known: bool = True
) -> None:
    """Print how far a sweep is, its jobs (those that are not finished first), and what to do about them.

    Args:
        folder: the sweep's folder.
        manifest: as :func:`secateur.launch.status.refresh` returned it.
        console: where to.
        all_jobs: show every job, not the first ones only.
        queue_known: squeue answered, or is not needed.
    """
    counts = {status: number for status, number in manifest.counts().items() if number}
    total, finished = len(manifest.cells), counts.get("finished", 0)
    done = BAR * finished // max(total, 1)
    console.print(f"{manifest.name}, launched {manifest.created} with hydra/launcher={manifest.launcher}", markup=False)
    words = ", ".join(f"{number} {status}" for status, number in counts.items())
    console.print(Text(f"{'█' * done}{'░' * (BAR - done)} {finished} of {total}: {words}"))
    order = sorted(manifest.cells, key=lambda cell: (cell.status == "finished", cell.num))
    cells = order if all_jobs else order[:SHOWN]
    console.print(_table(folder, manifest, sorted(cells, key=lambda cell: cell.num)))
    if len(cells) < total:
        console.print(f"... and {total - len(cells)} more: --all")
    for line in _advice(folder, manifest, queue_known=queue_known):
        console.print(Text(line), soft_wrap=True)


def _table(folder: Path, manifest: Manifest, cells: Sequence[Cell]) -> Table:
    table = Table(box=None, pad_edge=False)
    for header in ("#", "status", "job", "tries"):
        table.add_column(header, no_wrap=True)
    for header in ("what", "result"):
        table.add_column(header, overflow="fold")
    common = manifest.common() if len(manifest.cells) > 1 else []
    for cell in cells:
        what = " ".join(text for text in cell.overrides if text not in common)
        status = Text(cell.status, style=STYLES[cell.status])
        table.add_row(
            str(cell.num), status, Text(cell.job or ""), str(cell.attempts), Text(what), Text(_result(folder, cell))
        )
    return table


def _result(folder: Path, cell: Cell) -> str:
    """Return a finished job's accuracy, and why another one is not finished."""
    if cell.status != "finished":
        log = log_of(folder, cell) if cell.status in TO_RESUME else None
        return f"{cell.error or ''}{f' ({log})' if log else ''}"
    run_dir = cell.run_dir(folder)
    try:
        accuracy = load_record(run_dir).metrics.test_accuracy if run_dir else None
    except DataError:
        return ""
    return "" if accuracy is None else f"test accuracy {100 * accuracy:.2f} %"


def _advice(folder: Path, manifest: Manifest, *, queue_known: bool) -> list[str]:
    lines = [] if queue_known else ["squeue does not answer: jobs at Slurm are shown as they were last seen"]
    counts = manifest.counts()
    if any(counts[status] for status in TO_RESUME):
        lines.append(f"again: secateur sweep resume {folder}")
    elif counts["finished"] == len(manifest.cells):
        runs = sorted({str(run_dir.parent) for cell in manifest.cells if (run_dir := cell.run_dir(folder))})
        lines.append(f"report: secateur report {' '.join(runs)}")
    return lines
