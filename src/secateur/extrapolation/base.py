"""Base class of extrapolators: from the scores of some samples, and something known of all, to scores of all.

Tensor legend: N samples of the pool, M observed (scored) ones, R = N - M others, D features, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.neighbors import Backend, Distance, Neighbors, grouped_search, search


class Needs(Enum):
    """What an extrapolator reads beside the observed scores."""

    EMBEDDINGS = "embeddings"
    LABELS = "labels"
    PROXY_LOGITS = "proxy_logits"


@dataclass(eq=False, kw_only=True)
class ExtrapolationInputs:
    """What is known before extrapolation; rows are pool positions.

    Attributes:
        embeddings: float ``[N, D]``, or None when nothing asked for them.
        sample_ids: rows of the observed samples, int64 ``[M]``, no duplicates, any order.
        scores: their scores, float ``[M]``, finite.
        labels: class of every sample, int64 ``[N]``, or None when labels are not known.
        proxy_logits: logits of the network that scored the subset, float ``[N, C]``, or None.
        num_samples: N.
        num_classes: C; 0 when labels are not known. Left at 0 with labels given, it is taken from them.
        seed: seed of whatever an extrapolator draws at random.
        largest_k: smallest number of neighbors a search computes; one search at the largest k serves every k.
        flops: floating-point operations spent so far; extrapolators and searches add to it.

    Raises:
        DataError: shapes do not fit, a row is given twice or lies outside the pool, or a label is not in [0, C).
        NumericalError: an embedding or a score is not finite; the message names the first row.
    """

    embeddings: Tensor | None
    sample_ids: Tensor
    scores: Tensor
    labels: Tensor | None = None
    proxy_logits: Tensor | None = None
    num_samples: int
    num_classes: int = 0
    seed: int = 0
    largest_k: int = 1
    flops: float = 0.0
    _searched: dict[tuple[str, str, bool], Neighbors] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_observed(self.sample_ids, self.scores, self.num_samples)
        for name in ("embeddings", "labels", "proxy_logits"):
            values: Tensor | None = getattr(self, name)
            if values is not None and len(values) != self.num_samples:
                raise DataError(f"{name} has {len(values)} rows, but the pool has {self.num_samples}.")
            if values is not None and values.is_floating_point():
                check_finite(name, values)
        if self.labels is not None:
            self.num_classes = check_labels(self.labels, self.num_classes)

    @cached_property
    def observed(self) -> Tensor:
        """Which rows have a score, bool ``[N]``."""
        observed = torch.zeros(self.num_samples, dtype=torch.bool, device=self.sample_ids.device)
        observed[self.sample_ids] = True
        return observed

    @cached_property
    def queries(self) -> Tensor:
        """Rows without a score, int64 ``[R]``, increasing."""
        return (~self.observed).nonzero().flatten()

    def filled(self, predicted: Tensor) -> Tensor:
        """Return all scores ``[N]``: ``predicted [R]`` on :attr:`queries`, the observed ones on their rows.

        Raises:
            NumericalError: a prediction is not finite.
        """
        check_finite("predicted scores", predicted)
        scores = torch.empty(self.num_samples, dtype=self.scores.dtype, device=self.scores.device)
        scores[self.sample_ids] = self.scores
        scores[self.queries] = predicted.to(scores)
        return scores

    def neighbors(
        self, k: int, distance: Distance = "euclidean", same_class: bool = False, backend: Backend = "torch"
    ) -> Neighbors:
        """Return the nearest observed samples of every query; searched once, at the largest k asked for.

        Args:
            k: number of neighbors, at most M.
            distance: what they are near by.
            same_class: only neighbors of the query's own class; of a class with fewer than k observed samples all
                of them, and any class's where there is none at all.
            backend: who searches.

        Returns:
            ids ``[R, k]``, positions in :attr:`sample_ids` (-1: no neighbor), and distances (inf there), ascending.

        Raises:
            ConfigError: k exceeds the number of observed samples, or there are no embeddings or labels.
        """
        key = (distance, backend, same_class)
        found = self._searched.get(key)
        if found is None or found.ids.shape[1] < k:
            found = self._searched[key] = self._search(
                max(k, min(self.largest_k, len(self.sample_ids))), distance, same_class, backend
            )
        return Neighbors(found.ids[:, :k], found.distances[:, :k])

    def _search(self, k: int, distance: Distance, same_class: bool, backend: Backend) -> Neighbors:
        if self.embeddings is None:
            raise ConfigError("Neighbors need embeddings of all samples, and there are none.")
        if k > len(self.sample_ids):
            raise ConfigError(f"k={k} neighbors cannot be found among {len(self.sample_ids)} scored samples.")
        queries, references = self.embeddings[self.queries], self.embeddings[self.sample_ids]
        self.flops += search_flops(len(queries), *references.shape)
        if not same_class:
            return search(queries, references, k, distance, backend=backend)
        if self.labels is None:
            raise ConfigError("same_class=true needs the labels of all samples, and they are not known.")
        groups = (self.labels[self.queries], self.labels[self.sample_ids])
        return grouped_search(queries, references, *groups, k, distance, backend=backend)


class Extrapolator(ABC):
    """Predicts the scores that were not measured (``extrapolation=``).

    An extrapolator of one's own is a subclass that defines :meth:`predict`; everything else has a default.

    Attributes:
        needs: what it reads beside the observed scores; checked before anything is trained. A property where it depends
            on settings, as the others may be.
        merge: the only way of merging (``merge=``) that it works with; None: any.
        is_control: others must be better than this one, because it knows no sample by itself; the record says so.
        searches: it looks for nearest neighbors, which takes memory.
        shared_search: what decides which search it reads: two that read the same one share it; None: none is shared.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset()
    merge: ClassVar[str | None] = None
    is_control: ClassVar[bool] = False
    searches: ClassVar[bool] = False
    shared_search: ClassVar[Hashable | None] = None

    @abstractmethod
    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]``; observed scores stay on their rows.

        The predictions are on the scorer's own scale, as the extrapolator gives them; mapping them to the observed
        distribution is :mod:`secateur.extrapolation.merging`'s part. Whatever is drawn at random is drawn from
        ``inputs.seed``. Operations that are not a search are added to ``inputs.flops``.
        """

    def check(self, num_observed: int, num_samples: int) -> None:
        """Raise :class:`~secateur.core.errors.ConfigError` for sizes it cannot work with. Defaults to no check.

        Called before anything is trained.

        Args:
            num_observed: M.
            num_samples: N.
        """

    def planned_flops(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float | None:
        """Return the operations that :meth:`predict` will take, its searches included; None: not known.

        Args:
            num_samples: N.
            num_observed: M.
            num_features: D; 0 without embeddings.
            num_classes: C; 0 when labels are not known.
        """
        return None

    def plans_at_most(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> bool:
        """Whether :meth:`planned_flops` is an upper bound. Defaults to false: it is exact."""
        return False

    @property
    def unplanned(self) -> list[str]:
        """Names of parts that do not say what they will compute. Defaults to none."""
        return []

    def facts(self, inputs: ExtrapolationInputs) -> Mapping[str, Any]:
        """Return what the record says of a prediction that :meth:`predict` has made. Defaults to nothing."""
        return {}


def search_flops(num_queries: int, num_references: int, num_features: int) -> float:
    """Return the operations of a neighbor search: the products of all queries with all references."""
    return 2.0 * num_queries * num_references * num_features


class NoArithmetic(Extrapolator):
    """An extrapolator that neither searches nor fits: it adds nothing to the account of operations."""

    def planned_flops(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float | None:
        """Return 0, see :class:`Extrapolator`."""
        return 0.0


def check_observed(sample_ids: Tensor, scores: Tensor, num_samples: int) -> None:
    """Raise unless ``sample_ids [M]`` are distinct rows in ``[0, num_samples)`` and ``scores [M]`` are finite."""
    if sample_ids.ndim != 1 or sample_ids.dtype != torch.int64 or scores.shape != sample_ids.shape:
        raise DataError(
            f"sample_ids and scores must be [M], the first int64; got {sample_ids.dtype} {list(sample_ids.shape)} and "
            f"{list(scores.shape)}."
        )
    if not len(sample_ids):
        raise DataError("Nothing can be predicted from no scores at all.")
    outside = (sample_ids < 0) | (sample_ids >= num_samples)
    if bool(outside.any()):
        raise DataError(f"Row {int(sample_ids[outside][0])} is not in a pool of {num_samples} samples.")
    if len(torch.unique(sample_ids)) < len(sample_ids):
        raise DataError("A sample is scored twice.")
    check_finite("scores", scores)


def check_labels(labels: Tensor, num_classes: int) -> int:
    """Return C for ``labels [N]``: ``num_classes``, or one more than the largest label when it is 0.

    Raises:
        DataError: the labels are not int64, or one is not in ``[0, C)``.
    """
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise DataError(f"labels must be int64 [N], got {labels.dtype} {list(labels.shape)}.")
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, -1)
    num_classes = num_classes or high + 1
    if low < 0 or high >= num_classes:
        raise DataError(f"labels must be in [0, {num_classes}), but they are from {low} to {high}.")
    return num_classes


def check_finite(name: str, values: Tensor) -> None:
    """Raise :class:`NumericalError` naming the first row of ``values [n, ...]`` that is not finite."""
    finite = torch.isfinite(values)
    bad = ~(finite if values.ndim == 1 else finite.flatten(1).all(dim=1))
    if bool(bad.any()):
        raise NumericalError(
            f"{int(bad.sum())} of {len(values)} rows of {name} are not finite; first row {int(bad.nonzero()[0])}."
        )
