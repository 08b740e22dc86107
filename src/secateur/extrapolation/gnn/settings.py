"""Graph network: scores spread over the nearest-neighbor graph of all samples, scored or not.

Tensor legend: N samples of the pool, M observed, D features, C classes, k neighbors.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import ClassVar, Literal, get_args

from torch import Generator, Tensor

from secateur.core.errors import ConfigError
from secateur.core.neighbors import Backend, Distance, knn_graph
from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator, Needs
from secateur.extrapolation.calibration import quantile_match
from secateur.extrapolation.gnn.adjacency import Adjacency, full_adjacency
from secateur.extrapolation.gnn.features import NodeFeatures
from secateur.extrapolation.gnn.fit import SMALLEST_SPLIT, Correlation, FitSettings, Fitted, Loss, fit, seeded, split
from secateur.extrapolation.gnn.graph import Graph, Weighting, neighbor_graph, same_class_neighbors
from secateur.extrapolation.gnn.inference import ROOTS, predict_from_hops, predict_layerwise
from secateur.extrapolation.gnn.network import Conv, GraphNetwork
from secateur.extrapolation.gnn.sampling import NeighborSampler, Normalizer


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


Scale = Literal["standardized", "raw"]
Inference = Literal["exact", "one_hop"]
Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class GNN(Extrapolator):
    """A graph convolutional network from labels and embeddings to scores, fitted to the observed samples.

    The graph joins every sample to its k nearest others, whether scored or not; edges lead from the neighbor to the
    center. Weights are those of :func:`~secateur.extrapolation.gnn.graph.edge_weights` beside a self loop of weight 1,
    normalized symmetrically (Kipf and Welling 2017, arXiv 1609.02907), once for the full graph, and used in training
    and prediction alike. Only observed samples have a target, and a random part of them is held out: the epoch with the
    highest correlation there predicts. Everything random comes from ``inputs.seed``. Constant scores are returned as
    they are, without a training.

    [EX] arXiv 2506.09010, its graph extrapolation. The defaults are ours; the release is the preset
    ``gnn_released`` of the same arguments.

    Args:
        k: neighbors of a node, in [1, N - 1].
        same_class: only neighbors of the node's own class, fewer than k in a class that has no more; reads the labels.
        distance: what they are near by.
        backend: who searches them.
        weighting: of the edges: ``gaussian`` (scaled by local distances), ``exp_half`` (of raw distances) or
            ``uniform``.
        symmetric: where i hears j, j hears i too.
        use_labels: nodes know their one-hot label; left out where labels are not known.
        features: embeddings ``standardized`` per column or ``raw``; neighbors are always searched in raw ones.
        targets: scores ``standardized`` by the training part or ``raw``; predictions are on the scores' scale.
        conv: ``gcn``, or ``gat`` (one attention head, no edge weights; stores ``[edges, width]`` numbers).
        hidden_sizes: width of every hidden layer.
        dropout: fraction of hidden units dropped while training, in [0, 1).
        loss: ``mse``, or ``ranking``: which of two samples has the higher score. Outputs then are logits, which take
            the observed scores' distribution by :func:`~secateur.extrapolation.calibration.quantile_match`.
        learning_rate: Adam's, positive.
        weight_decay: Adam's, at least 0.
        max_epochs: at least 1; after each one all samples are predicted, if anything is held out.
        batch_size: roots per step of a sampled training.
        full_graph_limit: up to so many samples every step computes all nodes; beyond, neighborhoods are drawn.
        full_graph_steps: steps of an epoch when every step computes all nodes.
        train_hops: neighbors drawn per node at each hop of a sampled training; -1: all. The network sees as far as it
            has layers, one less with ``propagate_first``; beyond the given hops nodes hear only themselves.
        normalizer: ``global``, or ``subgraph``: every drawn neighborhood as if it were the whole graph.
        propagate_first: aggregate the features for the first layer once, exactly, instead of in every step (``gcn``
            only).
        inference: ``exact``, over the whole graph, or ``one_hop``: from the neighbors alone, which hear themselves.
        validation_fraction: fraction of the observed samples held out, in [0, 1); at least 2, none if M < 10. With 0
            the last epoch predicts.
        select_by: ``spearman`` or ``pearson``, the correlation on the held-out part.
        device: where to compute; null: where the embeddings are.

    Raises:
        ConfigError: an argument is out of range, or they contradict each other.

    Deviations:
        The release: raw features and targets, edge weights ``exp(-d / 2)``, two sampled hops for three layers, one hop
        in evaluation, and a normalization of its own for every batch. All of this the preset restores. Its sweep of k
        by the full scores is not offered.
    """

    NAME: ClassVar[str] = "extrapolation/gnn"
    searches: ClassVar[bool] = True
    k: int = 10
    same_class: bool = False
    distance: Distance = "euclidean"
    backend: Backend = "torch"
    weighting: Weighting = "gaussian"
    symmetric: bool = False
    use_labels: bool = True
    features: Scale = "standardized"
    targets: Scale = "standardized"
    conv: Conv = "gcn"
    hidden_sizes: Sequence[int] = (512, 256)
    dropout: float = 0.5
    loss: Loss = "mse"
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    max_epochs: int = 35
    batch_size: int = 512
    full_graph_limit: int = 100_000
    full_graph_steps: int = 5
    train_hops: Sequence[int] = (10, 10)
    normalizer: Normalizer = "global"
    propagate_first: bool = True
    inference: Inference = "exact"
    validation_fraction: float = 0.1
    select_by: Correlation = "spearman"
    device: str | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(f"gnn: {name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")
        for name in ("k", "max_epochs", "batch_size", "full_graph_steps"):
            _check_integers(name, [getattr(self, name)], 1)
        _check_integers("full_graph_limit", [self.full_graph_limit], 0)
        _check_integers("hidden_sizes", self.hidden_sizes, 1)
        _check_integers("train_hops", self.train_hops, 1, or_all=True)
        for name in ("dropout", "validation_fraction"):
            _check_number(name, getattr(self, name), 0 <= getattr(self, name) < 1, "in [0, 1)")
        _check_number("learning_rate", self.learning_rate, self.learning_rate > 0, "positive")
        _check_number("weight_decay", self.weight_decay, self.weight_decay >= 0, "at least 0")
        if self.propagate_first and (self.conv, self.normalizer, self.inference) != ("gcn", "global", "exact"):
            raise ConfigError(
                "gnn: propagate_first=true needs conv=gcn, normalizer=global and inference=exact; got "
                f"{self.conv}, {self.normalizer} and {self.inference}. Set propagate_first=false."
            )

    @property
    def needs(self) -> frozenset[Needs]:  # type: ignore[override]
        """Embeddings, and labels with ``same_class``; nodes are told labels where they are known."""
        return frozenset({Needs.EMBEDDINGS, *({Needs.LABELS} if self.same_class else ())})

    def check(self, num_observed: int, num_samples: int) -> None:
        """Raise :class:`ConfigError` when a pool of so many samples has no k neighbors."""
        if num_samples <= self.k:
            raise ConfigError(f"gnn: k={self.k} neighbors cannot be found among N={num_samples} samples. Lower k.")

    def predict(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return a score for every sample, float ``[N]`` in the observed scores' dtype.

        Raises:
            ConfigError: there are no embeddings, or N is at most k.
            NumericalError: the training diverged.
        """
        scores = inputs.scores.double().cpu()
        if bool((scores == scores[0]).all()):
            return inputs.filled(inputs.scores[0].expand(len(inputs.queries)))
        predicted = self.fit(inputs).predicted.double()[inputs.queries.cpu()]
        if self.loss == "ranking":
            return inputs.filled(quantile_match(predicted, scores))
        center, scale = self._target_scale(inputs)
        return inputs.filled(predicted * scale + center)

    def plans_at_most(self, num_samples: int, *_: int) -> bool:
        """Whether :meth:`planned_flops` is an upper bound; takes the same arguments."""
        return not plans_exactly(self, num_samples)

    def planned_flops(self, num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float:
        """Return the operations of search, fit and prediction; scores that are all equal will cost nothing."""
        return planned_flops(self, num_samples, num_observed, num_features, num_classes)

    def fit(self, inputs: ExtrapolationInputs, progress: Progress | None = None) -> Fitted:
        """Return the fitted outputs for all samples, on the network's scale, and how they were chosen.

        Args:
            inputs: as for :meth:`predict`; scores may be constant here.
            progress: called after every epoch with its number and the correlation on the held-out part.
        """
        graph = self._graph(inputs)
        center, scale = self._target_scale(inputs)
        features = self._features(inputs)
        settings = FitSettings(**{name: getattr(self, name) for name in FitSettings.__dataclass_fields__})
        view = self._view(inputs, graph, features)
        with seeded(inputs.seed, view.device):
            network = GraphNetwork(features.width, self.hidden_sizes, self.dropout, self.conv).to(view.device)
            targets = (inputs.scores.double().cpu() - center) / scale
            return fit(network, view, inputs.sample_ids.cpu(), targets, settings, inputs.seed, progress)

    def _graph(self, inputs: ExtrapolationInputs) -> Graph:
        """Search the neighbors of all samples among all samples."""
        embeddings, labels = self._embeddings(inputs), inputs.labels
        self.check(len(inputs.sample_ids), len(embeddings))
        if self.same_class and labels is None:
            raise ConfigError("gnn: same_class=true needs the labels of all samples, and they are not known.")
        if self.same_class and labels is not None:
            found = same_class_neighbors(embeddings, labels, self.k, self.distance, self.backend)
        else:
            found = knn_graph(embeddings, self.k, self.distance, backend=self.backend)
        inputs.flops += 2.0 * len(embeddings) * embeddings.numel()
        return neighbor_graph(found.ids, found.distances, self.weighting, self.symmetric)

    def _features(self, inputs: ExtrapolationInputs) -> NodeFeatures:
        labels = inputs.labels if self.use_labels else None
        return NodeFeatures(self._embeddings(inputs), labels, inputs.num_classes, self.features == "standardized")

    def _view(self, inputs: ExtrapolationInputs, graph: Graph, features: NodeFeatures) -> GraphView:
        reach = len(self.hidden_sizes) + 1 - self.propagate_first
        full = len(graph) <= self.full_graph_limit
        training = None if full else NeighborSampler(graph, self.train_hops[:reach], self.normalizer)
        evaluation = NeighborSampler(graph, [-1], self.normalizer) if self.inference == "one_hop" else None
        return GraphView(inputs, graph, features, self.propagate_first, training, evaluation)

    def _embeddings(self, inputs: ExtrapolationInputs) -> Tensor:
        """Return the embeddings on the device where everything is computed."""
        if inputs.embeddings is None:
            raise ConfigError("gnn: needs embeddings of all samples, and there are none.")
        return inputs.embeddings.to(self.device) if self.device else inputs.embeddings

    def _target_scale(self, inputs: ExtrapolationInputs) -> tuple[float, float]:
        """Return what is subtracted from the scores and what they are divided by; held-out ones play no part."""
        scores = inputs.scores.double().cpu()
        scores = scores[split(len(scores), self.validation_fraction, inputs.seed)[0]]
        if self.targets == "raw":
            return 0.0, 1.0
        constant = bool((scores == scores[0]).all())
        return float(scores.mean()), 1.0 if constant else float(scores.std(correction=0))


CHOICES = {
    "distance": get_args(Distance),
    "backend": get_args(Backend),
    "weighting": get_args(Weighting),
    "features": get_args(Scale),
    "targets": get_args(Scale),
    "conv": get_args(Conv),
    "loss": get_args(Loss),
    "normalizer": get_args(Normalizer),
    "inference": get_args(Inference),
    "select_by": get_args(Correlation),
}


def _check_integers(name: str, values: Sequence[object], minimum: int, or_all: bool = False) -> None:
    """Raise :class:`ConfigError` unless all values are integers of at least ``minimum`` (or -1 where allowed)."""
    for value in values:
        integer = isinstance(value, int) and not isinstance(value, bool)
        if not (integer and (value >= minimum or (or_all and value == -1))):  # type: ignore[operator]
            allowed = f"integers of at least {minimum}" + (", or -1 for all" if or_all else "")
            raise ConfigError(f"gnn: {name} must be {allowed}; got {value!r}.")


def _check_number(name: str, value: object, in_range: bool, allowed: str) -> None:
    """Raise :class:`ConfigError` unless a number is in its range."""
    if not isinstance(value, Real) or not in_range:
        raise ConfigError(f"gnn: {name} must be {allowed}; got {value!r}.")


Matrix = tuple[int, int]  # rows and entries


def plans_exactly(gnn: "GNN", num_samples: int) -> bool:
    """Whether :func:`planned_flops` is what will be spent: in a directed graph, of which every step sees all."""
    known = not gnn.symmetric and not gnn.same_class
    return num_samples <= gnn.full_graph_limit and known and gnn.inference == "exact"


def planned_flops(gnn: "GNN", num_samples: int, num_observed: int, num_features: int, num_classes: int) -> float:
    """Return the operations of search, fit and prediction; at most these where the graph is not known before.

    Args:
        gnn: the settings.
        num_samples: N.
        num_observed: M.
        num_features: D.
        num_classes: C; 0 when labels are not known.
    """
    width = num_features + (num_classes if gnn.use_labels else 0)
    entries = num_samples * (gnn.k * (2 if gnn.symmetric else 1) + 1)  # with self loops
    widths, whole = [width, *gnn.hidden_sizes, 1], (num_samples, entries)
    held_out = _num_held_out(num_observed, gnn.validation_fraction)
    layers: list[Matrix | None] = [whole] * (len(widths) - 1)
    flops = 2.0 * num_samples * num_samples * num_features  # the search
    if gnn.propagate_first:
        flops += 2.0 * entries * width
        layers = [None, *layers[1:]]
    one_pass = network_flops(widths, num_samples, layers)
    if num_samples <= gnn.full_graph_limit:
        flops += gnn.max_epochs * gnn.full_graph_steps * 3 * one_pass
    else:
        flops += gnn.max_epochs * _sampled_epoch(gnn, widths, num_samples, num_observed - held_out)
    prediction = one_pass if gnn.inference == "exact" else _one_hop(gnn, widths, num_samples)
    return flops + (gnn.max_epochs if held_out else 1) * prediction


def network_flops(widths: Sequence[int], num_rows: int, layers: Sequence[Matrix | None]) -> float:
    """Return the operations of one forward pass, as :meth:`GraphNetwork.flops` counts them.

    Args:
        widths: of the features, of every hidden layer, and of the output.
        num_rows: nodes that the first layer reads.
        layers: rows and entries of the matrix of each layer; None: nothing is aggregated there.
    """
    total = 0.0
    for (num_in, num_out), matrix in zip(pairwise(widths), layers, strict=True):
        total += 2.0 * num_rows * num_in * num_out
        if matrix is not None:
            num_rows, entries = matrix
            total += 2.0 * entries * num_out
    return total


def _num_held_out(num_observed: int, fraction: float) -> int:
    """Return how many observed samples :func:`~secateur.extrapolation.gnn.fit.split` holds out."""
    return 0 if num_observed < SMALLEST_SPLIT or not fraction else max(2, round(num_observed * fraction))


def _sampled_epoch(gnn: "GNN", widths: Sequence[int], num_samples: int, num_trained: int) -> float:
    """Return at most what an epoch of sampled training takes: as if no two nodes had a neighbor in common."""
    full, rest = divmod(num_trained, gnn.batch_size)
    sizes = {gnn.batch_size: full, rest: 1 if rest else 0}
    hops = list(gnn.train_hops)[: len(widths) - 1 - gnn.propagate_first]
    return sum(3 * times * _sampled_pass(gnn, widths, num_samples, size, hops) for size, times in sizes.items())


def _sampled_pass(gnn: "GNN", widths: Sequence[int], num_samples: int, num_roots: int, hops: Sequence[int]) -> float:
    """Return at most what one forward pass around some roots takes."""
    degree = gnn.k * (2 if gnn.symmetric else 1)
    counts, entries = [num_roots], [num_roots]  # nodes within each hop; edges into them and self loops
    frontier = num_roots
    for fanout in hops:
        drawn = frontier * (degree if fanout < 0 else min(fanout, degree))
        frontier = min(drawn, num_samples - counts[-1])
        counts.append(counts[-1] + frontier)
        entries[-1] += drawn
        entries.append(entries[-1] + frontier)
    num_matrices, last = len(widths) - 1 - gnn.propagate_first, len(hops)
    within = [min(hop, last) for hop in range(num_matrices - 1, -1, -1)]
    matrices = [(counts[hop], entries[hop]) for hop in within]
    return network_flops(widths, counts[-1], [*([None] * gnn.propagate_first), *matrices])


def _one_hop(gnn: "GNN", widths: Sequence[int], num_samples: int) -> float:
    """Return at most what a prediction of all nodes from their neighbors alone takes."""
    size = min(ROOTS, num_samples)
    return math.ceil(num_samples / size) * _sampled_pass(gnn, widths, num_samples, size, [-1])
