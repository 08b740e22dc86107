"""Starting all processes of a data-parallel run on one machine: one command, once per process."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

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
