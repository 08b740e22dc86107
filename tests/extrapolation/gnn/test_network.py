"""Layers against dense matrices and the library's own layers; chunked prediction against one forward pass."""

import pytest
import torch

from secateur.extrapolation.gnn.adjacency import full_adjacency
from secateur.extrapolation.gnn.features import COLUMNS, NodeFeatures
from secateur.extrapolation.gnn.graph import neighbor_graph
from secateur.extrapolation.gnn.inference import predict_layerwise
from secateur.extrapolation.gnn.network import GATLayer, GCNLayer, GraphNetwork

NUM_NODES, WIDTH = 60, 7


@pytest.fixture
def points():
    return torch.randn(NUM_NODES, WIDTH, generator=torch.Generator().manual_seed(0))


def make_graph(points, k=5, symmetric=False):
    distances = torch.cdist(points, points)
    distances.fill_diagonal_(float("inf"))
    found = distances.topk(k, largest=False)
    return neighbor_graph(found.indices, found.values, "gaussian", symmetric)


def dense_normalized(graph):
    """D^-1/2 (A + I) D^-1/2, entry by entry."""
    n = len(graph)
    matrix = torch.eye(n, dtype=torch.float64)
    for row, column, weight in zip(graph.destinations, graph.sources, graph.weights, strict=True):
        matrix[row, column] = float(weight)
    degree = [float(row.sum()) for row in matrix]
    for i in range(n):
        for j in range(n):
            matrix[i, j] /= (degree[i] * degree[j]) ** 0.5
    return matrix


@pytest.mark.parametrize("symmetric", [False, True])
def test_network_equals_dense_matrices(points, symmetric):
    graph = make_graph(points, symmetric=symmetric)
    torch.manual_seed(0)
    network = GraphNetwork(WIDTH, [6, 5], dropout=0.5).eval()
    for layer in network.layers:
        torch.nn.init.normal_(layer.conv.bias)
    x, dense = points.double(), dense_normalized(graph)
    for number, layer in enumerate(network.layers):
        weight, bias = layer.conv.lin.weight.double(), layer.conv.bias.double()
        x = dense @ x @ weight.T + bias
        x = x.relu() if number < 2 else x
    outputs = network(points, [full_adjacency(graph)] * 3)
    torch.testing.assert_close(outputs.double(), x.flatten(), rtol=1e-5, atol=1e-5)


def test_gcn_layer_equals_the_librarys_normalization(points):
    from torch_geometric.nn import GCNConv

    graph = make_graph(points)
    layer, library = GCNLayer(WIDTH, 4), GCNConv(WIDTH, 4)
    library.load_state_dict(layer.conv.state_dict())
    expected = library(points, torch.stack([graph.sources, graph.destinations]), graph.weights)
    torch.testing.assert_close(layer.aggregate(layer.transform(points), full_adjacency(graph)), expected)


def test_gat_layer_equals_the_library(points):
    from torch_geometric.nn import GATConv

    graph = make_graph(points)
    layer, library = GATLayer(WIDTH, 4), GATConv(WIDTH, 4)
    library.load_state_dict(layer.conv.state_dict())
    expected = library(points, torch.stack([graph.sources, graph.destinations]))
    torch.testing.assert_close(layer.aggregate(layer.transform(points), full_adjacency(graph)), expected)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("conv", "propagated"), [("gcn", False), ("gcn", True), ("gat", False)])
@pytest.mark.parametrize("chunk", [1, 17, 1000])
def test_layerwise_prediction_equals_a_forward_pass(points, conv, propagated, chunk, symmetric):
    adjacency = full_adjacency(make_graph(points, symmetric=symmetric))
    features = NodeFeatures(points, torch.arange(NUM_NODES) % 3, 3, standardize=True)
    torch.manual_seed(0)
    network = GraphNetwork(features.width, [6, 5], 0.5, conv).eval()
    expected = network(features[:], [adjacency] * 3)
    network.train()
    given = features.propagated(adjacency) if propagated else features
    predicted = predict_layerwise(network, given, adjacency, propagated, chunk)
    torch.testing.assert_close(predicted, expected, rtol=1e-5, atol=1e-5)
    assert network.training


def test_prediction_does_not_depend_on_the_order_of_nodes(points):
    torch.manual_seed(0)
    network, order = GraphNetwork(WIDTH, [6, 5], 0.5), torch.randperm(NUM_NODES)
    plain = predict_layerwise(network, points, full_adjacency(make_graph(points)))
    shuffled = predict_layerwise(network, points[order], full_adjacency(make_graph(points[order])))
    torch.testing.assert_close(shuffled, plain[order], rtol=1e-5, atol=1e-5)


def test_flops_of_a_forward_pass(points):
    adjacency = full_adjacency(make_graph(points))
    network = GraphNetwork(WIDTH, [6], 0.5)
    edges = NUM_NODES * 6
    by_hand = 2 * NUM_NODES * (WIDTH * 6 + 6 * 1) + 2 * edges * (6 + 1)
    assert network.flops(NUM_NODES, [adjacency] * 2) == by_hand
    assert network.flops(NUM_NODES, [None, adjacency]) == by_hand - 2 * edges * 6


@pytest.mark.parametrize("num_classes", [0, 3, COLUMNS + 5])
@pytest.mark.parametrize("standardize", [False, True])
def test_features_by_rows_and_by_columns(num_classes, standardize):
    embeddings = torch.randn(40, COLUMNS + 9, dtype=torch.float64) * 3 + 100
    embeddings[:, 2] = 0.1
    labels = torch.arange(40) % num_classes if num_classes else None
    features = NodeFeatures(embeddings, labels, num_classes, standardize)
    one_hot = torch.zeros(40, num_classes)
    if num_classes:
        one_hot[torch.arange(40), labels] = 1
    expected = embeddings
    if standardize:
        expected = (embeddings - embeddings.mean(0)) / embeddings.std(0, correction=0)
        expected[:, 2] = 0
    expected = torch.cat([one_hot, expected.float()], dim=1)
    torch.testing.assert_close(features[:], expected, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(features[torch.tensor([5, 1])], expected[[5, 1]], rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(features.columns(1, COLUMNS + 7), expected[:, 1 : COLUMNS + 7], rtol=1e-5, atol=2e-5)
    adjacency = full_adjacency(make_graph(embeddings))
    torch.testing.assert_close(
        features.propagated(adjacency), adjacency.matrix.to_dense() @ expected, rtol=1e-5, atol=2e-5
    )
