r"""AUM: the area under the margin, with its sign flipped.

Needs the logits of every epoch. Memory O(N) floats. Wrong as a pruning score of its own on noisy labels: the
samples it keeps first are the likely mislabeled ones, which is why ``selection=ccs`` cuts the hardest off.
"""

from typing import ClassVar

import torch
from torch import Tensor

from secateur.scores.base import BatchSignals, Score, ScoreResult, target_margin, widen
from secateur.scores.checks import check_shape
from secateur.scores.windows import exact


def _mean_step(mean: Tensor, count: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the running mean and count after one more epoch; NaN in ``value``: not seen."""
    seen = ~torch.isnan(value)
    count = count + seen
    step = torch.where(seen, exact(value) - mean, 0.0) / count.clamp(min=1)
    return (mean + step).to(mean.dtype), count


def aum(logits: Tensor, target: Tensor) -> Tensor:
    r"""Minus the mean over epochs of the label's margin.

    .. math:: \mathrm{AUM}(n) = \frac{1}{T} \sum_t \left( z_{t,y_n} - \max_{c \neq y_n} z_{t,c} \right)

    The paper ranks low AUM as hard or mislabeled. Here, as everywhere, a higher score is kept first, so what
    is returned is :math:`-\mathrm{AUM}`: the hardest samples come first.

    [AUM] Pleiss et al., NeurIPS 2020, arXiv 2001.10528.

    Args:
        logits: float ``[T, N, C]`` with C at least 2; a row of NaN: not seen in that epoch.
        target: labels, int64 ``[N]``.

    Returns:
        ``-AUM``, float ``[N]`` in the logits' dtype (at least float32). Never seen: NaN.

    Raises:
        ConfigError: a shape is wrong.

    Deviations:
        The sign, as said.

    Example:
        >>> logits = torch.tensor([[[3.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 5.0]]])
        >>> aum(logits, torch.tensor([0, 0]))
        tensor([-2.,  3.])
    """
    check_shape("aum", "logits", logits, "TNC")
    check_shape("aum", "target", target, "N")
    mean = torch.zeros_like(exact(logits[0, :, 0]))
    count = torch.zeros_like(mean)
    for epoch_logits in widen(logits):
        mean, count = _mean_step(mean, count, target_margin(epoch_logits, target))
    return torch.where(count > 0, -mean, float("nan")).to(widen(logits).dtype)


class AUM(Score):
    """Streaming :func:`aum`, over all epochs; the side column ``aum`` has the paper's sign.

    State: ``current``, ``mean`` and ``count``, float32 ``[N]`` each.
    """

    signed: ClassVar[bool] = True

    def update(self, batch: BatchSignals) -> None:
        """Store the margins of one batch."""
        self.record("current", batch.rows, batch.target_margin)

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
