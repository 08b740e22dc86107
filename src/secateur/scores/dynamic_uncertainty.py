r"""Dynamic Uncertainty: how much the label's probability moves while the network learns.

Needs the logits of every epoch. Memory O(N * window) floats. Wrong when the training is hardly longer than
the window, or when the probabilities of most samples are saturated from the start (easy data, a strong
initialization). Read in the training's own forward passes, a third of the variance of its ranks came from the shuffled
orders in a training of 12 epochs on easy data; hence the evaluation pass after each epoch by default.
"""

import warnings
from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.scores.base import SettableRecord, widen
from secateur.scores.checks import check_choice, check_int, check_shape
from secateur.scores.windows import WindowedScore, add_valid, exact, window_std


def _check(window: int, skip_first: int, skip_last: int, ddof: int) -> None:
    name = "dynamic_uncertainty"
    check_int(name, "window", window, 2, "The paper uses 10 epochs.")
    check_int(name, "skip_first", skip_first, 0, "It counts epochs left out at the start.")
    check_int(name, "skip_last", skip_last, 0, "It counts epochs left out at the end.")
    check_choice(name, "ddof", ddof, (0, 1), "1 is the sample, 0 the population standard deviation.")


def dynamic_uncertainty(
    target_probs: Tensor, window: int = 10, skip_first: int = 0, skip_last: int = 1, ddof: int = 1
) -> Tensor:
    r"""Mean over sliding windows of the standard deviation of the label's probability.

    .. math::
        U(n) = \frac{1}{K} \sum_{k=0}^{K-1} \mathrm{std}\left(q_k(n), \dots, q_{k+J-1}(n)\right)

    with :math:`q_t(n)` the probability of the label of sample n in epoch t, and J the window. High: the
    sample is neither always easy nor always hard, and is kept first.

    [DU] He et al., CVPR Workshops 2024, arXiv 2306.05175.

    Args:
        target_probs: label's probabilities, float ``[T, N]``, in [0, 1]; NaN: not seen in that epoch.
        window: epochs per window J, at least 2.
        skip_first: epochs left out at the start.
        skip_last: epochs left out at the end.
        ddof: 1 for the sample, 0 for the population standard deviation.

    Returns:
        float ``[N]`` in the input's dtype. A window with fewer than two observations counts for nothing; a
        sample without any valid window gets NaN.

    Raises:
        ConfigError: an argument is out of range, or there are fewer usable epochs than one window has.

    Deviations:
        The official release multiplies by 10 and reads a probability of 0 as "not seen"; neither is done
        here. The extrapolation release is ``skip_first=2, skip_last=0, ddof=0``. This is the formula; when the
        probabilities are read is said by :class:`DynamicUncertainty`'s ``record``.

    Example:
        >>> probs = torch.tensor([[0.1, 0.9, 0.0], [0.3, 0.9, 1.0], [0.5, 0.9, 0.0], [0.7, 0.9, 1.0]])
        >>> dynamic_uncertainty(probs, window=2, skip_last=0)
        tensor([0.1414, 0.0000, 0.7071])
    """
    _check(window, skip_first, skip_last, ddof)
    check_shape("dynamic_uncertainty", "target_probs", target_probs, "TN")
    probs = widen(target_probs)[skip_first : max(len(target_probs) - skip_last, 0)]
    if len(probs) < window:
        raise ConfigError(
            f"dynamic_uncertainty: a window of {window} epochs does not fit into the {len(probs)} epochs "
            f"left of {len(target_probs)}. Train longer, or lower window, skip_first or skip_last."
        )
    total = torch.zeros_like(exact(probs[0]))
    count = torch.zeros_like(total)
    for first in range(len(probs) - window + 1):
        add_valid(total, count, window_std(probs[first : first + window], 0, ddof)[0])
    return (total / count).to(probs.dtype)


class DynamicUncertainty(WindowedScore):
    """Streaming :func:`dynamic_uncertainty`, from ``N * (window + 2)`` floats.

    Args:
        window: epochs per window, at least 2.
        skip_first: epochs left out at the start.
        skip_last: epochs left out at the end.
        ddof: 1 for the sample, 0 for the population standard deviation.
        allow_short: in a training that is too short, shrink the window (with a warning) instead of refusing.
        record: ``eval_pass``, ``before_step`` or ``train_forward``, see :class:`~secateur.scores.base.Score`.

    Raises:
        ConfigError: an argument is out of range.

    Deviations:
        The official release reads a view without augmentation just before each step (``record="before_step"``, which
        ``variant=released`` sets), in trainings of 90 and 300 epochs; the extrapolation release reads the training's
        own forward passes (``record="train_forward"``), with batch normalization frozen after the first epoch.
    """

    NAME: ClassVar[str] = "score/dynamic_uncertainty"

    def __init__(
        self,
        window: int = 10,
        skip_first: int = 0,
        skip_last: int = 1,
        ddof: int = 1,
        allow_short: bool = False,
        record: SettableRecord = "eval_pass",
    ) -> None:
        _check(window, skip_first, skip_last, ddof)
        if not isinstance(allow_short, bool):
            raise ConfigError(f"dynamic_uncertainty: allow_short must be true or false, got {allow_short!r}.")
        super().__init__(window, record)
        self.skip_first, self.skip_last, self.ddof = skip_first, skip_last, ddof
        self.allow_short = allow_short

    @property
    def epochs_needed(self) -> int:
        """Skipped epochs plus one window, or plus two epochs when the window may shrink."""
        return self.skip_first + self.skip_last + (2 if self.allow_short else self.window)

    def read_epochs(self, num_epochs: int) -> range:
        """Return all epochs but those that are skipped."""
        return range(self.skip_first, num_epochs - self.skip_last)

    def setup(self, num_samples: int, num_epochs: int) -> None:
        """Prepare for a training; with ``allow_short`` fit the window into it."""
        super().setup(num_samples, num_epochs)
        self.width = min(self.window, len(self.epochs))
        if self.width < self.window:
            warnings.warn(
                f"dynamic_uncertainty: window shrunk from {self.window} to {self.width} epochs, because the "
                f"scoring network trains for only {num_epochs} (allow_short=true).",
                stacklevel=2,
            )

    def statistic(self, values: Tensor) -> Tensor:
        """Return the standard deviations ``[n]`` of windows ``[n, W]``."""
        return window_std(values, 1, self.ddof)[0]
