"""AdaPruner's published mask files: ``{'epoch', 'acc', 'selected_data': float [N] of 0 and 1}``; 1 is kept."""

import math
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.core.files import write_bytes
from secateur.interop.foreign import ForeignMask
from secateur.interop.tensors import dense_vector, load_tensors

KEY = "selected_data"


def read_adapruner(path: Path) -> ForeignMask:
    """Read a published mask file with ``weights_only`` loading: nothing in it is executed.

    Raises:
        DataError: the file cannot be read, lacks ``selected_data``, that is not a vector of 0 and 1, or ``epoch`` or
            ``acc`` is there and not a number.
    """
    content = load_tensors(path)
    if not isinstance(content, Mapping) or KEY not in content:
        raise DataError(f"{path} has no {KEY!r}: not a mask file of AdaPruner.")
    values = dense_vector(content[KEY], f"{KEY} in {path}")
    if not bool(((values == 0) | (values == 1)).all()):
        raise DataError(f"{KEY} in {path} is not a vector of 0 and 1.")
    facts = {key: _number(content[key], key, path) for key in ("epoch", "acc") if key in content}
    return ForeignMask(values == 1, facts)


def write_adapruner(path: Path, keep: Tensor) -> Path:
    """Write ``keep`` bool ``[M]`` as a mask file; what was never measured (``epoch``, ``acc``) is left out."""
    content = BytesIO()
    torch.save({KEY: keep.to(torch.float32)}, content)
    return write_bytes(path, content.getvalue())


def _number(value: Any, key: str, path: Path) -> float:
    """Return what a file says of itself; it goes into the mask's header, which holds JSON numbers."""
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DataError(f"{key!r} in {path} is not a number; leave it out of the file.") from error
    if not math.isfinite(number):
        raise DataError(f"{key!r} in {path} is {number}, not a finite number; leave it out of the file.")
    return number
