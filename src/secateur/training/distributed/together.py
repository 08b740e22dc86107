"""What a Trainer is told when several processes train together."""

import signal
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from torch import distributed, nn

from secateur.core.errors import ConfigError
from secateur.core.group import current
from secateur.training.distributed.processes import TorchGroup
from secateur.training.distributed.sync_batchnorm import synchronize_batchnorm


def trainer_arguments(module: pl.LightningModule) -> dict[str, Any]:
    """Return the Trainer's arguments that say which processes train; prepares the module for them.

    Args:
        module: what is trained; on CPUs its batch norms are made synchronous.
    """
    group = current()
    if not isinstance(group, TorchGroup):
        return {"devices": 1}
    assert group.device is not None
    if group.strategy.sync_batchnorm and group.device.type == "cpu":
        synchronize_batchnorm(module)
    return group.strategy.lightning(Environment(group), group.device)


def callbacks() -> list[pl.Callback]:
    """Return what every training of several processes needs; they come first."""
    group = current()
    if not isinstance(group, TorchGroup):
        return []
    return [EndAtOnce(), *([] if group.strategy.sync_batchnorm else [EqualBuffers()])]


class Environment(ClusterEnvironment):
    """Tells Lightning of the processes that are there, whoever started them, so that it starts none itself."""

    def __init__(self, group: TorchGroup) -> None:
        super().__init__()
        self._group = group

    @property
    def creates_processes_externally(self) -> bool:
        """They are all there."""
        return True

    @property
    def main_address(self) -> str:
        """Not asked for: the processes are joined already."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Not asked for."""
        return 0

    @staticmethod
    def detect() -> bool:
        """It is given, never detected."""
        return False

    def world_size(self) -> int:
        """Return the number of processes."""
        return self._group.size

    def set_world_size(self, size: int) -> None:
        """Ignore it."""

    def global_rank(self) -> int:
        """Return the number of this process."""
        return self._group.rank

    def set_global_rank(self, rank: int) -> None:
        """Ignore it."""

    def local_rank(self) -> int:
        """Return the number of this process on its node."""
        return self._group.local_rank

    def node_rank(self) -> int:
        """Return the number of the node."""
        return self._group.rank // self._group.strategy.devices


class EndAtOnce(pl.Callback):
    """Lets SIGTERM end the process at once.

    Lightning's handler would start a collective from within the handler, which meets another one on the other side.
    Nothing is lost: the checkpoint of the last epoch is there.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's handler; it restores what was there before when it ends."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class EqualBuffers(pl.Callback):
    """Gives all processes rank 0's running statistics after each epoch, before anything is evaluated.

    For slices that are normalized by themselves, of which none can be empty.
    """

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, idx: int) -> None:
        """Refuse an empty slice.

        Raises:
            ConfigError: the batch has fewer samples than there are processes.
        """
        if not len(batch.y):
            raise ConfigError(
                "strategy.sync_batchnorm=false cannot normalize the empty slice of a batch of fewer samples than "
                "processes: take another batch size, or true."
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hand them on."""
        share_buffers(pl_module)


@torch.no_grad()
def share_buffers(module: nn.Module) -> None:
    """Overwrite the buffers of all processes by those of rank 0."""
    for buffer in module.buffers():
        distributed.broadcast(buffer, src=0)
