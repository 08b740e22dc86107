"""Checkpoints of a training in progress: written beside their target, and checked before they are read."""

import hashlib
import io
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO

from secateur.core.code import package_sha256
from secateur.core.errors import StoreError
from secateur.core.files import DISK_FULL, sync_folder
from secateur.core.stage_files import CHECKPOINTS
from secateur.core.store import partial_name

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
IDENTITY = "secateur"  # key of a checkpoint that holds its stage, its schema and the hash of the code that wrote it
SCHEMA = 1  # to be raised by a commit after which an older checkpoint loads and means something else
END = b"PK\x05\x06"  # signature of the last record of a ZIP file, whose last two bytes are the length of a comment
END_LENGTH = 22  # bytes of that record, without the comment
SEAL = b"secateur sha256 "  # beginning of the comment; the digest follows in hex
SEAL_LENGTH = len(SEAL) + 64


class Checkpoints(CheckpointIO):
    """The checkpoints of one stage, ``last.ckpt`` and the one before it, ``previous.ckpt``.

    A checkpoint is an ordinary PyTorch file. It is written as ``last.ckpt.tmp`` in the same folder, flushed to the disk
    and renamed, so that a process that dies or a disk that is full leaves the older ones as they are. The ZIP comment
    of the file holds the sha256 of everything before it: PyTorch itself does not notice a changed bit.

    A checkpoint can be used where its stage (name and key, which holds the stage's version) and its schema are those
    of today. One that other code wrote is used too, with a line that says so: most changes of code do not touch it.

    Args:
        folder: the stage's folder; its name and parent say which stage it is, and ``checkpoints/`` in it holds them.
        say: called with a line of text when a checkpoint cannot be used.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder / CHECKPOINTS, say
        self.identity = {"stage": partial_name(folder), "schema": SCHEMA, "code": _code()}
        self.is_of_other_code = False  # whether other code wrote what latest() found

    def latest(self) -> Path | None:
        """Return the newest checkpoint that can be used, or None.

        One that is damaged, or of another stage or schema, is renamed to ``*.unreadable``, with a line that names it.
        Rank 0 alone calls this.
        """
        (self.folder / f"{LAST}.tmp").unlink(missing_ok=True)
        flaws: list[str] = []
        found = None
        for path in (self.folder / LAST, self.folder / PREVIOUS):
            if found is None and path.exists():
                if flaw := self._flaw(path):
                    flaws.append(f"{path} cannot be used ({flaw}) and is now {_set_aside(path).name}")
                else:
                    found = path
        if flaws:
            goes_on = f"goes on from {found.name}" if found else "starts again"
            self.say(f"{'; '.join(flaws)}: stage {self.identity['stage']} {goes_on}.")
        self.is_of_other_code = found is not None and self._identity(found).get("code") != self.identity["code"]
        if self.is_of_other_code:
            self.say(
                f"{found} was written by other code of the same version of this stage: stage {self.identity['stage']} "
                "goes on from it."
            )
        return found

    def set_aside(self, path: Path, reason: str) -> None:
        """Rename a checkpoint that does not load into today's classes; say so. Rank 0 alone calls this.

        Args:
            path: the checkpoint.
            reason: the error that loading it raised, in one line.
        """
        aside = _set_aside(path)
        self.say(
            f"{path} was written by other code and does not fit this one ({reason:.200}); it is now {aside.name}, and "
            f"stage {self.identity['stage']} is begun again without it."
        )

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint as ``last.ckpt``; the one that was there becomes ``previous.ckpt``.

        Raises:
            StoreError: it cannot be written; the checkpoints that were there are untouched.
        """
        content = sealed({**checkpoint, IDENTITY: self.identity})
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._write(path, content)
            except OSError as error:
                previous = path.with_name(PREVIOUS)
                if error.errno not in DISK_FULL or not (previous.exists() and path.exists()):
                    raise
                previous.unlink()  # the newer one is there: its space is of more use to the next
                self._write(path, content)
        except OSError as error:
            raise StoreError(
                f"The checkpoint {path} cannot be written: {error.strerror or error}. Older ones are kept: make room, "
                "and the same command goes on."
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint; tensors and plain values only, whatever the caller asks for."""
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)

    def _write(self, path: Path, content: memoryview) -> None:
        temporary = path.with_name(f"{path.name}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                os.replace(path, path.with_name(PREVIOUS))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)

    def _flaw(self, path: Path) -> str | None:
        """Return why a checkpoint cannot be used, or None."""
        if not path.is_file():
            return "it is not a file"
        if not is_sealed(path):
            return "it is damaged or not one of Secateur's"
        try:
            identity = self._identity(path)
        except Exception as error:  # whatever an unpickler raises of a file that was made up
            return f"it cannot be read: {type(error).__name__}"
        for key, name in (("stage", "stage"), ("schema", "checkpoint schema")):
            if (found := identity.get(key)) != self.identity[key]:
                return f"it is of {name} {found!s:.60}"
        return None

    def _identity(self, path: Path) -> dict[str, Any]:
        """Return the identity that a checkpoint holds; empty where it holds none."""
        identity = self.load_checkpoint(path).get(IDENTITY)
        return identity if isinstance(identity, dict) else {}


def _set_aside(path: Path) -> Path:
    """Rename a checkpoint that cannot be used; return its new path."""
    aside = path.with_name(f"{path.name}.unreadable")
    os.replace(path, aside)
    return aside


def sealed(checkpoint: dict[str, Any]) -> memoryview:
    """Return the bytes of a PyTorch file whose ZIP comment holds the sha256 of all bytes before the comment.

    Raises:
        StoreError: PyTorch wrote something else than a ZIP file without a comment.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    buffer.seek(-END_LENGTH, io.SEEK_END)
    end = buffer.read()
    if not end.startswith(END) or not end.endswith(b"\0\0"):
        raise StoreError("torch.save did not write a ZIP file that ends with an empty comment.")
    buffer.seek(-2, io.SEEK_END)
    buffer.write(SEAL_LENGTH.to_bytes(2, "little"))
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    buffer.write(SEAL + digest.encode())
    return buffer.getbuffer()


def is_sealed(path: Path) -> bool:
    """Whether a file ends with the sha256 of what is before it, as :func:`sealed` writes it."""
    left, digest = path.stat().st_size - SEAL_LENGTH, hashlib.sha256()
    if left <= 0:
        return False
    with path.open("rb") as file:
        while left:
            block = file.read(min(left, 1 << 20))
            if not block:
                return False
            digest.update(block)
            left -= len(block)
        return file.read() == SEAL + digest.hexdigest().encode()


@lru_cache(maxsize=1)
def _code() -> str:
    return package_sha256()
