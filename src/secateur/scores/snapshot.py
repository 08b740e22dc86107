"""Scores that are read once: in one epoch of the training, or in one pass after it."""

from abc import abstractmethod

from torch import Tensor

from secateur.scores.base import BatchSignals, Record, Score, ScoreResult, SettableRecord
from secateur.scores.checks import check_int, check_optional_int


class FinalScore(Score):
    """A score of the trained network, from one pass with the deterministic test transform.

    State: ``score [N]``, float32.
    """

    record: Record = "final_pass"

    def __init__(self) -> None:
        super().__init__()

    def read_epochs(self, num_epochs: int) -> range:
        """Return the last epoch, after which the pass is made."""
        return range(num_epochs - 1, num_epochs)

    @abstractmethod
    def measure(self, batch: BatchSignals) -> Tensor:
        """Return the scores ``[B]`` of one batch."""

    def update(self, batch: BatchSignals) -> None:
        """Store the scores of one batch."""
        self.write("score", batch.rows, self.measure(batch))

    def compute(self) -> ScoreResult:
        """Return the scores; NaN where a sample was not seen."""
        return ScoreResult(self.state_or_nan("score"))


class EarlyScore(FinalScore):
    """A score that is read once, early in the training, after a number of completed epochs.

    By default it is measured by one pass in evaluation mode after that epoch, as the paper does. Read in the
    training's own forward passes (``record="train_forward"``), each sample is measured when its batch comes, and in a
    short training the order of that epoch tells more than the image.

    Args:
        epoch: completed epochs after which the score is read, at least 1: what is recorded for epoch number
            ``epoch - 1``. None: a tenth of the training, at least one epoch.
        num_networks: networks to average the score over, each from its own initialization; whoever runs the
            trainings does the averaging.
        record: ``eval_pass``, ``train_forward`` or ``before_step``, see :class:`~secateur.scores.base.Score`.

    Raises:
        ConfigError: an argument is out of range.
    """

    record: Record = "eval_pass"

    def __init__(self, epoch: int | None = None, num_networks: int = 1, record: SettableRecord = "eval_pass") -> None:
        Score.__init__(self, record)
        owner = type(self).__name__
        check_optional_int(owner, "epoch", epoch, 1, "It counts completed epochs; null is a tenth of the training.")
        check_int(owner, "num_networks", num_networks, 1, "The paper averages over 10.")
        self.epoch = epoch
        self.num_networks = num_networks

    @property
    def epochs_needed(self) -> int:
        """Epochs up to the reading."""
        return self.epoch or 1

    def read_epochs(self, num_epochs: int) -> range:
        """Return the one epoch that is read."""
        completed = self.epoch or max(1, round(num_epochs / 10))
        return range(completed - 1, completed)

    def update(self, batch: BatchSignals) -> None:
        """Store the scores of one batch, in the one epoch that counts."""
        if batch.epoch in self.epochs:
            super().update(batch)
