"""TURTLE: the released algorithm on every epoch, separated groups found, and a replay that survives a file."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.seeds import generator, permutation
from secateur.grouping.turtle import Turtle, TurtleResult, pseudo_label_agreement

FAST = {"num_epochs": 60, "outer_lr": 1e-2}


def blobs(num_groups, size=40, width=32, seed=0):
    """Gaussian groups around well separated centers, shuffled."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_groups).repeat_interleave(size)[torch.randperm(num_groups * size, generator=draw)]
    centers = 2 * torch.randn(num_groups, width, generator=draw)
    return centers[labels] + torch.randn(len(labels), width, generator=draw), labels


def tau(result, z, epoch=-1):
    return result.logits(z, epoch).softmax(dim=1)


# -- the algorithm -------------------------------------------------------------------------------------------------


def initial(layer, draw):
    """Set a layer to the next numbers of a stream, within nn.Linear's own bound."""
    rows, width = layer.weight.shape
    numbers = (2 * torch.rand(rows, width + 1, generator=draw) - 1) / math.sqrt(width)
    with torch.no_grad():
        layer.weight.copy_(numbers[:, :-1])
        layer.bias.copy_(numbers[:, -1])
    return layer


def slow_turtle(z, num_classes, seed, epochs, gamma, inner_steps, batch_size, warm_start):
    """Yield tau of all samples after every epoch, from torch's own layers, as the paper's loop goes."""
    draw, width = generator(seed, "turtle-weights"), z.shape[1]
    encoder = weight_norm(initial(nn.Linear(width, num_classes), draw))
    outer = torch.optim.Adam(encoder.parameters(), lr=1e-2)

    def fresh():
        classifier = initial(nn.Linear(width, num_classes), draw)
        return classifier, torch.optim.Adam(classifier.parameters(), lr=1e-3)

    classifier, inner = fresh()
    for epoch in range(epochs):
        order = permutation(len(z), seed, "turtle-order", epoch)
        for rows in order.tensor_split(-(-len(z) // batch_size)):
            labels = encoder(z[rows]).softmax(dim=1)
            if not warm_start:
                classifier, inner = fresh()
            for _ in range(inner_steps):
                inner.zero_grad()
                (-(labels.detach() * classifier(z[rows]).log_softmax(dim=1)).sum(dim=1).mean()).backward()
                inner.step()
            error = -(labels * classifier(z[rows]).detach().log_softmax(dim=1)).sum(dim=1).mean()
            outer.zero_grad()
            (error - gamma * torch.special.entr(labels.mean(dim=0)).sum()).backward()
            outer.step()
        yield encoder(z).softmax(dim=1).detach()


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("batch_size", [10_000, 25])
def test_every_epoch_is_the_papers_loop(warm_start, batch_size):
    z, _ = blobs(3, size=20, width=7)
    settings = {"gamma": 4.0, "inner_steps": 3, "batch_size": batch_size, "warm_start": warm_start}
    result = Turtle(3, num_epochs=8, outer_lr=1e-2, **settings).fit(z, seed=5)
    for epoch, expected in enumerate(slow_turtle(z, 3, 5, 8, **settings)):
        assert torch.allclose(tau(result, z, epoch), expected, atol=1e-5)
    assert not torch.allclose(tau(result, z, 0), tau(result, z, 7), atol=1e-2)


def test_standardized_features_are_folded_into_the_weights():
    z, _ = blobs(3, size=20, width=7)
    z[:, 2] = 4.0  # constant
    shifted = z * torch.logspace(-2, 2, 7) + 10
    folded = Turtle(3, num_epochs=5, standardize=True).fit(shifted, seed=1)
    by_hand = (shifted - shifted.mean(dim=0)) / shifted.std(dim=0, correction=0).clamp(min=1e-30)
    by_hand[:, 2] = 0
    direct = Turtle(3, num_epochs=5).fit(by_hand, seed=1)
    for epoch in range(5):
        assert torch.allclose(tau(folded, shifted, epoch), tau(direct, by_hand, epoch), atol=1e-4)


@pytest.mark.parametrize("num_groups", [2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_separated_groups_are_found(num_groups, seed):
    z, labels = blobs(num_groups, width=64)
    assert pseudo_label_agreement(Turtle(num_groups, **FAST).fit(z, seed).pseudo_labels(z), labels) > 0.95


def test_samples_that_were_not_fitted_get_classes_too():
    z, labels = blobs(3, width=64)
    found = Turtle(3, **FAST).fit(z[:80], seed=0).pseudo_labels(z[80:])
    assert pseudo_label_agreement(found, labels[80:]) > 0.95


def test_the_entropy_keeps_the_classes_balanced():
    z, _ = blobs(4, width=16)

    def balance(gamma):
        mean = tau(Turtle(4, gamma=gamma, **FAST).fit(z, seed=0), z).mean(dim=0)
        return float(torch.special.entr(mean).sum()) / math.log(4)

    assert balance(10.0) > 0.999
    assert balance(0.0) < 0.9


def test_an_empty_class_is_allowed():
    z = torch.ones(12, 3)
    result = Turtle(4, num_epochs=3).fit(z, seed=0)
    assert len(result.pseudo_labels(z).unique()) == 1


def test_classes_whose_probability_underflows_stay_finite():
    z = torch.full((12, 3), 1e6)  # the entropy's slope at 0 is infinite
    result = Turtle(4, num_epochs=3).fit(z, seed=0)
    assert int((tau(result, z, 0).mean(dim=0) == 0).sum()) == 3
    assert result.weight.isfinite().all()


# -- what comes out ------------------------------------------------------------------------------------------------


def test_shapes_and_types():
    z, _ = blobs(3, width=5)
    result = Turtle(4, num_epochs=6).fit(z, seed=0)
    assert result.weight.shape == (6, 5, 4)
    assert result.bias.shape == (6, 4)
    assert result.weight.dtype == result.bias.dtype == torch.float32
    assert result.num_epochs == 6
    assert result.logits(z[:7], 2).shape == (7, 4)
    assert result.pseudo_labels(z).dtype == torch.int64
    assert torch.equal(result.pseudo_labels(z), result.logits(z, 5).argmax(dim=1))


def test_the_seed_decides_everything_and_the_global_stream_nothing():
    z, _ = blobs(3)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = Turtle(3, num_epochs=4, batch_size=50).fit(z, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = (Turtle(3, num_epochs=4, batch_size=50).fit(z, seed=seed) for seed in (7, 8))
    assert torch.equal(again.weight, first.weight)
    assert torch.equal(again.bias, first.bias)
    assert not torch.equal(other.weight, first.weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_features_of_other_types_and_without_gradients(dtype):
    z, _ = blobs(3)
    with torch.no_grad():
        result = Turtle(3, num_epochs=2).fit(z.to(dtype), seed=0)
    assert torch.equal(result.weight, Turtle(3, num_epochs=2).fit(z.to(dtype).float(), seed=0).weight)
    assert result.logits(z.to(dtype), 0).dtype == torch.float32


def test_a_file_gives_back_the_same_numbers(tmp_path):
    z, _ = blobs(3)
    result = Turtle(3, num_epochs=3).fit(z, seed=0)
    loaded = TurtleResult.load(result.save(tmp_path / "new" / "turtle.safetensors"))
    for epoch in range(3):
        assert torch.equal(loaded.logits(z, epoch), result.logits(z, epoch))


def test_a_file_of_something_else_is_refused(tmp_path):
    save_file({"embeddings": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=r"is not a TURTLE result: it holds embeddings"):
        TurtleResult.load(tmp_path / "a.safetensors")


# -- what cannot be ------------------------------------------------------------------------------------------------


def test_fewer_samples_than_classes():
    with pytest.raises(DataError, match="cannot find 5 classes among 4 samples"):
        Turtle(5).fit(torch.rand(4, 3), seed=0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_feature_that_is_not_finite(value):
    z = torch.rand(9, 3)
    z[4, 1] = value
    with pytest.raises(NumericalError, match="1 of 9 rows of the features are not finite; first row 4"):
        Turtle(2).fit(z, seed=0)


@pytest.mark.parametrize("shape", [(9,), (9, 2, 2), (9, 0)])
def test_features_must_be_a_matrix(shape):
    with pytest.raises(DataError, match=r"needs features \[M, D\]"):
        Turtle(2).fit(torch.rand(shape), seed=0)


def test_a_replay_needs_the_same_width_and_an_epoch_there_was():
    result = Turtle(2, num_epochs=3).fit(torch.rand(9, 4), seed=0)
    with pytest.raises(DataError, match=r"fitted on features \[B, 4\], got \[2, 5\]"):
        result.logits(torch.rand(2, 5), 0)
    for epoch in (3, -4):
        with pytest.raises(DataError, match=f"epochs 0 to 2, got {epoch}"):
            result.logits(torch.rand(2, 4), epoch)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"num_classes": 1}, "num_classes must be an integer >= 2, got 1"),
        ({"num_epochs": 0}, "num_epochs must be an integer >= 1, got 0"),
        ({"inner_steps": True}, "inner_steps must be an integer >= 1, got True"),
        ({"batch_size": 1}, "batch_size must be an integer >= 2, got 1"),
        ({"inner_lr": 0.0}, "inner_lr must be a positive number, got 0.0"),
        ({"outer_lr": math.nan}, "outer_lr must be a positive number, got nan"),
        ({"gamma": -1.0}, "gamma must be a number >= 0, got -1.0"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ConfigError, match=message):
        Turtle(**{"num_classes": 2, **setting})


# -- agreement -----------------------------------------------------------------------------------------------------

LABELS = st.integers(1, 12).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(0, 3), min_size=size, max_size=size) for _ in range(2)))
)


@given(LABELS)
def test_agreement_is_the_best_of_all_renamings(lists):
    pseudo, labels = (torch.tensor(values) for values in lists)
    best = max(sum(names[p] == y for p, y in zip(*lists, strict=True)) for names in itertools.permutations(range(4), 4))
    assert pseudo_label_agreement(pseudo, labels) == pytest.approx(best / len(labels))


def test_agreement_with_more_clusters_than_classes():
    assert pseudo_label_agreement(torch.tensor([5, 5, 0, 1]), torch.tensor([0, 0, 1, 1])) == 0.75


@pytest.mark.parametrize(
    ("pseudo", "labels", "message"),
    [
        ([0, 1], [0], r"two lists of one length, got \[2\] and \[1\]"),
        ([], [], r"two lists of one length, got \[0\]"),
        ([0, 1], [0, -1], "got a negative one"),
    ],
)
def test_labels_that_cannot_be_compared(pseudo, labels, message):
    with pytest.raises(DataError, match=message):
        pseudo_label_agreement(torch.tensor(pseudo).long(), torch.tensor(labels).long())
