"""The project's Parquet tables as tensors; :mod:`secateur.core.parquet` reads them without torch."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.parquet import check_fingerprint, read_table


def read_columns(path: Path | str, kind: str, fingerprint: str | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a table's columns as tensors, and its header; refuse a table that was made for another pool.

    Args:
        path: Parquet file.
        kind: the expected ``kind`` in the header.
        fingerprint: of the pool that the table must belong to; None takes any.

    Raises:
        DataError: as :func:`read_table`.
        FingerprintError: the table belongs to another data set or pool.
    """
    table, header = read_table(path, kind)
    check_fingerprint(header["fingerprint"], fingerprint, path)
    return {name: torch.from_numpy(table[name].to_numpy().copy()) for name in table.column_names}, header
