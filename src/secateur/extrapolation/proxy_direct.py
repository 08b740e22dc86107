"""Proxy direct: no extrapolation; the network trained on the scored subset judges every other sample at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import ConfigError, DataError
from secateur.extrapolation.base import ExtrapolationInputs, Needs, NoArithmetic
from secateur.extrapolation.calibration import quantile_match

Measure = Literal["el2n", "margin", "entropy", "uncertainty"]
LABELED = frozenset({"el2n", "uncertainty"})
CHUNK = 65536


@dataclass(frozen=True)
class ProxyDirect(NoArithmetic):
    r"""Score the samples without a score by one forward pass of the network that was trained on the subset.

    The baseline to beat: it needs no neighbors, only logits that are computed along with the embeddings. With p the
    softmax of the logits and y the label, and higher = harder = kept first,

    - ``el2n``: :math:`\| p - e_y \|_2`, Paul et al. 2021, arXiv 2107.07075;
    - ``margin``: :math:`p_{(2)} - p_{(1)}`, undecided between the two most probable classes;
    - ``entropy``: :math:`- \sum_c p_c \log p_c`;
    - ``uncertainty``: :math:`p_y (1 - p_y)`, the variance of a Bernoulli variable with the label's probability.

    The first and the last read the labels, the others do not. None of them is on the scale of the observed scores,
    whatever was observed: the measure is therefore **always** mapped to the observed distribution by
    :func:`~secateur.extrapolation.calibration.quantile_match`, and merging them raw or matched is the same.

    A score that is high for easy samples is met by ``reverse``: in a training too short to learn the hard ones, those
    that move most are the easy ones.

    Args:
        measure: ``el2n``, ``margin``, ``entropy`` or ``uncertainty``.
        reverse: rank the other way round.

    Raises:
        ConfigError: ``measure`` is none of these.
    """

    NAME: ClassVar[str] = "extrapolation/proxy_direct"
    is_control: ClassVar[bool] = True
    measure: Measure = "el2n"
    reverse: bool = False

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ConfigError(f"proxy_direct: measure must be one of {', '.join(MEASURES)}; got {self.measure!r}.")

    @property
    def needs(self) -> frozenset[Needs]:  # type: ignore[override]
        """The proxy's logits, and the labels if the measure reads them."""
        return frozenset({Needs.PROXY_LOGITS, *({Needs.LABELS} if self.measure in LABELED else ())})

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype.

        Raises:
            ConfigError: there are no logits, or no labels where the measure reads them, or ``margin`` finds
                only one class.
            DataError: the logits have fewer columns than there are classes.
        """
        if inputs.proxy_logits is None:
            raise ConfigError("proxy_direct: needs the logits of the network that scored the subset; there are none.")
        if self.measure in LABELED and inputs.labels is None:
            raise ConfigError(
                f"proxy_direct: measure={self.measure} needs the labels of all samples, and they are not known. "
                "Use measure=entropy or measure=margin."
            )
        if inputs.proxy_logits.ndim != 2 or inputs.proxy_logits.shape[1] < inputs.num_classes:
            raise DataError(
                f"proxy_direct: proxy_logits must be [N, C] with C at least {inputs.num_classes}, the number of "
                f"classes; got {list(inputs.proxy_logits.shape)}."
            )
        logits, labels = inputs.proxy_logits, inputs.labels
        chunks = [
            self._measure(logits[rows], None if labels is None else labels[rows])
            for rows in torch.split(inputs.queries, CHUNK)
        ]
        measured = torch.cat(chunks)
        return inputs.filled(quantile_match(-measured if self.reverse else measured, inputs.scores))

    def _measure(self, logits: Tensor, target: Tensor | None) -> Tensor:
        """Return the measure ``[n]`` of some rows, in the logits' dtype (at least float32)."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return MEASURES[self.measure](logits.softmax(dim=1), target)


def _el2n(probs: Tensor, target: Tensor) -> Tensor:
    return (probs - F.one_hot(target, probs.shape[1])).square().sum(dim=1).sqrt()


def _margin(probs: Tensor, target: Tensor | None) -> Tensor:
    if probs.shape[1] < 2:
        raise ConfigError(f"proxy_direct: measure=margin needs at least 2 classes, got {probs.shape[1]}.")
    largest = probs.topk(2, dim=1).values
    return largest[:, 1] - largest[:, 0]


def _entropy(probs: Tensor, target: Tensor | None) -> Tensor:
    entropies: Tensor = torch.special.entr(probs).sum(dim=1)
    return entropies


def _uncertainty(probs: Tensor, target: Tensor) -> Tensor:
    label_probs = probs.gather(1, target[:, None]).flatten()
    return label_probs * (1 - label_probs)


MEASURES: Mapping[str, Callable[..., Tensor]] = {
    "el2n": _el2n,
    "margin": _margin,
    "entropy": _entropy,
    "uncertainty": _uncertainty,
}
