"""The ScoreTable: one score per sample of the pool, keyed by ``sample_id``. Higher = kept first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.columns import read_columns
from secateur.core.errors import DataError, NumericalError
from secateur.core.ids import check_sample_ids
from secateur.core.parquet import write_table

BASE_COLUMNS = ("sample_id", "label", "score", "observed")


@dataclass(frozen=True)
class ScoreTable:
    """Scores of the whole pool; a higher score is kept first, whatever the scorer.

    Attributes:
        sample_id: int64 ``[N]``, strictly increasing.
        label: int64 ``[N]``, the label as trained on.
        score: float32 ``[N]``, finite.
        observed: bool ``[N]``; true where the score was measured, false where it was predicted.
        columns: side columns, float32 ``[N]`` each (``mean_probability``, ``std_probability``, ``aum``, ...).
        fingerprint: the pool's fingerprint, or ``""`` when unknown (a loop outside Secateur).
        metadata: what made the scores (JSON values; never a time, a host or a path).

    Raises:
        DataError: lengths differ, or ids are not sorted and unique.
        NumericalError: a score is not finite; the message names the first sample.
    """

    sample_id: Tensor
    label: Tensor
    score: Tensor
    observed: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    fingerprint: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_sample_ids(self.sample_id)
        object.__setattr__(self, "label", self.label.to(torch.int64))
        object.__setattr__(self, "observed", self.observed.to(torch.bool))
        # A score may come straight from a loss: its graph is nothing that a table holds.
        object.__setattr__(self, "score", self.score.detach().to(torch.float32))
        object.__setattr__(self, "columns", {k: v.detach().to(torch.float32) for k, v in self.columns.items()})
        parts = {"label": self.label, "score": self.score, "observed": self.observed, **self.columns}
        for name, values in parts.items():
            if values.shape != self.sample_id.shape:
                raise DataError(f"Column {name!r} has shape {list(values.shape)}, but there are {len(self)} samples.")
        for name, values in {"score": self.score, **self.columns}.items():
            bad = ~torch.isfinite(values)
            if bool(bad.any()):
                what = "scores are" if name == "score" else f"values of {name!r} are"
                raise NumericalError(
                    f"{int(bad.sum())} of {len(self)} {what} not finite; the first is sample_id "
                    f"{int(self.sample_id[bad][0])}. Was every sample seen in every epoch the score needs?"
                )

    def __len__(self) -> int:
        return len(self.sample_id)

    def column(self, name: str) -> Tensor:
        """Return a column ``[N]`` by name, side columns included.

        Raises:
            DataError: there is no such column; the message lists those there are.
        """
        if name in BASE_COLUMNS:
            values: Tensor = getattr(self, name)
            return values
        if name not in self.columns:
            known = ", ".join([*BASE_COLUMNS, *self.columns])
            raise DataError(f"The score table has no column {name!r}; it has {known}.")
        return self.columns[name]

    def save(self, path: Path | str) -> Path:
        """Write the table as Parquet; equal tables give equal bytes."""
        values = {name: self.column(name).cpu().numpy() for name in (*BASE_COLUMNS, *self.columns)}
        header = {
            "kind": "scores",
            "schema": 1,
            "fingerprint": self.fingerprint,
            "direction": "higher is kept first",
        }
        return write_table(path, values, {**header, "made_by": dict(self.metadata)})

    @classmethod
    def load(cls, path: Path | str, fingerprint: str | None = None) -> "ScoreTable":
        """Read a table; with ``fingerprint`` refuse one that was made for another pool.

        Raises:
            FingerprintError: the table belongs to another data set or pool.
        """
        values, header = read_columns(path, "scores", fingerprint)
        base = {name: values.pop(name) for name in BASE_COLUMNS}
        return cls(**base, columns=values, fingerprint=header["fingerprint"], metadata=header["made_by"])
