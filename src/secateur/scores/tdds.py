r"""TDDS: how unevenly the predicted distribution changes from epoch to epoch.

Needs the logits of every epoch in the trajectory. Memory O(N * (C + window)) floats: the previous epoch's log
probabilities (bfloat16 halves them) and a ring of changes, never T * N * C. Wrong when the trajectory is as
long as the window: then there is one window, and ``decay`` only scales the scores. Wrong, too, when it is read from a
whole long training: with a decay of 0.9 the last window has 90 % of the weight, and the network has converged by then.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.scores.base import BatchSignals, Score, ScoreResult, SettableRecord, widen
from secateur.scores.checks import check_choice, check_fraction, check_int, check_optional_int, check_shape
from secateur.scores.windows import early_epochs, row_chunks, window_moments

EPS = 1e-8
STATE_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _check(window: int, decay: float) -> None:
    check_int("tdds", "window", window, 3, "Two epochs give one change, whose spread is 0; the paper uses 10.")
    check_fraction("tdds", "decay", decay, "The paper uses 0.9.")


def _change(probs: Tensor, log_probs: Tensor, previous: Tensor) -> Tensor:
    """Return ``d [N] = sum_c |p (log p - log p_previous)|``; NaN where either epoch is missing."""
    return (probs * (log_probs - previous)).abs_().sum(dim=1)


def _spread(changes: Tensor, dim: int) -> Tensor:
    """Return the norm of the changes' deviations from their mean; NaN where fewer than two are valid."""
    count, _, squares = window_moments(changes, dim)
    return torch.where(count >= 2, squares.sqrt(), float("nan"))


def _decayed(score: Tensor, spread: Tensor, decay: float) -> Tensor:
    """Return ``(1 - decay) * score + decay * spread``; a missing score or spread counts as 0, two as NaN."""
    old, new = (1 - decay) * score, decay * spread
    return torch.where(torch.isnan(new), old, new + torch.where(torch.isnan(old), 0.0, old))


def tdds(logits: Tensor, window: int = 10, decay: float = 0.9) -> Tensor:
    r"""Exponentially averaged spread, within sliding windows, of the change of the prediction between epochs.

    .. math::
        d_t = \sum_c \left| p_{t,c} \left(\log (p_{t,c} + \epsilon) - \log (p_{t-1,c} + \epsilon)\right)
        \right|, \quad R_k = \left\| (d_{k+1}, \dots, d_{k+J-1}) - \bar d_k \right\|_2, \quad
        S = \sum_{k=0}^{T-J} \beta (1-\beta)^{T-J-k} R_k

    with J the window, :math:`\beta` the decay and :math:`\epsilon = 10^{-8}`. High is kept first.

    [TDDS] Zhang et al., CVPR 2024, arXiv 2311.13613.

    Args:
        logits: float ``[T, N, C]`` of the trajectory's epochs, in sample order; a row of NaN: not seen in
            that epoch.
        window: epochs per window J, at least 3; a window has J - 1 changes.
        decay: weight of the newest window, in (0, 1].

    Returns:
        float ``[N]`` in the input's dtype. After a missed epoch the next change is taken against the last
        epoch seen; a window with fewer than two valid changes counts as R = 0; a sample without any valid
        window gets NaN.

    Raises:
        ConfigError: an argument is out of range, or the trajectory is shorter than the window.

    Deviations:
        None for complete trajectories. The release treats a missed epoch as a row of zeros.

    Example:
        >>> moving, still = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]]), torch.tensor([[9.0, 0.0]] * 3)
        >>> tdds(torch.stack((moving, still), dim=1), window=3)
        tensor([0.0700, 0.0000])
    """
    _check(window, decay)
    check_shape("tdds", "logits", logits, "TNC")
    if len(logits) < window:
        raise ConfigError(
            f"tdds: a window of {window} epochs does not fit into {len(logits)}. Train longer, or lower it."
        )
    trajectory = widen(logits)
    previous = torch.full_like(trajectory[0], float("nan"))
    changes = []
    for epoch_logits in trajectory:  # [N, C]
        probs = epoch_logits.softmax(dim=1)
        log_probs = (probs + EPS).log()
        changes.append(_change(probs, log_probs, previous))
        previous = torch.where(torch.isnan(log_probs), previous, log_probs)
    all_changes = torch.stack(changes)
    score = torch.full_like(_spread(all_changes, 0), float("nan"))
    for last in range(window, len(all_changes) + 1):
        score = _decayed(score, _spread(all_changes[last - window + 1 : last], 0), decay)
    return score.to(trajectory.dtype)


class TDDS(Score):
    """Streaming :func:`tdds`.

    State: ``previous [N, C]`` (log probabilities of the last epoch seen), ``ring [N, window - 1]`` (changes)
    and ``score [N]``.

    Args:
        window: epochs per window, at least 3.
        decay: weight of the newest window, in (0, 1].
        trajectory: which end of the training the epochs are taken from, ``first`` or ``last``.
        trajectory_epochs: how many epochs are taken, at least ``window``; None takes 15 % of the training, at least
            one window (:func:`~secateur.scores.windows.early_epochs`).
        state_dtype: ``float32`` or ``bfloat16`` for ``previous``. float16 is refused: it cannot tell small
            probabilities apart, and the score looks at their logarithms.
        record: ``train_forward`` (as the release), ``eval_pass`` or ``before_step``, see
            :class:`~secateur.scores.base.Score`.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "score/tdds"

    def __init__(
        self,
        window: int = 10,
        decay: float = 0.9,
        trajectory: Literal["first", "last"] = "first",
        trajectory_epochs: int | None = None,
        state_dtype: Literal["float32", "bfloat16"] = "float32",
        record: SettableRecord = "train_forward",
    ) -> None:
        _check(window, decay)
        check_choice("tdds", "trajectory", trajectory, ("first", "last"))
        check_optional_int(
            "tdds", "trajectory_epochs", trajectory_epochs, window, "It has to hold at least one window."
        )
        check_choice("tdds", "state_dtype", state_dtype, tuple(STATE_DTYPES), "float16 loses small probabilities.")
        super().__init__(record)
        self.window, self.decay = window, decay
        self.trajectory, self.trajectory_epochs = trajectory, trajectory_epochs
        self.state_dtype = state_dtype

    @property
    def epochs_needed(self) -> int:
        """The trajectory asked for, or one window."""
        return self.trajectory_epochs or self.window

    def read_epochs(self, num_epochs: int) -> range:
        """Return the trajectory's epochs."""
        length = self.trajectory_epochs or early_epochs(num_epochs, self.window)
        start = 0 if self.trajectory == "first" else num_epochs - length
        return range(start, start + length)

    def update(self, batch: BatchSignals) -> None:
        """Store the change since the last epoch each sample was seen in."""
        step = batch.epoch - self.epochs.start
        if batch.epoch not in self.epochs:
            return
        log_probs = (batch.probs + EPS).log_()
        if step > 0:
            previous = self._previous(log_probs).index_select(0, batch.rows).to(log_probs.dtype)
            change = _change(batch.probs, log_probs, previous)
            ring = self.rows_like("ring", change, self.window - 1, fill=float("nan"))
            slot = (step - 1) % (self.window - 1)
            ring.select(1, slot).index_copy_(0, batch.rows, change.to(ring.dtype))
        previous = self._previous(log_probs)
        previous.index_copy_(0, batch.rows, log_probs.to(previous.dtype))

    def _previous(self, like: Tensor) -> Tensor:
        dtype = STATE_DTYPES[self.state_dtype]
        return self.rows_like("previous", like, like.shape[1], fill=float("nan"), dtype=dtype)

    def end_epoch(self, epoch: int) -> None:
        """Reduce the window that ends with this epoch, and free the slot of the next change."""
        if epoch not in self.epochs or "ring" not in self.state:
            return
        ring = self.state["ring"]
        step = epoch - self.epochs.start
        if step + 1 >= self.window:
            score = self.rows_like("score", ring, fill=float("nan"))
            for rows in row_chunks(self.num_samples):
                score[rows] = _decayed(score[rows], _spread(ring[rows], 1), self.decay).to(score.dtype)
        ring[:, step % (self.window - 1)] = float("nan")

    def compute(self) -> ScoreResult:
        """Return the scores; NaN where a sample has no valid window."""
        return ScoreResult(self.state_or_nan("score"))
