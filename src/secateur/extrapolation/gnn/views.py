"""How a network sees the graph: all of it at every step, or drawn neighborhoods; and how it predicts all nodes."""

from torch import Generator, Tensor

from secateur.extrapolation.base import ExtrapolationInputs
from secateur.extrapolation.gnn.adjacency import Adjacency, full_adjacency
from secateur.extrapolation.gnn.features import NodeFeatures
from secateur.extrapolation.gnn.graph import Graph
from secateur.extrapolation.gnn.inference import predict_from_hops, predict_layerwise
from secateur.extrapolation.gnn.network import GraphNetwork
from secateur.extrapolation.gnn.sampling import NeighborSampler


class GraphView:
    """Features, graph and samplers, joined to what a fit needs; keeps the account of operations.

    Args:
        inputs: operations are added to its ``flops``.
        graph: over all samples.
        features: of all nodes; their device is where everything is computed.
        propagate_first: aggregate the features for the first layer once, before the training.
        training: draws the neighborhoods that are trained on, with no more hops than the layers need; None: every
            step computes all nodes.
        evaluation: draws the neighborhoods that are predicted from; None: exact, layer by layer.
    """

    def __init__(
        self,
        inputs: ExtrapolationInputs,
        graph: Graph,
        features: NodeFeatures,
        propagate_first: bool,
        training: NeighborSampler | None,
        evaluation: NeighborSampler | None,
    ) -> None:
        self.inputs, self.device = inputs, features.embeddings.device
        self.training, self.evaluation = training, evaluation
        self.propagated = propagate_first
        self.adjacency = full_adjacency(graph).to(self.device)
        self.features: NodeFeatures | Tensor = features
        if propagate_first:
            self.features = features.propagated(self.adjacency)
            inputs.flops += 2.0 * self.adjacency.num_edges * features.width
        elif self.full_batch:
            self.features = features[:]

    @property
    def full_batch(self) -> bool:
        """Whether every training step computes all nodes."""
        return self.training is None

    def train_outputs(self, network: GraphNetwork, roots: Tensor, draws: Generator) -> Tensor:
        """Return the outputs ``[B]`` of some nodes (int64 ``[B]``), with gradients; neighbors come from ``draws``."""
        subgraph = None if self.training is None else self.training.sample(roots, draws)
        if subgraph is None:
            inputs, layers = self.features[:], self._full_layers(network)
        else:
            inputs = self.features[subgraph.nodes.to(self.device)]
            matrices = subgraph.layers(len(network.layers) - self.propagated)
            layers = [*([None] * self.propagated), *(matrix.to(self.device) for matrix in matrices)]
        self.inputs.flops += 3 * network.flops(len(inputs), layers)
        outputs: Tensor = network(inputs, layers)
        return outputs[roots.to(self.device)] if subgraph is None else outputs

    def predict(self, network: GraphNetwork) -> Tensor:
        """Return the outputs ``[N]`` of all nodes, without dropout and gradients."""
        if self.evaluation is None:
            self.inputs.flops += network.flops(len(self.adjacency), self._full_layers(network))
            return predict_layerwise(network, self.features, self.adjacency, self.propagated)
        outputs, flops = predict_from_hops(network, self.features, self.evaluation, self.device)
        self.inputs.flops += flops
        return outputs

    def _full_layers(self, network: GraphNetwork) -> list[Adjacency | None]:
        layers: list[Adjacency | None] = [self.adjacency] * len(network.layers)
        return [None, *layers[1:]] if self.propagated else layers
