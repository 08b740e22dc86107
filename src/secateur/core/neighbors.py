r"""Exact nearest neighbors, within a bounded memory: candidates by a matrix product, distances by differences.

Tensor legend: Q queries, M references, D features, k neighbors, m > k candidates.

Ranking by :math:`\tfrac12|r|^2 - q \cdot r` costs one matrix product, but it cancels: near duplicates come out wrong,
duplicates not at 0. So the product only proposes m candidates per query. Their distances are then computed from the
differences in float64, and a bound on the product's rounding error proves per query that no other reference can be
as near as the k-th one. Queries without that proof (ties across the boundary, as among many identical points, or
points closer than float32 can tell) take a second, slower way: every reference that the bound cannot rule out is
measured. What is returned is therefore a function of the points alone: neither the chunks nor the order of summation
in the product matter.

Neighbors are ordered by the distance as it is returned, and equal distances by row. Cosine distance is one minus the
cosine; a zero vector, which has no direction, is at cosine distance 1 from everything, zero vectors included.

Cost: one Q x M x D product, a pass over its result, and O(Q m D) for the distances.
"""

import math
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.exact_search import ExactSearch, Points, full_precision, spans, widened

Distance = Literal["euclidean", "cosine"]
Backend = Literal["torch", "faiss", "faiss_ivf"]

MEMORY_BYTES = 256 * 2**20
_LARGEST = 1e150  # squares of float64 beyond it overflow


class Neighbors(NamedTuple):
    """Who is near, and how near.

    Attributes:
        ids: row among the references, int64 ``[Q, k]``; -1: no neighbor.
        distances: ``[Q, k]``, ascending; inf where there is no neighbor. float64 if either input is, else float32.
    """

    ids: Tensor
    distances: Tensor


def search(
    queries: Tensor,
    references: Tensor,
    k: int,
    distance: Distance = "euclidean",
    *,
    backend: Backend = "torch",
    memory_bytes: int = MEMORY_BYTES,
) -> Neighbors:
    r"""Return the k nearest references of every query.

    Args:
        queries: floats ``[Q, D]``; float16 and bfloat16 count as float32. On any device that has float64.
        references: floats ``[M, D]``, on the same device.
        k: number of neighbors, in ``[1, M]``.
        distance: ``"euclidean"``, :math:`|q - r|`, or ``"cosine"``, :math:`1 - q \cdot r / |q||r|`.
        backend: ``"torch"`` is exact. ``"faiss"`` takes its candidates from faiss' exact index, on the CPU and in
            float32, and measures them as torch does: neighbors can differ only where float32 cannot tell the
            (k + margin)-th from the next. ``"faiss_ivf"`` is approximate: :math:`4\sqrt M` cells (at least 39
            references each), of which an eighth, at least 8, are looked into; its distances are exact.
        memory_bytes: bound of the work space beside inputs and outputs; at the least a few rows are held. faiss
            additionally copies the references.

    Returns:
        The neighbors, by ascending distance, equal distances by ascending row.

    Raises:
        ConfigError: k, distance or backend is not one that can be, or faiss is not installed.
        DataError: not two tables of floats with the same D > 0 on one device.
        NumericalError: a value is not finite (or beyond 1e150); the message names the input and the first row.

    Example:
        >>> found = search(torch.tensor([[0.0], [9.0]]), torch.tensor([[1.0], [8.0], [1.0]]), k=2)
        >>> found.ids.tolist(), found.distances.tolist()
        ([[0, 2], [1, 0]], [[1.0, 1.0], [1.0, 8.0]])
    """
    largest = _check(queries, references, k, distance, backend)
    return _run(ExactSearch(queries, references, k, distance == "cosine", None, largest, memory_bytes), backend)


def grouped_search(
    queries: Tensor,
    references: Tensor,
    query_groups: Tensor,
    reference_groups: Tensor,
    k: int,
    distance: Distance = "euclidean",
    *,
    backend: Backend = "torch",
    memory_bytes: int = MEMORY_BYTES,
) -> Neighbors:
    """Return the k nearest references of every query among those of its own group.

    Of a group with fewer than k references all are given, then -1 at distance inf. Queries of a group that has none
    get the k nearest of any group. Beside ``memory_bytes``, one group at a time is copied.

    Args:
        queries: floats ``[Q, D]``.
        references: floats ``[M, D]``.
        query_groups: int64 ``[Q]``.
        reference_groups: int64 ``[M]``.
        k: number of neighbors, in ``[1, M]``.
        distance: see :func:`search`.
        backend: see :func:`search`.
        memory_bytes: see :func:`search`.

    Returns:
        As :func:`search`; ids are rows of ``references``.

    Raises:
        ConfigError: see :func:`search`.
        DataError: see :func:`search`, or there is not one integer group per row.
        NumericalError: see :func:`search`.
    """
    largest = _check(queries, references, k, distance, backend)
    for name, groups, points in (("query", query_groups, queries), ("reference", reference_groups, references)):
        if groups.shape != points.shape[:1] or groups.is_floating_point() or groups.device != points.device:
            raise DataError(
                f"{name}_groups must be integers [{len(points)}] on {points.device}; "
                f"got {groups.dtype} {list(groups.shape)} on {groups.device}."
            )
    ids = torch.full((len(queries), k), -1, device=queries.device)
    distances = torch.full(ids.shape, math.inf, dtype=widened(queries, references), device=queries.device)
    members = _rows_of_groups(reference_groups)
    everyone = torch.arange(len(references), device=queries.device)
    for group, rows in _rows_of_groups(query_groups).items():
        own = members.get(group, everyone)
        part = (queries[rows], references[own], min(k, len(own)))
        near = _run(ExactSearch(*part, distance == "cosine", None, largest, memory_bytes), backend)
        ids[rows, : near.ids.shape[1]] = own[near.ids]
        distances[rows, : near.ids.shape[1]] = near.distances
    return Neighbors(ids, distances)


def knn_graph(
    points: Tensor,
    k: int,
    distance: Distance = "euclidean",
    *,
    backend: Backend = "torch",
    memory_bytes: int = MEMORY_BYTES,
) -> Neighbors:
    """Return the k nearest others of every point: never the point itself, but its duplicates.

    Args:
        points: floats ``[N, D]``.
        k: number of neighbors, in ``[1, N - 1]``.
        distance: see :func:`search`.
        backend: see :func:`search`.
        memory_bytes: see :func:`search`.

    Returns:
        As :func:`search`, ``[N, k]``; ids are rows of ``points``.

    Raises:
        ConfigError: see :func:`search`.
        DataError: see :func:`search`.
        NumericalError: see :func:`search`.

    Example:
        >>> knn_graph(torch.tensor([[1.0], [1.0], [5.0]]), k=1).ids.flatten().tolist()
        [1, 0, 0]
    """
    largest = _check(points, points, k, distance, backend, most=len(points) - 1, names=("points", "points"))
    themselves = torch.arange(len(points), device=points.device)
    return _run(ExactSearch(points, points, k, distance == "cosine", themselves, largest, memory_bytes), backend)


@torch.no_grad()
def _run(task: ExactSearch, backend: Backend) -> Neighbors:
    ids = torch.empty(task.queries.num, task.k, dtype=torch.int64, device=task.device)
    distances = torch.empty(ids.shape, dtype=task.dtype, device=task.device)
    find = task.candidates if backend == "torch" else _FaissIndex(task, backend == "faiss_ivf").candidates
    with full_precision(), torch.autocast(task.device.type, enabled=False):
        for rows in task.chunks():
            ids[rows], distances[rows] = task.nearest(rows, *find(rows))
    return Neighbors(ids, distances)


class _FaissIndex:
    """Candidates of a search from a faiss index on the CPU: by L2 about the center, or by inner product."""

    def __init__(self, task: ExactSearch, approximate: bool) -> None:
        import faiss

        self.task = task
        points = task.references
        num_cells = min(round(4 * math.sqrt(points.num)), points.num // 39)
        self.index: Any = (faiss.IndexFlatIP if task.cosine else faiss.IndexFlatL2)(task.width)
        references = self._coded(points, torch.arange(points.num, device=task.device))
        if approximate and num_cells > 1:
            metric = faiss.METRIC_INNER_PRODUCT if task.cosine else faiss.METRIC_L2
            self.quantizer = self.index  # the cells do not own it
            self.index = faiss.IndexIVFFlat(self.quantizer, task.width, num_cells, metric)
            self.index.cp.seed, self.index.nprobe = 1234, min(num_cells, max(8, num_cells // 8))
            self.index.train(references)
        self.index.add(references)

    def candidates(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return references ``[q, m + 1]`` (-1: none) and, as S, that these all must be measured, and no others.

        A zero vector is as far from all: its neighbors are found by row, not here.
        """
        _, found = self.index.search(self._coded(self.task.queries, rows), self.task.num_candidates)
        self.task.coded_queries(rows)  # what is measured for a zero vector needs its length
        ids = F.pad(torch.from_numpy(found).to(rows.device), (0, 1), value=-1)
        values = torch.full(ids.shape, -math.inf, dtype=self.task.dtype, device=rows.device)
        values[~self.task.queries.zero[rows], -1] = math.inf
        return ids, values

    def _coded(self, points: Points, rows: Tensor) -> Any:
        coded = torch.empty(len(rows), self.task.width)
        for part in spans(len(rows), points.batch):
            exact = points.exact(rows[part])
            coded[part] = (exact if self.task.cosine else exact.sub_(self.task.center).mul_(self.task.scale)).cpu()
        return coded.numpy()


def _rows_of_groups(groups: Tensor) -> dict[int, Tensor]:
    """Return the rows of every group, ascending."""
    order = groups.argsort(stable=True)
    values, counts = torch.unique_consecutive(groups[order], return_counts=True)
    ends = counts.cumsum(0).tolist()
    return {value: order[start:end] for value, start, end in zip(values.tolist(), [0, *ends], ends, strict=False)}


def _check(
    queries: Tensor, references: Tensor, k: int, distance: str, backend: str,
    most: int | None = None, names: tuple[str, str] = ("queries", "references"),
) -> float:  # fmt: skip
    """Raise unless a search can be made; return the largest absolute value."""
    if distance not in ("euclidean", "cosine"):
        raise ConfigError(f"distance must be 'euclidean' or 'cosine', got {distance!r}.")
    if backend not in ("torch", "faiss", "faiss_ivf"):
        raise ConfigError(f"backend must be 'torch', 'faiss' or 'faiss_ivf', got {backend!r}.")
    if backend != "torch" and not find_spec("faiss"):
        raise ConfigError(f"backend={backend!r} needs faiss, which is not installed: pip install 'secateur[faiss]'")
    for name, points in zip(names, (queries, references), strict=True):
        if points.ndim != 2 or not points.shape[1] or not points.is_floating_point():
            raise DataError(f"{name} must be floats [rows, features], got {points.dtype} {list(points.shape)}.")
    if queries.shape[1] != references.shape[1] or queries.device != references.device:
        raise DataError(
            f"{names[0]} and {names[1]} must have the same features on one device; got {list(queries.shape)} on "
            f"{queries.device} and {list(references.shape)} on {references.device}."
        )
    most = len(references) if most is None else most
    if not 1 <= k <= most:
        raise ConfigError(f"k must be in [1, {most}] for {len(references)} {names[1]}, got {k}.")
    return max(_largest(names[0], queries), _largest(names[1], references) if references is not queries else 0.0)


def _largest(name: str, points: Tensor) -> float:
    """Return the largest absolute value, or raise, naming the first row with one that cannot be used."""
    if not points.numel():
        return 0.0
    least, most = (float(value) for value in torch.aminmax(points.detach()))
    largest = max(-least, most)
    if math.isfinite(largest) and largest <= _LARGEST:
        return largest
    for rows in spans(points.shape[0], max(1, 2**20 // points.shape[1])):
        magnitude = points[rows].detach().double().abs().amax(dim=1)
        bad = (~(magnitude <= _LARGEST)).nonzero().flatten().tolist()
        if bad:
            break
    raise NumericalError(
        f"{name} must be finite and below {_LARGEST:g}; row {rows.start + bad[0]} is the first that is not."
    )
