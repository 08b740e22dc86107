"""What an extrapolator says it will compute is what it then adds to the account."""

from functools import partial

import pytest
import torch

from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator
from secateur.extrapolation.class_mean import ClassMean
from secateur.extrapolation.constant import Constant
from secateur.extrapolation.cross_validation import CrossValidated
from secateur.extrapolation.gnn.settings import GNN
from secateur.extrapolation.knn import KNN
from secateur.extrapolation.mlp import MLP
from secateur.extrapolation.proxy_direct import ProxyDirect
from secateur.extrapolation.ridge import Ridge
from secateur.extrapolation.subset_only import SubsetOnly
from secateur.extrapolation.uniform import Uniform

NUM_SAMPLES, NUM_OBSERVED, WIDTH, NUM_CLASSES = 67, 23, 5, 3
QUICK_GNN = partial(GNN, k=4, hidden_sizes=(6, 4), max_epochs=2, batch_size=7)


def kind(extrapolator):
    """Name a case: a repr may hold an address, which differs between test processes."""
    return type(extrapolator).__name__


def inputs_with(labels=True, num_observed=NUM_OBSERVED):
    draw = torch.Generator().manual_seed(0)
    return ExtrapolationInputs(
        embeddings=torch.randn(NUM_SAMPLES, WIDTH, generator=draw),
        sample_ids=torch.randperm(NUM_SAMPLES, generator=draw)[:num_observed],
        scores=torch.rand(num_observed, generator=draw),
        labels=torch.arange(NUM_SAMPLES) % NUM_CLASSES if labels else None,
        proxy_logits=torch.randn(NUM_SAMPLES, NUM_CLASSES, generator=draw) if labels else None,
        num_samples=NUM_SAMPLES,
    )


def spent(extrapolator, labels=True, num_observed=NUM_OBSERVED):
    inputs = inputs_with(labels, num_observed)
    extrapolator.predict(inputs)
    return inputs.flops


def sizes(labels=True, num_observed=NUM_OBSERVED):
    return NUM_SAMPLES, num_observed, WIDTH, NUM_CLASSES if labels else 0


@pytest.mark.parametrize("make", [ClassMean, Constant, ProxyDirect, SubsetOnly, Uniform])
def test_controls_compute_nothing(make):
    assert make().planned_flops(*sizes()) == spent(make()) == 0


@pytest.mark.parametrize(
    "extrapolator",
    [
        KNN(k=3),
        KNN(k=3, same_class=True, weighting="average", weight_distance="cosine"),
        KNN(k=3, weighting="softmax", distance="cosine", weight_distance="euclidean"),
        Ridge(),
        Ridge(alphas=(1.0,), use_labels=False),
        MLP(hidden_sizes=(4, 2), max_epochs=2),
        MLP(hidden_sizes=(), max_epochs=3, use_labels=False),
        QUICK_GNN(),
        QUICK_GNN(propagate_first=False, use_labels=False),
        QUICK_GNN(conv="gat", propagate_first=False),
        QUICK_GNN(validation_fraction=0.0),
        CrossValidated({"knn": KNN(k=3)}, folds=4),
        CrossValidated({"knn": partial(KNN)}, {"knn": {"k": [2, 3, 50], "weighting": ["average", "exp"]}}, folds=3),
        CrossValidated({"knn": partial(KNN)}, {"knn": {"k": [2, 17, 18], "same_class": [False, True]}}, folds=4),
    ],
    ids=kind,
)
def test_a_plan_that_calls_itself_exact_is(extrapolator):
    assert not extrapolator.plans_at_most(*sizes())
    computed = spent(extrapolator)
    assert computed > 0
    assert extrapolator.planned_flops(*sizes()) == pytest.approx(computed, rel=1e-12)


@pytest.mark.parametrize("extrapolator", [Ridge(), MLP(max_epochs=1), QUICK_GNN()], ids=kind)
def test_without_labels_the_features_are_narrower(extrapolator):
    assert extrapolator.planned_flops(*sizes(labels=False)) == spent(extrapolator, labels=False)
    assert extrapolator.planned_flops(*sizes(labels=False)) < extrapolator.planned_flops(*sizes())


@pytest.mark.parametrize(
    "extrapolator",
    [
        QUICK_GNN(symmetric=True),
        QUICK_GNN(full_graph_limit=10, train_hops=(2, 2)),
        QUICK_GNN(full_graph_limit=10, train_hops=(-1,)),
        QUICK_GNN(full_graph_limit=10, train_hops=(2, 3), inference="one_hop", propagate_first=False),
        CrossValidated({"knn": KNN(k=3), "ridge": Ridge()}, folds=3),
    ],
    ids=kind,
)
def test_a_bound_says_so_and_holds(extrapolator):
    assert extrapolator.plans_at_most(*sizes())
    planned, computed = extrapolator.planned_flops(*sizes()), spent(extrapolator)
    assert computed <= planned <= 3 * computed


def test_a_small_training_of_the_graph_network_holds_nothing_out():
    few = 9
    assert QUICK_GNN().planned_flops(*sizes(num_observed=few)) == spent(QUICK_GNN(), num_observed=few)


def test_a_candidate_that_says_nothing_is_named():
    class Silent(Extrapolator):
        def predict(self, inputs):
            return Constant().predict(inputs)

    chooser = CrossValidated({"silent": Silent(), "knn": KNN(k=2)}, folds=3)
    assert chooser.unplanned == ["silent"]
    assert chooser.planned_flops(*sizes()) == CrossValidated({"knn": KNN(k=2)}, folds=3).planned_flops(*sizes())
