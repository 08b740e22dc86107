"""What a graph network will compute, before there is a graph.

Tensor legend: N nodes (the samples of the pool), M observed, D features, C classes, k neighbors.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from secateur.extrapolation.gnn.fit import SMALLEST_SPLIT
from secateur.extrapolation.gnn.inference import ROOTS

if TYPE_CHECKING:
    from secateur.extrapolation.gnn.settings import GNN

Matrix = tuple[int, int]  # rows and entries


def plans_exactly(gnn: "GNN", num_samples: int) -> bool:
    """Whether :func:`planned_flops` is what will be spent: in a directed graph, of which every step sees all."""
    known = not gnn.symmetric and not gnn.same_class
    return num_samples <= gnn.full_graph_limit and known and gnn.inference == "exact"


def planned_flops(gnn: "GNN", num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float:
    """Return the operations of search, fit and prediction; at most these where the graph is not known before.

    Args:
        gnn: the settings.
        num_samples: N.
        num_observed: M.
        num_features: D.
        num_classes: C; 0 when labels are not known.
    """
    width = num_features + (num_classes if gnn.use_labels else 0)
    entries = num_samples * (gnn.k * (2 if gnn.symmetric else 1) + 1)  # with self loops
    widths, whole = [width, *gnn.hidden_sizes, 1], (num_samples, entries)
    held_out = _num_held_out(num_observed, gnn.validation_fraction)
    layers: list[Matrix | None] = [whole] * (len(widths) - 1)
    flops = 2.0 * num_samples * num_samples * num_features  # the search
    if gnn.propagate_first:
        flops += 2.0 * entries * width
        layers = [None, *layers[1:]]
    one_pass = network_flops(widths, num_samples, layers)
    if num_samples <= gnn.full_graph_limit:
        flops += gnn.max_epochs * gnn.full_graph_steps * 3 * one_pass
    else:
        flops += gnn.max_epochs * _sampled_epoch(gnn, widths, num_samples, num_observed - held_out)
    prediction = one_pass if gnn.inference == "exact" else _one_hop(gnn, widths, num_samples)
    return flops + (gnn.max_epochs if held_out else 1) * prediction


def network_flops(widths: Sequence[int], num_rows: int, layers: Sequence[Matrix | None]) -> float:
    """Return the operations of one forward pass, as :meth:`GraphNetwork.flops` counts them.

    Args:
        widths: of the features, of every hidden layer, and of the output.
        num_rows: nodes that the first layer reads.
        layers: rows and entries of the matrix of each layer; None: nothing is aggregated there.
    """
    total = 0.0
    for (num_in, num_out), matrix in zip(pairwise(widths), layers, strict=True):
        total += 2.0 * num_rows * num_in * num_out
        if matrix is not None:
            num_rows, entries = matrix
            total += 2.0 * entries * num_out
    return total


def _num_held_out(num_observed: int, fraction: float) -> int:
    """Return how many observed samples :func:`~secateur.extrapolation.gnn.fit.split` holds out."""
    return 0 if num_observed < SMALLEST_SPLIT or not fraction else max(2, round(num_observed * fraction))


def _sampled_epoch(gnn: "GNN", widths: Sequence[int], num_samples: int, num_trained: int) -> float:
    """Return at most what an epoch of sampled training takes: as if no two nodes had a neighbor in common."""
    full, rest = divmod(num_trained, gnn.batch_size)
    sizes = {gnn.batch_size: full, rest: 1 if rest else 0}
    hops = list(gnn.train_hops)[: len(widths) - 1 - gnn.propagate_first]
    return sum(3 * times * _sampled_pass(gnn, widths, num_samples, size, hops) for size, times in sizes.items())


def _sampled_pass(gnn: "GNN", widths: Sequence[int], num_samples: int, num_roots: int, hops: Sequence[int]) -> float:
    """Return at most what one forward pass around some roots takes."""
    degree = gnn.k * (2 if gnn.symmetric else 1)
    counts, entries = [num_roots], [num_roots]  # nodes within each hop; edges into them and self loops
    frontier = num_roots
    for fanout in hops:
        drawn = frontier * (degree if fanout < 0 else min(fanout, degree))
        frontier = min(drawn, num_samples - counts[-1])
        counts.append(counts[-1] + frontier)
        entries[-1] += drawn
        entries.append(entries[-1] + frontier)
    num_matrices, last = len(widths) - 1 - gnn.propagate_first, len(hops)
    within = [min(hop, last) for hop in range(num_matrices - 1, -1, -1)]
    matrices = [(counts[hop], entries[hop]) for hop in within]
    return network_flops(widths, counts[-1], [*([None] * gnn.propagate_first), *matrices])


def _one_hop(gnn: "GNN", widths: Sequence[int], num_samples: int) -> float:
    """Return at most what a prediction of all nodes from their neighbors alone takes."""
    size = min(ROOTS, num_samples)
    return math.ceil(num_samples / size) * _sampled_pass(gnn, widths, num_samples, size, [-1])
