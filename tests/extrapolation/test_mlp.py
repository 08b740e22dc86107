import pytest
import torch
from scipy import stats

from secateur.core.errors import ConfigError, NumericalError
from secateur.extrapolation.base import ExtrapolationInputs
from secateur.extrapolation.features import Features
from secateur.extrapolation.mlp import MLP

QUICK = {"hidden_sizes": [16], "dropout": 0.0, "batch_size": 32, "learning_rate": 0.01, "max_epochs": 30}


def make(num_samples=300, num_observed=150, noise=0.0, seed=0, dtype=torch.float64):
    stream = torch.Generator().manual_seed(7)
    embeddings = torch.randn(num_samples, 6, generator=stream) * 20 + 5
    labels = torch.randint(3, (num_samples,), generator=stream)
    truth = ((embeddings[:, 0] - 5).abs() / 20 + labels).double() * 1e-3 + 5
    truth += noise * torch.randn(num_samples, generator=stream)
    rows = torch.randperm(num_samples, generator=stream)[:num_observed]
    inputs = ExtrapolationInputs(
        embeddings=embeddings, sample_ids=rows, scores=truth[rows].to(dtype), labels=labels, num_samples=num_samples,
        seed=seed,
    )  # fmt: skip
    return inputs, truth


def test_learns_a_score_that_is_not_linear_on_any_scale():
    inputs, truth = make()
    result = MLP(**QUICK).predict(inputs)
    queries = inputs.queries
    assert stats.pearsonr(result[queries], truth[queries]).statistic > 0.9
    assert (result[queries] - truth[queries]).abs().mean() < 4e-4
    blind = MLP(**QUICK, use_labels=False).predict(inputs)
    assert stats.pearsonr(blind[queries], truth[queries]).statistic < 0.8


def test_equal_seeds_are_bit_equal_and_others_are_not():
    first = MLP(max_epochs=3).predict(make()[0])
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert torch.equal(MLP(max_epochs=3).predict(make()[0]), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(MLP(max_epochs=3).predict(make(seed=1)[0]), first)


def test_the_best_epoch_predicts_not_the_last(monkeypatch):
    inputs, _ = make(noise=1e-3)
    predictor = MLP(**QUICK, select_by="pearson")
    qualities, states = [], []
    quality = MLP._quality

    def spy(self, predicted, targets):
        qualities.append(quality(self, predicted, targets))
        assert qualities[-1][0] == pytest.approx(stats.pearsonr(predicted, targets).statistic, abs=1e-5)
        return qualities[-1]

    monkeypatch.setattr(MLP, "_quality", spy)
    train = MLP._train

    def keep_network(self, network, *rest):
        train(self, network, *rest)
        states.append(network)

    monkeypatch.setattr(MLP, "_train", keep_network)
    whole = predictor.predict(inputs)
    best = qualities.index(max(qualities))
    assert best < len(qualities) - 1
    assert torch.equal(MLP(**{**QUICK, "max_epochs": best + 1}, select_by="pearson").predict(inputs), whole)
    assert not states[0].training


def test_held_out_samples_are_not_trained_on(monkeypatch):
    inputs, _ = make(num_samples=40, num_observed=20)
    seen, held_out = set(), set()
    rows = Features.rows

    def spy(self, wanted):
        (seen if torch.is_grad_enabled() else held_out).update(wanted.tolist())
        return rows(self, wanted)

    features = Features.of(inputs)
    monkeypatch.setattr(Features, "rows", spy)
    predictor = MLP(**QUICK, validation_fraction=0.25)
    network = predictor._network(features.width)
    predictor._train(network, features, inputs, inputs.scores)
    assert len(held_out) == 5
    assert seen | held_out == set(inputs.sample_ids.tolist())
    assert not seen & held_out


@pytest.mark.parametrize(
    ("num_observed", "fraction", "expected"), [(2, 0.1, 1), (2, 0.9, 1), (100, 0.1, 10), (3, 0.9, 2)]
)
def test_number_held_out(num_observed, fraction, expected):
    assert MLP(validation_fraction=fraction)._num_held_out(num_observed) == expected


def test_an_undefined_correlation_is_worse_than_any_other():
    predictor = MLP()
    constant = predictor._quality(torch.zeros(3), torch.tensor([1.0, 2.0, 3.0]).double())
    inverse = predictor._quality(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 3.0]).double())
    assert constant < inverse
    assert predictor._quality(torch.ones(1), torch.ones(1).double()) > predictor._quality(
        torch.zeros(1), torch.ones(1).double()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_observed(dtype):
    inputs, _ = make(num_observed=2, dtype=dtype)
    result = MLP(**QUICK).predict(inputs)
    assert result.dtype == dtype
    assert torch.isfinite(result).all()


def test_no_hidden_layer_is_linear():
    inputs, _ = make()
    inputs.embeddings[inputs.queries[0]] = inputs.embeddings[inputs.queries[1:3]].mean(dim=0)
    result = MLP(**{**QUICK, "hidden_sizes": []}, use_labels=False).predict(inputs)
    first, second, third = result[inputs.queries[:3]]
    torch.testing.assert_close(first, (second + third) / 2, rtol=1e-6, atol=1e-9)


def test_operations_are_counted():
    inputs, _ = make()
    MLP(hidden_sizes=[4], max_epochs=2).predict(inputs)
    weights = 9 * 4 + 4 + 4 + 1
    assert inputs.flops == 2 * weights * (2 * (3 * 135 + 15) + 150)


def test_divergence_is_an_error():
    with pytest.raises(NumericalError, match="learning_rate"):
        MLP(**{**QUICK, "learning_rate": 1e30}).predict(make()[0])


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_sizes": [8, 0]},
        {"dropout": 1.0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"batch_size": 0},
        {"max_epochs": 0},
        {"validation_fraction": 0.0},
        {"select_by": "recall"},
    ],
)
def test_arguments_that_cannot_be(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        MLP(**options)
