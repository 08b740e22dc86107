"""The matrix that one layer multiplies with: edges and self loops, normalized, in compressed rows.

A product of a compressed-row matrix and a dense one needs no memory beside its result; scattering messages would
materialize ``[E, width]`` numbers and is an order of magnitude slower on a CPU.
"""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from secateur.extrapolation.gnn.graph import Graph, row_pointers


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Rows of A + I: what some nodes (rows) hear from some nodes (columns), themselves among them.

    Attributes:
        indptr: int64 ``[n + 1]``.
        columns: int32 ``[e]``, increasing within a row (int64 beyond 2^31 entries or columns).
        values: float32 ``[e]``.
        num_columns: number of columns.
        first: the column of the first row's own node; row r is node ``first + r``.
    """

    indptr: Tensor
    columns: Tensor
    values: Tensor
    num_columns: int
    first: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.indptr) - 1

    def rows(self, start: int, stop: int, num_columns: int | None = None) -> "Adjacency":
        """Return the rows from ``start`` to ``stop``, of whose columns only the first ``num_columns`` occur."""
        low, high = int(self.indptr[start]), int(self.indptr[stop])
        return Adjacency(
            self.indptr[start : stop + 1] - low,
            self.columns[low:high],
            self.values[low:high],
            num_columns or self.num_columns,
            self.first + start,
        )

    def to(self, device: torch.device) -> "Adjacency":
        """Return the same matrix on a device."""
        tensors = {name: getattr(self, name).to(device) for name in ("indptr", "columns", "values")}
        return replace(self, **tensors)

    @property
    def num_edges(self) -> int:
        """Number of entries, self loops included."""
        return len(self.columns)

    @cached_property
    def matrix(self) -> Tensor:
        """The sparse CSR tensor ``[n, num_columns]``; 32-bit indices, which are several times faster on a CPU."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse .* tensor support is in beta")
            return torch.sparse_csr_tensor(
                self.indptr.to(self.columns.dtype),
                self.columns,
                self.values,
                size=(len(self), self.num_columns),
                check_invariants=False,  # said explicitly, or newer versions of torch warn
            )

    @cached_property
    def edge_index(self) -> Tensor:
        """Source and destination of every entry, int64 ``[2, e]``."""
        rows = torch.arange(len(self), device=self.indptr.device).repeat_interleave(self.indptr.diff())
        return torch.stack([self.columns.long(), rows])


def normalized_weights(rows: Tensor, columns: Tensor, weights: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    r"""Return :math:`D^{-1/2} (A + I) D^{-1/2}` with :math:`D_i = 1 + \sum_j a_{ij}`, as Kipf and Welling 2017.

    Args:
        rows: int64 ``[e]``, the destination of every edge.
        columns: int64 ``[e]``, its source.
        weights: float ``[e]``.
        num_nodes: n.

    Returns:
        Weights of the edges ``[e]`` and of the self loops ``[n]``, float32.
    """
    scale = (1 + torch.bincount(rows, weights=weights.double(), minlength=num_nodes)).rsqrt()
    return (weights * scale[rows] * scale[columns]).float(), scale.square().float()


def with_loops(rows: Tensor, columns: Tensor, weights: Tensor, loops: Tensor) -> Adjacency:
    """Return the square matrix of edges ``[e]`` and self loops ``[n]``; every edge occurs once."""
    num_nodes = len(loops)
    nodes = torch.arange(num_nodes)
    keys, order = torch.cat([rows * num_nodes + columns, nodes * num_nodes + nodes]).sort()
    index_dtype = torch.int32 if len(keys) < 2**31 and num_nodes < 2**31 else torch.int64
    return Adjacency(
        row_pointers(keys // num_nodes, num_nodes),
        (keys % num_nodes).to(index_dtype),
        torch.cat([weights, loops])[order],
        num_nodes,
    )


def full_adjacency(graph: Graph) -> Adjacency:
    """Return the normalized matrix of the whole graph."""
    rows = graph.destinations
    return with_loops(rows, graph.sources, *normalized_weights(rows, graph.sources, graph.weights, len(graph)))
