"""How good features are that were trained without labels: diagnostics, never inputs."""

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.neighbors import search
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.evaluate import forward_pass


def knn_accuracy(
    model: Backbone,
    train_loader: Iterable[Batch],
    eval_loader: Iterable[Batch],
    k: int = 20,
    precision: str = "32-true",
) -> float:
    """Return the accuracy of a vote among the nearest training samples, by the cosine of frozen features.

    Every neighbor has one vote; among classes with equally many, nearer neighbors decide.

    Args:
        model: its ``features`` are measured, in evaluation mode.
        train_loader: the voters, with the deterministic test transform.
        eval_loader: who is classified.
        k: neighbors, at least 1 and at most the voters.
        precision: as the Trainer's.

    Raises:
        ConfigError: there are fewer than k voters.
    """
    references, labels = _features(model, train_loader, precision)
    queries, truth = _features(model, eval_loader, precision)
    if not 1 <= k <= len(references):
        raise ConfigError(f"knn_accuracy: k must be between 1 and the {len(references)} training samples, got {k}.")
    ids = search(queries, references, k, distance="cosine")[0].cpu()
    weights = 1 + 0.5 ** torch.arange(1, k + 1, dtype=torch.float64)  # the sum of the extras stays below 1
    votes = torch.zeros(len(queries), int(labels.max()) + 1, dtype=torch.float64)
    votes.scatter_add_(1, labels.cpu()[ids], weights.expand(len(queries), k))
    return float((votes.argmax(dim=1) == truth.cpu()).double().mean())


def spread(features: Tensor) -> float:
    """Return how far normalized features are from collapse: 1 for a uniform sphere, 0 if all are equal.

    It is sqrt(D) times the mean standard deviation of a coordinate (SimSiam, arXiv 2011.10566, sec. 4.1).

    Args:
        features: ``[B, D]``.
    """
    directions = torch.nn.functional.normalize(features.double(), dim=1)
    return float(directions.std(dim=0, correction=0).mean() * features.shape[1] ** 0.5)


def _features(model: Backbone, loader: Iterable[Batch], precision: str) -> tuple[Tensor, Tensor]:
    steps = [(step.features, step.batch.y) for step in forward_pass(model, loader, precision)]
    features, labels = zip(*steps, strict=True)
    return torch.cat(features), torch.cat(labels)
