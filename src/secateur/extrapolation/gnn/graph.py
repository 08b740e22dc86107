"""The graph over all samples: who hears whom, and how loudly.

Tensor legend: N nodes (the samples of the pool), k neighbors, E edges.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from secateur.core.neighbors import Backend, Distance, Neighbors, knn_graph

Weighting = Literal["gaussian", "exp_half", "uniform"]


@dataclass(frozen=True, eq=False)
class Graph:
    """A directed weighted graph without self loops, in compressed rows; all tensors on the CPU.

    Attributes:
        indptr: int64 ``[N + 1]``; the edges into node i are ``indptr[i]`` to ``indptr[i + 1]``.
        sources: int64 ``[E]``, where each edge comes from, increasing within a row.
        weights: float32 ``[E]``, positive or 0.
    """

    indptr: Tensor
    sources: Tensor
    weights: Tensor

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.indptr) - 1

    @property
    def destinations(self) -> Tensor:
        """Where each edge leads to, int64 ``[E]``."""
        return torch.arange(len(self)).repeat_interleave(self.indptr.diff())


def neighbor_graph(ids: Tensor, distances: Tensor, weighting: Weighting = "gaussian", symmetric: bool = False) -> Graph:
    """Return the graph in which every node hears its nearest neighbors.

    Args:
        ids: int64 ``[N, k]``, the nearest other nodes of each node; -1: there is none, at the end of a row.
        distances: float ``[N, k]``, how far they are, ascending in each row.
        weighting: see :func:`edge_weights`.
        symmetric: also the other way round: where i hears j, j hears i with the same weight. A node then hears k
            neighbors or more, some very many more. The release's graph is directed.

    Returns:
        The graph, with edges from neighbor to center.
    """
    num_nodes = len(ids)
    ids, weights = ids.cpu(), edge_weights(distances.cpu(), ids.cpu(), weighting)
    centers, there = torch.arange(num_nodes)[:, None].expand_as(ids), ids >= 0
    centers, ids, weights = centers[there], ids[there], weights[there]
    keys = centers * num_nodes + ids
    if symmetric:
        keys, weights = torch.cat([keys, ids * num_nodes + centers]), torch.cat([weights, weights])
    keys, order = keys.sort(stable=True)
    weights = weights[order]
    if symmetric:
        first = torch.cat([torch.ones(1, dtype=torch.bool), keys[1:] != keys[:-1]])
        keys, weights = keys[first], weights[first]
    sources = keys % num_nodes
    return Graph(row_pointers(keys // num_nodes, num_nodes), sources, weights.float())


def same_class_neighbors(
    embeddings: Tensor, labels: Tensor, k: int, distance: Distance = "euclidean", backend: Backend = "torch"
) -> Neighbors:
    """Return the k nearest others of every sample among those of its own class.

    Args:
        embeddings: float ``[N, D]``.
        labels: int64 ``[N]``.
        k: number of neighbors; in a class with fewer others all of them.
        distance: what they are near by.
        backend: who searches.

    Returns:
        ids ``[N, k]``, rows of the embeddings (-1: no more in the class), and distances (inf there), ascending.
    """
    ids = torch.full((len(embeddings), k), -1, device=embeddings.device)
    distances = torch.full(ids.shape, math.inf, dtype=torch.promote_types(embeddings.dtype, torch.float32))
    distances = distances.to(embeddings.device)
    for label in labels.bincount().nonzero().flatten().tolist():
        rows = (labels == label).nonzero().flatten().to(embeddings.device)
        if (near := min(k, len(rows) - 1)) > 0:
            found = knn_graph(embeddings[rows], near, distance, backend=backend)
            ids[rows, :near], distances[rows, :near] = rows[found.ids], found.distances
    return Neighbors(ids, distances)


def edge_weights(distances: Tensor, ids: Tensor, weighting: Weighting) -> Tensor:
    r"""Return the weight of every edge, beside which a node's own weight is 1.

    - ``gaussian``: :math:`\exp(-d_{ij}^2 / (2 \sigma_i \sigma_j))` with :math:`\sigma_i` the distance of i to its
      k-th neighbor, so that weights do not depend on the features' scale (self-tuning affinity, Zelnik-Manor and
      Perona 2004). A node with k duplicates has :math:`\sigma_i = 0`; it takes the smallest positive one, or 1 where
      there is none.
    - ``exp_half``: :math:`\exp(-d_{ij} / 2)`, the release's. With distances of 10 to 20, usual for unscaled features
      of a ResNet, ten neighbors together weigh a few percent of the node itself.
    - ``uniform``: 1.

    Args:
        distances: float ``[N, k]``, ascending in each row.
        ids: int64 ``[N, k]``; -1, at distance inf: no neighbor.
        weighting: one of the three.

    Returns:
        float64 ``[N, k]`` in [0, 1].
    """
    return WEIGHTINGS[weighting](distances.double(), ids)


def _gaussian(distances: Tensor, ids: Tensor) -> Tensor:
    sigma = torch.where(distances.isfinite(), distances, 0.0).amax(dim=1)  # to the last neighbor there is
    positive = sigma[sigma > 0]
    sigma = torch.where(sigma > 0, sigma, positive.min() if len(positive) else 1.0)
    return (-distances.square() / (2 * sigma[:, None] * sigma[ids.clamp(min=0)])).exp()


def _exp_half(distances: Tensor, ids: Tensor) -> Tensor:
    return (-distances / 2).exp()


def _uniform(distances: Tensor, ids: Tensor) -> Tensor:
    return torch.ones_like(distances)


WEIGHTINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gaussian": _gaussian,
    "exp_half": _exp_half,
    "uniform": _uniform,
}


def row_pointers(rows: Tensor, num_rows: int) -> Tensor:
    """Return where each row starts, int64 ``[num_rows + 1]``, from the row of every entry."""
    return torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(rows, minlength=num_rows).cumsum(0)])
