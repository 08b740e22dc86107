"""The front door: a callback that feeds scorers while any LightningModule trains."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from secateur.core.errors import ConfigError, NumericalError
from secateur.core.group import current
from secateur.core.ids import check_sample_ids, rows_of
from secateur.core.tables import ScoreTable
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.scores.base import BatchSignals, Score, Signal
from secateur.scores.dynamics import Dynamics
from secateur.training.coverage import check_batch_ids, check_first_epoch, check_repeats, check_scores
from secateur.training.evaluate import forward_pass

Record = Literal["train_forward", "eval_pass"]


class ScoreRecorder(pl.Callback):
    """Records any number of scorers during one training.

    Where several processes train together, each of them records all samples: the signals of a step are exchanged.

    The module's ``training_step`` must return a mapping with ``loss`` and ``logits [B, C]`` (and ``features [B, D]``
    for scorers that need them); batches must be ``(x, y, sample_id)``. State is keyed by ``sample_id`` and saved in
    checkpoints.

    Args:
        scores: a scorer, or several as a sequence (named after their classes) or by name.
        num_samples: size N of the training set, whose ids are ``0..N-1``; not needed with ``sample_ids``.
        sample_ids: ids of the pool, int64 ``[N]``, strictly increasing, when they are not ``0..N-1``.
        num_epochs: epochs the scorers are set up for, when the Trainer stops earlier than its schedule; null takes
            the Trainer's ``max_epochs``.
        record: take the signals from the training forward pass (augmented, free), or from an evaluation pass over
            ``eval_loader`` at the end of each epoch (test transform, evaluation mode; costs N forwards per epoch).
            A module may have ``recording_attack(epoch)``, which returns what attacks the images of evaluation passes.
        eval_loader: makes a loader over the pool with the deterministic test transform; needed by ``eval_pass`` and
            by scorers measured once after training (entropy, margin, least_confidence, moderate). Such passes also
            need a module whose ``model`` is a :class:`~secateur.models.backbone.Backbone`.
        fingerprint: the pool's fingerprint, written into the tables.
        metadata: what made the scores, by scorer name, written into the tables.

    Example:
        ``recorder = ScoreRecorder([TDDS(window=10)], num_samples=len(train_set))``, then
        ``Trainer(callbacks=[recorder]).fit(...)``, then ``recorder.compute()["TDDS"]``.
    """

    def __init__(
        self,
        scores: Score | Sequence[Score] | Mapping[str, Score],
        num_samples: int | None = None,
        *,
        sample_ids: Tensor | None = None,
        num_epochs: int | None = None,
        record: Record = "train_forward",
        eval_loader: Callable[[], Iterable[Batch]] | None = None,
        fingerprint: str = "",
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if sample_ids is None:
            if num_samples is None:
                raise ConfigError("ScoreRecorder needs num_samples, or sample_ids when the ids are not 0..N-1.")
            sample_ids = torch.arange(num_samples)
        check_sample_ids(sample_ids, "sample_ids")
        self.scores = check_scores(scores)
        self.sample_ids, self.record, self.eval_loader = sample_ids, record, eval_loader
        self.num_epochs = num_epochs
        self.fingerprint, self.metadata = fingerprint, metadata or {}
        self.dynamics = Dynamics()
        self.forward_samples = 0  # seen only for recording, by the passes after each epoch
        self.final_samples = 0  # by the single pass after training
        self._every_epoch = {k: s for k, s in self.scores.items() if s.measured == "every_epoch"}
        self._final = {k: s for k, s in self.scores.items() if s.measured == "final"}
        self._labels = torch.full((len(sample_ids),), -1, dtype=torch.int64)
        self._seen = torch.zeros(len(sample_ids), dtype=torch.bool)
        self._broken = torch.zeros(len(sample_ids), dtype=torch.bool)
        self._num_repeats = 0  # visits of this epoch beyond a sample's first
        self._done = self._resumed = False
        if eval_loader is None and (record == "eval_pass" or self._final):
            who = (
                "record='eval_pass'" if record == "eval_pass" else f"{', '.join(self._final)} (measured after training)"
            )
            raise ConfigError(f"ScoreRecorder needs eval_loader for {who}.")

    # -- Lightning hooks -------------------------------------------------------------------------------------------

    def setup_scores(self, num_epochs: int) -> None:
        """Prepare all scorers for a training of ``num_epochs`` epochs; too short a training is a ConfigError."""
        for score in [*self.scores.values(), self.dynamics]:
            score.setup(len(self.sample_ids), num_epochs)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Prepare the scorers before anything is trained or restored."""
        if stage == "fit":
            if trainer.max_epochs is None or trainer.max_epochs < 1:
                raise ConfigError(
                    "ScoreRecorder needs a Trainer with max_epochs: scores depend on the number of epochs."
                )
            if (self._final or self.record == "eval_pass") and not isinstance(
                getattr(pl_module, "model", None), Backbone
            ):
                raise ConfigError(
                    "Evaluation passes need a module whose `model` is a secateur.models.backbone.Backbone."
                )
            self.setup_scores(self.num_epochs or trainer.max_epochs)
            self._done = self._resumed = False  # the recorder may have seen a training before
            self._labels.fill_(-1)
            self.forward_samples = self.final_samples = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the recorder's own index tensors to the device the signals come from."""
        self.sample_ids, self._seen, self._broken, self._labels = (
            part.to(pl_module.device) for part in (self.sample_ids, self._seen, self._broken, self._labels)
        )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start a new epoch: no sample has been seen in it."""
        self._seen.zero_()
        self._num_repeats = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Feed the scorers with the signals of the training forward pass."""
        if self.record == "train_forward":
            if not isinstance(batch, Sequence) or len(batch) < 3:
                raise ConfigError("ScoreRecorder needs batches (x, y, sample_id).")
            check_batch_ids(batch[2])
            batch, logits, features = self._of_all(Batch(*batch[:3]), *self._signals(outputs))
            self._update(self._every_epoch, batch, logits, features, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the epoch (``eval_pass``) and let every scorer reduce it.

        Raises:
            DataError: the first epoch did not show every sample.
            NumericalError: the network's output is not finite.
        """
        if self.record == "eval_pass":
            self._measure(self._every_epoch, pl_module, trainer)
        if self._every_epoch and trainer.current_epoch == 0 and not self._resumed:
            check_first_epoch(trainer, self._seen, self.sample_ids, self._num_repeats)
        self._end_epoch(self._every_epoch, trainer.current_epoch)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run the single pass of the scorers that are measured after training."""
        self.finish(trainer, pl_module)

    def finish(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run the final pass if it has not been run (a training resumed after its last epoch needs the call)."""
        if self._final and not self._done:
            self._seen.zero_()
            self._measure(self._final, pl_module, trainer, epoch=max(trainer.current_epoch - 1, 0))
            self._end_epoch(self._final, max(trainer.current_epoch - 1, 0))
        self._done = True

    # -- results ---------------------------------------------------------------------------------------------------

    def compute(self) -> dict[str, ScoreTable]:
        """Return one ScoreTable per scorer, with the side columns of the training dynamics.

        Raises:
            ConfigError: nothing was recorded.
            NumericalError: a sample was not seen often enough to have a score.
        """
        if bool((self._labels < 0).all()):
            raise ConfigError("Nothing was recorded: call trainer.fit first, with this recorder among its callbacks.")
        dynamics = self.dynamics.compute().columns if self.dynamics.state else {}
        tables = {}
        for name, score in self.scores.items():
            result = score.compute()
            tables[name] = ScoreTable(
                sample_id=self.sample_ids.cpu(),
                label=self._labels.cpu(),
                score=result.score.detach().cpu(),
                observed=torch.ones(len(self.sample_ids), dtype=torch.bool),
                columns={k: v.detach().cpu() for k, v in {**dynamics, **result.columns}.items()},
                fingerprint=self.fingerprint,
                metadata=self.metadata.get(name, {}),
            )
        return tables

    def state_dict(self) -> dict[str, Any]:
        """Return the scorers' state: tensors and plain values only."""
        scores = {name: score.state_dict() for name, score in {**self.scores, "(dynamics)": self.dynamics}.items()}
        return {"scores": scores, "labels": self._labels, "forward_samples": self.forward_samples}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        for name, score in {**self.scores, "(dynamics)": self.dynamics}.items():
            score.load_state_dict(state_dict["scores"][name])
        self._resumed = True
        self._labels = state_dict["labels"]
        self.forward_samples = state_dict["forward_samples"]

    # -- inside ----------------------------------------------------------------------------------------------------

    def _signals(self, outputs: Any) -> tuple[Tensor, Tensor | None]:
        if not isinstance(outputs, Mapping) or "logits" not in outputs:
            raise ConfigError(
                "training_step must return {'loss': loss, 'logits': logits} for a ScoreRecorder to see them."
            )
        features = outputs.get("features")
        needy = [k for k, s in self._every_epoch.items() if Signal.FEATURES in s.needs]
        if needy and features is None:
            raise ConfigError(f"{needy[0]} needs features: return them from training_step as 'features', [B, D].")
        return outputs["logits"].detach(), None if features is None else features.detach()

    def _of_all(self, batch: Batch, logits: Tensor, features: Tensor | None) -> tuple[Batch, Tensor, Tensor | None]:
        """Return the signals of the whole batch, of which this process may have seen a slice; without its images."""
        group = current()
        if group.size == 1:
            return batch, logits, features
        needed = any(Signal.FEATURES in score.needs for score in self._every_epoch.values())
        optional = [features] if needed and features is not None else []
        y, sample_id, logits, *optional = group.gather_rows(batch.y, batch.sample_id, logits, *optional)
        return Batch(batch.x[:0], y, sample_id), logits, optional[0] if optional else None

    def _update(
        self, scores: Mapping[str, Score], batch: Batch, logits: Tensor, features: Tensor | None, epoch: int
    ) -> None:
        rows, target = rows_of(batch.sample_id, self.sample_ids), batch.y
        fresh = ~(self._seen[rows] | _repeats(rows))
        if not bool(fresh.all()):  # a sampler that pads repeats samples: the first visit of an epoch counts
            self._labels[rows[fresh]] = target[fresh]
            check_repeats(self._labels[rows], target, batch.sample_id)
            self._num_repeats += int((~fresh).sum())
            rows, target, logits = rows[fresh], target[fresh], logits[fresh]
            features = None if features is None else features[fresh]
        self._seen[rows] = True
        self._labels[rows] = target
        self._broken[rows] = ~torch.isfinite(logits).all(dim=1)
        signals = BatchSignals(rows, target, epoch, logits, features)
        for score in scores.values():
            score.update(signals)
        if scores is self._every_epoch:
            self.dynamics.update(signals)

    def _measure(
        self, scores: Mapping[str, Score], pl_module: Any, trainer: pl.Trainer, epoch: int | None = None
    ) -> None:
        assert self.eval_loader is not None
        number = trainer.current_epoch if epoch is None else epoch
        attack = pl_module.recording_attack(number) if hasattr(pl_module, "recording_attack") else None
        for step in forward_pass(pl_module.model, self.eval_loader(), str(trainer.precision), attack):
            self._update(scores, step.batch, step.logits, step.features, number)
            if scores is self._final:
                self.final_samples += len(step.batch.y)
            else:
                self.forward_samples += len(step.batch.y)

    def _end_epoch(self, scores: Mapping[str, Score], epoch: int) -> None:
        for score in scores.values():
            score.end_epoch(epoch)
        if scores is self._every_epoch:
            self.dynamics.end_epoch(epoch)
        if bool(self._broken.any()):
            first = int(self.sample_ids[self._broken][0])
            raise NumericalError(f"The network's output is not finite in epoch {epoch}, first for sample_id {first}.")


def _repeats(rows: Tensor) -> Tensor:
    """Return which entries repeat an earlier one of the same batch, bool ``[B]``."""
    values, order = rows.sort(stable=True)
    again = torch.zeros_like(rows, dtype=torch.bool)
    again[order[1:]] = values[1:] == values[:-1]
    return again
