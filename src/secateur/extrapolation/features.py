"""What regressions read of a sample: its one-hot label, where that is known, and its embedding, both standardized."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import ConfigError
from secateur.extrapolation.base import ExtrapolationInputs

CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Features:
    """Standardized features of all samples, made for the rows that are asked for.

    Every column is centered on its mean over the observed rows, and scaled by its standard deviation over all rows:
    a column that hardly varies in a small subset, a feature that is nearly always 0 for example, would blow up
    elsewhere otherwise. A column that is constant over the observed rows says nothing about them, and is 0 everywhere.

    Attributes:
        embeddings: float ``[N, D]``.
        labels: int64 ``[N]``, or None.
        num_labels: number of one-hot columns C, which come first; 0 without labels.
        center: float64 ``[C + D]``.
        scale: float64 ``[C + D]``, positive; infinite for the columns that are left out.
    """

    embeddings: Tensor
    labels: Tensor | None
    num_labels: int
    center: Tensor
    scale: Tensor

    @classmethod
    def of(cls, inputs: ExtrapolationInputs, use_labels: bool = True) -> "Features":
        """Standardize on the observed rows of ``inputs``.

        Args:
            inputs: with embeddings.
            use_labels: read the label; it is left out where labels are not known.

        Raises:
            ConfigError: there are no embeddings.
        """
        if inputs.embeddings is None:
            raise ConfigError("A regression needs embeddings of all samples, and there are none.")
        labels = inputs.labels if use_labels else None
        num_labels = 0 if labels is None else inputs.num_classes
        width = num_labels + inputs.embeddings.shape[1]
        zeros = torch.zeros(width, dtype=torch.float64, device=inputs.embeddings.device)
        plain = cls(inputs.embeddings, labels, num_labels, zeros, torch.ones_like(zeros))
        fitted = plain.rows(inputs.sample_ids)
        deviation = plain.deviation()
        varies = (fitted.amax(dim=0) > fitted.amin(dim=0)) & (deviation > 0)
        scale = torch.where(varies, deviation, torch.inf)
        return cls(inputs.embeddings, labels, num_labels, fitted.mean(dim=0), scale)

    @property
    def width(self) -> int:
        """Number of columns, C + D."""
        return len(self.center)

    def rows(self, rows: Tensor) -> Tensor:
        """Return the features of some rows, float64 ``[n, C + D]``, for ``rows`` int64 ``[n]``."""
        values = self.embeddings[rows].double()
        if self.labels is not None:
            values = torch.cat([F.one_hot(self.labels[rows], self.num_labels).double(), values], dim=1)
        return (values - self.center) / self.scale

    def deviation(self) -> Tensor:
        """Return the standard deviation of every raw column over all rows, float64 ``[C + D]``."""
        wide = self.embeddings if self.embeddings.dtype == torch.float64 else self.embeddings.float()
        deviation = wide.std(dim=0, correction=0).double()
        if self.labels is None:
            return deviation
        fractions = torch.bincount(self.labels, minlength=self.num_labels).double() / len(self.labels)
        return torch.cat([(fractions * (1 - fractions)).sqrt(), deviation])
