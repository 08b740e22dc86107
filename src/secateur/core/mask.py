"""The Mask: which samples of the pool are kept. What every pruning method makes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from secateur.core.columns import read_columns
from secateur.core.errors import DataError
from secateur.core.ids import check_sample_ids, rows_of
from secateur.core.parquet import check_fingerprint, write_table
from secateur.core.ratio import check_pruning_ratio, keep_count

__all__ = ["Mask", "check_pruning_ratio", "keep_count"]


@dataclass(frozen=True)
class Mask:
    """The kept samples of a pool.

    Attributes:
        sample_id: int64 ``[N]``, every sample of the pool, strictly increasing.
        keep: bool ``[N]``.
        fingerprint: the pool's fingerprint, or ``""`` when unknown.
        metadata: what made the mask (JSON values; never a time, a host or a path).
        num_rows: number of rows of the training split that ``sample_id`` counts; None when unknown.

    Raises:
        DataError: shapes differ, ids are unsorted or lie outside the training split, or nothing is kept.
    """

    sample_id: Tensor
    keep: Tensor
    fingerprint: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    num_rows: int | None = None

    def __post_init__(self) -> None:
        check_sample_ids(self.sample_id)
        if self.keep.shape != self.sample_id.shape or self.keep.dtype != torch.bool:
            raise DataError(
                f"keep must be a bool tensor of shape [{len(self.sample_id)}], got {list(self.keep.shape)}."
            )
        if not bool(self.keep.any()):
            raise DataError("The mask keeps no sample at all.")
        rows = self.num_rows
        if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows <= self.sample_id[-1]):
            raise DataError(
                f"num_rows of a mask must be an integer above its largest sample_id {int(self.sample_id[-1])}, "
                f"got {rows!r:.40}."
            )

    @classmethod
    def from_rows(cls, sample_id: Tensor, rows: Tensor, **kwargs: Any) -> "Mask":
        """Make a mask over the pool ``sample_id [N]`` that keeps the pool positions ``rows [num_keep]``."""
        keep = torch.zeros(len(sample_id), dtype=torch.bool)
        keep[rows] = True
        return cls(sample_id, keep, **kwargs)

    @classmethod
    def from_kept_ids(cls, sample_id: Tensor, kept: Tensor, **kwargs: Any) -> "Mask":
        """Make a mask over the pool ``sample_id [N]`` that keeps the ids ``kept [num_keep]``."""
        return cls.from_rows(sample_id, rows_of(kept, sample_id), **kwargs)

    def __len__(self) -> int:
        return len(self.sample_id)

    @property
    def num_kept(self) -> int:
        """Number of kept samples."""
        return int(self.keep.sum())

    @property
    def kept_ids(self) -> Tensor:
        """Ids of the kept samples, int64 ``[num_kept]``, increasing."""
        return self.sample_id[self.keep]

    @property
    def sha256(self) -> str:
        """Hash of the content alone (which ids are kept), whatever made it."""
        return hashlib.sha256(np.ascontiguousarray(self.kept_ids.numpy(), dtype="<i8").tobytes()).hexdigest()

    def subset(self, dataset: Dataset[Any], fingerprint: str | None = None) -> Subset[Any]:
        """Return the kept part of a data set whose rows are the ``sample_id`` (your own training split).

        Args:
            dataset: the whole training split, in its order. It must have :attr:`num_rows` rows; a mask that does not
                know them accepts every data set that has its largest id.
            fingerprint: fingerprint of the pool; None does not compare it.

        Raises:
            DataError: the data set has another number of rows than the training split of the mask.
            FingerprintError: the mask was made for another pool.
        """
        check_fingerprint(self.fingerprint, fingerprint, "The mask")
        length = len(dataset)  # type: ignore[arg-type]
        if self.num_rows is not None and length != self.num_rows:
            raise DataError(
                f"The data set has {length} rows, but the mask was made for a training split of {self.num_rows}: give "
                "the whole training split, without test images and before anything is removed."
            )
        if length <= int(self.sample_id[-1]):
            raise DataError(
                f"The data set has {length} rows, but the mask knows sample_id {int(self.sample_id[-1])}: give the "
                "whole training split."
            )
        return Subset(dataset, self.kept_ids.tolist())

    def save(self, path: Path | str) -> Path:
        """Write the mask as Parquet; equal masks give equal bytes."""
        header = {
            "kind": "mask",
            "schema": 1,
            "fingerprint": self.fingerprint,
            "made_by": dict(self.metadata),
            "num_rows": self.num_rows,
        }
        return write_table(path, {"sample_id": self.sample_id.numpy(), "keep": self.keep.numpy()}, header)

    @classmethod
    def load(cls, path: Path | str, fingerprint: str | None = None) -> "Mask":
        """Read a mask; with ``fingerprint`` refuse one that was made for another pool.

        Raises:
            FingerprintError: the mask belongs to another data set or pool.
        """
        columns, header = read_columns(path, "mask", fingerprint)
        about = {"fingerprint": header["fingerprint"], "metadata": header["made_by"]}
        return cls(columns["sample_id"], columns["keep"], **about, num_rows=header.get("num_rows"))
