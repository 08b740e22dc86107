"""Print any number of finished runs per method and ratio, and its differences from a baseline, paired by seed.

For the columns of these pages that `secateur report` does not have: robust or source accuracy (keys of ``metrics`` in
run.json), and what was monitored in the last epoch (columns of metrics.csv).

Usage: python docs/results/paired.py RUNS NUMBER [BASELINE]
       python docs/results/paired.py outputs/runs/dp4tl_emnist_mnist source_accuracy random_groups
"""

import csv
import sys

from secateur.report.data.cells import Cell, make_cells
from secateur.report.data.load import load_runs
from secateur.report.data.run import Run
from secateur.report.data.statistics import Estimate, estimate, paired_difference


def number_of(run: Run, name: str) -> float:
    """Return a number of a run, in percent: from ``metrics`` of its record, else from metrics.csv's last row.

    Raises:
        KeyError: neither has it.
    """
    value = getattr(run.record.metrics, name, None)
    if value is None:
        with (run.path / "metrics.csv").open(newline="") as file:
            value = list(csv.DictReader(file))[-1][name]
    return 100.0 * float(value)


def by_seed(cell: Cell, name: str) -> dict[int, float]:
    """Return the number by seed."""
    return {run.seed: number_of(run, name) for run in cell.runs}


def text(found: Estimate, sign: str = "") -> str:
    """Return a mean and half of its interval (of a difference) or its standard deviation."""
    spread = (found.high - found.low) / 2 if sign and found.high is not None else found.sd
    return f"{found.mean:{sign}.1f} ± {spread or 0.0:.1f} ({found.n})"


def main(runs: str, name: str, baseline: str = "random_groups") -> None:
    """Print a row per cell."""
    cells, _ = make_cells([run for run in load_runs([runs]).runs if not run.is_comparison])
    for cell in cells:
        own = by_seed(cell, name)
        row = [f"{cell.label:45}", f"{cell.pruning_ratio:4.0%}", text(estimate(list(own.values())))]
        for other in cells:
            if (
                other is not cell
                and other.label.startswith((baseline, "full"))
                and other.pruning_ratio
                in (
                    cell.pruning_ratio,
                    0.0,
                )
            ):
                theirs = by_seed(other, name)
                if difference := paired_difference(own, theirs):
                    row.append(f"- {other.label}: {text(difference, '+')}")
        sys.stdout.write("  ".join(row) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
