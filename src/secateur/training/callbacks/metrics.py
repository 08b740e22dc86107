"""One row of metrics per epoch, kept in the checkpoint so that a resumed run has the same history."""

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from secateur.core.files import write_text
from secateur.data.batch import Batch
from secateur.training.clocks import Clocks
from secateur.training.evaluate import Evaluation, evaluate
from secateur.training.modules.classifier import Classifier
from secateur.training.monitor import FeatureMonitor

LoaderFactory = Callable[[], Iterable[Batch]]
Row = dict[str, float | int | None]


class EpochMetrics(pl.Callback):
    """Logs loss, learning rate, number of samples and accuracies at the end of each epoch.

    Args:
        loaders: makers of evaluation loaders by split, for example ``{"validation": ..., "test": ...}``.
        num_classes: number of classes.
        every: evaluate every so many epochs; the last epoch always is.
        monitor: what is measured of features that are trained without classes, in the same epochs.
        listener: called with the row of every epoch, of a resumed training first with those before.
        clocks: of the stage; None starts them now, for a CPU.

    Attributes:
        rows: the history.
        last: the last evaluation of each split; that of ``test`` has the predictions.
        clocks: training and evaluation are counted apart; their state is in the checkpoint.
    """

    def __init__(
        self,
        loaders: Mapping[str, LoaderFactory],
        num_classes: int,
        every: int = 1,
        *,
        monitor: FeatureMonitor | None = None,
        listener: Callable[[Row], None] | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self.loaders, self.num_classes, self.every = dict(loaders), num_classes, every
        self.monitor, self.listener = monitor, listener
        self.rows: list[Row] = []
        self.last: dict[str, Evaluation] = {}
        self.clocks = clocks or Clocks()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of training."""
        self.clocks.start()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Append the epoch's row and hand it to the loggers."""
        self.clocks.stop()
        epoch = trainer.current_epoch
        loss, num_samples = pl_module.epoch_loss()
        row: Row = {
            "epoch": epoch,
            "train_loss": loss,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "num_samples": num_samples,
        }
        due = (epoch + 1) % self.every == 0 or epoch + 1 == trainer.max_epochs
        with self.clocks.measuring("evaluation"):
            for split, loader in self.loaders.items():
                row[f"{split}_accuracy"] = self._evaluate(split, loader, pl_module, trainer) if due else None
            if self.monitor is not None:
                measured = self.monitor(pl_module.model, str(trainer.precision)) if due else {}
                row.update({column: measured.get(column) for column in self.monitor.columns})
        self.clocks.end_epoch()
        self.rows.append(row)
        self._tell([row])
        pl_module.log_dict({k: float(v) for k, v in row.items() if v is not None and k != "epoch"})

    def _evaluate(self, split: str, loader: LoaderFactory, module: Classifier, trainer: pl.Trainer) -> float:
        keep = split == "test"
        self.last[split] = evaluate(module.model, loader(), self.num_classes, str(trainer.precision), keep=keep)
        return self.last[split].accuracy

    @property
    def num_samples(self) -> int:
        """Samples trained on over all epochs."""
        return sum(int(row["num_samples"] or 0) for row in self.rows)

    def best(self, split: str) -> float | None:
        """Highest accuracy of any epoch on a split, or None when it was never measured."""
        values = [row[f"{split}_accuracy"] for row in self.rows if row.get(f"{split}_accuracy") is not None]
        return max((float(value) for value in values if value is not None), default=None)

    def save(self, path: Path) -> Path:
        """Write ``metrics.csv``; an accuracy that was not measured is empty."""
        text = StringIO()
        columns = dict.fromkeys(column for row in self.rows for column in row)  # the first rows may lack the monitor's
        writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return write_text(path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Return the history, the last evaluations and the clocks."""
        last = {split: asdict(evaluation) for split, evaluation in self.last.items()}
        return {"rows": self.rows, "clocks": self.clocks.state_dict(), "last": last}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.last = {split: Evaluation.from_state(values) for split, values in state_dict["last"].items()}
        self.rows = list(state_dict["rows"])
        self.clocks.load_state_dict(state_dict["clocks"])
        self._tell(self.rows)

    def _tell(self, rows: Iterable[Row]) -> None:
        for row in rows if self.listener else ():
            self.listener(row)  # type: ignore[misc]
