"""stage.json: the files of a finished stage with size and sha256, and what its computation returned."""

import json
from pathlib import Path
from typing import Any

from secateur.core.errors import StoreError
from secateur.core.files import write_text
from secateur.core.hashing import content_key, file_sha256

FINISHED = "stage.json"
SCHEMA = 1
CHECKPOINTS = "checkpoints"  # folder of a stage in progress; no part of the finished one


def stage_files(folder: Path) -> list[Path]:
    """Return the files of a stage's folder, sorted; neither its checkpoints nor stage.json."""
    outside = (folder / CHECKPOINTS, folder / FINISHED)
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(path.is_relative_to(other) for other in outside))


def write_stage(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Write stage.json for the files that lie in a stage's folder; return the summary as it will be read.

    The file ends with the sha256 of its other values, so that a change of it is noticed too.

    Args:
        folder: the stage's folder, its files complete.
        summary: JSON object that the stage's computation returned.

    Raises:
        ValueError: the summary is not JSON: it holds NaN, for example.
    """
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in stage_files(folder)
    }
    text = _text({"schema": SCHEMA, "summary": summary, "files": files})
    write_text(folder / FINISHED, text)
    plain: dict[str, Any] = json.loads(text)["summary"]
    return plain


def read_stage(folder: Path) -> dict[str, Any]:
    """Return the summary of a finished stage, after comparing every file with its size and sha256.

    Reading a file takes about a second per GB. All of them are read at every reuse.

    Args:
        folder: the stage's folder.

    Raises:
        FileNotFoundError: there is no stage.json: the stage is not finished.
        StoreError: stage.json or a file is missing, damaged or of another schema; names it and says how.
    """
    try:
        text = (folder / FINISHED).read_text(encoding="utf-8")
        values = json.loads(text)
        files, summary = dict(values["files"]), dict(values["summary"])
        intact = text == _text({key: value for key, value in values.items() if key != "sha256"})
    except FileNotFoundError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{FINISHED} cannot be read") from error
    if not intact:
        raise StoreError(f"{FINISHED} was changed")
    if values["schema"] != SCHEMA:
        raise StoreError(f"{FINISHED} has schema {values['schema']!r:.20}, not {SCHEMA}")
    for name, about in files.items():
        if flaw := file_flaw(folder / name, about["bytes"], about["sha256"]):
            raise StoreError(f"{name} {flaw}")
    return summary


def file_flaw(path: Path, size: int | None, sha256: str | None) -> str | None:
    """Return how a file differs from what was recorded of it, or None.

    Args:
        path: the file.
        size: its recorded size in bytes; None: not compared.
        sha256: its recorded hash; None: not compared.
    """
    try:
        if not path.is_file():
            return "is missing"
        if size is not None and (found := path.stat().st_size) != size:
            return f"has {found} bytes instead of {size}"
        if sha256 is not None and (digest := file_sha256(path)) != sha256:
            return f"has sha256 {digest[:12]} instead of {sha256[:12]}"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None


def _text(values: dict[str, Any]) -> str:
    """Return stage.json: values as JSON has them, and the hash over them."""
    plain = json.loads(json.dumps(values, allow_nan=False))
    return json.dumps({**plain, "sha256": content_key(plain)}, indent=2, allow_nan=False) + "\n"
