"""What ``secateur run`` says at the end: did it pay?"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from secateur.core.record import load_record
from secateur.pipeline.run import Outcome
from secateur.report.answers import did_it_pay
from secateur.report.cells import make_cells
from secateur.report.load import load_runs
from secateur.report.summary import make_rows
from secateur.report.table import comparison_table


def outcome_line(outcome: Outcome) -> str:
    """Return one line on a finished run."""
    record = load_record(outcome.run_dir)
    pruning, metrics, ledger = record["pruning"], record["metrics"], record["ledger"]
    state = "already finished" if outcome.reused else "finished"
    return (
        f"[bold]{record['label']}[/] kept {pruning['num_kept']} of {pruning['num_total']}: "
        f"test accuracy {100 * metrics['test_accuracy']:.2f} %, cost {ledger['cost_vs_full']:.2f} of a full training; "
        f"{state}: {outcome.run_dir}"
    )


def draw_figures(outcome: Outcome) -> None:
    """Draw into the run's folder what its method left to look at."""
    diagnostics = outcome.run_dir / "diagnostics.json"
    if diagnostics.is_file() and not outcome.reused:
        from secateur.report.joint_figure import save_joint_figure

        save_joint_figure(diagnostics, outcome.run_dir / "figures")


def print_summary(finished: Sequence[Path], failed: Sequence[str], console: Console) -> None:
    """Print the table of this command's runs and what it says; of several runs also write the report."""
    if finished:
        rows = make_rows(make_cells(load_runs(finished).runs)[0])
        console.print(comparison_table(rows))
        for line in did_it_pay(rows):
            console.print(line)
    if len(set(finished)) > 1:
        from secateur.report.build import build_report

        name = finished[-1].parent.name
        output = finished[-1].parents[2] / "reports" / name
        build_report(finished, output)
        console.print(f"figures and tables: {output}")
    for overrides in filter(None, failed):
        console.print(f"[red]failed[/] {overrides}")
