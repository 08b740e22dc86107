"""Time and peak memory of the graph network: a training on the full graph, and a prediction for a very large one.

Two measurements, each in a process of its own, whose peak resident memory (torch and embeddings included) is read at
the end. Embeddings, labels, scores and the graph are random: neighbors are not searched, and a random graph is the
worst case for caches. Both have 512 features and 10 classes, k = 10, hidden layers of 512 and 256.

- training: 50 000 nodes of which 10 000 are observed, 100 steps over the full graph and 20 predictions of all nodes.
- inference: 1 280 000 nodes; the features are aggregated for the first layer once (propagate), then one prediction of
  all nodes from it, and one prediction without that step, from the features themselves (plain).

Measured with one thread of a 2-core Xeon that others kept busy (load 2 to 6), torch 2.15: training 631 s (20 GFLOP/s),
peak 1.6 GiB; inference plain 32 s at a peak of 7.1 GiB, propagate 29 s, then 25 s, peak 7.7 GiB, 5.6 of which are data.

    python benchmarks/gnn_extrapolation.py [--quick] [--threads 1]
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time

import torch

from secateur.extrapolation.base import ExtrapolationInputs
from secateur.extrapolation.gnn.adjacency import full_adjacency
from secateur.extrapolation.gnn.features import NodeFeatures
from secateur.extrapolation.gnn.fit import FitSettings, fit
from secateur.extrapolation.gnn.graph import Graph, neighbor_graph
from secateur.extrapolation.gnn.inference import predict_layerwise
from secateur.extrapolation.gnn.network import GraphNetwork
from secateur.extrapolation.gnn.settings import GNN, GraphView
from secateur.tracking.provenance import processor

WIDTH, NUM_CLASSES, K, LIMIT_GIB = 512, 10, 10, 16
NUM_NODES = {"training": (50_000, 2_000), "inference": (1_280_000, 20_000)}  # and with --quick


def random_graph(num_nodes: int) -> Graph:
    """Every node hears K distinct random others."""
    steps = torch.randint(1, (num_nodes - 1) // K, (num_nodes, K)).cumsum(dim=1)
    ids = (torch.arange(num_nodes)[:, None] + steps) % num_nodes
    return neighbor_graph(ids, torch.rand(num_nodes, K).sort(dim=1).values)


def features_of(num_nodes: int) -> NodeFeatures:
    return NodeFeatures(torch.randn(num_nodes, WIDTH), torch.arange(num_nodes) % NUM_CLASSES, NUM_CLASSES, True)


def training(num_nodes: int) -> dict[str, float]:
    features, settings = features_of(num_nodes), GNN(max_epochs=20, full_graph_steps=5)
    rows = torch.randperm(num_nodes)[: num_nodes // 5]
    inputs = ExtrapolationInputs(embeddings=None, sample_ids=rows, scores=torch.randn(len(rows)), num_samples=num_nodes)
    graph, before = random_graph(num_nodes), peak()
    start = time.perf_counter()
    view = GraphView(inputs, graph, features, True, None, None)
    network = GraphNetwork(features.width, settings.hidden_sizes, settings.dropout)
    fit_settings = FitSettings(**{name: getattr(settings, name) for name in FitSettings.__dataclass_fields__})
    fit(network, view, rows, inputs.scores, fit_settings, 0)
    seconds = time.perf_counter() - start
    return {"data_gib": before, "seconds": seconds, "gflops": inputs.flops / 1e9}


def inference(num_nodes: int) -> dict[str, float]:
    features, network = features_of(num_nodes), GraphNetwork(WIDTH + NUM_CLASSES, GNN().hidden_sizes, 0.5)
    adjacency, result = full_adjacency(random_graph(num_nodes)), {"data_gib": peak()}
    start = time.perf_counter()
    plain = predict_layerwise(network, features, adjacency)
    result |= {"plain_seconds": time.perf_counter() - start, "plain_peak_gib": peak()}
    start = time.perf_counter()
    propagated = features.propagated(adjacency)
    result["propagate_seconds"] = time.perf_counter() - start
    start = time.perf_counter()
    outputs = predict_layerwise(network, propagated, adjacency, propagated=True)
    result["seconds"] = time.perf_counter() - start
    result["largest_difference"] = float((outputs - plain).abs().max())
    return result


def peak() -> float:
    """Peak resident memory of this process so far, GiB."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small graphs, to see that it runs")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--measure", choices=NUM_NODES, help="only this one, in this process; prints JSON")
    arguments = parser.parse_args()
    if arguments.measure:
        torch.set_num_threads(arguments.threads)
        torch.manual_seed(0)
        measured = globals()[arguments.measure](NUM_NODES[arguments.measure][arguments.quick])
        print(json.dumps({**measured, "peak_gib": peak()}))
        return
    print(f"{processor()}, {arguments.threads} thread(s), torch {torch.__version__}")
    for name, sizes in NUM_NODES.items():
        command = [sys.executable, __file__, "--measure", name, "--threads", str(arguments.threads)]
        command += ["--quick"] * arguments.quick
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name}, {sizes[arguments.quick]} nodes: "
            + ", ".join(f"{key} {value:.3g}" for key, value in measured.items())
        )
        if measured["peak_gib"] > LIMIT_GIB:
            raise SystemExit(f"The peak exceeds {LIMIT_GIB} GiB.")


if __name__ == "__main__":
    main()
