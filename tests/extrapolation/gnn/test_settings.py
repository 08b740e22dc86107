import dataclasses
import inspect
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError, NumericalError
from secateur.extrapolation.base import ExtrapolationInputs
from secateur.extrapolation.gnn.fit import pairwise_loss, split
from secateur.extrapolation.gnn.settings import GNN

CONF = Path(__file__).parents[3] / "conf"
PRESETS = ("gnn_released", "gnn_released_extrapolation")
NUM_SAMPLES = 240
QUICK = {"k": 5, "hidden_sizes": (16, 8), "max_epochs": 6, "learning_rate": 0.01, "dropout": 0.1}
SAMPLED = {"full_graph_limit": 0, "batch_size": 32, "train_hops": (3, 3)}
ONE_HOP = {**SAMPLED, "normalizer": "subgraph", "propagate_first": False, "inference": "one_hop"}
GAT = {"conv": "gat", "propagate_first": False}


def inputs_of(scores=None, num_observed=120, embeddings=None, seed=0, labels=True):
    source = torch.Generator().manual_seed(7)
    points = torch.rand(NUM_SAMPLES, 2, generator=source)
    smooth = (points[:, 0] * 4).sin() + points[:, 1]
    rows = torch.randperm(NUM_SAMPLES, generator=source)[:num_observed]
    return ExtrapolationInputs(
        embeddings=points if embeddings is None else embeddings,
        sample_ids=rows,
        scores=smooth[rows] if scores is None else scores,
        labels=(points[:, 0] * 3).long() if labels else None,
        num_samples=NUM_SAMPLES,
        num_classes=3 if labels else 0,
        seed=seed,
    ), smooth


@pytest.mark.parametrize(
    "options", [{}, SAMPLED, {**GAT, **SAMPLED}, GAT], ids=["full", "sampled", "gat_sampled", "gat"]
)
@pytest.mark.parametrize("loss", ["mse", "ranking"])
def test_recovers_a_smooth_function_better_than_the_constant(options, loss):
    inputs, truth = inputs_of()
    gnn = GNN(**{**QUICK, "max_epochs": 20, "full_graph_steps": 5, **options}, loss=loss)
    predicted = gnn.predict(inputs)
    unseen = inputs.queries
    error = (predicted[unseen] - truth[unseen]).square().mean()
    assert float(error) < 0.25 * float((truth[unseen] - inputs.scores.mean()).square().mean())
    assert torch.equal(predicted[inputs.sample_ids], inputs.scores)
    assert predicted.dtype == inputs.scores.dtype
    assert inputs.flops > 2 * NUM_SAMPLES**2 * 2


@pytest.mark.parametrize("options", [{}, SAMPLED, ONE_HOP], ids=["full", "sampled", "one_hop"])
def test_the_seed_decides_everything_and_leaves_other_streams_alone(options):
    gnn = GNN(**QUICK, **options)
    torch.manual_seed(1)
    first = gnn.predict(inputs_of()[0])
    after = torch.rand(1)
    torch.manual_seed(2)
    assert torch.equal(gnn.predict(inputs_of()[0]), first)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    assert not torch.equal(gnn.predict(inputs_of(seed=1)[0]), first)


@pytest.mark.parametrize("options", [{}, SAMPLED, ONE_HOP, {"loss": "ranking"}], ids=str)
def test_held_out_scores_never_reach_the_weights(options):
    gnn = GNN(**QUICK, **options)
    inputs, _ = inputs_of()
    held_out = split(len(inputs.scores), 0.1, 0)[1]
    assert len(held_out) == 12
    changed = inputs.scores.clone()
    changed[held_out] = changed[held_out] * -3 + 10
    first, second = gnn.fit(inputs), gnn.fit(inputs_of(changed)[0])
    assert first.correlations != second.correlations
    assert all(torch.equal(first.last_weights[name], second.last_weights[name]) for name in first.last_weights)
    trained = inputs.scores.clone()
    trained[split(len(trained), 0.1, 0)[0][0]] += 1
    third = gnn.fit(inputs_of(trained)[0])
    assert any(not torch.equal(first.last_weights[name], third.last_weights[name]) for name in first.last_weights)


def test_scores_of_unobserved_samples_cannot_matter():
    """All that a fit knows of the others is their embedding and label: the inputs have no place for more."""
    names = {field.name for field in dataclasses.fields(ExtrapolationInputs)}
    assert {name for name in names if "score" in name} == {"scores"}
    inputs, _ = inputs_of()
    assert len(inputs.scores) == len(inputs.sample_ids) < NUM_SAMPLES


def test_the_epoch_of_highest_correlation_predicts():
    seen = []
    fitted = GNN(**QUICK, validation_fraction=0.3).fit(inputs_of()[0], progress=lambda *step: seen.append(step))
    assert seen == list(enumerate(fitted.correlations))
    assert fitted.epoch == max(range(6), key=lambda epoch: (fitted.correlations[epoch], -epoch))
    shorter = GNN(**{**QUICK, "max_epochs": fitted.epoch + 1}, validation_fraction=0.3).fit(inputs_of()[0])
    assert torch.equal(shorter.predicted, fitted.predicted)


@pytest.mark.parametrize("num_observed", [2, 3, 9])
def test_with_few_scores_nothing_is_held_out(num_observed):
    inputs, _ = inputs_of(num_observed=num_observed)
    fitted = GNN(**QUICK).fit(inputs)
    assert fitted.epoch == 5
    assert all(correlation != correlation for correlation in fitted.correlations)
    assert torch.isfinite(GNN(**QUICK).predict(inputs)).all()


@pytest.mark.parametrize("num_observed", [1, 50])
def test_constant_scores_are_returned_untrained(num_observed):
    inputs, _ = inputs_of(torch.full((num_observed,), 0.3), num_observed=num_observed)
    assert torch.equal(GNN(**QUICK).predict(inputs), torch.full((NUM_SAMPLES,), 0.3))
    assert inputs.flops == 0


@pytest.mark.parametrize("options", [{}, SAMPLED, ONE_HOP, GAT], ids=["full", "sampled", "one_hop", "gat"])
def test_duplicates_absent_classes_and_unknown_labels(options):
    embeddings = torch.rand(NUM_SAMPLES, 2, generator=torch.Generator().manual_seed(0))
    embeddings[:100] = 0.5
    inputs, _ = inputs_of(embeddings=embeddings)
    assert torch.isfinite(GNN(**QUICK, **options).predict(inputs)).all()
    inputs.labels[inputs.sample_ids] = 0  # classes 1 and 2 are not among the observed
    assert torch.isfinite(GNN(**QUICK, **options).predict(inputs)).all()
    blind, _ = inputs_of(labels=False)
    assert torch.isfinite(GNN(**QUICK, **options).predict(blind)).all()


def test_labels_are_read_only_if_wanted():
    with_labels, _ = inputs_of()
    without, _ = inputs_of(labels=False)
    blind = GNN(**QUICK, use_labels=False)
    assert torch.equal(blind.predict(with_labels), blind.predict(without))
    assert not torch.equal(GNN(**QUICK).predict(inputs_of()[0]), blind.predict(without))


def test_scale_of_scores_and_features_does_not_matter_when_standardized():
    points = inputs_of()[0].embeddings.double()
    plain, _ = inputs_of(embeddings=points)
    scaled, _ = inputs_of(plain.scores.double() * 1e-3 + 50, embeddings=points * 1024)
    gnn = GNN(**QUICK)
    expected = gnn.predict(plain).double() * 1e-3 + 50
    torch.testing.assert_close(gnn.predict(scaled), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_ranking_loss(size):
    source = torch.Generator().manual_seed(0)
    outputs = torch.randn(size, generator=source, dtype=torch.float64)
    targets = torch.randint(3, (size,), generator=source).double()
    terms = []
    for i in range(size):
        j = i - 1
        p = 1 / (1 + (outputs[j] - outputs[i]).exp())
        goal = 0.5 if targets[i] == targets[j] else float(targets[i] > targets[j])
        terms.append(-goal * p.log() - (1 - goal) * (1 - p).log())
    torch.testing.assert_close(pairwise_loss(outputs, targets), torch.stack(terms).mean())


@pytest.mark.parametrize("options", [{}, {**SAMPLED, "batch_size": 7}], ids=["full", "sampled"])
def test_ranking_has_the_observed_distribution_and_odd_batches(options):
    inputs, _ = inputs_of(num_observed=101)
    predicted = GNN(**QUICK, **options, loss="ranking").predict(inputs)[inputs.queries]
    assert float(predicted.min()) == float(inputs.scores.min())
    assert float(predicted.max()) == float(inputs.scores.max())


def test_too_few_samples_for_k():
    inputs = ExtrapolationInputs(
        embeddings=torch.rand(5, 2), sample_ids=torch.tensor([0, 1]), scores=torch.tensor([0.0, 1.0]), num_samples=5
    )
    with pytest.raises(ConfigError, match=r"k=5.*N=5"):
        GNN(k=5).predict(inputs)
    assert len(GNN(**{**QUICK, "k": 4}).predict(inputs)) == 5


def test_needs_embeddings():
    inputs = ExtrapolationInputs(
        embeddings=None, sample_ids=torch.tensor([0, 1]), scores=torch.tensor([0.0, 1.0]), num_samples=5
    )
    with pytest.raises(ConfigError, match="embeddings"):
        GNN().predict(inputs)


def test_divergence_is_an_error():
    inputs, _ = inputs_of(embeddings=torch.rand(NUM_SAMPLES, 2) * 1e30)
    with pytest.raises(NumericalError):
        GNN(**{**QUICK, "learning_rate": 1e30}, features="raw").predict(inputs)


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"k": 2.0},
        {"max_epochs": True},
        {"batch_size": 0},
        {"full_graph_limit": -1},
        {"hidden_sizes": [8, 0]},
        {"train_hops": [5, -2]},
        {"dropout": 1.0},
        {"validation_fraction": 1.0},
        {"learning_rate": 0},
        {"weight_decay": -1},
        {"weighting": "exp"},
        {"loss": "l1"},
        {"conv": "sage"},
    ],
    ids=str,
)
def test_wrong_arguments_are_named(wrong):
    name = next(iter(wrong))
    with pytest.raises(ConfigError, match=name):
        GNN(**wrong)
    assert name in {field.name for field in dataclasses.fields(GNN)}


@pytest.mark.parametrize("option", [{"conv": "gat"}, {"normalizer": "subgraph"}, {"inference": "one_hop"}], ids=str)
def test_contradictions_with_the_propagated_first_layer(option):
    with pytest.raises(ConfigError, match="propagate_first"):
        GNN(**option)
    GNN(**option, propagate_first=False)


@pytest.mark.parametrize("conv", ["gcn", "gat"])
def test_configuration_has_the_constructors_keys(conv):
    settings = OmegaConf.to_container(
        OmegaConf.load(CONF / "extrapolation" / f"{'gnn' if conv == 'gcn' else 'gat'}.yaml")
    )
    assert settings.pop("_target_") == "secateur.extrapolation.gnn.settings.GNN"
    parameters = inspect.signature(GNN).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items()}
    defaults = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    assert settings.keys() == defaults.keys()
    assert conv == "gat" or settings == defaults
    assert GNN(**settings).conv == conv


ROOT = """
defaults: [_self_, {extrapolation: gnn}]
hydra:
  searchpath: [file://%s]
"""


@pytest.mark.parametrize("preset", PRESETS)
def test_released_preset_composes_and_runs(preset, tmp_path):
    (tmp_path / "root.yaml").write_text(ROOT % CONF)
    with initialize_config_dir(version_base="1.3", config_dir=str(tmp_path)):
        reference = compose("root").extrapolation
        overrides = [f"+preset/extrapolation@extrapolation={preset}", "extrapolation.max_epochs=2"]
        released = compose("root", overrides).extrapolation
    differs = {key for key in reference if reference[key] != released[key]} - {"max_epochs"}
    assert differs == set(OmegaConf.load(CONF / "preset" / "extrapolation" / f"{preset}.yaml"))
    gnn = instantiate(released)
    assert (gnn.inference, gnn.normalizer, gnn.weighting, list(gnn.train_hops)) == (
        "one_hop",
        "subgraph",
        "exp_half",
        [10, 10],
    )
    inputs, _ = inputs_of()
    predicted = gnn.predict(inputs)
    assert torch.isfinite(predicted).all()
    assert predicted[inputs.queries].std() > 0


def test_both_names_of_the_release_mean_the_same():
    first, second = ((CONF / "preset" / "extrapolation" / f"{preset}.yaml").read_text() for preset in PRESETS)
    assert first == second
