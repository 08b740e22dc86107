"""Launching a sweep: freeze it, write its manifest, hand its jobs to Hydra's launcher."""

import contextlib
import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.types import TaskFunction
from omegaconf import DictConfig
from rich.console import Console

from secateur.core.code import package_sha256, user_modules
from secateur.core.errors import ConfigError
from secateur.core.manifest import Cell, Manifest, editing, load_manifest, save_manifest
from secateur.core.record import now
from secateur.core.store import holder_of, is_held, locked
from secateur.launch.freeze import Frozen
from secateur.launch.slurm import array_size, check_launcher, is_slurm, is_submitit, submit
from secateur.launch.status import LAUNCH_LOCK
from secateur.launch.watch import Watch
from secateur.runs.compose import composing, grid, is_of_hydra, key_of, launcher_of

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from submitit import Job


def new_sweep(
    parsed: Namespace, cfg: DictConfig, overrides: Sequence[str], code_folders: Sequence[Path]
) -> tuple[Path, Manifest]:
    """Make a sweep's folder: the copy of its configuration, and the manifest with every job in it; return both.

    Args:
        parsed: the command.
        cfg: the composed configuration with Hydra's node, see :func:`secateur.runs.compose.sweep_node`.
        overrides: what pre-flight returned.
        code_folders: where modules of the user's own are found.

    Raises:
        ConfigError: the launcher cannot work here.
    """
    check_launcher(cfg.hydra.launcher)
    if not str(cfg.hydra.sweeper._target_).endswith(".BasicSweeper"):
        raise ConfigError(f"A sweep here is a grid; hydra.sweeper={cfg.hydra.sweeper._target_} is another kind.")
    of_hydra = [text for text in overrides if is_of_hydra(text)]
    tasks = [text for text in overrides if text not in of_hydra]
    folder = _new_folder(Path(str(cfg.hydra.sweep.dir)))
    frozen = Frozen(folder)
    frozen.fill(parsed)
    manifest = Manifest(
        name=str(cfg.name),
        command=shlex.join(["secateur", *sys.argv[1:]]),
        created=now(),
        cwd=str(Path.cwd()),
        config_name=parsed.config_name or "config",
        config_dir=str(Path(parsed.config_dir).resolve()) if parsed.config_dir else None,
        hydra=[text for text in of_hydra if key_of(text) not in OURS],
        launcher=str(cfg.hydra.runtime.choices["hydra/launcher"]),
        code=package_sha256(),
        user_code=user_modules(code_folders),
        cells=[Cell(num, texts) for num, texts in enumerate(grid(tasks))],
    )
    save_manifest(folder, manifest)
    return folder, manifest


# What Hydra is told of a sweep's folder at every launch.
OURS = ("hydra.searchpath", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.sweeper.params", "hydra.mode")


def launch(folder: Path, numbers: Sequence[int], task: TaskFunction, console: Console, *, wait: bool) -> list[Cell]:
    """Launch some jobs of a sweep from its frozen configuration.

    Args:
        folder: the sweep's folder.
        numbers: the jobs.
        task: what each of them calls.
        console: where messages go.
        wait: follow jobs at Slurm until they end; other launchers always are waited for.

    Returns:
        The jobs that ran elsewhere and have ended; of those in this process the task itself keeps account.

    Raises:
        ConfigError: the sweep is being launched already, cannot be launched from here, or the scheduler refused it.
    """
    folder = folder.resolve()
    if is_held(folder / LAUNCH_LOCK):
        raise ConfigError(f"This sweep is being launched by {holder_of(folder / LAUNCH_LOCK)}; wait until it ends.")
    manifest = load_manifest(folder)
    if not Path(manifest.cwd).is_dir():
        raise ConfigError(f"The sweep was launched in {manifest.cwd}, which its paths refer to; it is not there.")
    frozen = Frozen(folder)
    watch = Watch(folder, numbers, console)
    with contextlib.chdir(manifest.cwd), composing(frozen.primary):
        with locked(folder / LAUNCH_LOCK, "the sweep", console.print):
            cfg, launcher = _launcher(folder, manifest, frozen, task)
            with editing(folder) as noted:
                noted.launcher = str(cfg.hydra.runtime.choices["hydra/launcher"])
            jobs = {num: [*manifest.cells[num].overrides, f"hydra.sweep.subdir=jobs/{num}"] for num in numbers}
            if not is_submitit(cfg.hydra.launcher):
                for result in launcher.launch(list(jobs.values()), initial_job_idx=0):
                    _ = result.return_value  # raises what the job raised
                return []
            local = _submit_all(folder, launcher, jobs, console, slurm=is_slurm(cfg.hydra.launcher))
            if local:
                watch.processes(local)
        if not (wait or local):
            return []
        _follow(watch, folder)
    cells = load_manifest(folder).cells
    return [cells[num] for num in numbers]


def _follow(watch: Watch, folder: Path) -> None:
    try:
        watch.until_settled()
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"the jobs run on without this command: secateur sweep status {folder}") from error


def _launcher(folder: Path, manifest: Manifest, frozen: Frozen, task: TaskFunction) -> "tuple[DictConfig, Launcher]":
    """Compose the sweep's configuration from its copy, and set up the launcher it names."""
    ours = [frozen.search_path, "hydra.mode=MULTIRUN", f"hydra.sweep.dir='{folder}'"]
    # With the first job's values: all keys that are set for the sweep exist. Each job composes with its own later.
    overrides = [*ours, *manifest.hydra, *manifest.cells[0].overrides]
    cfg, launcher = launcher_of(manifest.config_name, overrides, task)
    check_launcher(cfg.hydra.launcher)
    return cfg, launcher


def _submit_all(
    folder: Path, launcher: Any, jobs: Mapping[int, Sequence[str]], console: Console, *, slurm: bool
) -> "list[Job[Any]]":
    """Send jobs off, at Slurm in arrays as large as it takes; return those that are processes of this machine."""
    numbers, size = list(jobs), array_size() if slurm else len(jobs)
    sent: dict[int, Job[Any]] = {}
    for first in range(0, len(numbers), size):
        array = submit(launcher, {num: jobs[num] for num in numbers[first : first + size]})
        sent |= array
        if slurm:
            _note(folder, array)
            name = str(next(iter(array.values())).job_id).split("_")[0]
            console.print(f"submitted {len(array)} jobs as Slurm job {name}")
    return [] if slurm else list(sent.values())


def _note(folder: Path, jobs: "Mapping[int, Job[Any]]") -> None:
    with editing(folder) as manifest:
        for num, job in jobs.items():
            manifest.cells[num].job = str(job.job_id)


def _new_folder(parent: Path) -> Path:
    """Make a folder of this launch alone; making it decides between two launches of the same second."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError  # pragma: no cover
