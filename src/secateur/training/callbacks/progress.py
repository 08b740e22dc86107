"""A progress bar per training: epoch, loss and time left on a terminal; silent elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress(title: str, console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar for a pass that is not a training; yields a function that advances it by a number of samples."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)


class ProgressBar(pl.Callback):
    """Shows one bar over all steps of a training and removes it at the end.

    Args:
        title: what is being trained, for example ``"scoring"``.
        console: where to show it; nothing is shown when it is not a terminal.
    """

    def __init__(self, title: str, console: Console) -> None:
        self.title, self.console = title, console
        self._progress: Progress | None = None
        self._task: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the epoch the training starts or resumes from; say so when it resumes."""
        if trainer.current_epoch > 0:
            self.console.print(f"{self.title}: going on from epoch {trainer.current_epoch} of {trainer.max_epochs}")
        if not self.console.is_terminal or not trainer.is_global_zero:
            return
        columns = (
            *(TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()),
            *(
                TextColumn("epochs {task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            ),
        )
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._task = self._progress.add_task(self.title, total=trainer.max_epochs, note="")
        self._progress.update(self._task, completed=trainer.current_epoch)
        self._progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance by a fraction of an epoch."""
        if self._progress is not None:
            self._progress.advance(self._task, 1 / max(int(trainer.num_training_batches), 1))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's loss."""
        if self._progress is not None:
            loss = trainer.callback_metrics.get("train_loss")
            note = "" if loss is None else f"loss {float(loss):.3f}"
            self._progress.update(self._task, completed=trainer.current_epoch + 1, note=note)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error is readable."""
        self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
