"""How good features are that were trained without labels: diagnostics, never inputs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.neighbors import search
from secateur.data.batch import Batch
from secateur.models.backbone import Backbone
from secateur.training.evaluate import forward_pass

NUM_NEIGHBORS = 20
RIDGE = 1e-3  # of the probe, per voter and feature of unit variance


@dataclass(frozen=True)
class FeatureMonitor:
    """Measures the features of a network in training, and leaves no trace in it.

    ``knn_accuracy`` and ``probe_accuracy`` (see :func:`knn_accuracy` and :func:`probe_accuracy`) classify the queries
    by the voters, ``feature_spread`` (see :func:`spread`) is that of the queries. All are None where a feature is not
    finite: what is wrong then is the training's to say.

    Args:
        voters: maker of a loader over samples with labels, with the deterministic test transform.
        queries: maker of a loader over others, likewise.
    """

    columns: ClassVar[tuple[str, ...]] = ("knn_accuracy", "probe_accuracy", "feature_spread")
    voters: Callable[[], Iterable[Batch]]
    queries: Callable[[], Iterable[Batch]]

    def __call__(self, model: Backbone, precision: str = "32-true") -> dict[str, float | None]:
        """Return the value of every column; no random stream moves."""
        with torch.random.fork_rng(devices=[]):  # the loaders of streamed data draw a seed for their workers
            voters, queries = (_features(model, make(), precision) for make in (self.voters, self.queries))
        if not all(bool(torch.isfinite(features).all()) for features, _ in (voters, queries)):
            return dict.fromkeys(self.columns)
        vote = _vote(*voters, *queries, min(NUM_NEIGHBORS, len(voters[0])))
        values = (vote, probe_accuracy(*voters, *queries), spread(queries[0]))
        return dict(zip(self.columns, values, strict=True))


def knn_accuracy(
    model: Backbone,
    train_loader: Iterable[Batch],
    eval_loader: Iterable[Batch],
    k: int = NUM_NEIGHBORS,
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
    return _vote(references, labels, queries, truth, k)


def probe_accuracy(features: Tensor, labels: Tensor, queries: Tensor, truth: Tensor) -> float | None:
    """Return the accuracy of a linear classifier on frozen features: ridge regression on the classes, in one step.

    Unlike the probe of ``finetune=linear_probe`` it has no recipe, no length and no seed. Features are first scaled to
    mean 0 and standard deviation 1.

    Args:
        features: of the samples it is fitted to, ``[N, D]``.
        labels: their classes, int64 ``[N]``.
        queries: features of those it is judged on, ``[Q, D]``.
        truth: their classes, int64 ``[Q]``.

    Returns:
        A fraction; None where there is only one class to fit to.
    """
    from sklearn.linear_model import RidgeClassifier  # noqa: PLC0415 (slow to import)
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 (comes with scikit-learn)

    if bool((labels == labels[0]).all()):
        return None
    probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=RIDGE * len(features)))
    with threadpool_limits(torch.get_num_threads()):
        probe.fit(features.double().cpu().numpy(), labels.cpu().numpy())
        return float(probe.score(queries.double().cpu().numpy(), truth.cpu().numpy()))


def _vote(references: Tensor, labels: Tensor, queries: Tensor, truth: Tensor, k: int) -> float:
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
