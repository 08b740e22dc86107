"""The Predictions table: class and confidence of every test sample by the final network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from secateur.core.columns import read_columns
from secateur.core.errors import DataError
from secateur.core.ids import check_sample_ids
from secateur.core.parquet import write_table

KIND = "predictions"
COLUMNS = ("sample_id", "label", "prediction", "confidence")


@dataclass(frozen=True)
class Predictions:
    """What a network predicts for the samples of a split.

    Attributes:
        sample_id: row of each sample in the split, int64 ``[M]``, strictly increasing.
        label: its class, as the network is evaluated, int32 ``[M]``.
        prediction: the class of the largest logit, int32 ``[M]``.
        confidence: the softmax probability of that class, float32 ``[M]``.

    Raises:
        DataError: lengths differ, or ids are not increasing.

    Example:
        >>> ids, labels, logits = torch.arange(2), torch.tensor([1, 1]), torch.tensor([[0.0, 2.0], [1.0, 0.0]])
        >>> table = Predictions.from_logits(ids, labels, logits)
        >>> table.prediction.tolist(), table.accuracy
        ([1, 0], 0.5)
    """

    sample_id: Tensor
    label: Tensor
    prediction: Tensor
    confidence: Tensor

    def __post_init__(self) -> None:
        check_sample_ids(self.sample_id)
        columns = {"label": self.label, "prediction": self.prediction, "confidence": self.confidence}
        for name, column in columns.items():
            if column.shape != self.sample_id.shape:
                raise DataError(f"{name} must have shape [{len(self.sample_id)}], got {list(column.shape)}.")

    @classmethod
    def from_logits(cls, sample_id: Tensor, label: Tensor, logits: Tensor) -> "Predictions":
        """Return the predictions of logits ``[M, C]``, computed on their device; the table is on the CPU."""
        prediction = logits.argmax(dim=1)
        confidence = logits.float().softmax(dim=1).gather(1, prediction[:, None]).flatten()
        return cls(sample_id.cpu(), label.int().cpu(), prediction.int().cpu(), confidence.cpu())

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Return the rows of several tables, one after the other; there is at least one."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in COLUMNS))

    def __len__(self) -> int:
        return len(self.sample_id)

    @property
    def accuracy(self) -> float:
        """Fraction of samples that are predicted as their class."""
        return int((self.prediction == self.label).sum()) / len(self)

    def save(self, path: Path | str, fingerprint: str) -> Path:
        """Write the table as Parquet; equal tables give equal bytes.

        Args:
            path: the file.
            fingerprint: of the data that the network was evaluated on.
        """
        columns = {name: getattr(self, name).numpy() for name in COLUMNS}
        return write_table(path, columns, {"kind": KIND, "schema": 1, "fingerprint": fingerprint})

    @classmethod
    def load(cls, path: Path | str, fingerprint: str | None = None) -> "Predictions":
        """Read a table; with ``fingerprint`` refuse one of other data.

        Raises:
            DataError: it is missing, damaged or another kind of table.
            FingerprintError: it is of other data.
        """
        columns, _ = read_columns(path, KIND, fingerprint)
        return cls(*(columns[name] for name in COLUMNS))
