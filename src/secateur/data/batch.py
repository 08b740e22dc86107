"""The batch that every loader yields."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A batch of samples that carries its ids.

    Attributes:
        x: images, float ``[B, C, H, W]``, normalized (and augmented when training).
        y: class labels as trained on, int64 ``[B]``.
        sample_id: int64 ``[B]``; nothing may be keyed by batch position.
    """

    x: Tensor
    y: Tensor
    sample_id: Tensor
