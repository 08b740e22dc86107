"""Follow a sweep's jobs until each has a result, or no process works on it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from secateur.core.manifest import SETTLED, Cell, Manifest
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
