"""Print a report's table of finished runs with two columns more, which `secateur report` does not have.

raw kept: the share that AdaPruner's threshold alone would keep in the last epoch, smallest and largest over the runs;
flipped: the share of flipped labels among the pruned, mean and sample standard deviation over the runs.

Usage: python docs/results/mask_columns.py RUNS RESULTS
       python docs/results/mask_columns.py outputs/runs/adapruner_digits outputs/reports/adapruner_digits/results.md
"""

import json
import statistics
import sys
from pathlib import Path

from secateur.report.data.cells import Cell, make_cells
from secateur.report.data.load import load_runs

LEFT_OUT = ("worst class (n)", "finds", "rank")


def raw_kept(cell: Cell) -> str:
    """Return the raw kept share in the last epoch over a cell's runs."""
    paths = [run.path / "diagnostics.json" for run in cell.runs]
    rows = [json.loads(path.read_text())[-1] for path in paths if path.is_file()]
    shares = sorted({round(100 * row["raw_kept_fraction"]) for row in rows})
    return f"{shares[0]} to {shares[-1]} %" if len(shares) > 1 else f"{shares[0]} %" if shares else ""


def flipped(cell: Cell) -> str:
    """Return the flipped share of the pruned over a cell's runs."""
    shares = [run.record.pruning.flipped_share_pruned for run in cell.runs]
    found = [100 * share for share in shares if share is not None]
    return f"{statistics.mean(found):.1f} ± {statistics.stdev(found):.1f} %" if len(found) > 1 else ""


def main() -> None:
    """Print the table."""
    found, _ = make_cells([run for run in load_runs([sys.argv[1]]).runs if not run.is_comparison])
    cells = {(cell.label, f"{100 * cell.pruning_ratio:.0f} %" if cell.pruning_ratio else "-"): cell for cell in found}
    lines = [line for line in Path(sys.argv[2]).read_text().split("\n\n")[1].splitlines() if line]
    table = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    shown = [column for column, name in enumerate(table[0]) if name not in LEFT_OUT]
    for number, row in enumerate(table):
        cell = cells.get((row[0], row[1]))
        more = {0: ["raw kept, last epoch", "flipped"], 1: ["---:", "---:"]}.get(number)
        more = more or ([raw_kept(cell), flipped(cell)] if cell else ["", ""])
        columns = [*(row[column] for column in shown), *more]
        sys.stdout.write(f"| {' | '.join(columns)} |\n")


if __name__ == "__main__":
    main()
