"""A network whose weights are divided among GPUs (FSDP), made whole where something reads it from outside.

Training steps go through the wrapper, which gathers weights by itself; evaluation passes and whoever stores the
weights call the network directly.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

_root: FullyShardedDataParallel | None = None  # of the training in progress


@contextmanager
def whole() -> Iterator[None]:
    """Gather the weights of the network that is trained, if they are divided, inside the block; for reading only."""
    if _root is None:
        yield
        return
    with FullyShardedDataParallel.summon_full_params(_root, writeback=False):
        yield


class Whole(pl.Callback):
    """Knows the wrapper of the network in training, and puts plain weights into the network when it is over.

    It comes after every callback that evaluates.
    """

    def __init__(self) -> None:
        self._weights: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the wrapper."""
        if isinstance(trainer.strategy.model, FullyShardedDataParallel):
            open_root(trainer.strategy.model)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the whole weights."""
        self._weights = whole_weights(pl_module) if _root is not None else {}

    def restore(self, module: nn.Module) -> None:
        """Give the module its weights back, when the Trainer has ended."""
        if _root is not None:
            put_weights(module, self._weights)
            open_root(None)


def is_divided() -> bool:
    """Whether the weights of the network that is trained are divided among processes."""
    return _root is not None


def open_root(root: FullyShardedDataParallel | None) -> None:
    """Say what :func:`whole` gathers."""
    global _root
    _root = root


def whole_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of a module's parameters, gathered, on the CPU."""
    with whole():
        return {name: values.detach().cpu().clone() for name, values in module.named_parameters()}


def put_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Replace every parameter of a module, whose own may be parts, by a plain one."""
    for path, part in module.named_modules():
        for name in list(part._parameters):
            key = f"{path}.{name}" if path else name
            if key in weights:
                part._parameters[name] = nn.Parameter(weights[key])
