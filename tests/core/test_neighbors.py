"""Neighbors are who brute force says they are, in one order, whatever the chunks."""

import doctest
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from secateur.core import exact_search, neighbors
from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.neighbors import grouped_search, knn_graph, search

DISTANCES = ("euclidean", "cosine")
BACKENDS = ("torch", "faiss")


def points(rows, width=6, seed=0, dtype=torch.float32):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def all_distances(queries, references, distance):
    """Return all distances in float64: norms of differences, or one minus the cosine, and 1 to zero vectors."""
    queries, references = queries.double().numpy(), references.double().numpy()
    with np.errstate(invalid="ignore"):
        return torch.tensor(cdist(queries, references, metric=distance)).nan_to_num_(nan=1.0)


def brute_force(queries, references, k, distance, dtype, allowed=None):
    """Sort all distances, as ``dtype``, by distance and row."""
    matrix = all_distances(queries, references, distance)
    if allowed is not None:
        matrix[~allowed] = math.inf
    values, order = matrix.to(dtype).sort(dim=1, stable=True)
    return order[:, :k].masked_fill(values[:, :k].isinf(), -1), values[:, :k]


def slow_loop(queries, references, k):
    """Take differences one pair at a time, in float64, and round them to float32 for the order."""
    ids = []
    for query in queries.double():
        gaps = [float((reference - query).norm().float()) for reference in references.double()]
        ids.append(sorted(range(len(gaps)), key=lambda row: (gaps[row], row))[:k])
    return torch.tensor(ids)


def same(one, other):
    return torch.equal(one.ids, other.ids) and torch.equal(one.distances, other.distances)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_scikit_learn_finds_the_same(distance, dtype, rtol):
    queries, references = points(70, 33, 1, dtype), points(500, 33, 2, dtype)
    found = search(queries, references, 9, distance)
    theirs = NearestNeighbors(n_neighbors=9, algorithm="brute", metric=distance).fit(references.double().numpy())
    distances, ids = theirs.kneighbors(queries.double().numpy())
    assert torch.equal(found.ids, torch.from_numpy(ids))
    torch.testing.assert_close(found.distances, torch.from_numpy(distances).to(dtype), rtol=rtol, atol=0)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_distances_are_exact_far_from_the_origin(distance, dtype, rtol):
    queries, references = points(70, 33, 1, dtype) + 100, points(500, 33, 2, dtype) + 100
    found = search(queries, references, 9, distance)
    ids, distances = brute_force(queries, references, 9, distance, dtype)
    absolute = 1e-14 if distance == "cosine" else 0.0  # one minus the cosine cancels
    torch.testing.assert_close(found.distances, distances, rtol=rtol, atol=absolute)
    assert distance == "cosine" or torch.equal(found.ids, ids)


@pytest.mark.parametrize("distance", DISTANCES)
def test_many_references_go_through_several_levels_of_minima_and_several_tiles(distance, monkeypatch):
    queries, references = points(20, 8), points(3_001, 8, 1)
    ids, _ = brute_force(queries, references, 5, distance, torch.float32)
    assert torch.equal(search(queries, references, 5, distance).ids, ids)
    monkeypatch.setattr(exact_search, "_TILE_COLUMNS", 701)
    assert torch.equal(search(queries, references, 5, distance).ids, ids)


def coordinates(exact):
    values = st.integers(-3, 3).map(float)
    return values if exact else values | st.floats(-1e4, 1e4, width=32, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(DISTANCES), st.sampled_from([torch.float32, torch.float64]), st.booleans())
def test_small_searches_agree_with_brute_force(data, distance, dtype, exact):
    width, num_queries, num_references = data.draw(st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(1, 9)))
    row = st.lists(coordinates(exact), min_size=width, max_size=width)
    draw = lambda count: torch.tensor(data.draw(st.lists(row, min_size=count, max_size=count)), dtype=dtype)  # noqa: E731
    queries, references = draw(num_queries).reshape(num_queries, width), draw(num_references)
    k = data.draw(st.integers(1, num_references))
    found = search(queries, references, k, distance, memory_bytes=data.draw(st.sampled_from([1, 5_000, 2**28])))
    assert found.ids.shape == found.distances.shape == (num_queries, k)
    if not num_queries:
        return
    everyone = all_distances(queries, references, distance)
    expected = everyone.sort(dim=1).values[:, :k].to(dtype)
    rtol = 1e-6 if dtype == torch.float32 else 1e-12
    absolute = 1e-14 if distance == "cosine" else 0.0
    torch.testing.assert_close(found.distances, expected, rtol=rtol, atol=absolute)
    torch.testing.assert_close(everyone.gather(1, found.ids).to(dtype), expected, rtol=rtol, atol=1e-14)
    later = (found.distances[:, 1:] > found.distances[:, :-1]) | (found.ids[:, 1:] > found.ids[:, :-1])
    assert later.all()
    if exact and distance == "euclidean":
        assert torch.equal(found.ids, slow_loop(queries, references, k))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_are_at_distance_zero(distance, dtype):
    references = points(50, 40, dtype=dtype) * 1e3 + 1e5
    found = search(references.flip(0), references, 1, distance)
    assert torch.equal(found.ids.flatten(), torch.arange(50).flip(0))
    assert (found.distances == 0).all()


def test_neighbors_that_float32_products_cannot_tell_apart_are_told_apart():
    steps = torch.tensor([5, 3, 1, 4, 2, 0, 9, 8, 7, 6]).repeat(40).double() + torch.arange(400).double() * 1e-3
    references = torch.cat([1 + steps[:, None] * 2.0**-23 * 16, torch.ones(400, 7)], dim=1).float()
    references = torch.cat([references, 1e4 * points(3, 8)])  # far away, so that the center is too
    queries = torch.ones(2, 8)
    assert torch.equal(search(queries, references, 6).ids, slow_loop(queries, references, 6))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("memory_bytes", [1, 2**28])
def test_equal_points_come_by_row(distance, memory_bytes):
    equal = torch.full((300, 5), 0.3)
    found = search(equal[:10], equal, 7, distance, memory_bytes=memory_bytes)
    assert torch.equal(found.ids, torch.arange(7).expand(10, 7))
    assert (found.distances == 0).all()


@pytest.mark.parametrize("memory_bytes", [1, 20_000, 2**28])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_across_the_boundary_are_resolved_by_row(dtype, memory_bytes):
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5).to(dtype)  # many at the same distance
    references = corners[torch.randperm(32, generator=torch.Generator().manual_seed(0))].repeat(3, 1)
    queries = references[:6]
    for k in (1, 4, 10, 60, 96):
        found = search(queries, references, k, memory_bytes=memory_bytes)
        assert torch.equal(found.ids, slow_loop(queries, references, k))
        torch.testing.assert_close(found.distances, (queries[:, None] - references[found.ids]).norm(dim=2))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chunks_leave_no_trace(distance, dtype):
    queries, references = points(40, 11, dtype=dtype), points(333, 11, 1, dtype)
    references[200:] = references[:133]
    queries[5], references[7] = 0, 0
    expected = search(queries, references, 12, distance)
    for memory_bytes in (3_000, 40_000, 10**6):
        assert same(search(queries, references, 12, distance, memory_bytes=memory_bytes), expected)
    assert same(
        search(queries[:6], references, 12, distance, memory_bytes=1), type(expected)(*(x[:6] for x in expected))
    )
    assert same(search(queries[31:32], references, 12, distance), type(expected)(*(x[31:32] for x in expected)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_zero_vector_is_at_cosine_distance_one_from_everything(backend):
    pytest.importorskip(backend)
    references = points(300, 4)
    references[[20, 40]] = 0
    queries = torch.cat([torch.zeros(1, 4), -references[:1]])
    found = search(queries, references, 300, "cosine", backend=backend)
    assert torch.equal(found.ids[0], torch.arange(300))
    assert (found.distances[0] == 1).all()
    assert (found.distances[1][(found.ids[1] == 20) | (found.ids[1] == 40)] == 1).all()
    assert torch.equal(search(queries[:1], references, 3, "cosine", backend=backend).ids[0], torch.arange(3))


def test_cosine_does_not_see_lengths():
    references = points(40, 5)
    found = search(references * 3, references * torch.arange(1, 41)[:, None], 3, "cosine")
    assert torch.equal(found.ids, search(references, references, 3, "cosine").ids)
    assert (found.distances[:, 0] < 1e-14).all()  # what float32 rounded when the lengths were changed
    doubled = search(references * 4, references, 1, "cosine")
    assert torch.equal(doubled.ids.flatten(), torch.arange(40))
    assert (doubled.distances == 0).all()


@pytest.mark.parametrize("factor", [1e-30, 1e-20, 1e18, 1e30])
def test_the_scale_of_the_points_does_not_matter(factor):
    queries, references = points(20), points(200, seed=1)
    found = search(queries * factor, references * factor, 5)
    ids, distances = brute_force(queries * factor, references * factor, 5, "euclidean", torch.float32)
    assert torch.equal(found.ids, ids)
    torch.testing.assert_close(found.distances, distances, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype):
    queries, references = points(30).to(dtype), points(80, seed=1).to(dtype)
    for distance in DISTANCES:
        found = search(queries, references, 4, distance)
        assert found.distances.dtype == torch.float32
        assert same(found, search(queries.float(), references.float(), 4, distance))


def test_gradients_autocast_and_reduced_precision_change_nothing():
    queries, references = points(40, 64) + 3, points(800, 64, 1) + 3
    expected = search(queries, references, 5)
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu"):
            found = search(queries.requires_grad_(), references.requires_grad_(), 5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)
    assert same(found, expected)
    assert not found.distances.requires_grad


def test_the_memory_holds_no_matrix_of_all_pairs(monkeypatch):
    sizes = []
    reserve = exact_search.reserve
    monkeypatch.setattr(exact_search, "reserve", lambda buffer, size: sizes.append(size) or reserve(buffer, size))
    search(points(500, 4), points(2_000, 4), 3, memory_bytes=2**18)
    assert max(sizes) * 8 <= 2**18


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_keep_to_themselves(distance, backend):
    pytest.importorskip(backend)
    generator = torch.Generator().manual_seed(0)
    queries, references = points(60), points(90, seed=1)
    query_groups = torch.randint(-1, 6, (60,), generator=generator)  # nobody is in -1 or 5
    reference_groups = torch.randint(5, (90,), generator=generator)
    reference_groups[reference_groups == 3] = 2
    reference_groups[:4] = 3  # fewer than k
    found = grouped_search(queries, references, query_groups, reference_groups, 6, distance, backend=backend)
    lonely = ~torch.isin(query_groups, reference_groups)
    allowed = (query_groups[:, None] == reference_groups) | lonely[:, None]
    ids, distances = brute_force(queries, references, 6, distance, torch.float32, allowed)
    assert torch.equal(found.ids, ids)
    torch.testing.assert_close(found.distances, distances)
    assert (found.ids[query_groups == 3] == -1).sum(dim=1).tolist() == [2] * int((query_groups == 3).sum())
    assert lonely.sum() > 1


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_point_is_its_own_neighbor(distance, backend):
    pytest.importorskip(backend)
    some = torch.cat([points(60), points(60), torch.zeros(3, 6)])
    for k in (1, 5, 122):
        found = knn_graph(some, k, distance, backend=backend)
        _, distances = brute_force(some, some, k, distance, torch.float32, ~torch.eye(123, dtype=torch.bool))
        torch.testing.assert_close(found.distances, distances, rtol=1e-6, atol=1e-7)
        assert (found.ids != torch.arange(123)[:, None]).all()
        assert (found.ids >= 0).all()
        if k == 1:
            assert torch.equal(found.ids[:120, 0], torch.arange(120).roll(60))


@pytest.mark.parametrize("memory_bytes", [1, 2**28])
def test_the_graph_of_equal_points_is_by_row(memory_bytes):
    found = knn_graph(torch.ones(50, 3), 3, memory_bytes=memory_bytes)
    expected = [[row for row in range(5) if row != point][:3] for point in range(50)]
    assert found.ids.tolist() == expected
    assert (found.distances == 0).all()


def test_faiss_finds_what_torch_finds():
    pytest.importorskip("faiss")
    queries, references = points(200, 32) + 50, points(4_000, 32, 1) + 50
    for distance in DISTANCES:
        assert same(search(queries, references, 8, distance, backend="faiss"), search(queries, references, 8, distance))


@pytest.mark.parametrize("distance", DISTANCES)
def test_cells_find_most_neighbors_and_always_the_same(distance):
    pytest.importorskip("faiss")
    centers = points(30, 8) * 5
    references = centers.repeat(100, 1) + points(3_000, 8, 1)
    queries = centers.repeat(5, 1) + points(150, 8, 2)
    found = search(queries, references, 5, distance, backend="faiss_ivf")
    expected = search(queries, references, 5, distance)
    assert (found.ids == expected.ids).float().mean() > 0.8
    assert same(found, search(queries, references, 5, distance, backend="faiss_ivf"))
    assert same(
        search(queries, references[:70], 70, distance, backend="faiss_ivf"),
        search(queries, references[:70], 70, distance),
    )


def test_cells_with_too_few_references_are_not_the_last_word():
    pytest.importorskip("faiss")
    found = search(points(20, 3), points(2_000, 3, 1), 1_500, backend="faiss_ivf")
    assert same(found, search(points(20, 3), points(2_000, 3, 1), 1_500))


def test_no_queries_have_no_neighbors():
    for backend in BACKENDS:
        found = search(torch.empty(0, 3), points(5, 3), 2, backend=backend)
        assert found.ids.shape == found.distances.shape == (0, 2)
    groups = (torch.empty(0, dtype=torch.int64), torch.zeros(5, dtype=torch.int64))
    assert grouped_search(torch.empty(0, 3), points(5, 3), *groups, 2).ids.shape == (0, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_named(bad):
    fine, broken = points(9), points(9)
    broken[4, 2] = broken[7, 0] = bad
    with pytest.raises(NumericalError, match=r"queries must be finite.*row 4 "):
        search(broken, fine, 2)
    with pytest.raises(NumericalError, match=r"references must be finite.*row 4 "):
        search(fine, broken, 2)
    with pytest.raises(NumericalError, match=r"points must be finite.*row 4 "):
        knn_graph(broken, 2)
    groups = torch.zeros(9, dtype=torch.int64)
    with pytest.raises(NumericalError, match=r"references must be finite.*row 4 "):
        grouped_search(fine, broken, groups, groups, 2)


def test_a_float64_whose_square_overflows_is_refused():
    with pytest.raises(NumericalError, match=r"below 1e\+150; row 0"):
        search(torch.full((1, 1), 1e200, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64), 1)


@pytest.mark.parametrize("k", [-1, 0, 6])
def test_a_k_that_cannot_be_is_refused(k):
    with pytest.raises(ConfigError, match=rf"k must be in \[1, 5\] for 5 references, got {k}"):
        search(points(3), points(5), k)
    with pytest.raises(ConfigError, match=rf"k must be in \[1, 5\] for 6 points, got {k}"):
        knn_graph(points(6), k)


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"same features.*\[3, 6\].*\[5, 7\]"):
        search(points(3), points(5, 7), 1)
    with pytest.raises(DataError, match=r"queries must be floats \[rows, features\], got torch.float32 \[6\]"):
        search(points(3)[0], points(5), 1)
    with pytest.raises(DataError, match=r"references must be floats .* torch.int64"):
        search(points(3), torch.ones(5, 6, dtype=torch.int64), 1)
    with pytest.raises(DataError, match=r"query_groups must be integers \[3\]"):
        grouped_search(points(3), points(5), torch.zeros(2).long(), torch.zeros(5).long(), 1)
    with pytest.raises(DataError, match=r"reference_groups must be integers \[5\]"):
        grouped_search(points(3), points(5), torch.zeros(3).long(), torch.zeros(5), 1)


def test_unknown_choices_are_refused():
    with pytest.raises(ConfigError, match="'euclidean' or 'cosine', got 'l1'"):
        search(points(3), points(5), 1, "l1")
    with pytest.raises(ConfigError, match="'torch', 'faiss' or 'faiss_ivf', got 'annoy'"):
        search(points(3), points(5), 1, backend="annoy")


def test_without_faiss_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(neighbors, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[faiss\]'"):
        search(points(3), points(5), 1, backend="faiss_ivf")
    assert "faiss" in sys.modules or search(points(3), points(5), 1).ids.shape == (3, 1)


def test_docstring_examples():
    assert doctest.testmod(neighbors).failed == 0
