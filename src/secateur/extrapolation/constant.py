"""Constant: every sample without a score gets the mean of the observed ones. A control."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from secateur.extrapolation.base import ExtrapolationInputs, Needs, NoArithmetic


@dataclass(frozen=True)
class Constant(NoArithmetic):
    """Predict the mean of the observed scores for every other sample.

    The control that knows nothing about a sample: all unobserved ones tie, and a selection takes them in the order
    of their ids.
    """

    NAME: ClassVar[str] = "extrapolation/constant"
    is_control: ClassVar[bool] = True
    needs: ClassVar[frozenset[Needs]] = frozenset()

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype."""
        mean = inputs.scores.double().mean()
        return inputs.filled(mean.expand(len(inputs.queries)))
