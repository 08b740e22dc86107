import math

import pytest
import torch

from secateur.extrapolation.gnn.adjacency import full_adjacency
from secateur.extrapolation.gnn.graph import neighbor_graph
from secateur.extrapolation.gnn.network import GraphNetwork
from secateur.extrapolation.gnn.sampling import NeighborSampler, draw_edges

NUM_NODES = 40


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def graph():
    points = torch.randn(NUM_NODES, 3, generator=generator())
    distances = torch.cdist(points, points)
    distances.fill_diagonal_(math.inf)
    found = distances.topk(6, largest=False)
    return neighbor_graph(found.indices, found.values, "gaussian", symmetric=True)


def test_edges_are_drawn_without_replacement_among_the_nodes_own(graph):
    nodes = torch.tensor([7, 3, 20])
    rows, edges, scales = draw_edges(graph.indptr, nodes, 4, generator())
    assert rows.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(edges.unique()) == len(edges)
    assert torch.equal(graph.destinations[edges], nodes[rows])
    degrees = graph.indptr.diff()[nodes[rows]]
    torch.testing.assert_close(scales, degrees / 4)


def test_all_edges_of_nodes_with_few(graph):
    nodes = torch.arange(NUM_NODES)
    for fanout in (-1, 1000):
        rows, edges, scales = draw_edges(graph.indptr, nodes, fanout)
        assert torch.equal(edges, torch.arange(len(graph.sources)))
        assert torch.equal(rows, graph.destinations)
        assert (scales == 1).all()


def test_every_neighbor_is_drawn_equally_often(graph):
    node, counts = torch.tensor([5]), torch.zeros(len(graph.sources))
    degree, draws = int(graph.indptr.diff()[5]), 4000
    source = generator()
    for _ in range(draws):
        counts[draw_edges(graph.indptr, node, 3, source)[1]] += 1
    expected = draws * 3 / degree
    mine = counts[graph.indptr[5] : graph.indptr[6]]
    assert counts.sum() == draws * 3 == mine.sum()
    assert (mine - expected).abs().max() < 5 * expected**0.5


def test_subgraph_lists_roots_first_and_expands_every_node_once(graph):
    roots = torch.tensor([11, 4, 30])
    sub = NeighborSampler(graph, [2, 3]).sample(roots, generator())
    assert torch.equal(sub.nodes[:3], roots)
    assert len(sub.nodes.unique()) == len(sub.nodes) == sub.counts[-1]
    entries = sub.adjacency.indptr.diff()
    assert entries[:3].tolist() == [3] * 3
    assert entries[3 : sub.counts[1]].tolist() == [4] * (sub.counts[1] - 3)
    assert entries[sub.counts[1] :].tolist() == [1] * (sub.counts[2] - sub.counts[1])
    pairs = set(zip(graph.destinations.tolist(), graph.sources.tolist(), strict=True))
    for column, row in sub.adjacency.edge_index.T.tolist():
        assert row == column or (int(sub.nodes[row]), int(sub.nodes[column])) in pairs


def test_sampler_forgets_what_it_drew_before(graph):
    sampler = NeighborSampler(graph, [2, 2])
    sampler.sample(torch.tensor([1, 2]), generator(1))
    again = sampler.sample(torch.tensor([9, 3]), generator(2))
    fresh = NeighborSampler(graph, [2, 2]).sample(torch.tensor([9, 3]), generator(2))
    assert torch.equal(again.nodes, fresh.nodes)
    assert torch.equal(again.adjacency.matrix.to_dense(), fresh.adjacency.matrix.to_dense())


def test_sampled_sums_are_unbiased(graph):
    x, roots, sampler = torch.randn(NUM_NODES, 2, generator=generator(3)), torch.arange(8), NeighborSampler(graph, [3])
    exact = (full_adjacency(graph).matrix @ x)[roots]
    source, draws = generator(4), []
    for _ in range(3000):
        sub = sampler.sample(roots, source)
        draws.append(sub.layers(1)[0].matrix @ x[sub.nodes])
    samples = torch.stack(draws)
    error = samples.std(dim=0) / len(draws) ** 0.5
    assert error.min() > 0
    assert ((samples.mean(dim=0) - exact).abs() < 4.5 * error).all()


@pytest.mark.parametrize("normalizer", ["global", "subgraph"])
@pytest.mark.parametrize("conv", ["gcn", "gat"])
def test_all_neighbors_at_every_hop_give_the_full_graphs_outputs_and_gradients(graph, normalizer, conv):
    x, roots = torch.randn(NUM_NODES, 4, generator=generator(5)), torch.tensor([3, 8, 1, 39])
    torch.manual_seed(0)
    network = GraphNetwork(4, [6, 5], dropout=0.0, conv=conv)
    # one hop more than layers: the outermost rows' degrees matter to a subgraph's normalizer
    sub = NeighborSampler(graph, [-1] * 4, normalizer).sample(roots)
    layers = sub.layers(3)
    sampled = network(x[sub.nodes][: layers[0].num_columns], layers)
    sampled_gradients = torch.autograd.grad(sampled.square().sum(), network.parameters())
    full = network(x, [full_adjacency(graph)] * 3)[roots]
    gradients = torch.autograd.grad(full.square().sum(), network.parameters())
    torch.testing.assert_close(sampled, full, rtol=1e-5, atol=1e-6)
    for mine, expected in zip(sampled_gradients, gradients, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_hop_mismatch_of_the_release(graph):
    """Two hops for three layers, normalized as drawn: the library's layers on the same subgraph give the same."""
    from torch_geometric.nn import GCNConv

    x, roots = torch.randn(NUM_NODES, 4, generator=generator(6)), torch.tensor([3, 8, 1])
    sub = NeighborSampler(graph, [2, 2], "subgraph").sample(roots, generator())
    torch.manual_seed(0)
    network = GraphNetwork(4, [6, 5], dropout=0.0)
    weight = {
        pair: float(value)
        for pair, value in zip(
            zip(graph.destinations.tolist(), graph.sources.tolist(), strict=True), graph.weights, strict=True
        )
    }
    edges = [pair for pair in sub.adjacency.edge_index.T.tolist() if pair[0] != pair[1]]
    raw = torch.tensor([weight[int(sub.nodes[row]), int(sub.nodes[column])] for column, row in edges])
    hidden = x[sub.nodes]
    for number, layer in enumerate(network.layers):
        library = GCNConv(layer.num_in, layer.num_out)
        library.load_state_dict(layer.conv.state_dict())
        hidden = library(hidden, torch.tensor(edges).T, raw)
        hidden = hidden.relu() if number < 2 else hidden
    torch.testing.assert_close(network(x[sub.nodes], sub.layers(3)), hidden[:3].flatten(), rtol=1e-5, atol=1e-6)
