"""Masks and scores of a run as plain arrays: what figures and gallery need, without loading torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secateur.core.errors import NumericalError
from secateur.core.parquet import check_fingerprint, read_table

MASK: Final = "mask.parquet"
SCORES: Final = "scores.parquet"
BASE: Final = ("sample_id", "label", "score", "observed")

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


def read_mask(folder: Path, fingerprint: str | None) -> tuple[Rows, Keep]:
    """Return ids ``[N]`` and which of them are kept, bool ``[N]``.

    Args:
        folder: of the run.
        fingerprint: of the pool that the mask must belong to; None takes any.

    Raises:
        DataError: there is no mask, or it is damaged.
        FingerprintError: it is of another pool.
    """
    columns = _read(folder / MASK, "mask", fingerprint)
    return columns["sample_id"].astype(np.int64), columns["keep"].astype(bool)


def read_scores(folder: Path, fingerprint: str | None) -> Scores:
    """Return a run's scores.

    Args:
        folder: of the run.
        fingerprint: of the pool that the scores must belong to; None takes any.

    Raises:
        DataError: there are no scores, or they are damaged.
        FingerprintError: they are of another pool.
        NumericalError: a score is not finite.
    """
    columns = _read(folder / SCORES, "scores", fingerprint)
    score = columns["score"].astype(np.float64)
    if not np.isfinite(score).all():
        raise NumericalError(f"{folder / SCORES} has scores that are not finite.")
    return Scores(
        columns["sample_id"].astype(np.int64),
        columns["label"].astype(np.int64),
        score,
        columns["observed"].astype(bool),
        {name: values.astype(np.float64) for name, values in columns.items() if name not in BASE},
    )


def _read(path: Path, kind: str, fingerprint: str | None) -> dict[str, NDArray[Any]]:
    table, header = read_table(path, kind)
    check_fingerprint(str(header.get("fingerprint", "")), fingerprint, path)
    return {name: table[name].to_numpy() for name in table.column_names}
