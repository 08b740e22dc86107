"""A sweep's state on the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.core.errors import DataError
from secateur.core.manifest import TO_RESUME, Cell, Manifest
from secateur.core.record import load_record
from secateur.launch.watch import log_of

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
        accuracy = load_record(run_dir)["metrics"]["test_accuracy"] if run_dir else None
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
