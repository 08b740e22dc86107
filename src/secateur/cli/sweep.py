"""``secateur sweep``: look at a sweep, send one to Slurm, go on with what is not finished."""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from secateur.cli.console import make_console
from secateur.cli.terminal import suggestion
from secateur.core.code import check_code, current, package_sha256
from secateur.core.errors import ConfigError, SecateurError
from secateur.core.manifest import TO_RESUME, Manifest, editing, load_manifest
from secateur.core.record import one_line
from secateur.launch.slurm import is_slurm, queue
from secateur.launch.status import find_sweep, refresh
from secateur.launch.watch import print_status

HELP = """\
usage: secateur sweep status DIR [--all] [--json]
       secateur sweep resume DIR [--accept-code] [--wait] [hydra/launcher=... hydra.launcher.KEY=...]
       secateur sweep submit DIR | OVERRIDES

  status   what became of every job: finished, running, pending, failed, interrupted, not started
  resume   launch again what failed, was interrupted or was not started, from the sweep's own copy of the configuration;
           at Slurm it returns at once (--wait: it follows the jobs). Finished jobs stay as they are, jobs in the queue
           too.
  submit   a new sweep to Slurm, by what `secateur run -m` takes, or what is left of an old one; returns at once

DIR is a sweep's folder, outputs/sweeps/NAME/TIME; outputs/sweeps/NAME where it is the only one
(status: of several the latest).
"""
LAUNCHER = "hydra/launcher"
HERE = ("basic", "submitit_local")  # launchers that need this terminal
FLAGS = {"status": {"--all", "--json"}, "resume": {"--accept-code", "--wait"}}


def sweep(arguments: Sequence[str]) -> int:
    """Do what the first argument says; 0, 1 when a job that was waited for failed, 2 for bad input."""
    action, *rest = list(arguments) or ["--help"]
    if action in ("-h", "--help") or "--help" in rest or "-h" in rest:
        sys.stdout.write(HELP)
        return 0
    actions = {"status": _status, "resume": _resume, "submit": _submit}
    if action in ("resume", "submit"):
        from secateur.cli.run import supervised

        return supervised(lambda: actions[action](rest))
    try:  # without what trains: this is asked often, and on login nodes
        if action != "status":
            raise ConfigError(f"no sweep command {action!r}{suggestion(action, actions)}")
        _status(rest)
    except SecateurError as error:
        sys.stderr.write(f"secateur: error: {one_line(error)}\n")
        return 2
    return 0


def _status(arguments: list[str]) -> None:
    folder, flags, more = _folder("status", arguments)
    if more:
        raise ConfigError(f"secateur sweep status takes one folder; {more[0]!r} is one too many.")
    listed = queue()
    manifest = refresh(folder, listed)
    if "--json" in flags:
        sys.stdout.write(json.dumps(asdict(manifest), indent=2) + "\n")
        return
    known = listed is not None or all(cell.job is None for cell in manifest.cells)
    print_status(folder, manifest, make_console(), all_jobs="--all" in flags, queue_known=known)


def _resume(arguments: list[str]) -> None:
    folder, flags, overrides = _folder("resume", arguments)
    go_on(folder, overrides, accept_code="--accept-code" in flags, wait="--wait" in flags)


def _submit(arguments: list[str]) -> None:
    from secateur.runs.compose import parse
    from secateur.runs.user_code import make_importable

    if arguments and Path(arguments[0]).is_dir():
        folder = find_sweep(Path(arguments[0]))
        chosen = arguments[1:] if load_manifest(folder).launcher not in HERE else _to_slurm(arguments[1:])
        go_on(folder, chosen, accept_code=False, wait=False)
        return
    arguments = _to_slurm(arguments)
    parsed = parse(arguments, "secateur sweep submit")
    parsed.multirun = True
    make_importable(parsed.config_dir)
    folder = _launch_new(parsed)
    make_console().print(f"secateur sweep status {folder}", markup=False, soft_wrap=True)


def _to_slurm(overrides: list[str]) -> list[str]:
    """Return overrides that choose a launcher: Slurm's where they choose none."""
    given = any(text.startswith(f"{LAUNCHER}=") for text in overrides)
    return overrides if given else [*overrides, f"{LAUNCHER}=slurm"]


def _launch_new(parsed: Namespace) -> Path:
    from secateur.cli.run import launch_sweep, only_shows
    from secateur.runs.config import Experiment
    from secateur.runs.preflight import preflight, sweep_node

    if only_shows(parsed):
        raise ConfigError("secateur sweep submit launches; to look at a configuration: secateur run --cfg job ...")
    configs: list[Experiment] = []
    overrides = preflight(parsed, configs)
    cfg = sweep_node(parsed, overrides)
    assert cfg is not None
    if not is_slurm(cfg.hydra.launcher):
        raise ConfigError(
            f"hydra/launcher={cfg.hydra.runtime.choices['hydra/launcher']} needs this terminal: use secateur run -m; "
            "secateur sweep submit is for slurm."
        )
    return launch_sweep(parsed, cfg, overrides, configs, wait=False)


def go_on(folder: Path, overrides: Sequence[str], *, accept_code: bool, wait: bool) -> None:
    """Launch what failed, was interrupted or was not started of a sweep.

    Args:
        folder: the sweep's folder.
        overrides: of Hydra's launcher, in place of those that the sweep was launched with.
        accept_code: run them with today's code where it is not the launched one.
        wait: follow jobs at Slurm until they end.

    Raises:
        ConfigError: the code has changed, squeue does not answer, or an override is not the launcher's.
    """
    from secateur.cli.run import launch_cells

    _check_launcher_only(overrides)
    listed = queue()
    manifest = refresh(folder, listed)
    if listed is None and any(cell.job is not None for cell in manifest.cells):
        raise ConfigError(
            "squeue does not answer, so nobody can say which jobs are still in the queue; try again later."
        )
    console = make_console()
    numbers = [cell.num for cell in manifest.cells if cell.status in TO_RESUME]
    if not numbers:
        print_status(folder, manifest, console)
        return
    if not accept_code:
        check_code(manifest.code, manifest.user_code, folder)
    with editing(folder) as manifest:
        _prepare(manifest, numbers, overrides)
    console.print(f"again: {len(numbers)} of {len(manifest.cells)} jobs of {folder}", markup=False)
    launch_cells(folder, numbers, wait=wait)


def _prepare(manifest: Manifest, numbers: Sequence[int], overrides: Sequence[str]) -> None:
    """Note in a manifest what will be launched: the jobs as pending, today's code, the launcher's overrides."""
    manifest.code, manifest.user_code = package_sha256(), current(manifest.user_code)
    given = {text.split("=", 1)[0] for text in overrides}
    if LAUNCHER in given:  # another launcher has other keys
        manifest.hydra = [text for text in manifest.hydra if not _of_launcher(text)]
    kept = [text for text in manifest.hydra if text.split("=", 1)[0] not in given]
    manifest.hydra = [*kept, *overrides]
    for cell in (manifest.cells[num] for num in numbers):
        cell.status, cell.error, cell.job, cell.started, cell.ended = "pending", None, None, None, None


def _check_launcher_only(overrides: Sequence[str]) -> None:
    for text in overrides:
        if not _of_launcher(text):
            raise ConfigError(
                f"{text!r} would make other runs of this sweep's jobs; only hydra/launcher=... and "
                "hydra.launcher.KEY=... can be given. Other values are a new sweep."
            )


def _of_launcher(text: str) -> bool:
    key = text.split("=", 1)[0].lstrip("+~")
    return key == LAUNCHER or key.startswith("hydra.launcher.")


def _folder(action: str, arguments: Sequence[str]) -> tuple[Path, set[str], list[str]]:
    """Return the sweep's folder, the flags, and what else was given."""
    flags = {text for text in arguments if text.startswith("--")}
    if unknown := sorted(flags - FLAGS[action]):
        raise ConfigError(f"unknown flag {unknown[0]!r}{suggestion(unknown[0], FLAGS[action])}")
    rest = [text for text in arguments if text not in flags]
    if not rest:
        raise ConfigError(f"secateur sweep {action} needs the folder of a sweep: outputs/sweeps/NAME/TIME.")
    return find_sweep(Path(rest[0]), latest=action == "status"), flags, rest[1:]
