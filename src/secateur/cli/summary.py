"""Print the table and the verdict with which ``secateur run`` ends."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from secateur.core.record import load_record
from secateur.report.answers import did_it_pay
from secateur.report.data.cells import make_cells
from secateur.report.data.fidelity_rows import make_fidelity_rows
from secateur.report.data.load import MASK_ONLY, load_runs
from secateur.report.data.rows import make_rows
from secateur.report.fidelity_answers import is_it_better
from secateur.report.tables.fidelity import fidelity_table
from secateur.report.tables.terminal import comparison_table, percent
from secateur.runs.run import Outcome


def outcome_line(outcome: Outcome) -> str:
    """Return one line on a finished run."""
    record = load_record(outcome.run_dir)
    pruning = record["pruning"]
    state = "already finished" if outcome.reused else "finished"
    return f"[bold]{record['label']}[/] {_kept(pruning)}: {_result(record)}; {state}: {outcome.run_dir}"


def _kept(pruning: Mapping[str, Any]) -> str:
    """Return how much was kept; of what is chosen anew in every epoch, how many visits were left out."""
    num_total = pruning["num_total"]
    if not pruning.get("per_epoch"):
        return f"kept {pruning['num_kept']} of {num_total}"
    seen = pruning["num_seen"]
    samples = f"all {num_total} samples" if seen == num_total else f"{seen} of {num_total} samples"
    return f"left out {percent(pruning['realized_pruning_ratio'])} of the visits, {samples} seen"


def _result(record: Mapping[str, Any]) -> str:
    """Return accuracy and cost; of a run that trained nothing on its mask what the mask cost."""
    accuracy, cost = record["metrics"]["test_accuracy"], record["ledger"]["cost_vs_full"]
    if accuracy is None:
        choosing = record["extrapolation"].get("cost_choosing_vs_full")
        return MASK_ONLY if choosing is None else f"{MASK_ONLY}, its cost {choosing:.2f} of a full training"
    return f"test accuracy {100 * accuracy:.2f} %, cost {cost:.2f} of a full training"


def draw_figures(outcome: Outcome) -> None:
    """Draw into the run's folder what its method left to look at."""
    figures = outcome.run_dir / "figures"
    diagnostics = outcome.run_dir / "diagnostics.json"
    if diagnostics.is_file() and not outcome.reused:
        from secateur.report.figures.joint import save_joint_figure

        save_joint_figure(diagnostics, figures)
    if load_record(outcome.run_dir)["extrapolation"] and (not outcome.reused or _compared_since(outcome.run_dir)):
        from secateur.report.figures.predicted import save_predicted_figure

        save_predicted_figure(outcome.run_dir, figures)


def _compared_since(run_dir: Path) -> bool:
    """Whether full scores came, or came anew, after a finished run's figure was drawn."""
    full, figure = run_dir / "fidelity.parquet", run_dir / "figures" / "predicted_scores.svg"
    return full.is_file() and (not figure.is_file() or full.stat().st_mtime > figure.stat().st_mtime)


def print_summary(finished: Sequence[Path], failed: Sequence[str], console: Console) -> None:
    """Print the table of this command's runs and what it says; of several runs also write the report."""
    loaded = load_runs(finished)
    if loaded.runs:
        rows = make_rows(make_cells(loaded.runs)[0])
        console.print(comparison_table(rows))
        for line in did_it_pay(rows):
            console.print(line)
    fidelity = make_fidelity_rows(loaded.extrapolated)
    if fidelity:
        console.print(fidelity_table(fidelity))
        for line in is_it_better(fidelity):
            console.print(line, markup=False)
    if (loaded.runs or fidelity) and len(set(finished)) > 1:
        from secateur.report.build import build_report

        name = finished[-1].parent.name
        output = finished[-1].parents[2] / "reports" / name
        build_report(finished, output)
        console.print(f"figures and tables: {output}")
    for overrides in filter(None, failed):
        console.print(f"[red]failed[/] {overrides}")
