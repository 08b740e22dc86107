"""AdaPruner's scale and penalty from step to step: how the soft mask becomes binary at the asked ratio."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from secateur.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AdaPrunerConstants:
    """Constants of the method; the defaults are those of the authors' release ([AP] arXiv 2312.05599).

    Args:
        initial_mask: starting value of every mask logit m.
        scale_start: scale g at the start, > 0.
        scale_end: what g would reach if it advanced on every step.
        penalty_offset: C in ``lambda = C + G |cr - r|``.
        penalty_gain: G, and the first value of lambda.
        slow_down_share: share of an epoch's steps with too low a keep ratio from which g steps back.
        sharpen_factor: by how many steps g grows per step of the last epoch while the mask is not yet binary.
        binary_margin: a soft weight outside ``[margin, 1 - margin]`` counts as binary.
        binary_share: share of a batch that must be binary.
        cold_start_epochs: first epochs without penalty and with a frozen mask.

    Raises:
        ConfigError: a constant is out of range.
    """

    initial_mask: float = 1.0
    scale_start: float = 0.1
    scale_end: float = 5.0
    penalty_offset: float = 1.0
    penalty_gain: float = 50.0
    slow_down_share: float = 1 / 16
    sharpen_factor: float = 10.0
    binary_margin: float = 0.1
    binary_share: float = 0.9
    cold_start_epochs: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.scale_start <= self.scale_end:
            raise ConfigError(f"0 < scale_start <= scale_end must hold, got {self.scale_start} and {self.scale_end}.")
        if not 0 < self.binary_margin < 0.5:
            raise ConfigError(f"binary_margin must be in (0, 0.5), got {self.binary_margin}.")
        if not 0 <= self.binary_share <= 1:
            raise ConfigError(f"binary_share must be in [0, 1], got {self.binary_share}.")
        for key in ("penalty_offset", "penalty_gain", "slow_down_share", "sharpen_factor", "cold_start_epochs"):
            if getattr(self, key) < 0:
                raise ConfigError(f"{key} must not be negative, got {getattr(self, key)}.")


@dataclass
class ScaleState:
    """What the controller carries from step to step."""

    scale: float
    penalty: float
    previous_ratio: float = 1.0
    low_steps: int = 0


class ScaleController:
    """Sets the scale g and the penalty lambda after every step.

    Lambda follows the hard keep ratio cr of the batch. g advances by ``(end - start) / (epochs * steps)`` on a step
    only while the cr of the step before was not below the asked keep fraction r; at the end of an epoch in which
    too many steps were, it goes back by as many steps; in the last epoch it grows fast until s is nearly binary.

    Args:
        constants: see :class:`AdaPrunerConstants`.
        keep_fraction: r, in ``(0, 1]``.
        num_epochs: epochs of the joint training.
        steps_per_epoch: optimizer steps of one epoch.

    Raises:
        ConfigError: the cold start leaves no epoch that moves the mask.
    """

    def __init__(
        self, constants: AdaPrunerConstants, keep_fraction: float, num_epochs: int, steps_per_epoch: int
    ) -> None:
        if constants.cold_start_epochs >= num_epochs:
            raise ConfigError(
                f"cold_start_epochs={constants.cold_start_epochs} freezes the mask in all of the {num_epochs} joint "
                "epochs; lower it or train longer."
            )
        self.constants, self.keep_fraction = constants, keep_fraction
        self.num_epochs, self.steps_per_epoch = num_epochs, steps_per_epoch
        self.step_size = (constants.scale_end - constants.scale_start) / (num_epochs * steps_per_epoch)
        self.state = ScaleState(constants.scale_start, constants.penalty_gain)

    def is_cold(self, epoch: int) -> bool:
        """Whether the mask is frozen in this epoch."""
        return epoch < self.constants.cold_start_epochs

    def penalty(self, epoch: int) -> float:
        """Return lambda for the next step."""
        return 0.0 if self.is_cold(epoch) else self.state.penalty

    def end_step(self, epoch: int, keep_ratio: float, binary_share: float) -> None:
        """Take in a step's hard keep ratio and the share of its soft weights that are nearly binary."""
        constants, state = self.constants, self.state
        if self.is_cold(epoch):
            return
        if state.previous_ratio >= self.keep_fraction:
            state.scale += self.step_size
        if epoch == self.num_epochs - 1 and binary_share < constants.binary_share:
            state.scale += constants.sharpen_factor * self.step_size
        state.penalty = constants.penalty_offset + constants.penalty_gain * abs(keep_ratio - self.keep_fraction)
        state.low_steps += keep_ratio < self.keep_fraction
        state.previous_ratio = keep_ratio

    def end_epoch(self) -> None:
        """Slow down after an epoch with too many steps below the asked ratio."""
        if self.state.low_steps >= self.constants.slow_down_share * self.steps_per_epoch:
            self.state.scale = max(0.0, self.state.scale - self.state.low_steps * self.step_size)
        self.state.low_steps = 0

    def state_dict(self) -> dict[str, float]:
        """Return the state as plain numbers."""
        return asdict(self.state)

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.state = ScaleState(state["scale"], state["penalty"], state["previous_ratio"], int(state["low_steps"]))
