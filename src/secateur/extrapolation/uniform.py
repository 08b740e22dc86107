"""Uniform: every sample without a score gets the score of a random observed one. A control."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.seeds import generator
from secateur.extrapolation.base import ExtrapolationInputs, Needs, NoArithmetic


@dataclass(frozen=True)
class Uniform(NoArithmetic):
    """Draw every prediction from the observed scores, uniformly and with replacement.

    The control for what the observed scores alone are worth: their order is used within the scored subset, and the
    rest of the kept samples is a random draw. As predictions have the distribution of the observed scores, either
    source gets its share of the kept set even if the two are merged as they are. Seeded by ``inputs.seed``.
    """

    NAME: ClassVar[str] = "extrapolation/uniform"
    is_control: ClassVar[bool] = True
    needs: ClassVar[frozenset[Needs]] = frozenset()

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype."""
        stream = generator(inputs.seed, "extrapolation_uniform")
        drawn = torch.randint(len(inputs.scores), (len(inputs.queries),), generator=stream)
        return inputs.filled(inputs.scores[drawn])
