"""Passes over data without training: they always put every module back into the mode it was in."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchmetrics.functional.classification import multiclass_confusion_matrix

from secateur.core.group import Group, current
from secateur.core.predictions import Predictions
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.distributed.sharded import whole

# (normalized images [B, C, H, W], labels [B], number of the batch) -> images of the same shape to predict instead
InputAttack = Callable[[Tensor, Tensor, int], Tensor]


@contextmanager
def evaluating(model: nn.Module, *, gradients: bool = False) -> Iterator[None]:
    """Evaluation mode; afterwards each module is in the mode it was in, also after an error.

    Args:
        model: a network.
        gradients: take gradients inside, as an attack does; false: none are taken.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.set_grad_enabled(gradients):
            yield
    finally:
        for module, training in modes:
            module.training = training


@dataclass(frozen=True)
class Forward:
    """One batch of a pass: ``logits [B, C]`` and penultimate ``features [B, D]``, both float32.

    Where several processes share the pass, the batch of another one comes without images: ``x`` is ``[0, ...]``.
    """

    batch: Batch
    logits: Tensor
    features: Tensor


def forward_pass(
    model: Backbone, loader: Iterable[Batch], precision: str = "32-true", attack: InputAttack | None = None
) -> Iterator[Forward]:
    """Run a model over a loader in evaluation mode.

    Where several processes compute together, all of them must call it. Each passes every n-th batch through the model
    and all yield all batches in the loader's order: the batches are those of one process, so every number is the same
    to the last bit, and what a process keeps of them is complete.

    Args:
        model: backbone with ``features`` and ``head``.
        loader: batches; use one with the deterministic test transform.
        precision: as the Trainer's; ``bf16-mixed`` runs the pass under autocast.
        attack: perturbs the images of each batch first; the batch that is yielded is the unperturbed one.
    """

    def run(number: int, batch: Batch) -> Forward:
        return _run(model, batch, precision, attack, number)

    with whole(), evaluating(model):
        if current().size == 1:
            yield from (run(number, batch) for number, batch in enumerate(loader))
        else:
            yield from _shared_pass(current(), model, loader, run)


def forward_batch(
    model: Backbone, batch: Batch, precision: str = "32-true", attack: InputAttack | None = None, number: int = 0
) -> Forward:
    """Run a model over one batch in the midst of a training, without gradients.

    A network with batch normalization is in evaluation mode, so that its running statistics stay as they are; any
    other is in the mode it is in, and what its dropout draws moves no random number generator. This is how the
    official release of Dynamic Uncertainty has its networks: ResNets in evaluation mode, Swin in training mode.

    Args:
        model: backbone with ``features`` and ``head``.
        batch: where several processes train together, this one's slice.
        precision: as the Trainer's.
        attack: perturbs the images first.
        number: number of the batch, for the attack.
    """
    device = next(model.parameters()).device
    normalized = any(isinstance(module, _BatchNorm) for module in model.modules())
    devices = [device] if device.type == "cuda" else []
    with whole(), torch.random.fork_rng(devices), evaluating(model) if normalized else torch.no_grad():
        return _run(model, batch, precision, attack, number)


def _run(model: Backbone, batch: Batch, precision: str, attack: InputAttack | None, number: int) -> Forward:
    """Run a model over one batch, in the mode it is in."""
    device = next(model.parameters()).device
    x, y, sample_id = (part.to(device, non_blocking=True) for part in batch)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        features = model.features(x if attack is None else attack(x, y, number))
        logits = model.head(features)
    return Forward(Batch(x, y, sample_id), logits.float(), features.float())


def _shared_pass(group: Group, model: Backbone, loader: Any, run: Callable[[int, Batch], Forward]) -> Iterator[Forward]:
    """Run the batches in rounds, one for each process, and exchange what comes out."""
    batches = iter(loader.divided(group.rank, group.size) if hasattr(loader, "divided") else loader)
    first = 0
    while batch_round := list(islice(batches, group.size)):
        own = run(first + group.rank, batch_round[group.rank]) if group.rank < len(batch_round) else None
        yield from _exchanged(group, model, batch_round, own)
        first += len(batch_round)


def _exchanged(group: Group, model: Backbone, batches: list[Batch], own: Forward | None) -> Iterator[Forward]:
    """Yield the outputs of a round of batches, of which this process computed at most one."""
    empty = next(model.parameters()).detach().float().new_empty(0)
    logits = own.logits if own else empty.reshape(0, model.num_classes)
    features = own.features if own else empty.reshape(0, model.num_features)
    lengths = [len(batch.y) for batch in batches]
    sizes = [*lengths, *[0] * (group.size - len(lengths))]
    logits, features = group.gather_rows(logits, features, sizes=sizes)
    outputs = zip(torch.split(logits, lengths), torch.split(features, lengths), strict=True)
    for rank, (batch, (batch_logits, batch_features)) in enumerate(zip(batches, outputs, strict=True)):
        if own and rank == group.rank:
            yield own
        else:
            y, sample_id = batch.y.to(empty.device), batch.sample_id.to(empty.device)
            yield Forward(Batch(batch.x[:0], y, sample_id), batch_logits, batch_features)


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`: fractions in [0, 1]; a class without samples has no accuracy (NaN).

    ``predictions`` are None where nobody asked for them.
    """

    accuracy: float
    class_accuracy: Tensor
    num_samples: int
    predictions: Predictions | None = None

    @classmethod
    def from_state(cls, values: Mapping[str, Any]) -> "Evaluation":
        """Restore what :func:`dataclasses.asdict` gave."""
        kept = values["predictions"]
        return cls(**{**values, "predictions": None if kept is None else Predictions(**kept)})

    @property
    def class_accuracies(self) -> list[float | None]:
        """Accuracy of every class, in their order; None for one without samples."""
        return [None if math.isnan(value) else value for value in self.class_accuracy.tolist()]

    @property
    def worst_class_accuracy(self) -> float:
        """Lowest accuracy among the classes that have samples."""
        return float(self.class_accuracy[~self.class_accuracy.isnan()].min())


def worst_group_accuracy(model: Backbone, loader: Iterable[Batch], groups: Tensor, precision: str = "32-true") -> float:
    """Return the lowest accuracy among all (class, group) pairs that have samples.

    [DRO] Sagawa et al., ICLR 2020, arXiv 1911.08731.

    Args:
        model: the network.
        loader: batches whose ``sample_id`` is the row in ``groups``.
        groups: group of every sample, int64 ``[M]``, for example the place of a bird.
        precision: as the Trainer's.
    """
    num_groups = int(groups.max()) + 1
    cells, hits = [], []
    for step in forward_pass(model, loader, precision):
        rows, labels = step.batch.sample_id.cpu(), step.batch.y.cpu()
        cells.append(labels * num_groups + groups[rows])
        hits.append((step.logits.argmax(dim=1).cpu() == labels).double())
    cell, hit = torch.cat(cells), torch.cat(hits)
    counts = torch.bincount(cell)
    correct = torch.bincount(cell, weights=hit, minlength=len(counts))
    return float((correct[counts > 0] / counts[counts > 0]).min())


def evaluate(
    model: Backbone,
    loader: Iterable[Batch],
    num_classes: int,
    precision: str = "32-true",
    attack: InputAttack | None = None,
    *,
    keep: bool = False,
) -> Evaluation:
    """Measure the accuracy of a model on a loader, over all and per class; with an attack, the robust accuracy.

    Args:
        model: the network.
        loader: batches, in the order of their ids.
        num_classes: number of classes C.
        precision: as the Trainer's.
        attack: perturbs the images.
        keep: also return class and confidence of every sample.
    """
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    kept: list[Predictions] = []
    for step in forward_pass(model, loader, precision, attack):
        predicted = step.logits.argmax(dim=1)
        confusion += multiclass_confusion_matrix(predicted, step.batch.y, num_classes).cpu()
        if keep:
            kept.append(Predictions.from_logits(step.batch.sample_id, step.batch.y, step.logits))
    correct, totals = confusion.diagonal().double(), confusion.sum(dim=1)
    num_samples = int(totals.sum())
    predictions = Predictions.joined(kept) if kept else None
    return Evaluation(int(correct.sum()) / num_samples, correct / totals, num_samples, predictions)
