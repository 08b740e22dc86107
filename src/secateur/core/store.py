"""Every expensive stage is computed once: ``store/<stage>/<key>/``, finished by a rename.

A stage in progress is ``<key>.partial/``, kept when its process dies so that the next one resumes from the
checkpoints in it. A file lock (flock, freed by the kernel even after SIGKILL) keeps two processes from computing
the same stage; the lock is an optimization, the rename is the truth.

A finished stage says in its ``stage.json`` which files it has, with size and sha256. Whoever reuses it compares them
first, and computes a damaged stage again. Its files are read-only, since folders of runs hold hard links to them.

Of the processes that run a job together, rank 0 alone looks, locks and publishes; the others do what it found.
"""

import errno
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from secateur.core.errors import CheckpointError, DataError, StoreError
from secateur.core.files import DISK_FULL, read_json, sync_file, sync_folder, write_json
from secateur.core.group import Group, alone, current
from secateur.core.hashing import content_key
from secateur.core.names import named
from secateur.core.stage_files import CHECKPOINTS, FINISHED, read_stage, stage_files, write_stage

READ_ONLY = 0o444  # permissions of published files
PARTIAL = ".partial"  # suffix of the folder of a stage in progress
WAIT_MESSAGE_SECONDS = 60.0
VISIBLE_SECONDS = 60.0  # a network file system may show another host's files late
REPLACED_SECONDS = 10.0  # an entry that is being replaced is away for a moment
Read = TypeVar("Read")


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
        "config": named(config),
        "pool": fingerprint,
        "upstream": upstream or [],
    }
    return content_key(parts, 16)


class Store:
    """The folder of finished stages.

    Args:
        root: the store's folder.
        say: called with a line of text when a stage has to be waited for, or is damaged.
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
        """Return a finished stage, computing it in its ``.partial`` folder if nobody has, or if it is damaged.

        Args:
            stage: name of the stage.
            key: its :func:`stage_key`.
            compute: fills the folder it is given and returns a JSON summary; all files it leaves there become the
                stage's. It is called again when an earlier attempt was killed, and finds what that one left in
                ``checkpoints/``; whatever else lay in the folder is removed before. It is called again too when it
                raises CheckpointError: a checkpoint of other code did not fit. All processes of a group call it;
                files are rank 0's to write, and its summary counts.
            recompute: ignore a finished one and compute it anew.
            by_one: rank 0 computes it, and the others wait.
            suffices: whether a finished stage with this summary holds what is wanted. If it does not, ``compute`` is
                called, which may go on from what lies in :meth:`folder`, and its result replaces the finished stage.

        Raises:
            StoreError: the disk is full, or the file system has no locks.
        """
        group, final = current(), self.folder(stage, key)
        if group.rank:
            return self._follow(group, final, compute, by_one=by_one)

        def look(*, tell: bool) -> dict[str, Any] | None:
            there = None if recompute else self._usable(final, tell=tell)
            return there if there is not None and suffices(there) else None

        with ExitStack() as held:
            summary = look(tell=False)
            if summary is None:
                held.enter_context(locked(final.with_name(f"{key}.lock"), f"stage {stage} {key}", self.say))
                summary = look(tell=True)
            found, partial = summary is not None, final.with_name(f"{key}{PARTIAL}")
            if not found:
                _clear(partial)
            group.broadcast((stage, key, found))
            if summary is None:
                with _room():
                    with alone() if by_one else nullcontext():
                        computed = _computed(compute, partial)
                    summary = write_stage(partial, computed)
                    self._publish(partial, final)
            group.broadcast(summary)
            return StageResult(final, found, summary)

    def finished(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the summary of a finished stage whose files are intact, or None where there is none."""
        return self._usable(self.folder(stage, key))

    def folder(self, stage: str, key: str) -> Path:
        """Return the folder of a finished stage, whether or not it is there."""
        return self.root / stage / key

    def _usable(self, final: Path, *, tell: bool = False) -> dict[str, Any] | None:
        """Return the summary of a finished stage whose files are as they were published, or None.

        Args:
            final: the stage's folder.
            tell: say what is wrong with a damaged one. A stage that another process replaces at this moment looks
                damaged to a process that does not hold the lock.
        """
        try:
            summary = read_stage(final)
            shutil.rmtree(final / CHECKPOINTS, ignore_errors=True)  # of a process killed right after it published
            return summary
        except FileNotFoundError:
            damage = f"{FINISHED} is missing" if final.exists() else None
        except StoreError as error:
            damage = str(error)
        if tell and damage:
            self.say(f"warning: {final} is damaged and is computed again: {damage}.")
        return None

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
            _computed(compute, final.with_name(f"{key}{PARTIAL}"))
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

    def _publish(self, partial: Path, final: Path) -> None:
        """Rename the partial folder into place, its files safely on disk; an older one is moved away and removed.

        Checkpoints are removed last: as long as the stage is not published they are what it would be resumed from.
        """
        files = [*stage_files(partial), partial / FINISHED]
        for path in files:
            path.chmod(READ_ONLY)
            sync_file(path)
        for folder in {path.parent for path in files}:
            sync_folder(folder)
        for leftover in final.parent.glob(f"{final.name}.discarded.*"):  # of a process that was killed here
            shutil.rmtree(leftover, ignore_errors=True)
        discarded = final.with_name(f"{final.name}.discarded.{os.getpid()}")
        if final.exists():
            os.rename(final, discarded)
        os.rename(partial, final)
        sync_folder(final.parent)
        shutil.rmtree(discarded, ignore_errors=True)
        shutil.rmtree(final / CHECKPOINTS, ignore_errors=True)


def read_stored(read: Callable[[], Read]) -> Read:
    """Read from a finished stage, again and again while its files are away.

    A longer or newer entry takes the place of a finished one by two renames; between them a reader finds nothing.

    Args:
        read: opens and reads the files by their paths in the finished stage.

    Raises:
        Exception: what the last attempt raised, after :data:`REPLACED_SECONDS`, or one that has another reason.
    """
    started = time.monotonic()
    while True:
        try:
            return read()
        except (OSError, DataError) as error:
            if not _is_away(error) or time.monotonic() - started > REPLACED_SECONDS:
                raise
        time.sleep(0.05)


def _is_away(error: BaseException) -> bool:
    """Whether an error, or the one it was raised from, says that a file is not there."""
    reason = error if isinstance(error, OSError) else error.__cause__
    return isinstance(reason, OSError) and (
        isinstance(reason, FileNotFoundError) or reason.errno in (errno.ENOENT, errno.ESTALE)
    )


def partial_name(folder: Path) -> str:
    """Return which stage a folder in progress is of: ``<stage>/<key>``."""
    return f"{folder.parent.name}/{folder.name.removesuffix(PARTIAL)}"


def _computed(compute: Callable[[Path], dict[str, Any]], partial: Path) -> dict[str, Any]:
    """Compute a stage; begin again each time a checkpoint of other code was set aside because it does not fit."""
    while True:
        try:
            return compute(partial)
        except CheckpointError:  # one checkpoint less every time: it ends
            if current().rank == 0:
                _clear(partial)


def _clear(partial: Path) -> None:
    """Make a stage's folder hold nothing but the checkpoints of an earlier attempt, if there are any.

    Whatever else lies there is of an attempt that died, or nobody's: it must not become a part of the stage.
    """
    partial.mkdir(parents=True, exist_ok=True)
    for path in partial.iterdir():
        if path.name != CHECKPOINTS:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def _room() -> Iterator[None]:
    """Say in one line that the disk is full.

    Raises:
        StoreError: inside the block a file could not be written for want of room.
    """
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise StoreError(
            f"The disk is full{where}: make room, and the same command goes on from the last checkpoint."
        ) from error


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
