"""Reading and writing the project's Parquet tables: one JSON header under the key ``secateur``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from secateur.core.errors import DataError, FingerprintError
from secateur.core.files import replacing

METADATA_KEY = b"secateur"


def write_table(path: Path | str, columns: Mapping[str, Any], header: Mapping[str, Any]) -> Path:
    """Write columns (NumPy arrays of equal length) with a JSON header; equal content gives equal bytes.

    The file appears under its name only when it is complete. Its pages carry checksums.
    """
    path = Path(path)
    metadata = {METADATA_KEY: json.dumps(dict(header), sort_keys=True).encode()}
    table = pa.table(dict(columns)).replace_schema_metadata(metadata)
    with (
        replacing(path) as temporary,
        temporary.open("wb") as file,
    ):  # a path with a colon would be taken for an address
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    return path


def read_table(path: Path | str, kind: str) -> tuple[pa.Table, dict[str, Any]]:
    """Read a table written by :func:`write_table` and its header.

    Args:
        path: Parquet file.
        kind: the expected ``kind`` in the header, ``"scores"``, ``"mask"`` or ``"ranking"``.

    Raises:
        DataError: the file is missing, is not Parquet, has a damaged header, or holds another kind of table.
    """
    path = Path(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise DataError(f"No {kind} table at {path}.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file.") from error
    header = _header(table, path)
    if header.get("kind") != kind:
        raise DataError(f"{path} is not a {kind} table written by Secateur (found kind={header.get('kind')!r:.40}).")
    return table, header


def _header(table: pa.Table, path: Path) -> dict[str, Any]:
    """Return the JSON header of a table; empty where there is none."""
    try:
        header = json.loads((table.schema.metadata or {}).get(METADATA_KEY) or "{}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} has a damaged header: no JSON under the key {METADATA_KEY.decode()!r}.") from error
    if not isinstance(header, dict):
        raise DataError(f"{path} has a damaged header: no JSON object under the key {METADATA_KEY.decode()!r}.")
    return header


def check_fingerprint(found: str, expected: str | None, path: Path | str) -> None:
    """Raise :class:`FingerprintError` when a file's fingerprint is not the expected one (None expects nothing)."""
    if expected is not None and found != expected:
        raise FingerprintError(
            f"{path} was made for other data: its fingerprint is {found[:12] or 'empty'}, this pool's is "
            f"{expected[:12]}. Were the files, the split, the label noise or the imbalance the same?"
        )
