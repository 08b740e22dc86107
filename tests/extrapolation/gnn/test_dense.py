"""The graph network after its training, against dense matrices made from the embeddings alone, in numpy.

Nothing of the package but the trained weights is used: neighbors are searched by sorting all distances, edges are
weighed, normalized and given self loops one by one, features are standardized, and layers are products of full
matrices.
"""

from functools import partial

import numpy as np
import pytest
import torch

from secateur.extrapolation.base import ExtrapolationInputs
from secateur.extrapolation.gnn import inference as gnn_inference
from secateur.extrapolation.gnn import settings as gnn_settings
from secateur.extrapolation.gnn.fit import split
from secateur.extrapolation.gnn.settings import GNN

N, M, D, C, K, SEED = 90, 50, 4, 3, 5, 3
SHORT = {"k": K, "hidden_sizes": (12, 8), "max_epochs": 8, "learning_rate": 0.02, "dropout": 0.2}
SAMPLED = {"full_graph_limit": 0, "batch_size": 16, "train_hops": (3, 3)}
RELEASED = {"propagate_first": False, "normalizer": "subgraph", "inference": "one_hop", "weighting": "exp_half"}


@pytest.fixture
def inputs():
    draw = torch.Generator().manual_seed(5)
    embeddings = torch.randn(N, D, generator=draw) * torch.tensor([1.0, 3.0, 0.2, 1.0]) + 2
    embeddings[7] = embeddings[8]  # a duplicate, at distance 0
    return ExtrapolationInputs(
        embeddings=embeddings,
        sample_ids=torch.randperm(N, generator=draw)[:M],
        scores=torch.randn(M, generator=draw, dtype=torch.float64) * 4 + 10,
        labels=torch.randint(C, (N,), generator=draw),
        num_samples=N,
        num_classes=C,
        seed=SEED,
    )


def neighbors_of(embeddings, labels, same_class):
    """For each node the (neighbor, distance) of its K nearest others."""
    found = []
    for i in range(N):
        distances = np.sqrt(np.square(embeddings - embeddings[i]).sum(axis=1))
        others = [j for j in range(N) if j != i and (not same_class or labels[j] == labels[i])]
        nearest = sorted(others, key=lambda j: (distances[j], j))[:K]
        found.append([(j, distances[j]) for j in nearest])
    return found


def edges_of(embeddings, labels, gnn):
    """Dense [center, neighbor] weights without self loops; 0 where there is no edge."""
    found = neighbors_of(embeddings, labels, gnn.same_class)
    sigma = np.array([row[-1][1] for row in found])
    matrix, there = np.zeros((N, N)), np.zeros((N, N), dtype=bool)
    for i, row in enumerate(found):
        for j, distance in row:
            weight = {
                "gaussian": np.exp(-(distance**2) / (2 * sigma[i] * sigma[j])),
                "exp_half": np.exp(-distance / 2),
                "uniform": 1.0,
            }[gnn.weighting]
            matrix[i, j], there[i, j] = weight, True
    if gnn.symmetric:
        for i, row in enumerate(found):
            for j, _ in row:
                if not there[j, i]:
                    matrix[j, i] = matrix[i, j]
    return matrix


def normalized(edges):
    """D^-1/2 (A + I) D^-1/2, with D the row sums of A + I."""
    looped = edges + np.eye(len(edges))
    scale = 1 / np.sqrt(looped.sum(axis=1))
    return scale[:, None] * looped * scale[None, :]


def features_of(embeddings, labels):
    scaled = (embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)
    return np.concatenate([np.eye(C)[labels], scaled], axis=1)


def outputs(adjacency, x, weights):
    for layer in range(3):
        weight, bias = (weights[f"stack.{layer}.conv.{part}"] for part in ("lin.weight", "bias"))
        x = adjacency @ x @ weight.double().numpy().T + bias.double().numpy()
        x = np.maximum(x, 0) if layer < 2 else x
    return x[:, 0]


def fitted(gnn, inputs):
    result = gnn.fit(inputs)
    start = gnn.__class__(**{**gnn.__dict__, "learning_rate": 1e-12}).fit(inputs)
    first = "stack.0.conv.lin.weight"
    assert float((result.last_weights[first] - start.last_weights[first]).abs().max()) > 0.01  # it has been trained
    return result


@pytest.mark.parametrize("chunk", [17, 10_000])
@pytest.mark.parametrize(
    "options",
    [
        {},
        SAMPLED,
        {"propagate_first": False},
        {**SAMPLED, "propagate_first": False, "symmetric": True},
        {"weighting": "uniform", "same_class": True},
        {"weighting": "exp_half", "symmetric": True},
    ],
    ids=str,
)
def test_exact_prediction_is_the_dense_product(inputs, monkeypatch, options, chunk):
    monkeypatch.setattr(gnn_settings, "predict_layerwise", partial(gnn_inference.predict_layerwise, chunk=chunk))
    gnn = GNN(**SHORT, **options, validation_fraction=0.0)
    result = fitted(gnn, inputs)
    embeddings, labels = inputs.embeddings.double().numpy(), inputs.labels.numpy()
    adjacency = normalized(edges_of(embeddings, labels, gnn))
    expected = outputs(adjacency, features_of(embeddings, labels), result.last_weights)
    np.testing.assert_allclose(result.predicted.double().numpy(), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("symmetric", [False, True])
def test_one_hop_prediction_is_the_dense_product_over_each_batch_and_its_neighbors(inputs, monkeypatch, symmetric):
    roots_at_once = 20
    monkeypatch.setattr(gnn_inference, "ROOTS", roots_at_once)
    gnn = GNN(**SHORT, **SAMPLED, **RELEASED, symmetric=symmetric, validation_fraction=0.0)
    result = fitted(gnn, inputs)
    embeddings, labels = inputs.embeddings.double().numpy(), inputs.labels.numpy()
    edges, features = edges_of(embeddings, labels, gnn), features_of(embeddings, labels)
    expected = []
    for first in range(0, N, roots_at_once):
        roots = list(range(first, min(first + roots_at_once, N)))
        rim = sorted({j for i in roots for j in range(N) if edges[i, j] > 0} - set(roots))
        nodes = roots + rim
        part = edges[np.ix_(nodes, nodes)]
        part[len(roots) :] = 0  # whoever is no root hears only itself
        expected += outputs(normalized(part), features[nodes], result.last_weights)[: len(roots)].tolist()
    np.testing.assert_allclose(result.predicted.double().numpy(), expected, rtol=2e-4, atol=2e-4)


def test_scores_are_on_the_scale_of_the_training_part(inputs):
    gnn = GNN(**SHORT, validation_fraction=0.2)
    result, predicted = gnn.fit(inputs), gnn.predict(inputs).double()
    training = inputs.scores[split(M, 0.2, SEED)[0]].numpy()
    expected = result.predicted.double().numpy() * training.std() + training.mean()
    unseen = inputs.queries.numpy()
    np.testing.assert_allclose(predicted.numpy()[unseen], expected[unseen], rtol=1e-6)
    assert torch.equal(predicted[inputs.sample_ids], inputs.scores)
