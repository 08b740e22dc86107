"""Nearest neighbors: the score of a sample is the mean of its nearest observed neighbors' scores.

Tensor legend: N samples, M observed, R = N - M queries, D features, k neighbors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.neighbors import Backend, Distance
from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator, Needs, search_flops
from secateur.extrapolation.fidelity import per_query_diagnostics

Weighting = Literal["average", "softmax", "exp"]
Temperature = float | Literal["kth_distance"]
ELEMENTS_AT_ONCE = 2**24


def knn_extrapolate(
    embeddings: Tensor,
    sample_ids: Tensor,
    scores: Tensor,
    *,
    k: int,
    labels: Tensor | None = None,
    same_class: bool = False,
    weighting: Weighting = "average",
    distance: Distance = "euclidean",
    weight_distance: Distance | None = None,
    temperature: Temperature = 1.0,
) -> Tensor:
    r"""Predict every unobserved score from the nearest observed samples.

    .. math:: \hat s(x) = \sum_{i=1}^{k} w_i(x) \, s_{\pi_i(x)}

    [EX] arXiv 2506.09010, its nearest-neighbor extrapolation; the weights are those of :func:`neighbor_weights`.

    Args:
        embeddings: float ``[N, D]``, finite.
        sample_ids: rows of the observed samples, int64 ``[M]``, no duplicates.
        scores: their scores, float ``[M]``, finite.
        k: number of neighbors, in [1, M].
        labels: class of every sample, int64 ``[N]``; read with ``same_class`` only.
        same_class: only neighbors of the query's own class; where it has fewer than k observed samples all of them,
            and of any class where it has none.
        weighting: ``average`` (``1 / k``), ``softmax`` (of ``-d / temperature``), or ``exp`` (softmax at
            temperature 1, whatever ``temperature`` says).
        distance: what neighbors are near by.
        weight_distance: the distance d in the weights; None is the same.
        temperature: of ``softmax``: a positive number, or ``kth_distance``, the median over the queries of the
            distance to their last neighbor.

    Returns:
        float ``[N]`` in the scores' dtype; the observed scores stay on their rows.

    Raises:
        ConfigError: an argument is out of range, k exceeds M, or labels are missing.
        DataError: shapes do not fit.
        NumericalError: an embedding or a score is not finite.

    Deviations:
        The release gives ``average`` and ``exp``; it divides ``exp(-d)`` by its sum, which is 0 / 0 for large
        distances, and with ``distance="cosine"`` weighs by raw Euclidean distances
        (``weight_distance="euclidean"``). It does not have ``softmax``, temperatures, or ``same_class``.

    Example:
        >>> embeddings = torch.tensor([[0.0], [1.0], [0.25]])
        >>> observed = torch.tensor([0, 1]), torch.tensor([3.0, 5.0])
        >>> knn_extrapolate(embeddings, *observed, k=2)
        tensor([3., 5., 4.])
        >>> knn_extrapolate(embeddings, *observed, k=2, weighting="softmax", temperature=0.25)
        tensor([3.0000, 5.0000, 3.2384])
    """
    inputs = ExtrapolationInputs(
        embeddings=embeddings, sample_ids=sample_ids, scores=scores, labels=labels, num_samples=len(embeddings)
    )
    return KNN(k, same_class, weighting, distance, weight_distance, temperature).predict(inputs)


def neighbor_weights(distances: Tensor, weighting: Weighting, temperature: Temperature = 1.0) -> Tensor:
    r"""Return the weights of every query's neighbors; they sum to 1.

    .. math:: w_i = \frac{\exp(-d_i / \tau)}{\sum_j \exp(-d_j / \tau)}

    The smallest distance is subtracted first, so the sum is never 0 however large the distances. With
    ``kth_distance`` :math:`\tau` is the median (of an even number the mean of the middle two) over the queries of
    the distance to their last neighbor: the k-th, or the last one found where there are fewer. When it is 0, because
    most queries have k duplicates, the weights are what they tend to as :math:`\tau \to 0`: the average over the
    neighbors that are nearest, duplicates of each other included.

    Args:
        distances: float ``[R, k]``, not negative, neighbors in order of the search; inf where there is none.
        weighting: ``average``, ``softmax`` or ``exp``.
        temperature: of ``softmax`` only.

    Returns:
        ``[R, k]`` in the distances' dtype; 0 where there is no neighbor, so a row without any is all 0.

    Example:
        >>> neighbor_weights(torch.tensor([[500.0, 501.0, float("inf")]]), "exp")
        tensor([[0.7311, 0.2689, 0.0000]])
    """
    found = torch.isfinite(distances)
    if weighting == "average":
        return found / found.sum(dim=1, keepdim=True).clamp(min=1).to(distances.dtype)
    nearest = distances.amin(dim=1, keepdim=True)
    further = torch.where(found, distances - nearest, 0.0)
    tau = _temperature(distances, 1.0 if weighting == "exp" else temperature)
    weights = torch.where(found, (-further / tau).exp(), 0.0)
    return weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)  # the nearest one has 1 before this


@dataclass(frozen=True)
class KNN(Extrapolator):
    """:func:`knn_extrapolate` on :class:`ExtrapolationInputs`, whose one search serves every k and every weighting.

    Args:
        k: see :func:`knn_extrapolate`, like all but the last.
        same_class: reads the labels.
        weighting: ``average``, ``softmax`` or ``exp``.
        distance: ``euclidean`` or ``cosine``.
        weight_distance: None is the same as ``distance``.
        temperature: a positive number or ``kth_distance``.
        backend: who searches, ``torch`` or ``faiss``.

    Raises:
        ConfigError: an argument is out of range.
    """

    NAME: ClassVar[str] = "extrapolation/knn"
    searches: ClassVar[bool] = True
    k: int = 20
    same_class: bool = False
    weighting: Weighting = "softmax"
    distance: Distance = "euclidean"
    weight_distance: Distance | None = None
    temperature: Temperature = "kth_distance"
    backend: Backend = "torch"

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ConfigError(f"knn: k must be an integer of at least 1, got {self.k!r}.")
        choices = {
            "weighting": (self.weighting, get_args(Weighting)),
            "distance": (self.distance, get_args(Distance)),
            "weight_distance": (self.weight_distance, (None, *get_args(Distance))),
            "backend": (self.backend, get_args(Backend)),
        }
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise ConfigError(f"knn: {name} must be one of {', '.join(map(str, allowed))}; got {value!r}.")
        is_number = isinstance(self.temperature, int | float) and not isinstance(self.temperature, bool)
        if not (self.temperature > 0 if is_number else self.temperature == "kth_distance"):  # type: ignore[operator]
            raise ConfigError(f"knn: temperature must be positive, or kth_distance; got {self.temperature!r}.")

    @property
    def needs(self) -> frozenset[Needs]:  # type: ignore[override]
        """Embeddings, and labels with ``same_class``."""
        return frozenset({Needs.EMBEDDINGS, *({Needs.LABELS} if self.same_class else ())})

    def check(self, num_observed: int, num_samples: int) -> None:
        """Raise :class:`ConfigError` when so many observed samples have no k neighbors among them."""
        if self.k > num_observed:
            raise ConfigError(
                f"knn: k={self.k} neighbors cannot be found among {num_observed} scored samples: lower k, "
                "or raise subset_fraction."
            )

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype.

        Raises:
            ConfigError: k exceeds the number of observed samples, or there are no embeddings or labels.
        """
        ids, weights = self.weights(inputs)
        dtype = torch.promote_types(weights.dtype, inputs.scores.dtype)
        neighbor_scores = inputs.scores.to(dtype)[ids.clamp(min=0)]
        return inputs.filled((weights.to(dtype) * neighbor_scores).sum(dim=1))

    def facts(self, inputs: ExtrapolationInputs) -> Mapping[str, Any]:
        """Return how near and how many the neighbors are."""
        _, weights = self.weights(inputs)
        neighbors = inputs.neighbors(self.k, self.distance, self.same_class, self.backend)
        labels = inputs.labels
        known = () if labels is None else (labels[inputs.queries], labels[inputs.sample_ids])
        return {"neighbors": per_query_diagnostics(neighbors, weights, *known)}

    @property
    def shared_search(self) -> tuple[Distance, Backend, bool]:  # type: ignore[override]
        """What decides which search this reads; two that read the same one share it."""
        return self.distance, self.backend, self.same_class

    def planned_flops(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float:
        """Return the operations of the search, and of the weights' own distances."""
        num_queries = num_samples - num_observed
        weighs = self.weighting != "average" and self.weight_distance not in (None, self.distance)
        weights = 3.0 * num_queries * self.k * num_features if weighs else 0.0
        return search_flops(num_queries, num_observed, num_features) + weights

    def weights(self, inputs: ExtrapolationInputs) -> tuple[Tensor, Tensor]:
        """Return every query's neighbors and their weights, what diagnostics read.

        Returns:
            ids ``[R, k]``, positions in ``inputs.sample_ids`` (-1: no neighbor), and weights ``[R, k]`` (0 there).

        Raises:
            ConfigError: as :meth:`predict`.
        """
        found = inputs.neighbors(self.k, self.distance, self.same_class, self.backend)
        distances = found.distances
        if self.weighting != "average" and self.weight_distance not in (None, self.distance):
            distances = self._weight_distances(inputs, found.ids).to(distances.dtype)
        dtype = torch.promote_types(distances.dtype, inputs.scores.dtype)
        distances = torch.where(found.ids >= 0, distances.to(dtype), torch.inf)
        return found.ids, neighbor_weights(distances, self.weighting, self.temperature)

    def _weight_distances(self, inputs: ExtrapolationInputs, ids: Tensor) -> Tensor:
        """Return ``weight_distance``, float64 ``[R, k]``, between every query and its neighbors."""
        embeddings = inputs.embeddings
        if embeddings is None:
            raise ConfigError("knn: needs embeddings of all samples, and there are none.")
        rows = max(ELEMENTS_AT_ONCE // max(self.k * embeddings.shape[1], 1), 1)
        references = inputs.sample_ids[ids.clamp(min=0)]
        inputs.flops += 3.0 * references.numel() * embeddings.shape[1]
        pairs = zip(torch.split(inputs.queries, rows), torch.split(references, rows), strict=True)
        measure = _euclidean if self.weight_distance == "euclidean" else _cosine
        chunks = [measure(embeddings[q].double(), embeddings[r].double()) for q, r in pairs]
        return torch.cat(chunks)


def _euclidean(queries: Tensor, references: Tensor) -> Tensor:
    distances: Tensor = torch.linalg.vector_norm(references - queries[:, None], dim=2)
    return distances


def _cosine(queries: Tensor, references: Tensor) -> Tensor:
    """Return one minus the cosine, as half the squared gap of unit vectors; a zero vector is 1 from everything."""
    lengths = [torch.linalg.vector_norm(points, dim=-1, keepdim=True) for points in (queries, references)]
    units = [points / length.clamp(min=1e-300) for points, length in zip((queries, references), lengths, strict=True)]
    undirected = (lengths[0][:, None] == 0) | (lengths[1] == 0)
    return (_euclidean(*units).square() / 2).masked_fill(undirected.squeeze(2), 1.0)


def _temperature(distances: Tensor, temperature: Temperature) -> Tensor:
    """Return the temperature, positive, for distances ``[R, k]`` (inf where there is no neighbor)."""
    if temperature != "kth_distance":
        return torch.tensor(float(temperature), dtype=distances.dtype)
    found = torch.isfinite(distances)
    last = (found.sum(dim=1) - 1).clamp(min=0)
    reach = distances.gather(1, last[:, None]).flatten()
    reach = reach[torch.isfinite(reach)].sort().values
    if not len(reach):
        return torch.ones((), dtype=distances.dtype)
    median = (reach[(len(reach) - 1) // 2] + reach[len(reach) // 2]) / 2
    return median.clamp(min=torch.finfo(distances.dtype).tiny)
