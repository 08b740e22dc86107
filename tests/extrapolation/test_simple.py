"""What all predictors have in common, and the controls: constant, class mean, uniform."""

from statistics import fmean

import pytest
import torch

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.extrapolation.base import ExtrapolationInputs, Needs
from secateur.extrapolation.class_mean import ClassMean
from secateur.extrapolation.constant import Constant
from secateur.extrapolation.knn import KNN
from secateur.extrapolation.mlp import MLP
from secateur.extrapolation.proxy_direct import ProxyDirect
from secateur.extrapolation.ridge import Ridge
from secateur.extrapolation.uniform import Uniform

CONTROLS = [Constant(), ClassMean(), Uniform()]
PREDICTORS = [*CONTROLS, KNN(k=1), KNN(k=1, same_class=True), Ridge(), MLP(max_epochs=3), ProxyDirect()]
NAMES = [type(predictor).__name__ for predictor in PREDICTORS]


def make(num_samples=40, num_observed=12, num_classes=3, dtype=torch.float64, seed=0, **changes):
    stream = torch.Generator().manual_seed(seed)
    given = {
        "embeddings": torch.randn(num_samples, 5, generator=stream),
        "sample_ids": torch.randperm(num_samples, generator=stream)[:num_observed],
        "scores": torch.rand(num_observed, generator=stream, dtype=torch.float64).to(dtype),
        "labels": torch.randint(num_classes or 1, (num_samples,), generator=stream),
        "proxy_logits": torch.randn(num_samples, num_classes, generator=stream),
        "num_samples": num_samples,
        "num_classes": num_classes,
    }
    return ExtrapolationInputs(**{**given, **changes})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_observed_scores_stay_and_predictions_repeat(predictor, dtype):
    inputs = make(dtype=dtype)
    result = predictor.predict(inputs)
    assert result.shape == (40,)
    assert result.dtype == dtype
    assert torch.isfinite(result).all()
    assert torch.equal(result[inputs.sample_ids], inputs.scores)
    torch.rand(3)
    state = torch.get_rng_state()
    assert torch.equal(predictor.predict(make(dtype=dtype)), result)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_order_of_the_observed_is_irrelevant(predictor):
    inputs = make(num_observed=20)
    if type(predictor) in (Uniform, MLP):
        pytest.skip("draws rows at random")
    order = torch.randperm(20)
    shuffled = make(num_observed=20, sample_ids=inputs.sample_ids[order], scores=inputs.scores[order])
    torch.testing.assert_close(predictor.predict(shuffled), predictor.predict(inputs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_one_score(predictor):
    result = predictor.predict(make(num_observed=1, scores=torch.tensor([0.3]).double()))
    torch.testing.assert_close(result, torch.full((40,), 0.3).double())


@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_two_scores(predictor):
    result = predictor.predict(make(num_observed=2))
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_constant_scores(predictor):
    result = predictor.predict(make(scores=torch.full((12,), 0.7, dtype=torch.float64)))
    torch.testing.assert_close(result, torch.full((40,), 0.7, dtype=torch.float64))


@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_everything_observed(predictor):
    inputs = make(num_observed=40)
    assert torch.equal(predictor.predict(inputs)[inputs.sample_ids], inputs.scores)


@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_absent_classes_and_duplicates(predictor):
    labels = torch.arange(40) % 2
    labels[30:] = 2
    embeddings = torch.randn(4, 5).repeat(10, 1)
    inputs = make(embeddings=embeddings, labels=labels, sample_ids=torch.arange(12))
    assert torch.isfinite(predictor.predict(inputs)).all()


@pytest.mark.parametrize("predictor", PREDICTORS, ids=NAMES)
def test_what_it_needs_is_what_it_cannot_do_without(predictor):
    fields = {Needs.EMBEDDINGS: "embeddings", Needs.LABELS: "labels", Needs.PROXY_LOGITS: "proxy_logits"}
    without = {name: None for need, name in fields.items() if need not in predictor.needs}
    if "labels" in without:
        without["num_classes"] = 0
    assert torch.isfinite(predictor.predict(make(**without))).all()
    for need in predictor.needs:
        with pytest.raises(ConfigError):
            predictor.predict(make(**{fields[need]: None}))


def test_constant_is_the_mean():
    inputs = make()
    expected = torch.full((28,), fmean(inputs.scores.tolist()), dtype=torch.float64)
    torch.testing.assert_close(Constant().predict(inputs)[inputs.queries], expected, rtol=1e-12, atol=0)


def test_class_mean_by_hand():
    inputs = make(num_classes=4, labels=torch.arange(40) % 3)
    inputs.labels[inputs.queries[:5]] = 3  # a class that nothing observed has
    result, scores, labels = ClassMean().predict(inputs), inputs.scores.tolist(), inputs.labels.tolist()
    classes = [labels[row] for row in inputs.sample_ids.tolist()]
    for row in inputs.queries.tolist():
        members = [score for score, label in zip(scores, classes, strict=True) if label == labels[row]]
        assert float(result[row]) == pytest.approx(fmean(members or scores), rel=1e-12)


def test_uniform_draws_all_observed_scores_alike():
    inputs = make(num_samples=12010, num_observed=10)
    drawn = Uniform().predict(inputs)[inputs.queries]
    values, counts = drawn.unique(return_counts=True)
    assert torch.equal(values, inputs.scores.sort().values)
    assert ((counts - 1200).abs() < 5 * 1200**0.5).all()


def test_seeds_differ():
    assert not torch.equal(Uniform().predict(make()), Uniform().predict(make_with_seed(1)))
    assert not torch.equal(MLP(max_epochs=2).predict(make()), MLP(max_epochs=2).predict(make_with_seed(1)))


def make_with_seed(seed):
    inputs = make()
    inputs.seed = seed
    return inputs


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"labels": torch.full((40,), 3)}, DataError, r"in \[0, 3\), but they are from 3 to 3"),
        ({"labels": torch.full((40,), -1)}, DataError, "from -1"),
        ({"labels": torch.zeros(40)}, DataError, "int64"),
        ({"scores": torch.full((12,), float("nan"))}, NumericalError, "scores"),
    ],
)
def test_inputs_that_cannot_be(changes, error, message):
    with pytest.raises(error, match=message):
        make(**changes)


def test_number_of_classes_is_taken_from_the_labels():
    assert make(num_classes=0, labels=torch.arange(40) % 7).num_classes == 7


def test_predictions_that_are_not_finite_are_refused():
    inputs = make()
    with pytest.raises(NumericalError, match="predicted"):
        inputs.filled(torch.full((28,), float("nan")))
