"""``secateur cost``: what a run will cost and when it pays, before anything is trained."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from secateur.cli.console import make_console
from secateur.cli.terminal import BAD_INPUT, message
from secateur.core.errors import ConfigError
from secateur.runs.compose import NO_PARAMS, Job, key_of, known_keys, parse
from secateur.runs.config import Experiment, is_seed
from secateur.runs.context import Context
from secateur.runs.forecast import Forecast, SharedStages, equal_cost, forecast, share, verdict
from secateur.runs.preflight import compose_jobs, preflight

if TYPE_CHECKING:
    from secateur.runs.context import Context
    from secateur.runs.forecast import Forecast
    from secateur.runs.memory import Held

SWEEP_HEADERS = ("what", "runs", "choosing", "training", "cost_vs_full")
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
    jobs: Iterable[Job], context_of: Callable[[Experiment, Mapping[str, str]], tuple[Context, str]], console: Console
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
        context, run = context_of(job.config, job.choices)
        if run in runs:
            continue
        planned = forecast(context)
        shared.add(context, run, planned.ledger)
        runs[run] = planned.ledger.cost_vs_full
        units.add(planned.ledger.full_flops)
        name = " ".join(text for text in job.overrides if not is_seed(key_of(text))) or "all"
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
    for number, header in enumerate(SWEEP_HEADERS):
        table.add_column(header, justify="right" if number else "left", no_wrap=bool(number), overflow="fold")
    for name, row in rows.items():
        ledger, training = row.planned.ledger, row.planned.training
        costs = (row.planned.choosing, training or 0.0, ledger.cost_vs_full)
        table.add_row(name, str(len(row.runs)), *map(share, costs))
    return table


HELP = """\
usage: secateur cost [OVERRIDES]

Takes what `secateur run` takes and says what it would cost: every stage in units of one full training, when it pays,
what else the same cost would buy, and how much memory the large tensors take. Of a sweep (-m, sweeps=PAPER/TABLE) it
says what each configuration costs, and what all of them cost together when what they share is computed once.
It opens the data set, but trains nothing and writes nothing. What a store holds already is counted as if it did not.
"""
HEADERS = ("stage", "samples forward", "samples backward", "share of one full training")
MEMORY_NOTE = (
    "memory: not all of it at the same time, on the device that trains; without activations, batches and what "
    "libraries take, so measure a short run before you rely on it"
)
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def cost(arguments: Sequence[str]) -> int:
    """Plan one run and print what it will cost; 0, or 2 after one line of error."""
    try:
        parsed = parse(arguments, "secateur cost")
        if parsed.help:
            sys.stdout.write(HELP)
            return 0
        if parsed.cfg or parsed.info or parsed.hydra_help or parsed.shell_completion:
            raise ConfigError("secateur cost only plans; to look at a configuration use secateur run --cfg job.")
        _plan(parsed, make_console())
    except BAD_INPUT as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.stderr.write(f"secateur: error: {message(error, known_keys)}\n")
        return 2
    return 0


def _plan(parsed: Namespace, console: Console) -> None:
    """Compose, check and plan; then print."""
    from secateur.runs.forecast import forecast
    from secateur.runs.memory import memory_plan
    from secateur.runs.user_code import make_importable

    make_importable(parsed.config_dir)
    overrides = preflight(parsed)
    jobs = compose_jobs(parsed, overrides)
    if NO_PARAMS in overrides:
        plan_sweep(jobs, _context, console)
        return
    (job,) = jobs
    context, _ = _context(job.config, job.choices)
    planned, held = forecast(context), memory_plan(context)
    console.print(_title(context))
    console.print(_stages(planned))
    for line in _lines(planned):
        console.print(line, markup=False)
    for remark in planned.remarks:
        console.print(f"note: {remark}", markup=False)
    console.print(_memory(held))
    console.print(MEMORY_NOTE, markup=False)


def _context(asked: Experiment, choices: Mapping[str, str]) -> "tuple[Context, str]":
    """Return a run that has not started, whose messages go nowhere, and its key."""
    from secateur.core.store import Store
    from secateur.runs.context import Context
    from secateur.runs.keys import canonical, run_key, without_idle_variant
    from secateur.runs.paths import store_folder
    from secateur.runs.pools import pools

    config = without_idle_variant(canonical(asked), choices)
    silent = Console(quiet=True)
    store = Store(store_folder(config.paths.output_dir), silent.print)
    data, downstream = pools(config)
    fingerprints = [part.fingerprint for part in (data, downstream) if part is not None]
    key = run_key(config, "+".join(fingerprints), {})
    return Context(config, data, store, silent, choices, downstream), key


def _title(context: "Context") -> str:
    """Return the data set and what is chosen by; a score's name says that the method is one."""
    from secateur.runs.naming import choices_of_parts

    options = choices_of_parts(context.config, context.choices)
    names = [name for part, name in options.items() if name and part != "selection"]
    return f"{context.data.name}, {context.num_total:,} samples: {' + '.join(names[len(names) > 1 :])}"


def _stages(planned: "Forecast") -> Table:
    """Return the planned ledger."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_footer=True)
    total = share(planned.ledger.cost_vs_full)
    footers = ("together", "", "", total)
    for number, (header, footer) in enumerate(zip(HEADERS, footers, strict=True)):
        table.add_column(header, footer, justify="right" if number else "left", no_wrap=True)
    for stage in planned.ledger.stages:
        forward, backward = f"{stage.samples_forward:,}", f"{stage.samples_backward:,}"
        table.add_row(stage.stage, forward, backward, small_share(stage.flops / planned.ledger.full_flops))
    return table


def _lines(planned: "Forecast") -> Iterator[str]:
    """Yield what the numbers mean."""
    ledger, choosing = planned.ledger, planned.choosing
    if planned.training is None:
        yield f"choosing the mask costs {share(choosing)} of one full training; nothing is trained (train_final=false)"
    else:
        amortized = share(ledger.cost_vs_full_amortized)
        yield f"cost_vs_full {share(ledger.cost_vs_full)}, cost_vs_full_amortized {amortized}"
        yield verdict(choosing, planned.training, planned.at_most)
    if planned.full_scoring is not None:
        saved = planned.full_scoring - ledger.cost_vs_full
        yield (
            f"scoring every sample instead would cost {share(planned.full_scoring)}: predicting "
            f"{'saves' if saved > 0 else 'wastes'} {abs(saved):.2f} of one full training"
        )
    if planned.training is not None and choosing:
        yield equal_cost(ledger.cost_vs_full)


def _memory(held: Sequence["Held"]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column("memory, estimated", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for item in held:
        table.add_row(item.what, size(item.num_bytes))
    return table


def small_share(value: float) -> str:
    """Return a share with enough digits to be seen: two, and what is below 0.005 with one significant digit."""
    return f"{value:.2f}" if value >= 0.005 or not value else f"{value:.0e}"


def size(num_bytes: int) -> str:
    """Return bytes in the largest unit that leaves at least one.

    Example:
        >>> size(512), size(3 * 2**20 // 2), size(7 * 2**30)
        ('512 B', '1.5 MiB', '7.0 GiB')
    """
    power = min(max(num_bytes.bit_length() - 1, 0) // 10, len(UNITS) - 1)
    return f"{num_bytes / 1024**power:.{1 if power else 0}f} {UNITS[power]}"
