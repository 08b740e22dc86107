"""Checks that a recorded training shows every sample, after the first epoch that is recorded and not after the last."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.scores.base import Score


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
