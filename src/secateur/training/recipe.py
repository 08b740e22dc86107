"""A training recipe: the optimizer, its schedule and the batch size, without the number of epochs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.training import schedule as curves

OPTIMIZERS = ("sgd", "adam", "adamw")
NEUTRAL = {"min_lr": "0", "warmup_lr": "0", "warmup_epochs": "0", "cycle_momentum": "false"}
# which keys each schedule reads; any other that is set would be ignored and is refused
SCHEDULE_KEYS: dict[str, tuple[str, ...]] = {
    "constant": (),
    "cosine": ("min_lr", "period_epochs"),
    "onecycle": ("peak_fraction", "cycle_momentum"),
    "triangular": ("min_lr", "warmup_epochs", "cycle_momentum"),
    "warmup_cosine": ("min_lr", "warmup_epochs", "warmup_lr"),
    "step": ("milestones", "gamma"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The ``optim=`` node of a configuration.

    ``lr`` is the peak learning rate and is never scaled with the batch size or the number of processes. Keys
    that the optimizer or the schedule does not read must keep their neutral value.

    Args:
        optimizer: ``sgd``, ``adam`` (weight decay as an L2 term) or ``adamw`` (decoupled).
        lr: peak learning rate, > 0.
        batch_size: samples per optimizer step, over all processes.
        momentum: momentum of SGD, in ``[0, 1)``.
        nesterov: Nesterov's form of it.
        betas: the two betas of Adam; null means (0.9, 0.999).
        weight_decay: >= 0.
        decay_norm_and_bias: false exempts parameters of at most one dimension from weight decay.
        label_smoothing: in ``[0, 1)``.
        grad_clip_norm: largest norm of the gradient; null does not clip. The training loop applies it.
        schedule: ``constant``, ``cosine``, ``onecycle``, ``triangular``, ``warmup_cosine`` or ``step``.
        warmup_epochs: epochs until the peak (``triangular``, ``warmup_cosine``).
        warmup_lr: learning rate of the very first step (``warmup_cosine``).
        min_lr: learning rate at the end (``cosine``, ``warmup_cosine``), at both ends (``triangular``).
        period_epochs: ``T_max`` of ``cosine`` in epochs; null means the run.
        peak_fraction: where the peak of ``onecycle`` lies, in ``(0, 1)``; null elsewhere.
        cycle_momentum: let momentum (Adam: the first beta) mirror the learning rate (``onecycle``: 0.95 to
            0.85 and back, ``triangular``: 0.9 to 0.8 and back).
        milestones: fractions of the run at which ``step`` falls; null elsewhere.
        gamma: factor of each fall; null elsewhere.

    Raises:
        ConfigError: if a value is out of range or would be ignored.

    Example:
        >>> recipe = Recipe(optimizer="sgd", lr=0.1, batch_size=128, momentum=0.9, schedule="cosine")
        >>> optimizer = recipe.build_optimizer(torch.nn.Linear(2, 2))
        >>> recipe.apply_schedule(optimizer, step=50, total_steps=100, steps_per_epoch=10)
        >>> round(optimizer.param_groups[0]["lr"], 6)
        0.05
    """

    NAME: ClassVar[str] = "optim/recipe"
    optimizer: Literal["sgd", "adam", "adamw"]
    lr: float
    batch_size: int
    schedule: Literal["constant", "cosine", "onecycle", "triangular", "warmup_cosine", "step"]
    momentum: float = 0.0
    nesterov: bool = False
    betas: Sequence[float] | None = None
    weight_decay: float = 0.0
    decay_norm_and_bias: bool = True
    label_smoothing: float = 0.0
    grad_clip_norm: float | None = None
    warmup_epochs: float = 0.0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    period_epochs: float | None = None
    peak_fraction: float | None = None
    cycle_momentum: bool = False
    milestones: Sequence[float] | None = None
    gamma: float | None = None

    def __post_init__(self) -> None:
        """Validate; plain tuples replace the containers of a configuration."""
        for key in ("betas", "milestones"):
            if (value := getattr(self, key)) is not None:
                object.__setattr__(self, key, tuple(value))
        self._check_ranges()
        self._check_optimizer()
        self._check_schedule()

    def build_optimizer(self, parameters: nn.Module | Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer over all parameters that require a gradient.

        Every group carries ``initial_lr``, the peak that :meth:`apply_schedule` scales. A group added later
        (its own ``lr``, ``momentum``, ``weight_decay``) follows the same curve from its own peak.

        Args:
            parameters: a module, or parameters.

        Returns:
            Optimizer with one group, or two (decayed, not decayed) with ``decay_norm_and_bias=False``.

        Raises:
            ConfigError: if nothing requires a gradient.
        """
        given = parameters.parameters() if isinstance(parameters, nn.Module) else parameters
        trainable = [parameter for parameter in given if parameter.requires_grad]
        if not trainable:
            raise ConfigError("there is nothing to train: no parameter requires a gradient.")
        groups = self._groups(trainable)
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov)
        first, second = self.betas if self.betas is not None else (0.9, 0.999)
        adam = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return adam(groups, lr=self.lr, betas=(first, second))

    def lr_factor(self, step: float, total_steps: float, steps_per_epoch: float) -> float:
        """Return the learning rate of one optimizer step as a factor of ``lr``.

        Args:
            step: 0-based optimizer step.
            total_steps: optimizer steps of the whole run.
            steps_per_epoch: optimizer steps per epoch, the mean where epochs differ.

        Returns:
            Factor, 1 at the peak.
        """
        floor, warmup = self.min_lr / self.lr, self.warmup_epochs * steps_per_epoch
        match self.schedule:
            case "cosine":
                period = None if self.period_epochs is None else self.period_epochs * steps_per_epoch
                return curves.cosine(step, total_steps, floor, period)
            case "onecycle":
                return curves.onecycle(step, total_steps, cast(float, self.peak_fraction))
            case "triangular":
                return curves.triangular(step, total_steps, warmup, floor)
            case "warmup_cosine":
                return curves.warmup_cosine(step, total_steps, warmup, self.warmup_lr / self.lr, floor)
            case "step":
                return curves.steps(step, total_steps, tuple(self.milestones or ()), cast(float, self.gamma))
        return 1.0

    def momentum_at(self, step: float, total_steps: float, steps_per_epoch: float) -> float | None:
        """Return the momentum of one optimizer step, or None where it does not cycle; same arguments."""
        if not self.cycle_momentum:
            return None
        if self.schedule == "onecycle":
            return curves.onecycle_momentum(step, total_steps, cast(float, self.peak_fraction))
        return curves.triangular_momentum(step, total_steps, self.warmup_epochs * steps_per_epoch)

    def apply_schedule(
        self, optimizer: torch.optim.Optimizer, step: float, total_steps: float, steps_per_epoch: float
    ) -> None:
        """Set the learning rate (and cycled momentum) of all groups for one optimizer step; call it before.

        Stateless: it needs no scheduler and nothing but the step to resume.

        Args:
            optimizer: what :meth:`build_optimizer` returned, groups added since included.
            step: 0-based optimizer step.
            total_steps: optimizer steps of the whole run.
            steps_per_epoch: optimizer steps per epoch, the mean where epochs differ.

        Raises:
            ConfigError: if the run has no steps.
        """
        if total_steps <= 0 or steps_per_epoch <= 0:
            raise ConfigError(f"a run needs optimizer steps, got {total_steps} in all, {steps_per_epoch} per epoch.")
        factor = self.lr_factor(step, total_steps, steps_per_epoch)
        momentum = self.momentum_at(step, total_steps, steps_per_epoch)
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
            if momentum is None:
                continue
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def check_epochs(self, max_epochs: int) -> None:
        """Raise :class:`ConfigError` if a run of ``max_epochs`` would end before its warm-up does."""
        if self.warmup_epochs and self.warmup_epochs >= max_epochs:
            raise ConfigError(
                f"optim.warmup_epochs={self.warmup_epochs:g} must be below max_epochs={max_epochs}; "
                "lower it or train longer."
            )

    def _groups(self, trainable: list[nn.Parameter]) -> list[dict[str, Any]]:
        if self.decay_norm_and_bias:
            parts = [(trainable, self.weight_decay)]
        else:
            parts = [
                ([parameter for parameter in trainable if parameter.ndim > 1], self.weight_decay),
                ([parameter for parameter in trainable if parameter.ndim <= 1], 0.0),
            ]
        return [
            {"params": part, "weight_decay": weight_decay, "lr": self.lr, "initial_lr": self.lr}
            for part, weight_decay in parts
            if part
        ]

    def _check_ranges(self) -> None:
        positive = {"lr": self.lr, "grad_clip_norm": self.grad_clip_norm, "period_epochs": self.period_epochs}
        for key, value in (positive | {"gamma": self.gamma}).items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"optim.{key} must be a positive number, got {value}.")
        for key in ("weight_decay", "warmup_epochs"):
            if not (math.isfinite(value := getattr(self, key)) and value >= 0):
                raise ConfigError(f"optim.{key} must be >= 0, got {value}.")
        for key in ("momentum", "label_smoothing"):
            if not 0 <= (value := getattr(self, key)) < 1:
                raise ConfigError(f"optim.{key} must be in [0, 1), got {value}.")
        for key in ("min_lr", "warmup_lr"):
            if not 0 <= (value := getattr(self, key)) <= self.lr:
                raise ConfigError(f"optim.{key} must be in [0, optim.lr={self.lr}], got {value}.")
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise ConfigError(f"optim.batch_size must be a whole number of samples >= 1, got {self.batch_size}.")

    def _check_optimizer(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"optim.optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer}.")
        if self.optimizer != "sgd" and (self.momentum or self.nesterov):
            raise ConfigError(
                f"optim.optimizer={self.optimizer} has no momentum or nesterov; set optim.momentum=0 and "
                "optim.nesterov=false (its betas are optim.betas)."
            )
        if self.optimizer == "sgd" and self.betas is not None:
            raise ConfigError(f"optim.betas={list(self.betas)} is not read by sgd; set optim.betas=null.")
        if self.nesterov and not self.momentum:
            raise ConfigError("optim.nesterov=true needs optim.momentum > 0.")
        if self.betas is not None and (len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas)):
            raise ConfigError(f"optim.betas must be two numbers in [0, 1), got {list(self.betas)}.")
        if self.cycle_momentum and self.optimizer == "sgd" and not self.momentum:
            raise ConfigError("optim.cycle_momentum=true needs optim.momentum > 0 with sgd.")

    def _check_schedule(self) -> None:
        if self.schedule not in SCHEDULE_KEYS:
            raise ConfigError(f"optim.schedule must be one of {', '.join(SCHEDULE_KEYS)}, got {self.schedule}.")
        read = SCHEDULE_KEYS[self.schedule]
        for key in sorted({key for keys in SCHEDULE_KEYS.values() for key in keys} - set(read)):
            if getattr(self, key):
                users = ", ".join(name for name, keys in SCHEDULE_KEYS.items() if key in keys)
                raise ConfigError(
                    f"optim.{key}={getattr(self, key)} is not read by optim.schedule={self.schedule} "
                    f"(read by {users}); set it to {NEUTRAL.get(key, 'null')}."
                )
        if self.schedule == "triangular" and not self.warmup_epochs:
            raise ConfigError("optim.schedule=triangular needs optim.warmup_epochs > 0, the epoch of its peak.")
        if self.schedule == "onecycle" and (self.peak_fraction is None or not 0 < self.peak_fraction < 1):
            raise ConfigError(f"optim.schedule=onecycle needs optim.peak_fraction in (0, 1), got {self.peak_fraction}.")
        if self.schedule == "step":
            self._check_milestones()

    def _check_milestones(self) -> None:
        milestones = list(self.milestones or [])
        ascending = milestones == sorted(set(milestones))
        if not milestones or not ascending or not all(0 < milestone < 1 for milestone in milestones):
            raise ConfigError(
                "optim.schedule=step needs optim.milestones, ascending fractions of the run in (0, 1), "
                f"got {milestones}."
            )
        if self.gamma is None:
            raise ConfigError("optim.schedule=step needs optim.gamma, for example 0.1.")
