"""Small files that are either complete or absent."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

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


MAX_DEPTH: Final = 100  # what walks a document by recursion stays far from Python's own limit
MAX_BITS: Final = 63  # of an integer: beyond, it is no int64, and far beyond no float


def flaw_of(document: Any) -> str | None:
    r"""Return why a parsed JSON document cannot be worked with, and the key where that is; None where it can.

    JSON allows what nothing can hold: half a surrogate pair (``"\ud800"``), which no file takes as UTF-8, integers of
    any length, and nesting of any depth.

    Example:
        >>> flaw_of({"a": {"b": [10**400]}})
        'a.b[0] is an integer of more than 63 bits'
        >>> flaw_of({"a": 1}) is None
        True
    """
    waiting: list[tuple[str, int, Any]] = [("", 0, document)]
    while waiting:
        name, depth, value = waiting.pop()
        if depth > MAX_DEPTH:
            return f"{_shown(name)} is nested more than {MAX_DEPTH} deep"
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            return f"{_shown(name)} is an integer of more than {MAX_BITS} bits"
        if isinstance(value, str) and not _is_text(value):
            return f"{_shown(name)} holds half a character (a lone surrogate)"
        for key, item in _items(name, value):
            if not _is_text(key):
                return f"a key of {_shown(name)} holds half a character (a lone surrogate)"
            waiting.append((key, depth + 1, item))
    return None


def _items(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{name}.{key}" if name else str(key), item
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield f"{name}[{number}]", item


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str, limit: int = 60) -> str:
    """Return a key as it can be shown: of a deep one its beginning."""
    return (name if len(name) <= limit else f"{name[:limit]}...") or "the document"
