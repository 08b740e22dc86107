"""Small files that are either complete or absent."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secateur.core.errors import DataError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line which path, given by a person, cannot be written, and why.

    Raises:
        DataError: the system refused something inside of the block.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:  # of a folder that was to be made
        raise DataError(f"{path} cannot be written: what should be a folder of it is a file.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}. Choose another path.") from error


def write_text(path: Path, text: str) -> Path:
    """Write text so that a reader sees the old file or the new one, never half of it."""
    return write_bytes(path, text.encode("utf-8"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file, which takes the file's place when the block ends without an error.

    A reader sees the old file or the new one, never half of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # still there after an error, or where both were the same file already


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes so that a reader sees the old file or the new one, never half of it."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write indented JSON atomically; NaN and infinity are refused."""
    return write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk, on file systems that can do this."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse it for folders
        pass
    finally:
        os.close(handle)


def link_or_copy(source: Path, target: Path) -> Path:
    """Make ``target`` the same file as ``source``: a hard link where the file system allows it, else a copy.

    Both have the permissions of ``source``; what the store has published is read-only.
    """
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
    return target


def read_document(path: Path, schema: int, kind: str, missing: str) -> dict[str, Any]:
    """Read a JSON file that says which schema it has.

    Args:
        path: the file.
        schema: the schema it must have.
        kind: what it is, for messages: ``"a run record"``.
        missing: the message where it is not there.

    Raises:
        DataError: it is missing, is not JSON, or has another schema.
    """
    try:
        values: dict[str, Any] = read_json(path)
    except FileNotFoundError as error:
        raise DataError(missing) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable JSON; it may be truncated.") from error
    if not isinstance(values, dict) or values.get("schema") != schema:
        raise DataError(f"{path} is not {kind} of schema {schema}.")
    return values
