"""Prediction for all nodes: exactly, layer by layer, or as the release does it, from one hop."""

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.extrapolation.gnn.adjacency import Adjacency
from secateur.extrapolation.gnn.features import NodeFeatures
from secateur.extrapolation.gnn.network import GraphNetwork
from secateur.extrapolation.gnn.sampling import NeighborSampler

CHUNK = 16_384  # nodes whose outputs are computed at once
ROOTS = 1024  # the release's batch of roots in evaluation


@torch.no_grad()
def predict_layerwise(
    network: GraphNetwork,
    features: NodeFeatures | Tensor,
    adjacency: Adjacency,
    propagated: bool = False,
    chunk: int = CHUNK,
) -> Tensor:
    """Return the outputs of all nodes, equal to one forward pass of the network over the full graph.

    Each layer is computed for all nodes before the next one starts, a chunk of nodes at a time; what is stored of a
    layer is only what its nodes say to the next, so two such matrices live at once, and never the features of all
    nodes. O(N * k * width) per layer.

    Args:
        network: its mode is restored afterwards; dropout is off meanwhile.
        features: of all nodes, ``[N, F]``.
        adjacency: of the whole graph, on the features' device.
        propagated: the features are what the first layer hears (:meth:`NodeFeatures.propagated`).
        chunk: nodes per step.

    Returns:
        float32 ``[N]``.
    """
    training = network.training
    network.eval()
    layers = network.layers
    chunks = [(start, min(start + chunk, len(adjacency))) for start in range(0, len(adjacency), chunk)]
    device = adjacency.values.device
    messages = torch.empty(0, device=device)
    if not propagated:
        messages = torch.empty(len(adjacency), layers[0].message_width, device=device)
        for start, stop in chunks:
            messages[start:stop] = layers[0].transform(features[start:stop])
    for number, layer in enumerate(layers):
        last = number + 1 == len(layers)
        following = torch.empty(len(adjacency), 1 if last else layers[number + 1].message_width, device=device)
        for start, stop in chunks:
            if propagated and not number:
                outputs = layer.aggregate(layer.transform(features[start:stop]), None)
            else:
                outputs = layer.aggregate(messages, adjacency.rows(start, stop))
            following[start:stop] = outputs if last else layers[number + 1].transform(F.relu(outputs))
        messages = following
    network.train(training)
    return messages.flatten()


@torch.no_grad()
def predict_from_hops(
    network: GraphNetwork, features: NodeFeatures | Tensor, sampler: NeighborSampler, device: torch.device
) -> tuple[Tensor, float]:
    """Return the outputs of all nodes from their sampled surroundings, 1024 roots at a time in order.

    With ``hops=[-1]`` this is the release's evaluation: the roots hear all their neighbors, these only themselves
    (unless they are roots of the same batch), and batches are normalized one by one.

    Returns:
        float32 ``[N]``, and the operations spent.
    """
    training = network.training
    network.eval()
    outputs, flops = [], 0.0
    for roots in torch.split(torch.arange(len(sampler.graph)), ROOTS):
        subgraph = sampler.sample(roots)
        adjacencies = [matrix.to(device) for matrix in subgraph.layers(len(network.layers))]
        outputs.append(network(features[subgraph.nodes.to(device)], adjacencies))
        flops += network.flops(len(subgraph.nodes), adjacencies)
    network.train(training)
    return torch.cat(outputs), flops
