"""Scores that are read once: in one epoch of the training, or in one pass after it."""

from abc import abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

from secateur.scores.base import BatchSignals, Score, ScoreResult
from secateur.scores.checks import check_int, check_optional_int


class FinalScore(Score):
    """A score of the trained network, from one pass with the deterministic test transform.

    State: ``score [N]``, float32.
    """

    measured: ClassVar[Literal["every_epoch", "final"]] = "final"

    @abstractmethod
    def measure(self, batch: BatchSignals) -> Tensor:
        """Return the scores ``[B]`` of one batch."""

    def update(self, batch: BatchSignals) -> None:
        """Store the scores of one batch."""
        self.record("score", batch.rows, self.measure(batch))

    def compute(self) -> ScoreResult:
        """Return the scores; NaN where a sample was not seen."""
        return ScoreResult(self.state_or_nan("score"))


class EarlyScore(FinalScore):
    """A score that is read early in the training, after a number of completed epochs.

    Args:
        epoch: completed epochs after which the score is read, at least 1: what is recorded for epoch number
            ``epoch - 1``. None: a tenth of the training, at least one epoch.
        num_networks: networks to average the score over, each from its own initialization; whoever runs the
            trainings does the averaging.

    Raises:
        ConfigError: an argument is out of range.
    """

    measured: ClassVar[Literal["every_epoch", "final"]] = "every_epoch"

    def __init__(self, epoch: int | None = None, num_networks: int = 1) -> None:
        super().__init__()
        owner = type(self).__name__
        check_optional_int(owner, "epoch", epoch, 1, "It counts completed epochs; null is a tenth of the training.")
        check_int(owner, "num_networks", num_networks, 1, "The paper averages over 10.")
        self.epoch = epoch
        self.num_networks = num_networks

    @property
    def epochs_needed(self) -> int:
        """Epochs up to the reading."""
        return self.epoch or 1

    @property
    def read_epoch(self) -> int:
        """Number (from 0) of the epoch whose signals are read."""
        return (self.epoch or max(1, round(self.num_epochs / 10))) - 1

    def update(self, batch: BatchSignals) -> None:
        """Store the scores of one batch, in the one epoch that counts."""
        if batch.epoch == self.read_epoch:
            super().update(batch)
