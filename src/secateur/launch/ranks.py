"""Set up the processes of a run, started by this program, Slurm, submitit or a launcher such as torchrun."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from omegaconf import DictConfig

from secateur.core.errors import ConfigError
from secateur.core.group import Group, failing_together, use
from secateur.runs.config import Experiment
from secateur.runs.nodes import shared
from secateur.training.distributed.strategy import DataParallel, Strategy
from secateur.training.settings import TrainerSettings


class Ranks(NamedTuple):
    """This process among those that were started together."""

    rank: int
    size: int
    local_rank: int
    address: str


ONE = Ranks(0, 1, 0, "127.0.0.1")


def given_ranks() -> Ranks:
    """Return which of the processes that were started together this one is, as the environment tells.

    ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` (of this program's launcher, of torchrun, of submitit) come before those
    of a Slurm step (``srun``). Without any it is one process.
    """
    if "SUBMITIT_EXECUTOR" in os.environ and "RANK" not in os.environ:
        _export_submitit()
    if "RANK" in os.environ or "LOCAL_RANK" in os.environ:
        return _of_environment()
    return _of_slurm() if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1 else ONE


def _export_submitit() -> None:
    """Write what submitit knows of a job's processes into the environment; nothing for a single one."""
    from submitit import JobEnvironment
    from submitit.helpers import TorchDistributedEnvironment

    if JobEnvironment().num_tasks > 1:
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)


def _of_environment() -> Ranks:
    needed = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise ConfigError(
            f"The environment says that this is one of several processes, but {', '.join(missing)} is not set: unset "
            "RANK and LOCAL_RANK, or start all processes by torchrun, srun or this program itself."
        )
    rank, size, local_rank = (int(os.environ[name]) for name in needed[:3])
    return Ranks(rank, size, local_rank, os.environ["MASTER_ADDR"])


def _of_slurm() -> Ranks:
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ["SLURM_NODELIST"]
    address = os.environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
    job, step = (int(os.environ.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    os.environ.setdefault("MASTER_PORT", str(20000 + (64 * job + step) % 10000))  # all processes know it
    rank, size, local_rank = (int(os.environ[f"SLURM_{name}"]) for name in ("PROCID", "STEP_NUM_TASKS", "LOCALID"))
    return Ranks(rank, size, local_rank, address)


def is_follower() -> bool:
    """Whether this process is one of several and not the first: it prints nothing and writes nothing."""
    try:
        return given_ranks().rank > 0
    except ConfigError:  # which is what this process is going to say
        return False


def start_processes(configs: Sequence[Experiment], arguments: Sequence[str]) -> int | None:
    """Start the processes that a run needs and are not there, and wait for them.

    Args:
        configs: the run's configuration, resolved; one.
        arguments: the command's.

    Returns:
        The exit code; None when there is nothing to start: this process does the job.

    Raises:
        ConfigError: the processes cannot be those that are asked for.
    """
    strategy: Strategy = shared(configs[0].strategy)
    if isinstance(strategy, DataParallel) and strategy.num_processes > 1 and given_ranks().size == 1:
        if "SUBMITIT_EXECUTOR" in os.environ or "SLURM_STEP_NUM_TASKS" in os.environ or "RANK" in os.environ:
            _check_size(strategy, ONE)
        if strategy.num_nodes > 1:
            raise ConfigError(
                f"strategy.num_nodes={strategy.num_nodes}, but this machine is one: start the processes on all nodes "
                "by srun or torchrun, or take hydra/launcher=slurm."
            )
        _device(strategy, configs[0].trainer, strategy.devices - 1)
        return launch([sys.executable, "-m", "secateur", "run", *arguments], strategy.num_processes)
    return None


def check_sweep(configs: Sequence[Experiment], launcher: DictConfig) -> None:
    """Check that whoever starts the jobs of a sweep starts as many processes as each needs.

    Args:
        configs: resolved configurations of the sweep.
        launcher: Hydra's launcher node.

    Raises:
        ConfigError: it starts others.
    """
    strategies: list[Strategy] = [shared(config.strategy) for config in configs]
    tasks, nodes = launcher.get("tasks_per_node"), launcher.get("nodes", 1)
    for strategy in strategies:
        if not isinstance(strategy, DataParallel):
            _check_size(strategy, ONE._replace(size=(tasks or 1) * nodes), "hydra.launcher starts {} processes")
        elif strategy.num_processes > 1 and tasks is None:
            raise ConfigError(
                f"A sweep in one process cannot run jobs of {strategy.num_processes} processes each: run them one by "
                "one, or add hydra/launcher=submitit_local (or slurm) hydra.launcher.tasks_per_node="
                f"{strategy.devices}."
            )
        elif (tasks or 1, nodes) != (strategy.devices, strategy.num_nodes):
            raise ConfigError(
                f"hydra.launcher starts {tasks} processes on each of {nodes} nodes, but strategy.devices="
                f"{strategy.devices} and strategy.num_nodes={strategy.num_nodes}: make them equal."
            )


def _check_size(strategy: Strategy, ranks: Ranks, started: str = "{} processes were started") -> None:
    if strategy.num_processes != ranks.size:
        asked = (
            f"strategy.devices={strategy.devices} times strategy.num_nodes={strategy.num_nodes} is "
            f"{strategy.num_processes}"
            if isinstance(strategy, DataParallel)
            else "strategy=single is 1"
        )
        raise ConfigError(f"{asked}, but {started.format(ranks.size)}: make the two equal.")


@contextmanager
def together(config: Experiment) -> Iterator[None]:
    """Join the other processes of the job inside the block; an error of one is an error of all.

    Args:
        config: the resolved configuration.

    Raises:
        ConfigError: the processes that are there are not those that are asked for.
    """
    strategy: Strategy = shared(config.strategy)
    ranks = given_ranks()
    _check_size(strategy, ranks)
    if not isinstance(strategy, DataParallel):
        yield
        return
    if ranks.size == 1:
        group = Group()
        group.device = torch.device("cpu") if strategy.accelerator == "cpu" else None
        with use(group):
            yield
        return
    from secateur.training.distributed.processes import joined

    die_with_launcher()
    device = _device(strategy, config.trainer, ranks.local_rank)
    with (
        joined(
            *(strategy, device),
            rank=ranks.rank,
            size=ranks.size,
            local_rank=ranks.local_rank,
            address=ranks.address,
        ),
        failing_together(),
    ):
        yield


def _device(strategy: DataParallel, settings: TrainerSettings, local_rank: int) -> torch.device:
    """Return where a process computes.

    Raises:
        ConfigError: there are fewer GPUs than processes on this machine.
    """
    if strategy.accelerator == "cpu" or settings.device.type == "cpu":
        if strategy.sharded:
            raise ConfigError("strategy=fsdp divides a network among GPUs, and there is none here: take ddp_cpu.")
        return torch.device("cpu")
    if (count := torch.cuda.device_count()) <= local_rank:
        raise ConfigError(
            f"strategy.devices={strategy.devices}, but this machine shows {count} GPUs: ask for fewer devices."
        )
    return torch.device("cuda", local_rank)


LIFELINE = "SECATEUR_LIFELINE"
POLL_SECONDS = 0.05
NOTICE_SECONDS = 10.0  # for the others to notice that one is gone, and to write what they know
KILL_SECONDS = 10.0


def launch(command: Sequence[str], num_processes: int) -> int:
    """Run a command in so many processes that know of each other, as torchrun's do, and wait for all.

    When one fails the others are ended: they get a moment to notice by themselves, then SIGTERM, then SIGKILL. SIGTERM
    and SIGINT are handed on. Should this process be killed, the others end too.

    Args:
        command: the program and its arguments.
        num_processes: how many, all on this machine.

    Returns:
        The exit code of the first that failed, else 0; a death by signal is 1, an interrupt 130.
    """
    alive, kept = os.pipe()
    shared = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(num_processes),
        "LOCAL_WORLD_SIZE": str(num_processes),
        "SECATEUR_PID": str(os.getpid()),
        LIFELINE: str(alive),
    }
    processes: list[subprocess.Popen[bytes]] = []
    with _handing_on(processes):
        for rank in map(str, range(num_processes)):
            environment = {**shared, "RANK": rank, "LOCAL_RANK": rank}
            processes.append(subprocess.Popen(list(command), env=environment, pass_fds=[alive], start_new_session=True))
        os.close(alive)
        try:
            return _wait(processes)
        finally:
            _end(processes)
            os.close(kept)


def die_with_launcher() -> None:
    """End this process when the one that launched it is gone, without a word, as that one did."""
    if (lifeline := os.environ.pop(LIFELINE, None)) is None:
        return

    def watch() -> None:
        os.read(int(lifeline), 1)  # nothing is ever written: it returns when the other end is closed
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _wait(processes: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait until all have ended, or one has failed; return the code."""
    while True:
        codes = [process.poll() for process in processes]
        if failed := [_code(code) for code in codes if code]:
            return max(failed)  # of those that failed at once 2, bad input, says more than 1
        if None not in codes:
            return 0
        time.sleep(POLL_SECONDS)


def _code(code: int) -> int:
    if code >= 0:
        return code
    return 130 if code == -signal.SIGINT else 1


def _end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End what still runs."""
    for ask, seconds in ((None, NOTICE_SECONDS), (signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, None)):
        deadline = None if seconds is None else time.monotonic() + seconds
        for process in processes:
            if ask is not None and process.poll() is None:
                process.send_signal(ask)
        for process in processes:
            try:
                process.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def _handing_on(processes: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Hand SIGTERM and SIGINT on to the processes inside the block."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
