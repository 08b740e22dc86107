"""AdaPruner's published mask files: ``{'epoch', 'acc', 'selected_data': float [N] of 0 and 1}``; 1 is kept."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.interop.foreign import ForeignMask
from secateur.interop.tensors import load_tensors

KEY = "selected_data"


def read_adapruner(path: Path) -> ForeignMask:
    """Read a published mask file with ``weights_only`` loading: nothing in it is executed.

    Raises:
        DataError: the file cannot be read, lacks ``selected_data``, or that is not a vector of 0 and 1.
    """
    content = load_tensors(path)
    if not isinstance(content, Mapping) or KEY not in content:
        raise DataError(f"{path} has no {KEY!r}: not a mask file of AdaPruner.")
    values = torch.as_tensor(content[KEY])
    if values.ndim != 1 or not bool(((values == 0) | (values == 1)).all()):
        raise DataError(f"{KEY} in {path} is not a vector of 0 and 1.")
    facts = {key: float(content[key]) for key in ("epoch", "acc") if key in content}
    return ForeignMask(values == 1, facts)


def write_adapruner(path: Path, keep: Tensor) -> Path:
    """Write ``keep`` bool ``[M]`` as a mask file; what was never measured (``epoch``, ``acc``) is left out."""
    torch.save({KEY: keep.to(torch.float32)}, path)
    return path
