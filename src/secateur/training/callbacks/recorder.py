"""The front door: a callback that feeds scorers while any LightningModule trains."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.group import current
from secateur.core.ids import check_sample_ids, rows_of
from secateur.core.tables import ScoreTable
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.scores.base import BatchSignals, Record, Score, Signal
from secateur.scores.dynamics import Dynamics
from secateur.training.clocks import read_clocks
from secateur.training.evaluate import Forward, InputAttack, forward_batch, forward_pass

Reading = tuple[Record, int, int]  # which signals, from which epoch, up to (excluding) which


class ScoreRecorder(pl.Callback):
    """Records any number of scorers during one training.

    Each scorer is fed with the signals that its ``record`` names, in the epochs that it reads; see
    :class:`~secateur.scores.base.Score` for the kinds and what they cost. Scorers that read the same pass share it.
    Where several processes train together, each of them records all samples: the signals of a step are exchanged.

    The module's ``training_step`` must return a mapping with ``loss`` and ``logits [B, C]`` (and ``features [B, D]``
    for scorers that need them); batches must be ``(x, y, sample_id)``. State is keyed by ``sample_id`` and saved in
    checkpoints.

    Passes of their own (every kind but ``train_forward``) need a module whose ``model`` is a
    :class:`~secateur.models.backbone.Backbone`. It may have ``recording_attack(epoch)``, which returns what attacks
    their images.

    Args:
        scores: a scorer, or several as a sequence (named after their classes) or by name.
        num_samples: size N of the training set, whose ids are ``0..N-1``; not needed with ``sample_ids``.
        sample_ids: ids of the pool, int64 ``[N]``, strictly increasing, when they are not ``0..N-1``.
        num_epochs: epochs the scorers are set up for, when the Trainer stops earlier than its schedule; null takes
            the Trainer's ``max_epochs``. What is read after the last epoch is then left out.
        eval_loader: makes a loader over the pool with the deterministic test transform; needed by ``eval_pass`` and
            ``final_pass``.
        clean_loader: makes, for an epoch, a loader over the batches of the training in their order, with the
            deterministic test transform; needed by ``before_step``.
        fingerprint: the pool's fingerprint, written into the tables.
        metadata: what made the scores, by scorer name, written into the tables.

    Raises:
        ConfigError: the pool is not given, or a scorer reads passes for which there is no loader.

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
        eval_loader: Callable[[], Iterable[Batch]] | None = None,
        clean_loader: Callable[[int], Iterable[Batch]] | None = None,
        fingerprint: str = "",
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if sample_ids is None:
            if num_samples is None:
                raise ConfigError("ScoreRecorder needs num_samples, or sample_ids when the ids are not 0..N-1.")
            sample_ids = torch.arange(num_samples)
        check_sample_ids(sample_ids, "sample_ids")
        self.scores = check_scores(scores)
        self.sample_ids, self.eval_loader, self.clean_loader = sample_ids, eval_loader, clean_loader
        self.num_epochs = num_epochs
        self.fingerprint, self.metadata = fingerprint, metadata or {}
        self.dynamics: dict[Reading, Dynamics] = {}  # of every reading that some scorer has, for the side columns
        self.passes: dict[str, dict[int, dict[str, Any]]] = {}  # kind -> epoch -> samples and seconds of passes beside
        self._kinds: list[Record] = []  # of signals that are read; known when the scorers are set up
        self._labels = torch.full((len(sample_ids),), -1, dtype=torch.int64)
        self._seen: dict[Record, Tensor] = {}  # which samples an epoch has shown, by kind
        self._broken = torch.zeros(len(sample_ids), dtype=torch.bool)
        self._num_repeats: dict[Record, int] = {}  # visits of this epoch beyond a sample's first
        self._checked: set[str] = set()  # kinds whose first epoch was found complete
        self._clean: Iterator[Batch] = iter(())
        self._done = self._resumed = False
        self._check_loaders()

    def _check_loaders(self) -> None:
        loaders = {"eval_pass": "eval_loader", "final_pass": "eval_loader", "before_step": "clean_loader"}
        for name, score in self.scores.items():
            loader = loaders.get(score.record)
            if loader is not None and getattr(self, loader) is None:
                other = "" if score.record == "final_pass" else ", or give the scorer record='train_forward'"
                raise ConfigError(f"ScoreRecorder needs {loader} for {name} (record={score.record}): give it{other}.")

    @property
    def pass_samples(self) -> dict[str, dict[int, int]]:
        """Samples that passes of their own showed, by kind and epoch."""
        return {kind: {epoch: one["samples"] for epoch, one in spent.items()} for kind, spent in self.passes.items()}

    @property
    def forward_samples(self) -> int:
        """Samples that passes during the training showed, which exist only to record."""
        return sum(sum(counts.values()) for kind, counts in self.pass_samples.items() if kind != "final_pass")

    @property
    def final_samples(self) -> int:
        """Samples that the single pass after the training showed."""
        return sum(self.pass_samples.get("final_pass", {}).values())

    # -- Lightning hooks -------------------------------------------------------------------------------------------

    def setup_scores(self, num_epochs: int) -> None:
        """Prepare all scorers for a training of ``num_epochs`` epochs; too short a training is a ConfigError."""
        self._length = num_epochs
        for score in self.scores.values():
            score.setup(len(self.sample_ids), num_epochs)
        self.dynamics = {}
        for reading in map(_reading, self.scores.values()):
            dynamics = Dynamics()
            dynamics.setup(len(self.sample_ids), num_epochs)
            dynamics.record, dynamics.epochs = reading[0], range(*reading[1:])
            self.dynamics[reading] = dynamics
        self._kinds = sorted({one.record for one in self._all().values()})
        self._seen = {kind: torch.zeros(len(self.sample_ids), dtype=torch.bool) for kind in self._kinds}
        self._num_repeats = dict.fromkeys(self._kinds, 0)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Prepare the scorers before anything is trained or restored."""
        if stage == "fit":
            if trainer.max_epochs is None or trainer.max_epochs < 1:
                raise ConfigError(
                    "ScoreRecorder needs a Trainer with max_epochs: scores depend on the number of epochs."
                )
            passes = {score.record for score in self.scores.values()} - {"train_forward"}
            if passes and not isinstance(getattr(pl_module, "model", None), Backbone):
                raise ConfigError(
                    f"record={sorted(passes)[0]} needs a module whose `model` is a secateur.models.backbone.Backbone."
                )
            self.setup_scores(self.num_epochs or trainer.max_epochs)
            self._done = self._resumed = False  # the recorder may have seen a training before
            self._checked.clear()
            self._labels.fill_(-1)
            self.passes = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the recorder's own index tensors to the device the signals come from."""
        device = pl_module.device
        self.sample_ids, self._broken, self._labels = (
            part.to(device) for part in (self.sample_ids, self._broken, self._labels)
        )
        self._seen = {kind: seen.to(device) for kind, seen in self._seen.items()}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start a new epoch: no sample has been seen in it."""
        for seen in self._seen.values():
            seen.zero_()
        self._num_repeats = dict.fromkeys(self._kinds, 0)
        if self._readers("before_step", trainer.current_epoch):
            assert self.clean_loader is not None
            self._clean = iter(self.clean_loader(trainer.current_epoch))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Pass the step's samples without augmentation through the network, for scorers that read this."""
        epoch = trainer.current_epoch
        if not self._readers("before_step", epoch):
            return
        started = read_clocks(self.sample_ids.device)
        own, following = _checked_batch(batch), next(self._clean, None)
        clean = None if following is None else _checked_batch(following)
        if clean is None or not torch.equal(clean.sample_id.cpu(), own.sample_id.cpu()):
            raise DataError("clean_loader must yield the batches of the training in their order; it yielded others.")
        attack, precision = _attack(pl_module, epoch), str(trainer.precision)
        step = forward_batch(pl_module.model, clean, precision, attack, batch_idx)  # type: ignore[arg-type]
        signals = self._of_all("before_step", epoch, step.batch, step.logits, step.features)
        self._update("before_step", *signals, epoch)
        self._count("before_step", epoch, len(signals[0].y), started)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Feed the scorers with the signals of the training forward pass."""
        epoch = trainer.current_epoch
        if self._readers("train_forward", epoch):
            signals = self._of_all("train_forward", epoch, _checked_batch(batch), *self._signals(outputs, epoch))
            self._update("train_forward", *signals, epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make the pass after this epoch, if a scorer reads it, and let every scorer reduce the epoch.

        Raises:
            DataError: the first recorded epoch did not show every sample.
            NumericalError: the network's output is not finite.
        """
        epoch = trainer.current_epoch
        if self._readers("eval_pass", epoch):
            self._measure("eval_pass", pl_module, trainer, epoch)
        for kind in self._kinds:
            if kind != "final_pass" and self._readers(kind, epoch):
                self._end_epoch(kind, trainer, epoch)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run the single pass of the scorers that are measured after training."""
        self.finish(trainer, pl_module)

    def finish(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run the final pass if it has not been run (a training resumed after its last epoch needs the call).

        A Trainer that is to stop before the scorers' last epoch has no final pass.
        """
        complete = (trainer.max_epochs or 0) >= self._length
        if "final_pass" in self._kinds and complete and not self._done:
            self._seen["final_pass"].zero_()
            self._measure("final_pass", pl_module, trainer, max(trainer.current_epoch - 1, 0))
            self._end_epoch("final_pass", trainer, max(trainer.current_epoch - 1, 0))
        self._done = True

    # -- results ---------------------------------------------------------------------------------------------------

    def compute(self, names: Iterable[str] | None = None) -> dict[str, ScoreTable]:
        """Return one ScoreTable per scorer, with the side columns of the training dynamics.

        The side columns are of the signals and epochs that the scorer itself reads; of a scorer that reads a single
        pass they are of the training's own forward passes until then.

        Args:
            names: the scorers; None: all. Those whose last epoch the training has not reached have no scores.

        Raises:
            ConfigError: nothing was recorded.
            NumericalError: a sample was not seen often enough to have a score.
        """
        if bool((self._labels < 0).all()):
            raise ConfigError("Nothing was recorded: call trainer.fit first, with this recorder among its callbacks.")
        tables = {}
        for name in self.scores if names is None else names:
            score = self.scores[name]
            dynamics, result = self.dynamics[_reading(score)], score.compute()
            columns = dynamics.compute().columns if dynamics.state else {}
            tables[name] = ScoreTable(
                sample_id=self.sample_ids.cpu(),
                label=self._labels.cpu(),
                score=result.score.detach().cpu(),
                observed=torch.ones(len(self.sample_ids), dtype=torch.bool),
                columns={k: v.detach().cpu() for k, v in {**columns, **result.columns}.items()},
                fingerprint=self.fingerprint,
                metadata=self.metadata.get(name, {}),
            )
        return tables

    def state_dict(self) -> dict[str, Any]:
        """Return the scorers' state: tensors and plain values only."""
        scores = {name: score.state_dict() for name, score in self._all().items()}
        return {"scores": scores, "labels": self._labels, "passes": self.passes}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        for name, score in self._all().items():
            score.load_state_dict(state_dict["scores"][name])
        self._resumed = True
        self._labels = state_dict["labels"]
        self.passes = state_dict["passes"]

    # -- inside ----------------------------------------------------------------------------------------------------

    def _all(self) -> dict[str, Score]:
        """Return all that has a state: the scorers, and the side columns of each reading."""
        return {**self.scores, **{"({} {}-{})".format(*reading): one for reading, one in self.dynamics.items()}}

    def _readers(self, kind: Record, epoch: int) -> dict[str, Score]:
        """Return what reads a kind of signals in an epoch, by name."""
        return {
            k: s for k, s in self._all().items() if s.record == kind and (epoch in s.epochs or kind == "final_pass")
        }

    def _signals(self, outputs: Any, epoch: int) -> tuple[Tensor, Tensor | None]:
        if not isinstance(outputs, Mapping) or "logits" not in outputs:
            raise ConfigError(
                "training_step must return {'loss': loss, 'logits': logits} for a ScoreRecorder to see them."
            )
        features = outputs.get("features")
        needy = [k for k, s in self._readers("train_forward", epoch).items() if Signal.FEATURES in s.needs]
        if needy and features is None:
            raise ConfigError(f"{needy[0]} needs features: return them from training_step as 'features', [B, D].")
        return outputs["logits"].detach(), None if features is None else features.detach()

    def _of_all(
        self, kind: Record, epoch: int, batch: Batch, logits: Tensor, features: Tensor | None
    ) -> tuple[Batch, Tensor, Tensor | None]:
        """Return the signals of the whole batch, of which this process may have seen a slice; without its images."""
        group = current()
        if group.size == 1:
            return batch, logits, features
        needed = any(Signal.FEATURES in score.needs for score in self._readers(kind, epoch).values())
        optional = [features] if needed and features is not None else []
        y, sample_id, logits, *optional = group.gather_rows(batch.y, batch.sample_id, logits, *optional)
        return Batch(batch.x[:0], y, sample_id), logits, optional[0] if optional else None

    def _update(self, kind: Record, batch: Batch, logits: Tensor, features: Tensor | None, epoch: int) -> None:
        seen = self._seen[kind]
        rows, target = rows_of(batch.sample_id, self.sample_ids), batch.y
        fresh = ~(seen[rows] | _repeats(rows))
        if not bool(fresh.all()):  # a sampler that pads repeats samples: the first visit of an epoch counts
            self._labels[rows[fresh]] = target[fresh]
            check_repeats(self._labels[rows], target, batch.sample_id)
            self._num_repeats[kind] += int((~fresh).sum())
            rows, target, logits = rows[fresh], target[fresh], logits[fresh]
            features = None if features is None else features[fresh]
        seen[rows] = True
        self._labels[rows] = target
        self._broken[rows] |= ~torch.isfinite(logits).all(dim=1)
        signals = BatchSignals(rows, target, epoch, logits, features)
        for score in self._readers(kind, epoch).values():
            score.update(signals)

    def _measure(self, kind: Record, pl_module: Any, trainer: pl.Trainer, epoch: int) -> None:
        """Pass the pool through the network in evaluation mode."""
        assert self.eval_loader is not None
        started, num_samples = read_clocks(self.sample_ids.device), 0
        attack = _attack(pl_module, epoch)
        step: Forward
        for step in forward_pass(pl_module.model, self.eval_loader(), str(trainer.precision), attack):
            self._update(kind, step.batch, step.logits, step.features, epoch)
            num_samples += len(step.batch.y)
        self._count(kind, epoch, num_samples, started)

    def _count(self, kind: Record, epoch: int, num_samples: int, started: tuple[float, float]) -> None:
        """Add what a pass showed, and what it took since a reading of the clocks."""
        spent = self.passes.setdefault(kind, {}).setdefault(
            epoch, {"samples": 0, "seconds": 0.0, "device_seconds": 0.0}
        )
        wall, device = read_clocks(self.sample_ids.device)
        spent["samples"] += num_samples
        spent["seconds"] += wall - started[0]
        spent["device_seconds"] += device - started[1]

    def _end_epoch(self, kind: Record, trainer: pl.Trainer, epoch: int) -> None:
        if kind not in self._checked and kind != "final_pass" and not self._resumed:
            check_first_epoch(trainer, self._seen[kind], self.sample_ids, self._num_repeats[kind])
        self._checked.add(kind)
        for score in self._readers(kind, epoch).values():
            score.end_epoch(epoch)
        if bool(self._broken.any()):
            first = int(self.sample_ids[self._broken][0])
            raise NumericalError(f"The network's output is not finite in epoch {epoch}, first for sample_id {first}.")


def _reading(score: Score) -> Reading:
    """Return what the side columns of a scorer are of: kind of signals, first epoch, and the one after the last."""
    if len(score.epochs) == 1 and score.record != "train_forward":  # one pass has no spread
        return "train_forward", 0, score.epochs.stop
    return score.record, score.epochs.start, score.epochs.stop


def _checked_batch(batch: Any) -> Batch:
    """Return a batch of the training, once it is known to carry ids."""
    if not isinstance(batch, Sequence) or len(batch) < 3:
        raise ConfigError("ScoreRecorder needs batches (x, y, sample_id).")
    check_batch_ids(batch[2])
    return Batch(*batch[:3])


def _attack(pl_module: Any, epoch: int) -> InputAttack | None:
    """Return what attacks the images of passes that only record; None: nothing does."""
    attack: InputAttack | None = pl_module.recording_attack(epoch) if hasattr(pl_module, "recording_attack") else None
    return attack


def _repeats(rows: Tensor) -> Tensor:
    """Return which entries repeat an earlier one of the same batch, bool ``[B]``."""
    values, order = rows.sort(stable=True)
    again = torch.zeros_like(rows, dtype=torch.bool)
    again[order[1:]] = values[1:] == values[:-1]
    return again


def check_scores(scores: Any) -> dict[str, Score]:
    """Return scorers by name: a single one and those of a sequence by the name of their class.

    Raises:
        ConfigError: something else was given, or two of a sequence would have one name.
    """
    by_name = isinstance(scores, Mapping)
    many = scores.values() if by_name else scores if isinstance(scores, Sequence) else [scores]
    listed = list(many)
    if not listed or not all(isinstance(score, Score) for score in listed):
        raise ConfigError(
            "ScoreRecorder takes a scorer such as TDDS(window=10), a sequence of scorers or a mapping of names to "
            f"scorers; got {scores!r}."
        )
    named = dict(scores) if by_name else {type(score).__name__: score for score in listed}
    if len(named) < len(listed):
        raise ConfigError(f"Two scorers of one class ({', '.join(named)}) need names: pass a mapping.")
    return named


def check_batch_ids(sample_id: Any) -> None:
    """Raise :class:`DataError` unless a batch's ids are an int64 tensor ``[B]``: a rounded id is another sample's."""
    if not isinstance(sample_id, Tensor) or sample_id.dtype != torch.int64 or sample_id.ndim != 1:
        tensor = isinstance(sample_id, Tensor)
        got = f"{sample_id.dtype} {list(sample_id.shape)}" if tensor else type(sample_id).__name__
        raise DataError(
            f"The sample_id of a batch (x, y, sample_id) must be an int64 tensor [B], got {got}: give each sample its "
            "row as an integer, as secateur.IndexedDataset does."
        )


def check_repeats(labels: Tensor, target: Tensor, sample_id: Tensor) -> None:
    """Raise :class:`DataError` where an id that an epoch shows twice has two labels: it stands for two samples.

    Args:
        labels: label that each entry's id had at its first visit, int64 ``[B]``.
        target: label it has now, int64 ``[B]``.
        sample_id: the ids, int64 ``[B]``.
    """
    other = labels != target
    if bool(other.any()):
        first = int(other.nonzero()[0])
        raise DataError(
            f"sample_id {int(sample_id[first])} came twice in one epoch, with the labels {int(labels[first])} and "
            f"{int(target[first])}: every sample needs an id of its own."
        )


def check_first_epoch(trainer: pl.Trainer, seen: Tensor, sample_ids: Tensor, num_repeats: int) -> None:
    """Raise unless the first recorded epoch showed every sample, or left some out on purpose.

    Args:
        trainer: the training.
        seen: which samples it showed, bool ``[N]``.
        sample_ids: their ids, int64 ``[N]``.
        num_repeats: visits beyond the first of their sample.

    Raises:
        DataError: samples were never shown, and neither a limit on the batches nor the loader's sampler says why.
    """
    num_unseen = int((~seen).sum())
    if not num_unseen or num_unseen < _dropped(trainer):
        return
    counted = f"{num_unseen} of {len(seen)} samples"
    if reason := _on_purpose(trainer):
        rank_zero_warn(f"{reason} left {counted} out of the first epoch: what is never seen has no score.")
        return
    repeats = f", and {num_repeats} visits repeated an id" if num_repeats else ""
    raise DataError(
        f"{counted} were not seen in the first epoch (the first is sample_id {int(sample_ids[~seen][0])}{repeats}): "
        "every sample must come once per epoch with an id of its own; or give the ids there are as sample_ids."
    )


def _dropped(trainer: pl.Trainer) -> int:
    """Return one more than the samples that the loader may drop with its last batch, 0 where it drops none."""
    loader = trainer.train_dataloader
    return int(getattr(loader, "batch_size", None) or 0) if getattr(loader, "drop_last", False) else 0


def _on_purpose(trainer: pl.Trainer) -> str:
    """Return what leaves samples out of an epoch because somebody asked for it, or nothing."""
    limit, overfit = trainer.limit_train_batches, getattr(trainer, "overfit_batches", 0)
    if overfit:
        return f"overfit_batches={overfit}"
    if isinstance(limit, int) or limit != 1.0:  # the integer 1 is one batch, 1.0 is all of them
        return f"limit_train_batches={limit}"
    sampler = getattr(trainer.train_dataloader, "sampler", None)
    return "A sampler with replacement" if getattr(sampler, "replacement", False) else ""
