"""What every scorer is: a streaming accumulator over per-sample signals, keyed by pool row.

Tensor legend: N samples of the pool, B batch, C classes, D features, T epochs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.scores.checks import check_choice

Record = Literal["train_forward", "before_step", "eval_pass", "final_pass"]
SettableRecord = Literal["train_forward", "before_step", "eval_pass"]  # a final pass belongs to the scorer's class
RECORDS: tuple[SettableRecord, ...] = get_args(SettableRecord)


def widen(values: Tensor) -> Tensor:
    """Return float32 and float64 as they are, everything else (bf16, fp16, bool, integers) as float32."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def target_margin(logits: Tensor, target: Tensor) -> Tensor:
    """Return the label's value minus the largest other one, ``[B, C], [B] -> [B]``; C is at least 2."""
    label = target[:, None]
    others = logits.scatter(1, label, float("-inf")).amax(dim=1)
    return logits.gather(1, label).squeeze(1) - others


class Signal(Enum):
    """What a scorer reads from the network for each sample."""

    LOGITS = "logits"
    FEATURES = "features"


@dataclass
class BatchSignals:
    """The signals of one batch; everything derived is computed once and shared by all scorers.

    Attributes:
        rows: pool positions, int64 ``[B]``, no duplicates.
        target: class labels, int64 ``[B]``.
        epoch: epoch number, from 0; for the final pass the number of the last epoch.
        logits: float ``[B, C]``.
        features: penultimate features, float ``[B, D]``, or None when no scorer asked for them.
    """

    rows: Tensor
    target: Tensor
    epoch: int
    logits: Tensor
    features: Tensor | None = None

    @cached_property
    def logits_float(self) -> Tensor:
        """Logits ``[B, C]`` in at least float32 (bf16 and fp16 are widened), cut off from any graph."""
        return widen(self.logits.detach())

    @cached_property
    def features_float(self) -> Tensor:
        """Features ``[B, D]`` in at least float32, cut off from any graph.

        Raises:
            DataError: the batch carries no features, so whoever records it did not read ``Score.needs``.
        """
        if self.features is None:
            raise DataError("This scorer needs penultimate features, but the batch has none: record them as well.")
        return widen(self.features.detach())

    @cached_property
    def probs(self) -> Tensor:
        """Softmax ``[B, C]``."""
        return self.logits_float.softmax(dim=1)

    @cached_property
    def target_prob(self) -> Tensor:
        """Probability of the label ``[B]``."""
        return self.probs.gather(1, self.target[:, None]).squeeze(1)

    @cached_property
    def target_margin(self) -> Tensor:
        """Logit of the label minus the largest other logit ``[B]``."""
        return target_margin(self.logits_float, self.target)

    @cached_property
    def probability_margin(self) -> Tensor:
        """Probability of the label minus the largest other probability ``[B]``."""
        return target_margin(self.probs, self.target)

    @cached_property
    def correct(self) -> Tensor:
        """Whether the largest logit is the label's, bool ``[B]``."""
        return self.logits_float.argmax(dim=1) == self.target


@dataclass(frozen=True)
class ScoreResult:
    """What a scorer ends with, in pool order: ``score [N]`` (higher = kept first), side columns ``[N]``."""

    score: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)


class Score(ABC):
    """A scorer: fed batch by batch, reduced at the end of each epoch, computed once.

    A scorer says which signals it is fed with (``record``) and in which epochs (:meth:`read_epochs`):

    - ``train_forward``: those of the training's own forward passes, on augmented images. They cost nothing. Each
      sample is measured when its batch comes, so the network moves between the first sample and the last.
    - ``before_step``: those of a forward pass without augmentation, just before each optimizer step, of the step's
      own batch. It costs one forward pass per sample and epoch. The network is in evaluation mode if it has batch
      normalization, and in training mode otherwise.
    - ``eval_pass``: those of a pass over all samples in evaluation mode and without augmentation, after each epoch
      that is read. It costs one forward pass per sample and epoch read.
    - ``final_pass``: those of one such pass after the training.

    The state is a set of tensors with one row per sample of the pool. A row is touched only by updates for
    its own sample, so the result does not depend on the order of samples, on the batch size, or on which
    process saw what. A sample is passed at most once per epoch (the recorder drops duplicates).

    Args:
        record: which signals are read, one of ``train_forward``, ``before_step`` and ``eval_pass``; None takes what
            the class says.

    Raises:
        ConfigError: ``record`` is none of the three.
    """

    needs: ClassVar[frozenset[Signal]] = frozenset({Signal.LOGITS})
    record: Record = "train_forward"
    signed: ClassVar[bool] = False  # scores can be negative
    num_networks: int = 1

    epochs: range = range(0)  # the epochs that are read, set by setup()

    def __init__(self, record: SettableRecord | None = None) -> None:
        if record is not None:
            check_choice(type(self).__name__, "record", record, RECORDS)
            self.record = record
        self.state: dict[str, Tensor] = {}
        self.num_samples = 0
        self.num_epochs = 0

    def setup(self, num_samples: int, num_epochs: int) -> None:
        """Prepare for a training of ``num_epochs`` epochs over ``num_samples`` samples; clears the state.

        Raises:
            ConfigError: the training is too short for this scorer.
        """
        if num_epochs < self.epochs_needed:
            raise ConfigError(
                f"{type(self).__name__} needs at least {self.epochs_needed} epochs, but the scoring network "
                f"trains for {num_epochs}. Train for at least {self.epochs_needed} epochs (scoring.max_epochs on the "
                f"command line), or lower the score's own epochs or window."
            )
        self.num_samples, self.num_epochs = num_samples, num_epochs
        self.epochs = self.read_epochs(num_epochs)
        self.state = {}

    @property
    def epochs_needed(self) -> int:
        """Fewest epochs the scoring training must have for this scorer to be defined."""
        return 1

    def read_epochs(self, num_epochs: int) -> range:
        """Return the epochs that are read of a training of ``num_epochs``, from 0: a range with step 1, not empty.

        The training may stop after the last of them, and :meth:`update` is not called in others.
        """
        return range(num_epochs)

    @property
    def num_passes(self) -> int:
        """Forward passes over all samples, after :meth:`setup`, that exist only to feed this scorer."""
        return 0 if self.record == "train_forward" else len(self.epochs)

    @abstractmethod
    def update(self, batch: BatchSignals) -> None:
        """Take in one batch."""

    def end_epoch(self, epoch: int) -> None:
        """Reduce what the epoch gave; called once after the last batch of each epoch."""

    @abstractmethod
    def compute(self) -> ScoreResult:
        """Return the scores; a sample without enough observations gets NaN, which the ScoreTable refuses."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state (tensors only, safe for ``weights_only`` loading)."""
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned; call :meth:`setup` first.

        Raises:
            DataError: the state was saved for another number of samples.
        """
        for name, values in state.items():
            if len(values) != self.num_samples:
                raise DataError(
                    f"The saved {type(self).__name__} state {name!r} has {len(values)} rows, but the pool "
                    f"has {self.num_samples}. Was it saved for other data?"
                )
        self.state = {name: values.clone() for name, values in state.items()}

    def rows_like(
        self, name: str, like: Tensor, *shape: int, fill: float = 0.0, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Return the state tensor ``name [N, *shape]``, made on first use, on the device of ``like``."""
        if name not in self.state:
            size = (self.num_samples, *shape)
            self.state[name] = torch.full(size, fill, dtype=dtype or torch.float32, device=like.device)
        elif self.state[name].device != like.device:  # restored from a checkpoint on another device
            self.state[name] = self.state[name].to(like.device)
        return self.state[name]

    def write(self, name: str, rows: Tensor, values: Tensor, dtype: torch.dtype | None = None) -> None:
        """Write ``values [B, ...]`` into rows of the state tensor ``name``; rows never written stay NaN."""
        table = self.rows_like(name, values, *values.shape[1:], fill=float("nan"), dtype=dtype)
        table.index_copy_(0, rows, values.to(table.dtype))

    def flush(self, name: str) -> Tensor | None:
        """Return what :meth:`write` wrote this epoch (NaN: not seen) and clear it; None: never wrote."""
        if name not in self.state:
            return None
        values = self.state[name].clone()
        self.state[name].fill_(float("nan"))
        return values

    def state_or_nan(self, name: str) -> Tensor:
        """Return a state tensor, or NaN ``[N]`` when no batch ever reached it."""
        return self.state[name] if name in self.state else torch.full((self.num_samples,), float("nan"))
