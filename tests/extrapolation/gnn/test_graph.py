import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.extrapolation.gnn.graph import edge_weights, neighbor_graph, same_class_neighbors


def nearest(points, k):
    distances = torch.cdist(points, points)
    distances.fill_diagonal_(math.inf)
    found = distances.topk(k, largest=False)
    return found.indices, found.values


def as_dict(graph):
    pairs = zip(graph.destinations.tolist(), graph.sources.tolist(), strict=True)
    return dict(zip(pairs, graph.weights.tolist(), strict=True))


def test_every_node_hears_its_neighbors_with_exp_of_half_the_distance():
    ids, distances = nearest(torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), 5)
    edges = as_dict(neighbor_graph(ids, distances, "exp_half"))
    expected = {(i, int(ids[i, j])): math.exp(-float(distances[i, j]) / 2) for i in range(30) for j in range(5)}
    assert edges.keys() == expected.keys()
    assert all(edges[pair] == pytest.approx(weight, rel=1e-6) for pair, weight in expected.items())


def test_gaussian_is_scaled_by_the_distance_to_the_last_neighbor():
    ids, distances = nearest(torch.randn(20, 3, dtype=torch.float64), 4)
    weights = edge_weights(distances, ids, "gaussian")
    for i in range(20):
        for j in range(4):
            sigmas = float(distances[i, 3] * distances[ids[i, j], 3])
            assert float(weights[i, j]) == pytest.approx(math.exp(-(float(distances[i, j]) ** 2) / (2 * sigmas)))


@given(scale=st.floats(1e-3, 1e6))
def test_gaussian_does_not_depend_on_the_scale(scale):
    ids, distances = nearest(torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).double(), 4)
    torch.testing.assert_close(
        edge_weights(distances * scale, ids, "gaussian"), edge_weights(distances, ids, "gaussian")
    )


@pytest.mark.parametrize("weighting", ["gaussian", "exp_half", "uniform"])
def test_duplicates_weigh_as_much_as_the_node_itself(weighting):
    points = torch.tensor([[0.0], [0.0], [0.0], [1.0], [3.0]])
    ids, distances = nearest(points, 2)
    weights = edge_weights(distances, ids, weighting)
    assert torch.isfinite(weights).all()
    assert torch.equal(weights[:3], torch.ones(3, 2, dtype=torch.float64))
    assert ((weights >= 0) & (weights <= 1)).all()
    assert torch.equal(edge_weights(torch.zeros(5, 2), ids, weighting), torch.ones(5, 2, dtype=torch.float64))


@pytest.mark.parametrize("weighting", ["gaussian", "exp_half"])
def test_symmetric_graph_is_the_union_of_both_directions(weighting):
    ids, distances = nearest(torch.randn(25, 4, dtype=torch.float64), 3)
    directed = as_dict(neighbor_graph(ids, distances, weighting))
    symmetric = as_dict(neighbor_graph(ids, distances, weighting, symmetric=True))
    assert symmetric.keys() == directed.keys() | {(j, i) for i, j in directed}
    assert len(symmetric) > len(directed)
    for (i, j), weight in directed.items():
        assert symmetric[i, j] == pytest.approx(weight)
        assert symmetric[j, i] == pytest.approx(weight)


def test_rows_are_compressed_and_sorted():
    ids, distances = nearest(torch.randn(12, 2), 3)
    graph = neighbor_graph(ids, distances, symmetric=True)
    assert len(graph) == 12
    assert int(graph.indptr[-1]) == len(graph.sources) == len(graph.weights)
    keys = graph.destinations * 12 + graph.sources
    assert (keys.diff() > 0).all()
    assert not (graph.destinations == graph.sources).any()


@pytest.mark.parametrize("k", [1, 3, 8])
def test_same_class_neighbors(k):
    stream = torch.Generator().manual_seed(k)
    points = torch.randn(40, 3, generator=stream, dtype=torch.float64)
    labels = torch.randint(4, (40,), generator=stream)
    labels[:1] = 9  # alone in its class
    points[5] = points[6]
    found = same_class_neighbors(points, labels, k)
    for i in range(40):
        others = [j for j in range(40) if j != i and labels[j] == labels[i]]
        expected = sorted(others, key=lambda j: (float((points[i] - points[j]).norm()), j))[:k]
        assert found.ids[i].tolist() == expected + [-1] * (k - len(expected))
        assert found.distances[i, len(expected) :].isinf().all()
    graph = neighbor_graph(found.ids, found.distances)
    assert torch.isfinite(graph.weights).all()
    assert (labels[graph.sources] == labels[graph.destinations]).all()
    assert len(graph.sources) == int((found.ids >= 0).sum())
