"""Training on a part of the graph: some roots, some neighbors of theirs, some neighbors of those."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from secateur.extrapolation.gnn.adjacency import Adjacency, normalized_weights, with_loops
from secateur.extrapolation.gnn.graph import Graph

Normalizer = Literal["global", "subgraph"]


@dataclass(frozen=True, eq=False)
class Subgraph:
    """Roots and what was drawn around them.

    Attributes:
        nodes: int64 ``[n]``, nodes of the graph: the roots, then those first met at hop 1, at hop 2, ...
        counts: how many nodes lie within hop 0, 1, ..., H; the first is the number of roots, the last n.
        adjacency: ``[n, n]`` in the order of ``nodes``. Nodes of the last hop have nothing but their self loop.
    """

    nodes: Tensor
    counts: tuple[int, ...]
    adjacency: Adjacency

    def layers(self, num_layers: int) -> list[Adjacency]:
        """Return the matrix of each layer, restricted to the rows that the roots' outputs depend on.

        The last layer computes the roots, the one before the nodes within one hop, and so on. With more layers than
        hops the first layers see only self loops at the rim, as in the release.
        """
        last = len(self.counts) - 1
        within = [self.counts[min(hop, last)] for hop in range(num_layers, -1, -1)]
        return [self.adjacency.rows(0, within[layer + 1], within[layer]) for layer in range(num_layers)]


class NeighborSampler:
    """Draws the neighborhoods of roots; every node met is expanded once, with the same neighbors in all layers.

    Args:
        graph: the whole graph.
        hops: how many in-neighbors are drawn per node at each hop, without replacement; -1: all.
        normalizer: ``global``: the full graph's weights, and those of drawn neighbors times in-degree / number drawn,
            which makes every sum an unbiased estimate of the full one. ``subgraph``: what is drawn is normalized as
            if it were the whole graph, as the release does; means then differ from the full graph's.
    """

    def __init__(self, graph: Graph, hops: Sequence[int], normalizer: Normalizer = "global") -> None:
        self.graph, self.hops, self.normalizer = graph, tuple(hops), normalizer
        self._place = torch.full((len(graph),), -1, dtype=torch.int64)
        if normalizer == "global":
            self._weights, self._loops = normalized_weights(
                graph.destinations, graph.sources, graph.weights, len(graph)
            )

    def sample(self, roots: Tensor, generator: Generator | None = None) -> Subgraph:
        """Return a random subgraph around distinct roots, int64 ``[B]``."""
        nodes, counts, frontier = [roots], [0, len(roots)], roots
        place = self._place
        place[roots] = torch.arange(len(roots))
        rows, edges, scales = [], [], []
        for fanout in self.hops:
            row, edge, scale = draw_edges(self.graph.indptr, frontier, fanout, generator)
            rows.append(row + counts[-2])
            edges.append(edge)
            scales.append(scale)
            sources = self.graph.sources[edge]
            frontier = torch.unique(sources[place[sources] < 0])
            place[frontier] = torch.arange(counts[-1], counts[-1] + len(frontier))
            nodes.append(frontier)
            counts.append(counts[-1] + len(frontier))
        all_nodes, all_edges = torch.cat(nodes), torch.cat([*edges, roots[:0]])
        columns = place[self.graph.sources[all_edges]]
        place[all_nodes] = -1
        all_rows, all_scales = torch.cat([*rows, roots[:0]]), torch.cat([*scales, torch.empty(0)])
        adjacency = self._adjacency(all_nodes, all_rows, columns, all_edges, all_scales)
        return Subgraph(all_nodes, tuple(counts[1:]), adjacency)

    def _adjacency(self, nodes: Tensor, rows: Tensor, columns: Tensor, edges: Tensor, scales: Tensor) -> Adjacency:
        if self.normalizer == "global":
            return with_loops(rows, columns, self._weights[edges] * scales, self._loops[nodes])
        return with_loops(rows, columns, *normalized_weights(rows, columns, self.graph.weights[edges], len(nodes)))


def draw_edges(
    indptr: Tensor, nodes: Tensor, fanout: int, generator: Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw in-edges of some nodes, uniformly and without replacement.

    Args:
        indptr: int64 ``[N + 1]`` of the graph.
        nodes: int64 ``[n]``.
        fanout: edges per node; all of them where a node has no more, or with -1.
        generator: source of randomness.

    Returns:
        For every edge drawn, ``[e]`` each: its position in ``nodes`` (not decreasing), its position in the graph, and
        in-degree / number drawn of its node (float32).
    """
    degrees = indptr[nodes + 1] - indptr[nodes]
    rows = torch.arange(len(nodes)).repeat_interleave(degrees)
    place = torch.arange(len(rows)) - (degrees.cumsum(0) - degrees)[rows]  # of the edge, within its row
    edges = indptr[nodes][rows] + place
    if fanout < 0 or not bool((degrees > fanout).any()):
        return rows, edges, torch.ones(len(rows))
    shuffled = (rows + torch.rand(len(rows), dtype=torch.float64, generator=generator)).argsort()
    drawn = place < fanout  # rows stay where they are, edges change places within them
    rows, edges = rows[drawn], edges[shuffled][drawn]
    return rows, edges, (degrees / degrees.clamp(max=fanout))[rows]
