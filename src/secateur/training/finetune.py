"""The ``finetune:`` node: how a pretrained network is adapted to the downstream data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from secateur.core.errors import ConfigError
from secateur.training.recipe import Recipe

Mode = Literal["linear_probe", "full"]


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """What is trained on the downstream data, and how.

    Args:
        modes: ``linear_probe`` (a linear layer on frozen features of the test transform), ``full`` (all weights, with
            augmentation), or both.
        optim: recipe of the full fine-tuning, and of the probe when there is no other.
        max_epochs: its length.
        probe_optim: recipe of the linear probe; None: ``optim``.
        probe_epochs: its length; None: ``max_epochs``.
        reuse_head: downstream classes take the first rows of the source head instead of a fresh one, as the release
            does; a parity option.

    Raises:
        ConfigError: no or unknown modes, or a length below 1.
    """

    NAME: ClassVar[str] = "finetune/finetuning"
    modes: Sequence[Mode]
    optim: Recipe
    max_epochs: int
    probe_optim: Recipe | None = None
    probe_epochs: int | None = None
    reuse_head: bool = False

    def __post_init__(self) -> None:
        if not self.modes or any(mode not in get_args(Mode) for mode in self.modes):
            raise ConfigError(f"finetune.modes must name linear_probe, full or both; got {list(self.modes)}.")
        for mode in self.modes:
            if self.epochs(mode) < 1:
                raise ConfigError(f"finetune: {mode} must be trained for at least 1 epoch, got {self.epochs(mode)}.")
            self.recipe(mode).check_epochs(self.epochs(mode))

    def recipe(self, mode: Mode) -> Recipe:
        """Return the recipe of a mode."""
        return (self.probe_optim or self.optim) if mode == "linear_probe" else self.optim

    def epochs(self, mode: Mode) -> int:
        """Return the length of a mode."""
        return (self.probe_epochs or self.max_epochs) if mode == "linear_probe" else self.max_epochs
