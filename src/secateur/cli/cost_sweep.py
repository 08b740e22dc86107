"""``secateur cost`` of many configurations: a row for each that differs, and what all of them cost together."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.table import Table

from secateur.runs.break_even import share
from secateur.runs.compose import Job
from secateur.runs.context import Context
from secateur.runs.forecast import Forecast, forecast
from secateur.runs.plan_sweep import SharedStages

HEADERS = ("what", "runs", "choosing", "training", "cost_vs_full")
SEEDS = ("seed=", "score_seed=")
NOTE = (
    "a run's cost counts all it needs; together, what several runs share is counted once. A mask that only its run can "
    "tell counts as its own, and compare_with comes beside"
)


@dataclass
class Row:
    """Runs that differ by their seeds only: their plan, and how many they are."""

    planned: Forecast
    runs: set[str] = field(default_factory=set)


def plan_sweep(
    jobs: Iterable[Job], context_of: Callable[[DictConfig, Mapping[str, str]], tuple[Context, str]], console: Console
) -> None:
    """Plan every job of a sweep and print the table.

    Args:
        jobs: the sweep's jobs.
        context_of: makes a job's configuration and choices a run that has not started, and its key.
        console: where the table goes.
    """
    rows: dict[str, Row] = {}
    runs: dict[str, float] = {}
    shared, units, num_jobs = SharedStages(), set(), 0
    for job in jobs:
        num_jobs += 1
        context, run = context_of(job.cfg, job.choices)
        if run in runs:
            continue
        planned = forecast(context)
        shared.add(context, run, planned.ledger)
        runs[run] = planned.ledger.cost_vs_full
        units.add(planned.ledger.full_flops)
        name = " ".join(text for text in job.overrides if not text.startswith(SEEDS)) or "all"
        rows.setdefault(name, Row(planned)).runs.add(run)
    console.print(f"{num_jobs} jobs, {len(runs)} distinct runs")
    console.print(_table(rows))
    stages = ", ".join(f"{name} {share(value)}" for name, value in shared.by_stage.items())
    console.print(f"one by one: {share(sum(runs.values()))} full trainings", markup=False)
    console.print(f"together: {share(sum(shared.by_stage.values()))} full trainings ({stages})", markup=False)
    if len(units) > 1:
        console.print("note: the runs' full trainings differ in cost; every run counts in its own.", markup=False)
    console.print(f"note: {NOTE}", markup=False)


def _table(rows: Mapping[str, Row]) -> Table:
    """Return one row for each configuration, its seeds counted."""
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for number, header in enumerate(HEADERS):
        table.add_column(header, justify="right" if number else "left", no_wrap=bool(number), overflow="fold")
    for name, row in rows.items():
        ledger, training = row.planned.ledger, row.planned.training
        costs = (row.planned.choosing, training or 0.0, ledger.cost_vs_full)
        table.add_row(name, str(len(row.runs)), *map(share, costs))
    return table
