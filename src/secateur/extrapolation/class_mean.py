"""Class mean: every sample without a score gets the mean of its class. A control that looks at labels only."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.extrapolation.base import ExtrapolationInputs, Needs, NoArithmetic


@dataclass(frozen=True)
class ClassMean(NoArithmetic):
    """Predict the mean observed score of the sample's class.

    A class without any observed score gets the mean of all observed ones. Shows how much of a predictor's
    correlation comes from some classes being harder than others.
    """

    NAME: ClassVar[str] = "extrapolation/class_mean"
    is_control: ClassVar[bool] = True
    needs: ClassVar[frozenset[Needs]] = frozenset({Needs.LABELS})

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype.

        Raises:
            ConfigError: the labels are not known.
        """
        if inputs.labels is None:
            raise ConfigError("class_mean: needs the labels of all samples, and they are not known. Use constant.")
        scores, observed_labels = inputs.scores.double(), inputs.labels[inputs.sample_ids]
        counts = torch.bincount(observed_labels, minlength=inputs.num_classes)
        sums = scores.new_zeros(inputs.num_classes).index_add_(0, observed_labels, scores)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), scores.mean())
        return inputs.filled(means[inputs.labels[inputs.queries]])
