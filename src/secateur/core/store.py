"""Every expensive stage is computed once: ``store/<stage>/<key>/``, finished by a rename.

A stage in progress is ``<key>.partial/``, kept when its process dies so that the next one resumes from the
checkpoint in it. A file lock (flock, freed by the kernel even after SIGKILL) keeps two processes from computing
the same stage; the lock is an optimization, the rename is the truth.

Of the processes that run a job together, rank 0 alone looks, locks and publishes; the others do what it found.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from secateur.core.errors import StoreError
from secateur.core.files import read_json, write_json
from secateur.core.group import Group, alone, current
from secateur.core.hashing import content_key

FINISHED = "stage.json"
WAIT_MESSAGE_SECONDS = 60.0
VISIBLE_SECONDS = 60.0  # a network file system may show another host's files late


@dataclass(frozen=True)
class StageResult:
    """A finished stage: its folder, whether it was found finished, and what its computation returned."""

    path: Path
    reused: bool
    summary: dict[str, Any]


def stage_key(stage: str, version: int, config: Any, fingerprint: str, upstream: list[str] | None = None) -> str:
    """Return the key of a stage, 16 hex digits.

    Args:
        stage: name of the stage.
        version: the stage's ``VERSION``, raised by a commit that changes its results.
        config: JSON value with everything the stage reads.
        fingerprint: the pool's fingerprint.
        upstream: keys of the stages it builds on.
    """
    parts = {
        "stage": stage,
        "version": version,
        "config": config,
        "pool": fingerprint,
        "upstream": upstream or [],
    }
    return content_key(parts, 16)


class Store:
    """The folder of finished stages.

    Args:
        root: the store's folder.
        say: called with a line of text when a stage has to be waited for.
    """

    def __init__(self, root: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.root = root
        self.say = say

    def get(
        self,
        stage: str,
        key: str,
        compute: Callable[[Path], dict[str, Any]],
        *,
        recompute: bool = False,
        by_one: bool = False,
        suffices: Callable[[dict[str, Any]], bool] = lambda summary: True,
    ) -> StageResult:
        """Return a finished stage, computing it in its ``.partial`` folder if nobody has.

        Args:
            stage: name of the stage.
            key: its :func:`stage_key`.
            compute: fills the folder it is given and returns a JSON summary; it is called again on the same
                folder when an earlier attempt was killed, and should resume from what lies there. All processes of
                a group call it; files are rank 0's to write, and its summary counts.
            recompute: ignore a finished one and compute it anew.
            by_one: rank 0 computes it, and the others wait.
            suffices: whether a finished stage with this summary holds what is wanted. If it does not, ``compute`` is
                called, which may go on from what :meth:`finished` holds, and its result replaces the finished stage.
        """
        group, final = current(), self.root / stage / key
        if group.rank:
            return self._follow(group, final, compute, by_one=by_one)

        def usable() -> bool:
            summary = self.finished(stage, key)
            return summary is not None and suffices(summary) and not recompute

        with ExitStack() as held:
            if not usable():
                held.enter_context(locked(final.with_name(f"{key}.lock"), f"stage {stage} {key}", self.say))
            found = usable()
            group.broadcast((stage, key, found))
            if not found:
                partial = final.with_name(f"{key}.partial")
                partial.mkdir(parents=True, exist_ok=True)
                with alone() if by_one else nullcontext():
                    summary = compute(partial)
                write_json(partial / FINISHED, summary)
                self._publish(partial, final)
            result = self._result(final, reused=found)
            group.broadcast(result.summary)
            return result

    def finished(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the summary of a finished stage, or None where there is none."""
        final = self.folder(stage, key)
        return self._result(final, reused=True).summary if self._finished(final) else None

    def folder(self, stage: str, key: str) -> Path:
        """Return the folder of a finished stage, whether or not it is there."""
        return self.root / stage / key

    def _follow(
        self, group: Group, final: Path, compute: Callable[[Path], dict[str, Any]], *, by_one: bool
    ) -> StageResult:
        """Do as rank 0 found: take the finished stage, or compute along."""
        stage, key, found = group.broadcast(None)
        if (stage, key) != (final.parent.name, final.name):
            raise StoreError(
                f"Process {group.rank} asks for stage {final.parent.name} {final.name} where process 0 asks for "
                f"{stage} {key}: they do not run the same configuration, code or data."
            )
        if not found and not by_one:
            compute(final.with_name(f"{key}.partial"))
        summary = group.broadcast(None)
        self._await(final)
        return StageResult(final, found, summary)

    def _await(self, final: Path) -> None:
        """Wait until what rank 0 published is visible here.

        Raises:
            StoreError: it does not appear.
        """
        started = time.monotonic()
        while not self._finished(final):
            if time.monotonic() - started > VISIBLE_SECONDS:
                raise StoreError(
                    f"{final} was finished by process 0 but is not visible on {socket.gethostname()}: "
                    "paths.output_dir must be on a file system that all nodes share."
                )
            time.sleep(0.1)

    def _finished(self, final: Path) -> bool:
        return (final / FINISHED).is_file()

    def _result(self, final: Path, *, reused: bool) -> StageResult:
        try:
            return StageResult(final, reused, read_json(final / FINISHED))
        except ValueError as error:
            raise StoreError(
                f"{final} is damaged ({FINISHED} cannot be read). Delete the folder and run again."
            ) from error

    def _publish(self, partial: Path, final: Path) -> None:
        """Rename the partial folder into place, its files safely on disk; an older one is moved away and removed."""
        for path in (path for path in partial.rglob("*") if path.is_file()):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        discarded = final.with_name(f"{final.name}.discarded.{os.getpid()}")
        if final.exists():
            os.rename(final, discarded)
        os.rename(partial, final)
        shutil.rmtree(discarded, ignore_errors=True)


@contextmanager
def locked_by_zero(path: Path, what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Let rank 0 hold a file lock; the other processes of its group wait until it does."""
    group = current()
    with locked(path, what, say) if group.rank == 0 else nullcontext():
        group.broadcast(None)
        yield


@contextmanager
def locked(path: Path, what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a file lock; wait for it without limit, but say who holds it (at once, then every minute).

    Raises:
        StoreError: the file system has no file locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False)
    holder = path.with_suffix(".holder")
    try:
        _acquire(lock, holder, what, say)
    except OSError as error:
        raise StoreError(
            f"No file lock at {path}: {error}. `secateur doctor` says what this file system can do."
        ) from error
    try:
        write_json(holder, {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def is_held(path: Path) -> bool:
    """Whether somebody holds a file lock, without keeping it.

    One that this user may not try counts as held; one that is not there, or on a file system without locks, as free.
    """
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0, fallback_to_soft=False):
            return False
    except (Timeout, PermissionError):
        return True
    except OSError:
        return False


def holder_of(path: Path) -> str:
    """Return who holds a lock, in words."""
    return _describe(path.with_suffix(".holder"))


def _acquire(lock: FileLock, holder: Path, what: str, say: Callable[[str], None]) -> None:
    started, said = time.monotonic(), -WAIT_MESSAGE_SECONDS
    while True:
        try:
            lock.acquire(timeout=1.0)
            return
        except Timeout:
            waited = time.monotonic() - started
            if waited - said >= WAIT_MESSAGE_SECONDS:
                said = waited
                say(f"waiting for {what}, held by {_describe(holder)} ({waited:.0f} s so far)")


def _describe(holder: Path) -> str:
    try:
        who = read_json(holder)
    except (OSError, ValueError):
        return "another process"
    job = f", Slurm job {who['job']}" if who.get("job") else ""
    return f"process {who['pid']} on {who['host']}{job}"
