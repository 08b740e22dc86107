"""The ``trainer:`` node: length and numerics of every training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from secateur.core.errors import ConfigError
from secateur.core.group import current
from secateur.core.roles import Role

if TYPE_CHECKING:
    import torch

NUMERICS = Role(numerics=True)


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """The ``trainer:`` node, without what differs from stage to stage.

    Args:
        max_epochs: length of the final training, in epochs.
        precision: ``32-true`` or ``bf16-mixed``.
        accelerator: ``auto``, ``cpu`` or ``gpu``.
        channels_last: keep images and convolutions in channels-last memory order (faster on GPUs).
        deterministic: true (refuse nondeterministic kernels), false, or ``warn``.
        evaluate_every: evaluate every so many epochs; the last epoch always is.
        checkpoint_every: write ``last.ckpt`` every so many epochs; after the last epoch it always is.
        num_threads: CPU threads of the network's arithmetic; null takes all cores. The last bits of a result on the
            CPU depend on it.
    """

    max_epochs: int
    precision: Annotated[Literal["32-true", "bf16-mixed"], NUMERICS] = "32-true"
    accelerator: Annotated[Literal["auto", "cpu", "gpu"], Role(compared=False, movable=True)] = "auto"
    channels_last: Annotated[bool, NUMERICS] = False
    deterministic: Annotated[bool | Literal["warn"], NUMERICS] = True
    evaluate_every: Annotated[int, Role(compared=False)] = 1
    checkpoint_every: Annotated[int, Role(compared=False)] = 1
    num_threads: Annotated[int | None, Role(compared=False, numerics=True, movable=True)] = 1

    def __post_init__(self) -> None:
        for key in ("max_epochs", "evaluate_every", "checkpoint_every"):
            if getattr(self, key) < 1:
                raise ConfigError(f"trainer.{key} must be at least 1, got {getattr(self, key)}.")
        if self.num_threads is not None and self.num_threads < 1:
            raise ConfigError(f"trainer.num_threads must be at least 1, or null for all cores, got {self.num_threads}.")

    @property
    def device(self) -> "torch.device":
        """The device this process trains on."""
        if (device := current().device) is not None:
            return device
        import torch  # noqa: PLC0415 (the settings are read without it)

        use_gpu = self.accelerator == "gpu" or (self.accelerator == "auto" and torch.cuda.is_available())
        return torch.device("cuda", torch.cuda.current_device()) if use_gpu else torch.device("cpu")
