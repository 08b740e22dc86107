r"""AUM: the area under the margin, with its sign flipped.

Needs the logits of every epoch. Memory O(N) floats. Wrong as a pruning score of its own on noisy labels: the
samples it keeps first are the likely mislabeled ones, which is why ``selection=ccs`` cuts the hardest off. CCS as its
authors run it accumulates margins of probabilities (``margin="probability"``): its strata have equal width, so the
scale of the score matters and not only its ranks.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from secateur.scores.base import BatchSignals, Score, ScoreResult, SettableRecord, target_margin, widen
from secateur.scores.checks import check_choice, check_shape
from secateur.scores.windows import exact

Margin = Literal["logit", "probability"]
MARGINS: tuple[Margin, ...] = ("logit", "probability")


def _mean_step(mean: Tensor, count: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the running mean and count after one more epoch; NaN in ``value``: not seen."""
    seen = ~torch.isnan(value)
    count = count + seen
    step = torch.where(seen, exact(value) - mean, 0.0) / count.clamp(min=1)
    return (mean + step).to(mean.dtype), count


def aum(logits: Tensor, target: Tensor, margin: Margin = "logit") -> Tensor:
    r"""Minus the mean over epochs of the label's margin.

    .. math:: \mathrm{AUM}(n) = \frac{1}{T} \sum_t \left( z_{t,y_n} - \max_{c \neq y_n} z_{t,c} \right)

    with z the logits, or, for ``margin="probability"``, their softmax.

    The paper ranks low AUM as hard or mislabeled. Here, as everywhere, a higher score is kept first, so what
    is returned is :math:`-\mathrm{AUM}`: the hardest samples come first.

    [AUM] Pleiss et al., NeurIPS 2020, arXiv 2001.10528. [CCS] Zheng et al., ICLR 2023, arXiv 2210.15809: its release
    sums the margins of the probabilities over the epochs.

    Args:
        logits: float ``[T, N, C]`` with C at least 2; a row of NaN: not seen in that epoch.
        target: labels, int64 ``[N]``.
        margin: ``logit`` ([AUM]) or ``probability`` (the release of [CCS]).

    Returns:
        ``-AUM``, float ``[N]`` in the logits' dtype (at least float32). Never seen: NaN.

    Raises:
        ConfigError: a shape is wrong, or ``margin`` is neither of the two.

    Deviations:
        The sign, as said. The release of CCS has the sum over the epochs where this is the mean, which changes neither
        ranks nor strata.

    Example:
        >>> logits = torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 5.0]]])
        >>> aum(logits, torch.tensor([0, 0]))
        tensor([-2.,  3.])
    """
    check_shape("aum", "logits", logits, "TNC")
    check_shape("aum", "target", target, "N")
    check_choice("aum", "margin", margin, MARGINS)
    mean = torch.zeros_like(exact(logits[0, :, 0]))
    count = torch.zeros_like(mean)
    for epoch_logits in widen(logits):
        values = epoch_logits.softmax(dim=1) if margin == "probability" else epoch_logits
        mean, count = _mean_step(mean, count, target_margin(values, target))
    return torch.where(count > 0, -mean, float("nan")).to(widen(logits).dtype)


class AUM(Score):
    """Streaming :func:`aum`, over all epochs; the side column ``aum`` is the same with the paper's sign.

    State: ``current``, ``mean`` and ``count``, float32 ``[N]`` each.

    Args:
        margin: ``logit`` (as the paper) or ``probability`` (as the release of CCS).
        record: ``train_forward`` (as both releases), ``eval_pass`` or ``before_step``, see
            :class:`~secateur.scores.base.Score`.

    Raises:
        ConfigError: ``margin`` or ``record`` is none of those.
    """

    NAME: ClassVar[str] = "score/aum"
    signed: ClassVar[bool] = True

    def __init__(self, margin: Margin = "logit", record: SettableRecord = "train_forward") -> None:
        check_choice("aum", "margin", margin, MARGINS)
        super().__init__(record)
        self.margin = margin

    def update(self, batch: BatchSignals) -> None:
        """Store the margins of one batch."""
        margin = batch.probability_margin if self.margin == "probability" else batch.target_margin
        self.write("current", batch.rows, margin)

    def end_epoch(self, epoch: int) -> None:
        """Add this epoch to the means."""
        current = self.flush("current")
        if current is None:
            return
        mean, count = self.rows_like("mean", current), self.rows_like("count", current)
        self.state["mean"], self.state["count"] = _mean_step(mean, count, current)

    def compute(self) -> ScoreResult:
        """Return ``-AUM`` and the side column ``aum``; NaN where a sample was never seen."""
        area = torch.where(self.state_or_nan("count") > 0, self.state_or_nan("mean"), float("nan"))
        return ScoreResult(-area, {"aum": area})
