"""``secateur run``: one experiment, or many with ``-m`` or ``sweeps=``."""

import os
import shutil
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import main as hydra_main
from omegaconf import DictConfig
from rich.console import Console

from secateur.cli.console import make_console
from secateur.cli.terminal import BAD_INPUT, message
from secateur.core.errors import ConfigError, SecateurError
from secateur.core.manifest import Cell, load_manifest
from secateur.core.record import Pruning, RunRecord, load_record, one_line
from secateur.launch.job import SingleRun, job_of_sweep
from secateur.launch.launcher import launch, new_sweep
from secateur.launch.ranks import check_sweep, is_follower, start_processes, together
from secateur.report.answers import did_it_pay, is_it_better
from secateur.report.data.cells import make_cells
from secateur.report.data.fidelity_rows import make_fidelity_rows
from secateur.report.data.load import MASK_ONLY, load_runs
from secateur.report.data.rows import make_rows
from secateur.report.tables.fidelity import fidelity_table
from secateur.report.tables.terminal import comparison_table, percent
from secateur.runs.compose import known_keys, parse, resolve, running_job
from secateur.runs.config import Experiment
from secateur.runs.paths import CONF
from secateur.runs.preflight import preflight, sweep_node
from secateur.runs.run import Outcome, execute
from secateur.runs.user_code import code_folders, make_importable
from secateur.runs.validate import validate

_ARGV: list[str] | None = None  # the command as typed; None in a process that a launcher started
_FULL_ERROR: str | None = None
_FINISHED: list[Path] = []  # run folders of this process's jobs
_FAILED: list[str] = []
_CRASHED: list[str] = []


def run(arguments: Sequence[str]) -> int:
    """Check everything, run every job, print what came out.

    Returns:
        0 when all jobs finished, 2 when the input was bad, 1 when a job failed for another reason.
    """
    return supervised(lambda: _run(arguments))


def supervised(work: Callable[[], int | None]) -> int:
    """Call what runs jobs; make one line of an error; print what came out of the jobs.

    Args:
        work: returns None, or the exit code of processes that have said everything themselves.

    Returns:
        The exit code, as of :func:`run`.
    """
    global _ARGV, _FULL_ERROR
    _ARGV, _FULL_ERROR = list(sys.argv), os.environ.get("HYDRA_FULL_ERROR")
    _FINISHED.clear()
    _FAILED.clear()
    _CRASHED.clear()
    try:
        code = work()
    except BAD_INPUT as error:
        if _FULL_ERROR == "1":
            raise
        if not is_follower():
            sys.stderr.write(f"secateur: error: {message(error, known_keys)}\n")
        return 2
    finally:
        sys.argv = _ARGV
        _ARGV = None
    if code is not None:
        return code
    if not is_follower():
        print_summary(_FINISHED, _FAILED, make_console())
    return 1 if _CRASHED else 2 if _FAILED else 0


def _run(arguments: Sequence[str]) -> int | None:
    parsed = parse(arguments)
    make_importable(parsed.config_dir)
    if only_shows(parsed):
        _show(arguments)
        return 0
    configs: list[Experiment] = []
    overrides = preflight(parsed, configs)
    if (cfg := sweep_node(parsed, overrides)) is not None:
        launch_sweep(parsed, cfg, overrides, configs, wait=True)
        return None
    if (code := start_processes(configs, arguments)) is None:
        _hand_to_hydra([*_flags(parsed), *overrides])
    return code


def launch_sweep(
    parsed: Namespace, cfg: DictConfig, overrides: Sequence[str], configs: Sequence[Experiment], *, wait: bool
) -> Path:
    """Freeze and launch a sweep; return its folder.

    Args:
        parsed: the command.
        cfg: what :func:`secateur.runs.compose.sweep_node` returned.
        overrides: what pre-flight returned.
        configs: what pre-flight checked.
        wait: follow jobs at Slurm until they end.
    """
    check_sweep(configs, cfg.hydra.launcher)
    folder, manifest = new_sweep(parsed, cfg, overrides, code_folders(parsed.config_dir))
    make_console().print(f"sweep of {len(manifest.cells)} jobs: {folder}", markup=False)
    try:
        launch_cells(folder, range(len(manifest.cells)), wait=wait)
    except SecateurError:
        if not any(cell.job or cell.attempts for cell in load_manifest(folder).cells):
            shutil.rmtree(folder)  # nothing was sent or started: there is no sweep
        raise
    return folder


def launch_cells(folder: Path, numbers: Sequence[int], *, wait: bool) -> None:
    """Launch jobs of a sweep; the summary is of all its finished jobs, also of those of an earlier command.

    Raises:
        KeyboardInterrupt: as it came, with the command that goes on.
    """
    try:
        elsewhere = launch(folder, numbers, task, make_console(), wait=wait)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(*(error.args or (f"go on with: secateur sweep resume {folder}",))) from error
    failed = [" ".join(cell.overrides) for cell in elsewhere if not _is_finished(cell)]
    _FAILED.extend(failed)
    _CRASHED.extend(failed)
    if elsewhere or _FINISHED or _FAILED:  # not where all was only sent to Slurm
        cells = [cell for cell in load_manifest(folder).cells if _is_finished(cell)]
        _FINISHED[:] = [run_dir for cell in cells if (run_dir := cell.run_dir(folder)) is not None]


def _is_finished(cell: Cell) -> bool:
    return cell.status == "finished" and cell.run is not None


def task(cfg: DictConfig) -> None:
    """Run one job; Hydra calls this, in this process or in one that a launcher started."""
    _restore_environment()
    with job_of_sweep(own_process=_ARGV is None) as cell:
        _run_job(cfg, cell)


def _run_job(cfg: DictConfig, cell: SingleRun) -> None:
    console = make_console(quiet=is_follower())
    job = running_job()
    sweep, overrides = job.sweep is not None, " ".join(job.overrides)
    if sweep:
        console.print(f"[bold]#{cell.num}[/] {overrides}")
    try:
        cell.start()
        config = resolve(cfg)
        with together(config):
            validate(config)
            outcome = execute(config, console, job.choices, cell.runs_in, job.overrides, swept=sweep)
    except SecateurError as error:
        if not is_follower():
            sys.stderr.write(f"secateur: error: {message(error)}{f' [{overrides}]' if sweep else ''}\n")
        _FAILED.append(overrides if sweep else "")
        cell.fail(message(error))
        if _ARGV is None:  # a launcher's process: the launcher must learn of it
            raise
        return
    except Exception as error:
        cell.fail(f"{type(error).__name__}: {one_line(error)}")
        if _ARGV is None:
            raise
        traceback.print_exc()  # a defect, not bad input; under -m the other jobs run on
        _FAILED.append(overrides or "this run")
        _CRASHED.append(overrides)
        return
    cell.finish()
    if is_follower():
        return
    _FINISHED.append(outcome.run_dir)
    draw_figures(outcome)
    console.print(outcome_line(outcome))


def _hand_to_hydra(arguments: list[str]) -> None:
    """Call Hydra in this process so that its errors are raised and not printed."""
    pid = os.environ.get("SECATEUR_PID", str(os.getpid()))  # of the launcher, where there is one
    with _environment("HYDRA_FULL_ERROR", "1"), _environment("SECATEUR_PID", pid):
        sys.argv = ["secateur run", *arguments]
        hydra_main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()


def _show(arguments: Sequence[str]) -> None:
    """Let Hydra show help or the composed configuration, by its own rules."""
    sys.argv = ["secateur run", *arguments]
    with _environment("HYDRA_FULL_ERROR", "1"):
        try:
            hydra_main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
        except ValueError as error:  # flags that exclude each other
            raise ConfigError(one_line(error)) from error


def _restore_environment() -> None:
    """Put argv and Hydra's switch back, so that nothing started by the job inherits ours."""
    if _ARGV is not None:
        sys.argv = list(_ARGV)
        _set("HYDRA_FULL_ERROR", _FULL_ERROR)


def only_shows(parsed: Namespace) -> bool:
    """Whether Hydra is only asked to show something: help, the composed configuration, completion."""
    flags = ("help", "hydra_help", "cfg", "info", "shell_completion")
    return any(getattr(parsed, flag, None) for flag in flags)


def _flags(parsed: Namespace) -> list[str]:
    """Return Hydra's flags; they come first, as its parser wants, and ``--config-dir`` is in the search path."""
    flags = ["--multirun"] if parsed.multirun else []
    for name in ("config_path", "config_name"):
        if value := getattr(parsed, name):
            flags += [f"--{name.replace('_', '-')}", value]
    return flags


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        _set(name, before)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def outcome_line(outcome: Outcome) -> str:
    """Return one line on a finished run."""
    record = load_record(outcome.run_dir)
    state = "already finished" if outcome.reused else "finished"
    return f"[bold]{record.label}[/] {_kept(record.pruning)}: {_result(record)}; {state}: {outcome.run_dir}"


def _kept(pruning: Pruning) -> str:
    """Return how much was kept; of what is chosen anew in every epoch, how many visits were left out."""
    num_total, seen = pruning.num_total, pruning.num_seen
    if not pruning.per_epoch:
        return f"kept {pruning.num_kept} of {num_total}"
    samples = f"all {num_total} samples" if seen == num_total else f"{seen} of {num_total} samples"
    return f"left out {percent(pruning.realized_pruning_ratio)} of the visits, {samples} seen"


def _result(record: RunRecord) -> str:
    """Return accuracy and cost; of a run that trained nothing on its mask what the mask cost."""
    accuracy, cost = record.metrics.test_accuracy, record.ledger.cost_vs_full
    if accuracy is None:
        choosing = record.extrapolation.cost_choosing_vs_full
        return MASK_ONLY if choosing is None else f"{MASK_ONLY}, its cost {choosing:.2f} of a full training"
    return f"test accuracy {100 * accuracy:.2f} %, cost {cost:.2f} of a full training"


def draw_figures(outcome: Outcome) -> None:
    """Draw into the run's folder what its method left to look at."""
    figures = outcome.run_dir / "figures"
    diagnostics = outcome.run_dir / "diagnostics.json"
    if diagnostics.is_file() and not outcome.reused:
        from secateur.report.figures.joint import save_joint_figure

        save_joint_figure(diagnostics, figures)
    predicted = not load_record(outcome.run_dir).extrapolation.is_empty
    if predicted and (not outcome.reused or _compared_since(outcome.run_dir)):
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
