"""DP4TL's ``.indices`` files: the kept rows of the source's training split, a bare tensor.

The release names them ``..._train_top<number of kept classes>.indices``; that number alone says which way
round the list is.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from secateur.core.errors import DataError
from secateur.interop.foreign import ForeignRows
from secateur.interop.tensors import load_tensors

_TOP = re.compile(r"top(\d+)", re.IGNORECASE)


def read_dp4tl(path: Path) -> ForeignRows:
    """Read a list of rows with ``weights_only`` loading.

    Raises:
        DataError: the file cannot be read, or is no list of rows.
    """
    content = load_tensors(path)
    try:
        rows = torch.as_tensor(content)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is not a list of rows.") from error
    top = _TOP.findall(path.name)
    return ForeignRows(rows, {"num_groups_kept": int(top[-1])} if top else {})


def write_dp4tl(path: Path, sample_id: Tensor) -> Path:
    """Write kept rows ``[n]`` in that form."""
    torch.save(sample_id, path)
    return path
