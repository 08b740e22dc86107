"""Training dynamics: the side columns of every score table. Not a score that a user selects.

Needs the logits of every epoch. Memory O(N) floats.

[Cartography] Swayamdipta et al., EMNLP 2020, arXiv 2009.10795 (confidence and variability); [AUM] Pleiss et
al., NeurIPS 2020, arXiv 2001.10528.
"""

import torch
from torch import Tensor

from secateur.scores.base import BatchSignals, Score, ScoreResult
from secateur.scores.windows import exact

COUNT, MEAN, SQUARES, MARGIN = range(4)
TRAJECTORY_COLUMNS = ("mean_probability", "std_probability", "aum")


class Dynamics(Score):
    """Mean and standard deviation of the label's probability, and mean margin, over all recorded epochs.

    The side columns, NaN where a sample was never seen:

    - ``mean_probability``: mean of the label's softmax probability, in [0, 1];
    - ``std_probability``: its *population* standard deviation (ddof 0), so that one epoch gives 0;
    - ``aum``: mean of the label's logit minus the largest other logit (the paper's sign: low is hard).

    The score itself is the mean probability; nothing is pruned by it.

    State: ``current [N, 2]`` (this epoch's probability and margin) and ``moments [N, 4]``, float32.
    """

    def update(self, batch: BatchSignals) -> None:
        """Store probability and margin of one batch."""
        self.write("current", batch.rows, torch.stack((batch.target_prob, batch.target_margin), dim=1))

    def end_epoch(self, epoch: int) -> None:
        """Add this epoch to the moments (Welford's update)."""
        current = self.flush("current")
        if current is None:
            return
        moments = self.rows_like("moments", current, 4)
        seen = ~torch.isnan(current[:, 0])
        count = moments[:, COUNT] + seen
        _add_mean(moments[:, MARGIN], current[:, 1], count, seen)
        before = _add_mean(moments[:, MEAN], current[:, 0], count, seen)
        after = torch.where(seen, exact(current[:, 0]) - moments[:, MEAN], 0.0)
        moments[:, SQUARES] += (before * after).to(moments.dtype)
        moments[:, COUNT] = count

    def compute(self) -> ScoreResult:
        """Return the three side columns."""
        if "moments" not in self.state:
            missing = self.state_or_nan("moments")
            return ScoreResult(missing, dict.fromkeys(TRAJECTORY_COLUMNS, missing))
        moments = self.state["moments"]
        columns = torch.where(moments[:, :1] > 0, moments, float("nan"))
        std = (columns[:, SQUARES] / columns[:, COUNT]).clamp(min=0).sqrt()
        mean = columns[:, MEAN].clone()
        margin = columns[:, MARGIN].clone()
        return ScoreResult(mean, dict(zip(TRAJECTORY_COLUMNS, (mean, std, margin), strict=True)))


def _add_mean(mean: Tensor, value: Tensor, count: Tensor, seen: Tensor) -> Tensor:
    """Move a running mean towards ``value`` where it was seen, in place; return the deviation before it."""
    deviation = torch.where(seen, exact(value) - mean, 0.0)
    mean += (deviation / count.clamp(min=1)).to(mean.dtype)
    return deviation
