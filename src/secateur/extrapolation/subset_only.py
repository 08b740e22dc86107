"""The control that predicts nothing: only what was scored can be chosen."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.seeds import generator
from secateur.extrapolation.base import ExtrapolationInputs, Needs, NoArithmetic


@dataclass(frozen=True)
class SubsetOnly(NoArithmetic):
    """Ranks every unscored sample below every scored one, in random order.

    With ``merge=raw`` the kept set is the best part of the scored subset; at a pruning ratio of
    ``1 - subset_fraction`` it is the subset itself, and beyond it is filled at random. Any other merging undoes it.

    Example:
        >>> inputs = ExtrapolationInputs(
        ...     embeddings=None, sample_ids=torch.tensor([2]), scores=torch.tensor([0.5]), num_samples=3
        ... )
        >>> bool((SubsetOnly().predict(inputs)[:2] < 0.5).all())
        True
    """

    NAME: ClassVar[str] = "extrapolation/subset_only"
    merge: ClassVar[str] = "raw"  # the only one it works with
    is_control: ClassVar[bool] = True
    needs: ClassVar[frozenset[Needs]] = frozenset()

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return the observed scores, and random ones below the lowest of them elsewhere, float ``[N]``."""
        draws = torch.rand(len(inputs.queries), generator=generator(inputs.seed, "subset-only"), dtype=torch.float64)
        low = inputs.scores.min().double()
        return inputs.filled(low - 0.5 * (1.0 + draws.to(low.device)) * low.abs().clamp(min=1.0))
