"""DP4TL's ``.indices`` files: the kept rows of the source's training split, a bare tensor.

The release names them ``..._train_top<number of kept classes>.indices``; that number alone says which way
round the list is.
"""

import re
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from secateur.core.files import write_bytes
from secateur.interop.foreign import ForeignRows
from secateur.interop.tensors import dense_vector, load_tensors

_TOP = re.compile(r"top(\d+)", re.IGNORECASE)


def read_dp4tl(path: Path) -> ForeignRows:
    """Read a list of rows with ``weights_only`` loading.

    Raises:
        DataError: the file cannot be read, or is no list of rows.
    """
    rows = dense_vector(load_tensors(path), f"The list of rows {path}")
    top = _TOP.findall(path.name)
    return ForeignRows(rows, {"num_groups_kept": int(top[-1])} if top else {})


def write_dp4tl(path: Path, sample_id: Tensor) -> Path:
    """Write kept rows ``[n]`` in that form."""
    content = BytesIO()
    torch.save(sample_id, content)
    return write_bytes(path, content.getvalue())
