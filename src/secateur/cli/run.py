"""``secateur run``: one experiment, or many with ``-m`` or ``sweeps=``."""

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import main as hydra_main
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from secateur.cli.console import make_console
from secateur.cli.errors import BAD_INPUT, message
from secateur.cli.preflight import known_keys, launcher_of_sweep, parse, preflight
from secateur.cli.ranks import is_follower, start_processes, together
from secateur.cli.summary import draw_figures, outcome_line, print_summary
from secateur.core.errors import SecateurError
from secateur.pipeline.config import Config, resolve
from secateur.pipeline.paths import CONF
from secateur.pipeline.run import execute
from secateur.pipeline.validate import validate

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
    global _ARGV, _FULL_ERROR
    _ARGV, _FULL_ERROR = list(sys.argv), os.environ.get("HYDRA_FULL_ERROR")
    _FINISHED.clear()
    _FAILED.clear()
    _CRASHED.clear()
    try:
        parsed = parse(arguments)
        make_importable(parsed.config_dir)
        if _only_shows(parsed):
            _show(arguments)
            return 0
        configs: list[Config] = []
        overrides = preflight(parsed, configs)
        if (code := _start_processes(parsed, overrides, configs, arguments)) is not None:
            return code
        _hand_to_hydra([*_flags(parsed), *overrides])
    except BAD_INPUT as error:
        if _FULL_ERROR == "1":
            raise
        if not is_follower():
            sys.stderr.write(f"secateur: error: {message(error, known_keys)}\n")
        return 2
    finally:
        sys.argv = _ARGV
        _ARGV = None
    if is_follower():
        return 1 if _CRASHED else 2 if _FAILED else 0
    print_summary(_FINISHED, _FAILED, make_console())
    return 1 if _CRASHED else 2 if _FAILED else 0


def task(cfg: DictConfig) -> None:
    """Run one job; Hydra calls this, in this process or in one that a launcher started."""
    _restore_environment()
    console = make_console(quiet=is_follower())
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    overrides = " ".join(HydraConfig.get().overrides.task)
    if sweep:
        console.print(f"[bold]#{HydraConfig.get().job.num}[/] {overrides}")
    try:
        with together(resolve(cfg)):
            validate(cfg)
            outcome = execute(cfg, console, dict(HydraConfig.get().runtime.choices))
    except SecateurError as error:
        if not is_follower():
            sys.stderr.write(f"secateur: error: {message(error)}{f' [{overrides}]' if sweep else ''}\n")
        _FAILED.append(overrides if sweep else "")
        if _ARGV is None:  # a launcher's process: the launcher must learn of it
            raise
        return
    except Exception:
        if _ARGV is None:
            raise
        traceback.print_exc()  # a defect, not bad input; under -m the other jobs run on
        _FAILED.append(overrides or "this run")
        _CRASHED.append(overrides)
        return
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


def _start_processes(
    parsed: Namespace, overrides: list[str], configs: Sequence[Config], arguments: Sequence[str]
) -> int | None:
    """Start further processes where a job needs several and they are not there; return their exit code."""
    if not any("devices" in config["strategy"] for config in configs):
        return None
    return start_processes(configs, arguments, launcher_of_sweep(parsed, overrides))


def _show(arguments: Sequence[str]) -> None:
    """Let Hydra show help or the composed configuration, by its own rules."""
    sys.argv = ["secateur run", *arguments]
    hydra_main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()


def _restore_environment() -> None:
    """Put argv and Hydra's switch back, so that nothing started by the job inherits ours."""
    if _ARGV is not None:
        sys.argv = list(_ARGV)
        _set("HYDRA_FULL_ERROR", _FULL_ERROR)


def _only_shows(parsed: Namespace) -> bool:
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


def make_importable(config_dir: str | None) -> None:
    """Let ``_target_`` name modules in the working folder, and beside or in the user's ``--config-dir``."""
    folders = [Path.cwd()]
    if config_dir:
        folders += [Path(config_dir).resolve().parent, Path(config_dir).resolve()]
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


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
