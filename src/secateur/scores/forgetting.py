r"""Forgetting events: how often a sample that was classified correctly no longer is.

Needs the logits of every epoch. Memory O(N) floats. Counts are small integers, so many samples tie; ties are
kept in the order of their ids. Wrong for short trainings, where hardly anything is forgotten.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from secateur.scores.base import BatchSignals, Score, ScoreResult, SettableRecord
from secateur.scores.checks import check_choice, check_shape

UNLEARNED = ("last", "count")
NEVER_LEARNED = -1.0


def _step(last: Tensor, events: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    """Return (correctness when last seen, events so far) after one more epoch; NaN: not seen in it."""
    forgotten = (last == 1) & (correct == 0)
    events = torch.where(correct == 1, events.clamp(min=0), events + forgotten)
    return torch.where(torch.isnan(correct), last, correct), events


def _finish(last: Tensor, events: Tensor, num_epochs: int, unlearned: str) -> Tensor:
    """Return the events, with the never-learned put last or counted as they are; NaN: never seen."""
    never = float(num_epochs + 1) if unlearned == "last" else 0.0
    score = torch.where(events == NEVER_LEARNED, never, events)
    return torch.where(torch.isnan(last), float("nan"), score)


def forgetting(correct: Tensor, unlearned: Literal["last", "count"] = "last") -> Tensor:
    """Number of times a sample goes from correct to wrong between two epochs in which it was seen.

    High: often forgotten, kept first.

    [Forgetting] Toneva et al., ICLR 2019, arXiv 1812.05159, definition of a forgetting event and algorithm 1.

    Args:
        correct: whether the prediction was right, bool or float 0/1 ``[T, N]``; NaN: not seen in that epoch.
        unlearned: what a sample that was never correct gets: ``last`` T + 1, so that it is pruned last (the
            paper's infinity), ``count`` its number of events, which is 0.

    Returns:
        float ``[N]``: the input's dtype, or the default dtype for a bool input. Never seen: NaN.

    Raises:
        ConfigError: ``unlearned`` is neither of the two, or the shape is wrong.

    Deviations:
        The extrapolation release is ``unlearned="count"``: samples never learned are pruned first.

    Example:
        >>> forgetting(torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.bool))
        tensor([2., 0., 5.])
    """
    check_choice("forgetting", "unlearned", unlearned, UNLEARNED)
    check_shape("forgetting", "correct", correct, "TN")
    history = correct if correct.is_floating_point() else correct.to(torch.get_default_dtype())
    last = torch.full_like(history[0], float("nan"))
    events = torch.full_like(last, NEVER_LEARNED)
    for epoch_correct in history:
        last, events = _step(last, events, epoch_correct)
    return _finish(last, events, len(history), unlearned)


class Forgetting(Score):
    """Streaming :func:`forgetting`, over all epochs of the training.

    State: ``current``, ``last`` and ``events``, float32 ``[N]`` each.

    Args:
        unlearned: what a sample that was never correct gets, ``last`` (number of epochs + 1) or ``count``
            (0).
        record: ``train_forward`` (as the paper), ``eval_pass`` or ``before_step``, see
            :class:`~secateur.scores.base.Score`.

    Raises:
        ConfigError: ``unlearned`` is neither of the two, or ``record`` none of the three.
    """

    NAME: ClassVar[str] = "score/forgetting"

    def __init__(self, unlearned: Literal["last", "count"] = "last", record: SettableRecord = "train_forward") -> None:
        check_choice("forgetting", "unlearned", unlearned, UNLEARNED)
        super().__init__(record)
        self.unlearned = unlearned

    def update(self, batch: BatchSignals) -> None:
        """Store whether the samples of one batch are classified correctly."""
        self.write("current", batch.rows, batch.correct, dtype=torch.float32)

    def end_epoch(self, epoch: int) -> None:
        """Count what was forgotten since each sample was last seen."""
        current = self.flush("current")
        if current is None:
            return
        last = self.rows_like("last", current, fill=float("nan"))
        events = self.rows_like("events", current, fill=NEVER_LEARNED)
        self.state["last"], self.state["events"] = _step(last, events, current)

    def compute(self) -> ScoreResult:
        """Return the scores; NaN where a sample was never seen."""
        last, events = self.state_or_nan("last"), self.state_or_nan("events")
        return ScoreResult(_finish(last, events, self.num_epochs, self.unlearned))
