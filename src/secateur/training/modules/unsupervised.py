"""The paradigm without labels: an encoder, and classes that TURTLE finds in its frozen features."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from secateur.core.errors import ConfigError
from secateur.grouping.turtle import Turtle


@dataclass(frozen=True, kw_only=True)
class Unsupervised:
    """Measures by the dynamics of TURTLE's task encoder on frozen features; it cannot train a final network.

    ``scoring.max_epochs`` is TURTLE's length, ``optim@scoring.optim`` the recipe of the encoder's own training.

    Args:
        encoder: makes the LightningModule that trains ``model=`` here without labels; None: ``model=`` is taken as it
            is built, which makes sense with pretrained weights only (``model=timm``).
        encoder_epochs: length of the encoder's training, in epochs.
        encoder_seed: seed of the encoder, which all score seeds then share, as they share published features; None:
            ``score_seed``, which makes another encoder for every mask.
        num_clusters: classes to find; None: as many as the data set has.
        gamma: weight of the entropy of the mean labelling.
        inner_steps: steps of the linear classifier per step of the task encoder.
        inner_lr: learning rate of the classifier.
        outer_lr: learning rate of the task encoder.
        batch_size: most samples per step.
        warm_start: the classifier goes on instead of starting anew.
        standardize: first give every feature mean 0 and standard deviation 1.

    Raises:
        ConfigError: a setting is out of range.
    """

    NAME: ClassVar[str] = "paradigm/unsupervised"
    labels_known: ClassVar[bool] = False
    encoder: Callable[..., Any] | None
    encoder_epochs: int
    encoder_seed: int | None
    num_clusters: int | None
    gamma: float
    inner_steps: int
    inner_lr: float
    outer_lr: float
    batch_size: int
    warm_start: bool
    standardize: bool

    def __post_init__(self) -> None:
        if self.encoder is not None and self.encoder_epochs < 1:
            raise ConfigError(f"paradigm.encoder_epochs must be at least 1, got {self.encoder_epochs}.")
        if self.encoder_seed is not None and self.encoder_seed < 0:
            raise ConfigError(f"paradigm.encoder_seed must not be negative, got {self.encoder_seed}.")
        if self.num_clusters is not None and self.num_clusters < 2:
            raise ConfigError(f"paradigm.num_clusters must be at least 2, or null, got {self.num_clusters}.")
        self.turtle(2, 1)

    def turtle(self, num_classes: int, num_epochs: int) -> Turtle:
        """Return TURTLE with these settings, for so many classes and epochs."""
        return Turtle(
            self.num_clusters or num_classes,
            num_epochs=num_epochs,
            gamma=self.gamma,
            inner_steps=self.inner_steps,
            inner_lr=self.inner_lr,
            outer_lr=self.outer_lr,
            batch_size=self.batch_size,
            warm_start=self.warm_start,
            standardize=self.standardize,
        )
