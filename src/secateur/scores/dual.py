r"""DUAL: uncertainty times difficulty, readable early in the training.

Needs the logits of every epoch it uses. Memory O(N * window) floats. Meant to be stopped early (30 of 200
epochs in the release, hence 15 % of the training by default); with ``selection=top`` at high pruning ratios it keeps
too many hard samples, which is what ``selection=beta`` is for.
"""

from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.scores.base import ScoreResult, SettableRecord, widen
from secateur.scores.checks import check_int, check_optional_int, check_shape
from secateur.scores.windows import WindowedScore, add_valid, early_epochs, exact, window_std

DDOF = 1


def _statistic(values: Tensor, dim: int) -> Tensor:
    std, mean = window_std(values, dim, DDOF)
    return std * (1 - mean)


def dual(target_probs: Tensor, window: int = 10) -> Tensor:
    r"""Mean over sliding windows of standard deviation times one minus mean of the label's probability.

    .. math::
        \mathrm{DUAL}(n) = \frac{1}{T-J+1} \sum_{k=0}^{T-J}
            \mathrm{std}\left(q_k, \dots, q_{k+J-1}\right) \left(1 - \mathrm{mean}\left(q_k, \dots,
            q_{k+J-1}\right)\right)

    with the sample standard deviation (ddof 1). High: uncertain and difficult, kept first.

    [DUAL] Cho et al., ICML 2025, arXiv 2502.06905.

    Args:
        target_probs: label's probabilities, float ``[T, N]``, in [0, 1]; NaN: not seen in that epoch.
        window: epochs per window J, at least 2.

    Returns:
        float ``[N]`` in the input's dtype. A window with fewer than two observations counts for nothing; a
        sample without any valid window gets NaN.

    Raises:
        ConfigError: ``window`` is out of range or longer than the trajectory.

    Deviations:
        The release multiplies the standard deviation by 10, which changes no rank.

    Example:
        >>> probs = torch.tensor([[0.1, 0.9, 0.0], [0.3, 0.9, 1.0], [0.5, 0.9, 0.0]])
        >>> dual(probs, window=2)
        tensor([0.0990, 0.0000, 0.3536])
    """
    check_int("dual", "window", window, 2, "The paper uses 10 epochs.")
    check_shape("dual", "target_probs", target_probs, "TN")
    probs = widen(target_probs)
    if len(probs) < window:
        raise ConfigError(
            f"dual: a window of {window} epochs does not fit into {len(probs)}. Train longer or lower window."
        )
    total = torch.zeros_like(exact(probs[0]))
    count = torch.zeros_like(total)
    for first in range(len(probs) - window + 1):
        add_valid(total, count, _statistic(probs[first : first + window], 0))
    return (total / count).to(probs.dtype)


class DUAL(WindowedScore):
    """Streaming :func:`dual`; its side column ``mean_probability`` covers the epochs that the score uses.

    Args:
        window: epochs per window, at least 2.
        num_epochs: first epochs of the training that are used; None uses the first 15 % of the training, at least one
            window (:func:`~secateur.scores.windows.early_epochs`).
        record: ``train_forward`` (as the release), ``eval_pass`` or ``before_step``, see
            :class:`~secateur.scores.base.Score`.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "score/dual"

    def __init__(
        self, window: int = 10, num_epochs: int | None = None, record: SettableRecord = "train_forward"
    ) -> None:
        check_int("dual", "window", window, 2, "The paper uses 10 epochs.")
        check_optional_int("dual", "num_epochs", num_epochs, window, "It has to hold at least one window.")
        super().__init__(window, record)
        self.first_epochs = num_epochs

    @property
    def epochs_needed(self) -> int:
        """The epochs asked for, or one window."""
        return self.first_epochs or self.window

    def read_epochs(self, num_epochs: int) -> range:
        """Return the first epochs of the training."""
        return range(self.first_epochs or early_epochs(num_epochs, self.window))

    def statistic(self, values: Tensor) -> Tensor:
        """Return the statistics ``[n]`` of windows ``[n, W]``."""
        return _statistic(values, 1)

    def end_epoch(self, epoch: int) -> None:
        """Add this epoch's probabilities to their mean, then reduce the window."""
        if epoch in self.epochs and "ring" in self.state:
            ring = self.state["ring"]
            total, count = self.rows_like("prob_total", ring), self.rows_like("prob_count", ring)
            add_valid(total, count, ring[:, epoch % self.width])
        super().end_epoch(epoch)

    def compute(self) -> ScoreResult:
        """Return the scores, and the mean probability of the label over the epochs used."""
        mean = self.state_or_nan("prob_total") / self.state_or_nan("prob_count")
        return ScoreResult(super().compute().score, {"mean_probability": mean})
