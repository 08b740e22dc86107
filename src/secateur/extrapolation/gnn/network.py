"""The network: graph convolutions, each split into what a node says and what it makes of what it hears.

The split lets one layer be computed for a part of the nodes at a time, and the same code train on the full graph, train
on samples and predict.
"""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.extrapolation.gnn.adjacency import Adjacency

Conv = Literal["gcn", "gat"]


def _library() -> Any:
    """Return ``torch_geometric.nn``, whose import warns of deprecations that are its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import torch_geometric.nn
    return torch_geometric.nn


class GCNLayer(nn.Module):
    """Graph convolution of Kipf and Welling 2017, arXiv 1609.02907: ``A (x W) + b`` with given weights A.

    Args:
        num_in: width of the input.
        num_out: width of the output.
    """

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.num_in, self.num_out = num_in, num_out
        self.conv = _library().GCNConv(num_in, num_out, normalize=False)

    @property
    def message_width(self) -> int:
        """Numbers that a node says."""
        return self.num_out

    def transform(self, x: Tensor) -> Tensor:
        """Return what nodes say, ``[n, message_width]``."""
        said: Tensor = self.conv.lin(x)
        return said

    def aggregate(self, messages: Tensor, adjacency: Adjacency | None) -> Tensor:
        """Return the outputs of the adjacency's rows; None: what was transformed had been aggregated before."""
        heard = messages
        if adjacency is not None:
            heard = self.conv.propagate(adjacency.matrix, x=messages, edge_weight=None)
        outputs: Tensor = heard + self.conv.bias
        return outputs


class GATLayer(nn.Module):
    """Graph attention of Velickovic et al. 2018, arXiv 1710.10903, with one head; it ignores the edges' weights.

    What a node says are its values and two numbers: how loud it is, and how well it listens. Materializes
    ``[e, num_out]`` for the e edges of a call.

    Args:
        num_in: width of the input.
        num_out: width of the output.
    """

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.num_in, self.num_out = num_in, num_out
        self.conv = _library().GATConv(num_in, num_out, add_self_loops=False)

    @property
    def message_width(self) -> int:
        """Numbers that a node says."""
        return self.num_out + 2

    def transform(self, x: Tensor) -> Tensor:
        """Return what nodes say, ``[n, message_width]``."""
        values = self.conv.lin(x)
        attention = torch.cat([self.conv.att_src, self.conv.att_dst], dim=1).flatten(0, 1)
        return torch.cat([values, values @ attention.T], dim=1)

    def aggregate(self, messages: Tensor, adjacency: Adjacency | None) -> Tensor:
        """Return the outputs of the adjacency's rows."""
        if adjacency is None:
            raise ValueError("Attention cannot be aggregated before it is learned.")
        own = messages[adjacency.first : adjacency.first + len(adjacency), -1:]
        size = (adjacency.num_columns, len(adjacency))
        edges = adjacency.edge_index
        alpha = self.conv.edge_updater(edges, alpha=(messages[:, -2:-1], own), edge_attr=None, size=size)
        values = messages[:, None, : self.num_out]
        heard = self.conv.propagate(edges, x=(values, None), alpha=alpha, size=size)
        outputs: Tensor = heard.flatten(1) + self.conv.bias
        return outputs


class GraphNetwork(nn.Module):
    """Convolutions with ReLU and dropout between them, and one number per node at the end.

    Args:
        num_features: width of the nodes' features.
        hidden: widths of the hidden layers.
        dropout: probability.
        conv: ``gcn`` or ``gat``.
    """

    def __init__(self, num_features: int, hidden: Sequence[int], dropout: float, conv: Conv = "gcn") -> None:
        super().__init__()
        layer = {"gcn": GCNLayer, "gat": GATLayer}[conv]
        widths = [num_features, *hidden, 1]
        self.stack = nn.ModuleList(layer(*pair) for pair in pairwise(widths))
        self.dropout = dropout

    @property
    def layers(self) -> list[GCNLayer | GATLayer]:
        """The convolutions."""
        return list(self.stack)  # type: ignore[arg-type]

    def forward(self, x: Tensor, adjacencies: Sequence[Adjacency | None]) -> Tensor:
        """Return the outputs ``[n]`` of the last matrix's rows.

        Args:
            x: features of the first matrix's columns; already aggregated if the first matrix is None.
            adjacencies: the matrix of each layer.
        """
        for number, (layer, adjacency) in enumerate(zip(self.layers, adjacencies, strict=True)):
            if number:
                x = F.dropout(F.relu(x), self.dropout, self.training)
            x = layer.aggregate(layer.transform(x), adjacency)
        return x.flatten()

    def flops(self, num_rows: int, adjacencies: Sequence[Adjacency | None]) -> float:
        """Return the operations of one forward pass: 2 per node, input and output, and 2 per edge and output."""
        total = 0.0
        for layer, adjacency in zip(self.layers, adjacencies, strict=True):
            total += 2.0 * num_rows * layer.num_in * layer.num_out
            if adjacency is not None:
                total += 2.0 * adjacency.num_edges * layer.num_out
                num_rows = len(adjacency)
        return total
