"""Dynamic Uncertainty's released coresets: lines ``/<class folder>/<file> <label>`` of the kept images.

The release names them ``*_<percent kept>_file_list.txt``. A list of the same form, with all images, is what it chooses
from.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.core.files import write_text
from secateur.interop.foreign import MAX_DIGITS, ForeignRows

_PERCENT = re.compile(r"_(\d+)_file_list")


@dataclass(frozen=True)
class FileList:
    """A list of image files: names without a leading slash, and labels int64 ``[n]``."""

    names: list[str]
    labels: Tensor


def read_file_list(path: Path) -> FileList:
    """Read a list of image files.

    Raises:
        DataError: there is no such file, or a line is not a name and a label; the message has its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a readable text file.") from error
    names, labels = [], []
    for number, line in enumerate(lines, start=1):
        name, _, label = line.rstrip().rpartition(" ")
        if not name or not (label.isascii() and label.isdigit()):
            raise DataError(f"{path}, line {number}: expected '/class/file label', got {line[:60]!r}.")
        if len(label) > MAX_DIGITS:
            raise DataError(f"{path}, line {number}: the label has {len(label)} digits, which is no class.")
        names.append(name.lstrip("/"))
        labels.append(int(label))
    if not names:
        raise DataError(f"{path} is empty.")
    return FileList(names, torch.tensor(labels))


def rows_in(listed: FileList, every: FileList, source: str) -> Tensor:
    """Return the rows of a list's files in the list of all.

    Args:
        listed: some files.
        every: all files of a training split, in its order.
        source: name of the list, for messages.

    Returns:
        int64 ``[n]``, in the order of ``listed``.

    Raises:
        DataError: a file is not among all, or has another label there.
    """
    place = {name: row for row, name in enumerate(every.names)}
    unknown = next((name for name in listed.names if name not in place), None)
    if unknown is not None:
        raise DataError(f"{source} lists {unknown!r}, which the training split does not have: it is of other data.")
    rows = torch.tensor([place[name] for name in listed.names])
    wrong = (every.labels[rows] != listed.labels).nonzero().flatten()
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{source} says {listed.names[first]!r} is class {int(listed.labels[first])}, but the training split says "
            f"{int(every.labels[rows[first]])}: classes are numbered otherwise."
        )
    return rows


def read_dyn_unc(path: Path, every: FileList) -> ForeignRows:
    """Read a coreset.

    Args:
        path: the list of kept files.
        every: all files of the training split, in its order.

    Raises:
        DataError: the file cannot be read, or it is of other data.
    """
    percent = _PERCENT.findall(path.name)
    facts = {"keep_fraction": int(percent[-1]) / 100} if percent else {}
    return ForeignRows(rows_in(read_file_list(path), every, path.name), facts)


def write_dyn_unc(path: Path, every: FileList, kept: Tensor) -> Path:
    """Write the files of kept rows ``[n]`` in that form, in the order of the rows."""
    lines = [f"/{every.names[row]} {int(every.labels[row])}\n" for row in kept.sort().values.tolist()]
    return write_text(path, "".join(lines))


def relative_names(paths: Sequence[str], depth: int) -> list[str]:
    """Return the last ``depth`` parts of every path, as such lists have them."""
    return ["/".join(Path(path).parts[-depth:]) for path in paths]
