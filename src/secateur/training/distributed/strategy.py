"""The ``strategy:`` node: how many processes compute a training, and how they divide it."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy

from secateur.core.errors import ConfigError

Backend = Literal["gloo", "nccl"]


@dataclass(frozen=True, kw_only=True)
class SingleProcess:
    """One process, one device."""

    NAME: ClassVar[str] = "strategy/single"
    num_processes: ClassVar[int] = 1
    sync_batchnorm: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class DataParallel:
    """Every process has the whole network and a slice of each batch.

    Args:
        devices: processes per node, one per device.
        num_nodes: nodes.
        accelerator: ``auto`` follows ``trainer.accelerator``; ``cpu`` computes on CPUs wherever there are GPUs too.
        backend: how gradients travel; null takes nccl between GPUs and gloo between CPUs.
        sync_batchnorm: normalize over the whole batch, as one process does; false: each slice by itself, which is
            faster, gives other results, and has keys of its own.

    Raises:
        ConfigError: a count is below 1, or the backend cannot be.
    """

    NAME: ClassVar[str] = "strategy/data_parallel"
    sharded: ClassVar[bool] = False
    devices: int
    num_nodes: int = 1
    accelerator: Literal["auto", "cpu"] = "auto"
    backend: Backend | None = None
    sync_batchnorm: bool = True

    def __post_init__(self) -> None:
        for key in ("devices", "num_nodes"):
            if getattr(self, key) < 1:
                raise ConfigError(f"strategy.{key} must be at least 1, got {getattr(self, key)}.")
        if self.backend == "nccl" and self.accelerator == "cpu":
            raise ConfigError("strategy.backend=nccl works between GPUs only; take gloo with strategy.accelerator=cpu.")

    @property
    def num_processes(self) -> int:
        """Processes of all nodes together."""
        return self.devices * self.num_nodes

    def backends(self, device: torch.device) -> str:
        """Return what :func:`torch.distributed.init_process_group` is told."""
        if device.type == "cpu":
            return "gloo"
        return f"cpu:gloo,cuda:{self.backend or 'nccl'}"

    def lightning(self, environment: Any, device: torch.device) -> dict[str, Any]:
        """Return the Trainer's arguments that divide a training.

        Args:
            environment: Lightning's view of the processes.
            device: where this process computes.
        """
        # Buffers are equal everywhere: batch norm is synchronous, or made equal after each epoch.
        strategy = DDPStrategy(cluster_environment=environment, broadcast_buffers=False)
        return {"strategy": strategy, **self._places(device)}

    def _places(self, device: torch.device) -> dict[str, Any]:
        on_gpus = device.type == "cuda"
        return {
            "devices": self.devices,
            "num_nodes": self.num_nodes,
            "plugins": [],
            "use_distributed_sampler": False,
            "sync_batchnorm": on_gpus and self.sync_batchnorm,
        }


@dataclass(frozen=True, kw_only=True)
class ShardedDataParallel(DataParallel):
    """Like :class:`DataParallel`, with weights, gradients and optimizer state divided among GPUs (FSDP).

    Args:
        devices: GPUs per node.
        num_nodes: nodes.
        accelerator: ``auto``; there is no sharding on CPUs.
        backend: null or nccl.
        sync_batchnorm: see :class:`DataParallel`.

    Raises:
        ConfigError: as there, or CPUs are asked for.
    """

    NAME: ClassVar[str] = "strategy/sharded"
    sharded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.accelerator == "cpu" or self.backend == "gloo":
            raise ConfigError("strategy=fsdp divides a network among GPUs; take strategy=ddp_cpu for CPUs.")

    def lightning(self, environment: Any, device: torch.device) -> dict[str, Any]:
        """Return the Trainer's arguments that divide a training and its network."""
        strategy = FSDPStrategy(cluster_environment=environment, state_dict_type="full")
        return {"strategy": strategy, **self._places(device)}


Strategy = SingleProcess | DataParallel
