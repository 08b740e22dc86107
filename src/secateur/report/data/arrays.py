"""Masks and scores of a run as plain arrays: what figures and gallery need, without loading torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secateur.core.errors import DataError, NumericalError
from secateur.core.parquet import check_fingerprint, read_table

MASK: Final = "mask.parquet"
SCORES: Final = "scores.parquet"
BASE: Final = ("sample_id", "label", "score", "observed")
NEEDED: Final = {"mask": ("sample_id", "keep"), "scores": BASE}
MAX_CLASSES: Final = 1_000_000  # a page counts the samples of every class up to the highest label
LARGEST: Final = float(np.finfo(np.float32).max)  # scores are float32 where they are made

Rows = NDArray[np.int64]
Keep = NDArray[np.bool_]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """The score table of a run.

    Attributes:
        sample_id: int64 ``[N]``, increasing.
        label: int64 ``[N]`` as trained on.
        score: float64 ``[N]``, higher is kept first.
        observed: bool ``[N]``, whether the score was measured and not predicted.
        columns: side columns by name, float64 ``[N]`` each.
    """

    sample_id: Rows
    label: Rows
    score: Array
    observed: Keep
    columns: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sample_id)


def read_mask(folder: Path, fingerprint: str | None, num_rows: int | None = None) -> tuple[Rows, Keep]:
    """Return ids ``[N]`` and which of them are kept, bool ``[N]``.

    Args:
        folder: of the run.
        fingerprint: of the pool that the mask must belong to; None takes any.
        num_rows: how many samples it must have; None takes any number.

    Raises:
        DataError: there is no mask, or it is damaged.
        FingerprintError: it is of another pool.
    """
    columns = _read(folder / MASK, "mask", fingerprint, num_rows)
    return columns["sample_id"].astype(np.int64), columns["keep"].astype(bool)


def read_scores(folder: Path, fingerprint: str | None, num_rows: int | None = None) -> Scores:
    """Return a run's scores.

    Args:
        folder: of the run.
        fingerprint: of the pool that the scores must belong to; None takes any.
        num_rows: how many samples they must have; None takes any number.

    Raises:
        DataError: there are no scores, or they are damaged.
        FingerprintError: they are of another pool.
        NumericalError: a score, or a value of a side column, is not finite.
    """
    path = folder / SCORES
    columns = _read(path, "scores", fingerprint, num_rows)
    label = columns["label"].astype(np.int64)
    if label.min() < 0 or label.max() >= MAX_CLASSES:
        raise DataError(f"{path} has labels outside 0 to {MAX_CLASSES - 1}, the first is {_outside(label)}.")
    values = {name: column.astype(np.float64) for name, column in columns.items() if name not in BASE}
    score = columns["score"].astype(np.float64)
    for name, column in {"score": score, **values}.items():
        if not (np.abs(column) <= LARGEST).all():  # of NaN false as well
            raise NumericalError(f"{path} has values of {name!r} that are not finite.")
    return Scores(columns["sample_id"].astype(np.int64), label, score, columns["observed"].astype(bool), values)


def _outside(label: Rows) -> int:
    return int(label[(label < 0) | (label >= MAX_CLASSES)][0])


def _read(path: Path, kind: str, fingerprint: str | None, num_rows: int | None) -> dict[str, NDArray[Any]]:
    """Return a table's columns, which are as :mod:`secateur.core` writes them, or raise :class:`DataError`."""
    table, header = read_table(path, kind)
    check_fingerprint(str(header.get("fingerprint", "")), fingerprint, path)
    missing = [name for name in NEEDED[kind] if table.column_names.count(name) != 1]
    if missing:
        raise DataError(f"{path} is damaged: it has no column {missing[0]!r}, or has it twice.")
    if not len(table) or num_rows not in (None, len(table)):
        asked = "" if num_rows is None else f", its record says {num_rows}"
        raise DataError(f"{path} is damaged: it has {len(table)} rows{asked}.")
    columns = {}
    for name in table.column_names:
        if not FITS.get(name, _is_number)(table[name].type) or table[name].null_count:
            raise DataError(f"{path} is damaged: column {name!r} holds {table[name].type} or nulls.")
        columns[name] = table[name].to_numpy()
    ids = columns["sample_id"].astype(np.int64)
    if ids[0] < 0 or not (ids[1:] > ids[:-1]).all():
        raise DataError(f"{path} is damaged: sample_id is negative, or does not increase.")
    return columns


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


FITS: Final = {
    "sample_id": pa.types.is_integer,
    "label": pa.types.is_integer,
    "keep": pa.types.is_boolean,
    "observed": pa.types.is_boolean,
}
