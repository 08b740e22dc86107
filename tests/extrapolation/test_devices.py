"""Predictors where embeddings, scores and labels lie on an accelerator; without one, on a device that is played.

The played device computes on the CPU and says "meta"; like a real one it refuses operands of two devices.
"""

import contextlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from secateur.core.errors import NumericalError
from secateur.extrapolation.base import ExtrapolationInputs
from secateur.extrapolation.calibration import quantile_match
from secateur.extrapolation.class_mean import ClassMean
from secateur.extrapolation.constant import Constant
from secateur.extrapolation.cross_validation import CrossValidated
from secateur.extrapolation.fidelity import per_query_diagnostics
from secateur.extrapolation.gnn.settings import GNN
from secateur.extrapolation.knn import KNN
from secateur.extrapolation.merging import merge
from secateur.extrapolation.mlp import MLP
from secateur.extrapolation.proxy_direct import ProxyDirect
from secateur.extrapolation.ridge import Ridge
from secateur.extrapolation.subset_only import SubsetOnly
from secateur.extrapolation.uniform import Uniform

N, M, D, C = 90, 40, 6, 3
PLAYED, CPU = torch.device("meta"), torch.device("cpu")
GRAPH = {"k": 4, "hidden_sizes": (8,), "max_epochs": 2}
PREDICTORS = {
    "constant": Constant(),
    "class_mean": ClassMean(),
    "uniform": Uniform(),
    "subset_only": SubsetOnly(),
    "knn": KNN(k=5),
    "knn of the class": KNN(k=5, same_class=True, weighting="average"),
    "knn weighted by another distance": KNN(k=5, distance="cosine", weight_distance="euclidean"),
    "ridge": Ridge(),
    "mlp": MLP(max_epochs=2),
    **{measure: ProxyDirect(measure) for measure in ("el2n", "margin", "entropy", "uncertainty")},
    "gnn": GNN(**GRAPH),
    "gnn of the class": GNN(**GRAPH, same_class=True, loss="ranking"),
    "sampled gnn": GNN(**GRAPH, full_graph_limit=10, batch_size=8),
    "gat": GNN(**GRAPH, conv="gat", propagate_first=False),
}
PREDICTORS |= {
    f"cross-validated {name}": CrossValidated({name: PREDICTORS[name]}, folds=2)
    for name in ("class_mean", "knn weighted by another distance", "ridge", "mlp", "el2n", "gnn")
}


class Played(torch.Tensor):
    """A tensor on the played device."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        strided = held.layout == torch.strided
        where = {"strides": held.stride(), "storage_offset": held.storage_offset()} if strided else {}
        return torch.Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, device=PLAYED, **where)

    def __init__(self, held):
        self.held = held

    layout = property(lambda self: self.held.layout)
    is_sparse_csr = property(lambda self: self.held.layout == torch.sparse_csr)

    def tolist(self):
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Playing(TorchDispatchMode):
    """Also new tensors can be made on the played device."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


def compute(operation, args, kwargs):
    name = operation.overloadpacket.__name__
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    there = [isinstance(tensor, Played) for tensor in tensors]
    asked = kwargs.get("device")
    if name not in ("_to_copy", "copy_", "_local_scalar_dense"):
        check_devices(name, args, tensors, there)
    plain_args, plain_kwargs = tree_map(held_by, (args, kwargs))
    if asked is not None:
        plain_kwargs["device"] = CPU
    result = operation(*plain_args, **plain_kwargs)
    if "out" in kwargs:
        return kwargs["out"]
    if name.endswith("_") and not name.endswith("__"):
        return args[0]
    on_played = torch.device(asked) == PLAYED if asked is not None else any(there)
    if name == "index":
        on_played = isinstance(args[0], Played)
    return tree_map(lambda value: Played(value) if on_played and isinstance(value, torch.Tensor) else value, result)


def check_devices(name, args, tensors, there):
    """Refuse what CUDA refuses: single numbers and indices may lie on the CPU, nothing else."""
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        own = isinstance(args[0], Played)
        wrong = not own and any(isinstance(index, Played) for index in args[1] if index is not None)
        if name != "index" and args[2].numel() > 1:
            wrong |= isinstance(args[2], Played) != own
    else:
        wrong = any(there) and any(not played and t.dim() for t, played in zip(tensors, there, strict=True))
    if wrong:
        raise RuntimeError(f"{name}: operands on two devices")


def held_by(value):
    return value.held if isinstance(value, Played) else value


def make(place, seed=0):
    stream = torch.Generator().manual_seed(seed)
    given = {
        "embeddings": torch.randn(N, D, generator=stream),
        "sample_ids": torch.randperm(N, generator=stream)[:M],
        "scores": torch.rand(M, generator=stream),
        "labels": torch.randint(C, (N,), generator=stream),
        "proxy_logits": torch.randn(N, C, generator=stream),
    }
    return ExtrapolationInputs(**{name: place(value) for name, value in given.items()}, num_samples=N, num_classes=C)


@pytest.fixture
def play(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # knows no such device


@pytest.mark.usefixtures("play")
def test_the_played_device_refuses_two_devices_and_copies_between_them():
    here, there = torch.arange(3.0), Played(torch.arange(3.0))
    with Playing():
        assert there.to(CPU).tolist() == [0.0, 1.0, 2.0]
        assert isinstance(here.to(PLAYED), Played)
        assert isinstance(there + torch.tensor(1.0), Played)
        with pytest.raises(RuntimeError, match="add: operands on two devices"):
            here + there
        with pytest.raises(RuntimeError, match="index: operands on two devices"):
            here[there.long()]
        with pytest.raises(RuntimeError, match="operands on two devices"):
            there[torch.tensor([0, 1])] = here[:2]


@pytest.mark.usefixtures("play")
@pytest.mark.parametrize("name", PREDICTORS)
def test_predictions_are_made_where_the_inputs_lie(name):
    expected = PREDICTORS[name].predict(make(lambda value: value))
    with Playing():
        result = PREDICTORS[name].predict(make(Played))
        assert isinstance(result, Played)
    assert torch.equal(result.held, expected)


@pytest.mark.usefixtures("play")
def test_diagnostics_and_merging_where_the_inputs_lie():
    scores, observed = torch.rand(N), torch.arange(N) % 3 == 0
    with Playing():
        inputs = make(Played)
        knn = KNN(k=5)
        _, weights = knn.weights(inputs)
        known = inputs.labels[inputs.queries], inputs.labels[inputs.sample_ids]
        facts = per_query_diagnostics(inputs.neighbors(5), weights, *known)
        merged = {how: merge(Played(scores), Played(observed), how) for how in ("quantile_match", "per_source_quota")}
        single = quantile_match(Played(scores[:1]), Played(scores))
    assert facts["without_neighbor"] == 0
    assert all(torch.equal(found.held, merge(scores, observed, how)) for how, found in merged.items())
    assert torch.equal(single.held, quantile_match(scores[:1], scores))


@pytest.mark.usefixtures("play")
def test_what_is_not_finite_is_found_there_too():
    with Playing(), pytest.raises(NumericalError, match="1 of 40 rows of scores are not finite; first row 3"):
        ExtrapolationInputs(
            embeddings=None,
            sample_ids=Played(torch.arange(M)),
            scores=Played(torch.zeros(M).index_fill(0, torch.tensor(3), torch.nan)),
            num_samples=N,
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", PREDICTORS)
def test_predictions_on_a_gpu_repeat_and_are_near_those_on_the_cpu(name):
    first, again = (PREDICTORS[name].predict(make(lambda value: value.cuda())) for _ in range(2))
    assert first.is_cuda
    assert torch.equal(first, again)
    if not isinstance(PREDICTORS[name], MLP | GNN) and name not in ("cross-validated mlp", "cross-validated gnn"):
        torch.testing.assert_close(first.cpu(), PREDICTORS[name].predict(make(lambda value: value)))
