r"""The engine of :mod:`secateur.core.neighbors`: candidates by a matrix product, distances by differences.

Tensor legend: Q queries, M references, D features, k neighbors, m > k candidates; q queries of one chunk.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_CACHE_BYTES = 2**20  # float64 rows worked on at a time: they should stay in the processor's cache
_TILE_BYTES = 2**25  # product of one tile on a CPU
_TILE_COLUMNS = 16_384
_BLOCK = 8  # columns of which one minimum is taken
_DIRECTION_RESOLUTION = 2.0**-100  # cosine distances below come from normalizing, not from the vectors


class Points:
    """Rows of one side of a search, in float64.

    Args:
        values: floats ``[n, D]``.
        cosine: rows count as directions, and are given with unit length; zero rows (shorter than about 1e-160, whose
            norm underflows) stay as they are.
        batch: how many rows are worked on at a time.
    """

    def __init__(self, values: Tensor, cosine: bool, batch: int) -> None:
        self.values, self.batch = values.detach(), batch
        self.num, self.width = values.shape
        self.given = torch.empty(0, dtype=values.dtype, device=values.device)
        self.buffer = torch.empty(0, dtype=torch.float64, device=values.device)
        self.inverse: Tensor | None = None
        self.zero = torch.zeros(self.num, dtype=torch.bool, device=values.device)
        if cosine:
            norms = torch.empty(self.num, dtype=torch.float64, device=values.device)
            for rows in spans(self.num, batch):
                norms[rows] = lengths(self.exact(rows))
            self.zero = norms == 0
            self.inverse = norms.masked_fill_(self.zero, 1).reciprocal_()

    def exact(self, rows: slice | Tensor) -> Tensor:
        """Return some rows in float64, in memory that the next call uses again."""
        num_rows = rows.stop - rows.start if isinstance(rows, slice) else rows.shape[0]
        size = num_rows * self.width
        self.buffer = reserve(self.buffer, size)
        exact = self.buffer[:size].view(num_rows, self.width)
        if isinstance(rows, slice):
            exact.copy_(self.values[rows])
        elif self.values.dtype == exact.dtype:
            torch.index_select(self.values, 0, rows, out=exact)
        else:
            self.given = reserve(self.given, size)
            given = self.given[:size].view(num_rows, self.width)
            exact.copy_(torch.index_select(self.values, 0, rows, out=given))
        return exact if self.inverse is None else exact.mul_(self.inverse[rows, None])


class ExactSearch:
    r"""One search; ``skip [Q]`` is the row of a reference per query that is no neighbor.

    The product is made of *coded* rows, exact - center and scaled below 1, with one more column such that coded
    queries times coded references is :math:`S = \tfrac12|r|^2 - q \cdot r`. Cosine distance is half the squared gap
    :math:`|q - r|^2` of unit vectors; a zero reference counts 1/2 more in S, so that S ranks by cosine distance too.

    Args:
        queries: finite floats ``[Q, D]``.
        references: finite floats ``[M, D]``.
        k: number of neighbors, at most M, less one with ``skip``.
        cosine: cosine distance, else euclidean.
        skip: int64 ``[Q]`` or None.
        largest: largest absolute value of all.
        memory_bytes: bound of the work space.
    """

    def __init__(
        self, queries: Tensor, references: Tensor, k: int, cosine: bool, skip: Tensor | None, largest: float,
        memory_bytes: int,
    ) -> None:  # fmt: skip
        self.k, self.cosine, self.skip = k, cosine, skip
        self.dtype, self.device = widened(queries, references), queries.device
        self.width = references.shape[1]
        self.num_coded = (self.width + 1 + 3) // 4 * 4  # a multiple of 4 for the sake of matrix kernels
        self.num_candidates = min(len(references), k + 4 + k // 16)
        self.scale = math.ldexp(1.0, -math.frexp(largest)[1]) if largest and not cosine else 1.0

        self.share = memory_bytes // 8
        on_cpu = self.device.type == "cpu"
        self.tile_bytes = min(self.share, _TILE_BYTES) if on_cpu else self.share
        batch = max(1, (min(self.share, _CACHE_BYTES) if on_cpu else self.share) // (self.width * 12))
        self.tile = torch.empty(0, dtype=self.dtype, device=self.device)
        self.coded = torch.empty(0, self.num_coded, dtype=self.dtype, device=self.device)
        self.coded_columns = slice(0, 0)
        self.queries, self.references = Points(queries, cosine, batch), Points(references, cosine, batch)
        self.query_lengths = torch.zeros(len(queries), dtype=torch.float64, device=self.device)  # of coded ones
        some = torch.arange(0, len(references), math.ceil(len(references) / batch), device=self.device)
        self.center = self.references.exact(some).mean(dim=0)

    def chunks(self) -> Iterator[Tensor]:
        """Return the rows of queries, as many at a time as can be coded and have their candidates kept."""
        size = self.share // (self.num_candidates * 64 + self._coded_bytes)
        for chunk in spans(self.queries.num, size):
            yield torch.arange(chunk.start, chunk.stop, device=self.device)

    # ------------------------------------------------------------------ candidates by a matrix product

    def candidates(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the references with the m smallest S, and these S, ascending, both ``[q, m]``."""
        coded, count = self.coded_queries(rows), self.num_candidates
        best = torch.full((len(rows), count), math.inf, dtype=self.dtype, device=self.device)
        ids = torch.full(best.shape, -1, device=self.device)
        num_rows, num_columns = self._tile_shape(1)
        for columns in spans(self.references.num, num_columns):
            others = self._coded_references(columns)
            for part in spans(len(rows), num_rows):
                tile = self._product(coded[part], others, columns, rows[part])
                values, positions = smallest(tile, min(count, tile.shape[1]))
                positions += columns.start
                if num_columns < self.references.num:
                    values, order = torch.cat([best[part], values], dim=1).topk(count, dim=1, largest=False)
                    positions = torch.cat([ids[part], positions], dim=1).gather(1, order)
                best[part], ids[part] = values, positions
        return ids, best

    @property
    def _coded_bytes(self) -> int:
        return self.num_coded * self.dtype.itemsize

    def _tile_shape(self, share: int) -> tuple[int, int]:
        """Return how many queries and references make a tile, of a ``share``-th of the usual size."""
        values = max(1, self.tile_bytes // share // self.dtype.itemsize)
        most = max(1, min(_TILE_COLUMNS // share, self.share // self._coded_bytes, values))
        num_references = self.references.num
        num_columns = math.ceil(num_references / math.ceil(num_references / most))
        return max(1, values // num_columns), num_columns

    def coded_queries(self, rows: Tensor) -> Tensor:
        """Return coded queries, and remember their lengths."""
        coded = torch.zeros(len(rows), self.num_coded, dtype=self.dtype, device=self.device)
        coded[:, self.width] = 1
        for part in spans(len(rows), self.queries.batch):
            centered = self._centered(self.queries, rows[part])
            self.query_lengths[rows[part]] = lengths(centered)
            coded[part, : self.width] = centered.neg_()
        return coded

    def _coded_references(self, columns: slice) -> Tensor:
        """Return coded references; the last ones are kept, so that a single tile's are coded once."""
        num_columns = columns.stop - columns.start
        if columns == self.coded_columns:
            return self.coded[:num_columns]
        if len(self.coded) < num_columns:
            self.coded = torch.zeros(num_columns, self.num_coded, dtype=self.dtype, device=self.device)
        for part in spans(num_columns, self.references.batch):
            rows = slice(columns.start + part.start, columns.start + part.stop)
            centered = self._centered(self.references, rows)
            self.coded[part, : self.width] = centered
            self.coded[part, self.width] = (lengths(centered).square() + self.references.zero[rows]) / 2
        self.coded_columns = columns
        return self.coded[:num_columns]

    def _centered(self, points: Points, rows: slice | Tensor) -> Tensor:
        return points.exact(rows).sub_(self.center).mul_(self.scale)

    def _product(self, coded: Tensor, others: Tensor, columns: slice, rows: Tensor) -> Tensor:
        """Return S of some coded queries and references, in memory that is used again; what is skipped is inf."""
        size = len(coded) * len(others)
        self.tile = reserve(self.tile, size)
        tile = self.tile[:size].view(len(coded), len(others))
        torch.mm(coded, others.T, out=tile)
        if self.skip is not None:
            skipped = self.skip[rows]
            here = ((skipped >= columns.start) & (skipped < columns.stop)).nonzero().flatten()
            tile[here, skipped[here] - columns.start] = math.inf
        return tile

    # ------------------------------------------------------------------ distances by differences

    def nearest(self, rows: Tensor, candidates: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids and distances ``[q, k]`` of the nearest neighbors.

        Args:
            rows: queries ``[q]``.
            candidates: the only references that are considered while their S stays below that of the others, int64
                ``[q, m]``; -1: none.
            values: their S, ascending ``[q, m]``.
        """
        distances = torch.full(candidates.shape, math.inf, dtype=self.dtype, device=self.device)
        distances[:, : self.k] = self._distances(rows, candidates[:, : self.k])
        bounds = self._bounds(rows, distances[:, : self.k].amax(dim=1))
        within = values[:, self.k :] <= bounds[:, None]
        some = within.any(dim=1).nonzero().flatten()
        distances[some, self.k :] = self._distances(rows[some], candidates[some, self.k :])
        ids, distances = self._first(candidates, distances)
        proven = (values[:, -1] > bounds) | (self.num_candidates == self.references.num)
        unproven = ~proven | distances[:, -1].isinf()
        if bool(unproven.any()):
            ids[unproven], distances[unproven] = self._measure_all_within(rows[unproven], bounds[unproven])
        return ids, distances

    def _first(self, ids: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first k ``[q, k]`` by distance, and by row where distances are equal."""
        ordered, order = distances.sort(dim=1)
        tied = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1).nonzero().flatten()
        if len(tied):
            by_row = ids[tied].argsort(dim=1)
            order[tied] = by_row.gather(1, distances[tied].gather(1, by_row).argsort(dim=1, stable=True))
        return ids.gather(1, order[:, : self.k]), ordered[:, : self.k]

    def _distances(self, rows: Tensor, ids: Tensor) -> Tensor:
        """Return the distances ``[q, m]`` between queries and references; inf to -1 and to what is skipped."""
        chosen = ids.clamp(min=0)
        gaps = torch.empty(ids.shape, dtype=torch.float64, device=self.device)
        num_columns = max(1, min(self.references.batch, ids.shape[1]))
        for part in spans(len(rows), self.references.batch // num_columns):
            queries = self.queries.exact(rows[part]).unsqueeze(1)
            for columns in spans(ids.shape[1], num_columns):
                some = chosen[part, columns]
                differences = self.references.exact(some.flatten())
                differences.view(*some.shape, -1).sub_(queries)
                gaps[part, columns] = lengths(differences).view(some.shape)
        missing = ids < 0
        if self.skip is not None:
            missing |= ids == self.skip[rows, None]
        distances = self._cosine_distances(rows, chosen, gaps) if self.cosine else gaps
        return distances.to(self.dtype).masked_fill_(missing, math.inf)

    def _cosine_distances(self, rows: Tensor, ids: Tensor, gaps: Tensor) -> Tensor:
        """Return the cosine distances from the gaps ``[q, m]`` between unit vectors, and where either is zero."""
        distances = gaps.square_().div_(2).clamp_(max=2)
        distances.masked_fill_(distances < _DIRECTION_RESOLUTION, 0)
        return distances.masked_fill_(self.references.zero[ids] | self.queries.zero[rows, None], 1)

    # ------------------------------------------------------------------ proof, and what lacks it

    def _bounds(self, rows: Tensor, distances: Tensor) -> Tensor:
        r"""Return the S ``[q]``, as computed, that no reference within these distances ``[q]`` exceeds.

        With its distance d a reference has :math:`|r| \le \rho = |q| + d`, so its S differs from the exact one by at
        most :math:`\gamma\rho(|q| + \rho)`, with the classic bound :math:`\gamma = D u` for a sum of D products in
        any order (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and some more for the rounding
        of coded rows and of returned distances.
        """
        norms = self.query_lengths[rows]
        gaps = distances.double() * self.scale
        if self.cosine:
            gaps = (2 * distances.double() - self.queries.zero[rows].double()).clamp_(min=0).sqrt_()
        rho = norms + gaps
        number = torch.finfo(self.dtype)
        gamma, underflow = (self.width + 16) * number.eps / 2, (self.width + 16) * number.tiny
        bounds = (gaps - norms) * rho / 2 + gamma * rho * (norms + rho) + underflow
        return bounds.clamp_(max=number.max).to(self.dtype)

    def _measure_all_within(self, rows: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids and distances ``[q, k]`` of the nearest among all references with S up to ``bounds [q]``."""
        ids = torch.full((len(rows), self.k), -1, device=self.device)
        distances = torch.full(ids.shape, math.inf, dtype=self.dtype, device=self.device)
        least = self.queries.zero[rows].to(self.dtype)
        num_rows, num_columns = self._tile_shape(16)
        for part in spans(len(rows), num_rows):
            coded = self.coded_queries(rows[part])
            for columns in spans(self.references.num, num_columns):
                # Later rows cannot come before k neighbors at the least distance there is.
                allowed = bounds[part].masked_fill(distances[part, -1] <= least[part], -math.inf)
                if bool(allowed.isneginf().all()):
                    break
                others = self._coded_references(columns)
                more = positions_of(self._product(coded, others, columns, rows[part]) <= allowed[:, None])
                more[more >= 0] += columns.start
                measured = torch.cat([distances[part], self._distances(rows[part], more)], dim=1)
                ids[part], distances[part] = self._first(torch.cat([ids[part], more], dim=1), measured)
        return ids, distances


def smallest(values: Tensor, count: int, ascending: bool = True) -> tuple[Tensor, Tensor]:
    """Return the ``count`` smallest of each row ``[n, c]``, and their columns.

    They lie in the ``count`` blocks with the smallest minima, and the minima cost one pass over the row. Blocks are
    strided, so that this pass runs along the memory.
    """
    num_blocks = values.shape[1] // _BLOCK
    if num_blocks < 4 * count:
        found = values.topk(count, dim=1, largest=False, sorted=ascending)
        return found.values, found.indices
    used = _BLOCK * num_blocks
    blocked = values[:, :used].view(-1, _BLOCK, num_blocks)
    blocks = smallest(blocked.amin(dim=1), count, ascending=False)[1].unsqueeze(1)
    inside = blocked.gather(2, blocks.expand(-1, _BLOCK, -1)).flatten(1)
    columns = (blocks + torch.arange(0, used, num_blocks, device=values.device)[:, None]).flatten(1)
    if used < values.shape[1]:
        rest = torch.arange(used, values.shape[1], device=values.device).expand(len(values), -1)
        inside, columns = torch.cat([inside, values[:, used:]], dim=1), torch.cat([columns, rest], dim=1)
    found = inside.topk(count, dim=1, largest=False, sorted=ascending)
    return found.values, columns.gather(1, found.indices)


def positions_of(mask: Tensor) -> Tensor:
    """Return the columns where each row of ``mask [n, c]`` is true, ascending, filled up with -1."""
    counts = mask.sum(dim=1)
    rows, columns = mask.nonzero(as_tuple=True)
    positions = torch.full((len(mask), int(counts.max())), -1, device=mask.device)
    positions[rows, torch.arange(len(rows), device=mask.device) - (counts.cumsum(0) - counts)[rows]] = columns
    return positions


def lengths(rows: Tensor) -> Tensor:
    """Return the norm of each row ``[n, D]``, the same whatever n: of a single row torch sums in another order."""
    norms: Tensor = torch.linalg.vector_norm(rows if len(rows) != 1 else rows.repeat(2, 1), dim=1)
    return norms[: len(rows)]


def reserve(buffer: Tensor, size: int) -> Tensor:
    """Return the buffer if it is large enough, else a new one: fresh memory costs as much as what is done in it."""
    return buffer if buffer.shape[0] >= size else buffer.new_empty(size)


def spans(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` (and at least 1) that cover ``count``."""
    size = max(1, size)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def widened(queries: Tensor, references: Tensor) -> torch.dtype:
    """Return the type of distances: float64 if either side has it, else float32."""
    return torch.float64 if torch.float64 in (queries.dtype, references.dtype) else torch.float32


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep TF32 and bfloat16 out of float32 products, whatever precision the program has set for its own."""
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch < 2.9
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
        return
    backends: Any = torch.backends
    settings = (backends.cuda.matmul, backends.mkldnn.matmul)
    precisions = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for setting, precision in zip(settings, precisions, strict=True):
            setting.fp32_precision = precision
