"""The Trainer factory: one fresh Trainer per training, which resumes from its folder's last checkpoint."""

import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import ModelCheckpoint
from safetensors.torch import save_file
from torch import nn

from secateur.core.errors import CheckpointError, NumericalError
from secateur.core.files import link_or_copy
from secateur.core.group import current, is_rank_zero
from secateur.core.record import one_line
from secateur.core.stage_files import CHECKPOINTS
from secateur.data.batch import Batch
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.checkpoints import LAST, Checkpoints
from secateur.training.distributed import together
from secateur.training.distributed.sharded import Whole
from secateur.training.settings import TrainerSettings

PREDICTIONS = "predictions.parquet"
RESUME = "resume.ckpt"  # in a finished stage: where a longer training of the same kind goes on from
IGNORED_WARNINGS = (
    ".*does not have many workers.*",
    ".*srun. command is available.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*You defined a `validation_step` but have no `val_dataloader`.*",
    ".*Total length of .* across ranks is zero.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*sync_dist=True.*",
    ".*broadcast_buffers. is deprecated.*",
)


def fit(
    module: pl.LightningModule,
    loader: Iterable[Batch],
    settings: TrainerSettings,
    folder: Path,
    callbacks: Sequence[pl.Callback],
    *,
    max_epochs: int,
    reload_every_epoch: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> pl.Trainer:
    """Train a module, from its folder's last checkpoint if there is one; all processes of a group together.

    Args:
        module: what to train.
        loader: yields batches; must have ``__len__`` and a lazy ``__iter__``.
        settings: the ``trainer:`` node.
        folder: the stage's folder, where ``checkpoints/last.ckpt`` is kept; see
            :class:`~secateur.training.checkpoints.Checkpoints`.
        callbacks: further callbacks; their state is saved too.
        max_epochs: epochs of this stage.
        reload_every_epoch: the loader's length differs from epoch to epoch.
        say: called with a line of text when a checkpoint cannot be used, or was written by other code.

    Raises:
        CheckpointError: the checkpoint was written by other code and does not load into the module or the callbacks,
            which may be half changed by it. It is set aside; whoever builds them anew can call this again.
    """
    _quiet()
    checkpoints = Checkpoints(folder, say)
    saver = ModelCheckpoint(
        dirpath=checkpoints.folder,
        filename="last",
        every_n_epochs=settings.checkpoint_every,
        save_on_train_epoch_end=True,
        save_top_k=1,
        enable_version_counter=False,
    )
    weights = Whole()
    final = _SaveLast(folder / CHECKPOINTS / LAST, settings.checkpoint_every)
    restoring = _Restoring()
    every = [*together.callbacks(), *callbacks, _SetEpoch(loader), weights, final, restoring, saver]
    trainer = _trainer(module, settings, checkpoints, every, max_epochs, reload_every_epoch=reload_every_epoch)
    start, restoring.checks = current().from_zero(
        lambda: ((path := checkpoints.latest()) and str(path), checkpoints.is_of_other_code)
    )
    if settings.channels_last:
        module.to(memory_format=torch.channels_last)
    try:
        trainer.fit(module, train_dataloaders=loader, ckpt_path=start)
    except SystemExit as error:
        if trainer.interrupted:  # Lightning makes exit code 1 of Ctrl-C, and ignores any further one
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from error
        raise
    except (torch.OutOfMemoryError, NumericalError):
        raise
    except Exception as error:
        if not restoring.checks:
            raise
        if is_rank_zero():
            checkpoints.set_aside(Path(start), f"{type(error).__name__}: {one_line(error)}")
        raise CheckpointError(f"{start} was written by other code and does not fit this one.") from error
    weights.restore(module)
    return trainer


def _trainer(
    module: pl.LightningModule,
    settings: TrainerSettings,
    checkpoints: Checkpoints,
    callbacks: list[pl.Callback],
    max_epochs: int,
    *,
    reload_every_epoch: bool,
) -> pl.Trainer:
    """Return a Trainer that does nothing of its own accord: no logger, bar, sanity check or validation loop."""
    arguments = {"plugins": _plugins(), **together.trainer_arguments(module)}
    arguments["plugins"] = [*arguments["plugins"], checkpoints]
    return pl.Trainer(
        max_epochs=max_epochs,
        precision=settings.precision,
        accelerator="gpu" if settings.device.type == "cuda" else "cpu",
        deterministic=settings.deterministic,
        benchmark=False,
        default_root_dir=checkpoints.folder.parent,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        log_every_n_steps=1,
        reload_dataloaders_every_n_epochs=int(reload_every_epoch),
        **arguments,
    )


@contextmanager
def cpu_threads(num_threads: int | None) -> Iterator[None]:
    """Use so many CPU threads inside the block; None leaves the number alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def finish_folder(folder: Path, model: nn.Module, metrics: EpochMetrics) -> None:
    """Write the last epoch's weights and the history.

    Of several processes only the first writes. Checkpoints stay: the store removes them once the stage is published.
    """
    weights = {name: values.contiguous() for name, values in model.cpu().state_dict().items()}
    if not is_rank_zero():
        return
    save_file(weights, folder / "model.safetensors")
    metrics.save(folder / "metrics.csv")


def save_predictions(folder: Path, metrics: EpochMetrics, fingerprint: str) -> None:
    """Write class and confidence of every test sample, as the last epoch's evaluation had them, if there was one.

    Args:
        folder: the stage's folder.
        metrics: the history.
        fingerprint: of the data that was evaluated on.
    """
    test = metrics.last.get("test")
    if test is not None and test.predictions is not None and is_rank_zero():
        test.predictions.save(folder / PREDICTIONS, fingerprint)


def keep_checkpoint(folder: Path) -> None:
    """Keep the last epoch's checkpoint in a stage, so that :func:`start_from` can go on from it."""
    link_or_copy(folder / CHECKPOINTS / LAST, folder / RESUME)


def start_from(finished: Path, folder: Path) -> None:
    """Let the next :func:`fit` in a folder go on from the checkpoint that a finished stage kept.

    The two may be one file: a checkpoint is never written into, another one takes its name.
    """
    link_or_copy(finished / RESUME, folder / CHECKPOINTS / LAST)


class _SaveLast(pl.Callback):
    """Writes the checkpoint of the last epoch where it is not due anyway."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        completed = trainer.current_epoch + 1
        if completed == trainer.max_epochs and completed % self.every:
            trainer.save_checkpoint(self.path)


class _Restoring(pl.Callback):
    """Checks that every state in a checkpoint of other code has a callback that takes it.

    Attributes:
        checks: other code wrote the checkpoint, and the training has not begun yet: an error comes from loading it.
    """

    checks = False

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Compare the names of the states with the callbacks; their settings in braces may differ.

        Raises:
            CheckpointError: a state would be lost.
        """
        known = {callback.state_key.partition("{")[0] for callback in trainer.callbacks}  # type: ignore[attr-defined]
        lost = {str(key).partition("{")[0] for key in checkpoint.get("callbacks", {})} - known
        if self.checks and lost:
            raise CheckpointError(f"it holds the state of {', '.join(sorted(lost))}, which this code does not have.")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the checking: everything is loaded."""
        self.checks = False


class _SetEpoch(pl.Callback):
    """Tells the loader the epoch, early enough for its length (asked before the epoch starts) and its lazy order."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.next_epoch = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.loader.set_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.next_epoch = trainer.current_epoch + 1
        self.loader.set_epoch(self.next_epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"next_epoch": self.next_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.next_epoch = state_dict["next_epoch"]
        self.loader.set_epoch(self.next_epoch)


def _plugins() -> list[Any]:
    """Under Slurm: never let Lightning requeue the job; whoever launched it owns that."""
    inside_slurm = "SLURM_JOB_ID" in os.environ and "SLURM_NTASKS" in os.environ
    return [SLURMEnvironment(auto_requeue=False)] if inside_slurm else []


def _quiet() -> None:
    """Keep Lightning's remarks about hardware and workers out of the run's output."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    for message in IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
