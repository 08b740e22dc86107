"""The weights of a network at chosen moments of its training."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from safetensors.torch import save_file
from torch import Tensor, nn

from secateur.core.group import is_rank_zero
from secateur.training.distributed.sharded import is_divided, whole_weights

WRAPPER = "_fsdp_wrapped_module."  # what FSDP puts into names


class KeptWeights(pl.Callback):
    """Keeps copies of the module's ``model`` after chosen numbers of epochs; they are saved in checkpoints.

    Args:
        after: the numbers of completed epochs.
    """

    def __init__(self, after: Iterable[int]) -> None:
        self.after = frozenset(after)
        self.weights: dict[int, dict[str, Tensor]] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights if this epoch is one of the chosen ones."""
        completed = trainer.current_epoch + 1
        if completed in self.after:
            self.weights[completed] = _copy(pl_module.model)  # type: ignore[arg-type]

    def save(self, folder: Path) -> None:
        """Write the :func:`weights_file` of every copy into a stage's folder; of several processes the first does."""
        for completed, weights in self.weights.items() if is_rank_zero() else ():
            file = folder / weights_file(completed)
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: value.contiguous() for name, value in weights.items()}, file)

    def state_dict(self) -> dict[str, Any]:
        """Return the copies."""
        return {"weights": self.weights}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.weights = dict(state_dict["weights"])


def weights_file(completed: int) -> str:
    """Return where, in a stage's folder, the weights after so many completed epochs lie."""
    return f"weights/{completed}.safetensors"


def _copy(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of what a network's ``state_dict`` has, on the CPU, also where its weights are divided."""
    if not is_divided():
        return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    named = whole_weights(model)
    for path, part in model.named_modules():
        for name, value in part._buffers.items():
            if value is not None and name not in part._non_persistent_buffers_set:
                named[f"{path}.{name}" if path else name] = value.detach().cpu().clone()
    return {name.replace(WRAPPER, ""): value for name, value in named.items()}
