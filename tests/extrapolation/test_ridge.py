import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.extrapolation.base import ExtrapolationInputs
from secateur.extrapolation.features import Features
from secateur.extrapolation.ridge import Ridge, fit_ridge

SIZES = [(30, 4), (12, 12), (10, 25), (2, 6)]


def problem(num_rows, num_features, seed=0):
    stream = np.random.default_rng(seed)
    features = stream.normal(size=(num_rows, num_features)) + 3
    return features, features[:, 0] - 0.5 * features[:, -1] + stream.normal(size=num_rows)


def left_out_error(features, scores, alpha):
    """Refit without each row in turn."""
    errors = []
    for row in range(len(scores)):
        others = np.arange(len(scores)) != row
        model = SklearnRidge(alpha=alpha, solver="svd").fit(features[others], scores[others])
        errors.append(scores[row] - model.predict(features[row : row + 1])[0])
    return np.mean(np.square(errors))


@pytest.mark.parametrize("size", SIZES)
def test_closed_form_is_leave_one_out(size):
    features, scores = problem(*size)
    alphas = [0.01, 1.0, 1000.0]
    fit = fit_ridge(torch.from_numpy(features), torch.from_numpy(scores), alphas)
    expected = [left_out_error(features, scores, alpha) for alpha in alphas]
    np.testing.assert_allclose(fit.errors.numpy(), expected, rtol=1e-6)
    assert fit.alpha == alphas[int(np.argmin(expected))]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("alpha", [1e-6, 0.5, 1e4])
def test_coefficients_are_those_of_sklearn(size, alpha):
    features, scores = problem(*size)
    fit = fit_ridge(torch.from_numpy(features), torch.from_numpy(scores), [alpha])
    model = SklearnRidge(alpha=alpha, solver="svd").fit(features, scores)
    np.testing.assert_allclose(fit.coefficients.numpy(), model.coef_, rtol=1e-6, atol=1e-9)
    assert float(fit.intercept) == pytest.approx(model.intercept_, rel=1e-6, abs=1e-9)


def test_nearly_interpolating_penalties_are_told_apart_from_rounding():
    features, scores = problem(10, 40)
    fit = fit_ridge(torch.from_numpy(features), torch.from_numpy(scores), [1e-9])
    assert float(fit.errors[0]) == pytest.approx(left_out_error(features, scores, 1e-9), rel=1e-3)


def make(num_samples=80, num_observed=50, width=6, labels=True, dtype=torch.float32):
    torch.manual_seed(0)
    embeddings = torch.randn(num_samples, width, dtype=torch.float64) * torch.logspace(-2, 2, width).double() + 5
    classes = torch.randint(3, (num_samples,))
    truth = embeddings[:, 0] * 20 - embeddings[:, -1] / 100 + classes
    rows = torch.randperm(num_samples)[:num_observed]
    inputs = ExtrapolationInputs(
        embeddings=embeddings.to(dtype),
        sample_ids=rows,
        scores=truth[rows],
        labels=classes if labels else None,
        num_samples=num_samples,
    )
    return inputs, truth


def test_a_linear_score_is_recovered():
    inputs, truth = make()
    torch.testing.assert_close(Ridge(alphas=[1e-6]).predict(inputs), truth, rtol=1e-4, atol=1e-4)
    without = Ridge(use_labels=False).predict(inputs)
    unlabeled = Ridge().predict(make(labels=False)[0])
    assert torch.equal(without, unlabeled)
    assert (without - truth).abs().max() > 0.5


def test_the_same_as_sklearn_on_standardized_features():
    inputs, _ = make(dtype=torch.float64)
    one_hot = np.eye(3)[inputs.labels.numpy()]
    columns = np.concatenate([one_hot, inputs.embeddings.numpy()], axis=1)
    rows = inputs.sample_ids.numpy()
    columns = (columns - columns[rows].mean(0)) / columns.std(0)
    model = SklearnRidge(alpha=10.0).fit(columns[rows], inputs.scores.numpy())
    expected = model.predict(columns)[inputs.queries.numpy()]
    result = Ridge(alphas=[10.0]).predict(inputs)[inputs.queries]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9)


def test_units_of_the_embedding_are_irrelevant():
    inputs, _ = make(dtype=torch.float64)
    before = Ridge().predict(inputs)
    inputs.embeddings = inputs.embeddings * torch.logspace(-3, 3, 6).double() - 7
    torch.testing.assert_close(Ridge().predict(inputs), before, rtol=1e-8, atol=1e-8)


def test_a_column_that_is_constant_in_the_subset_is_left_out():
    inputs, _ = make(dtype=torch.float64)
    before = Ridge().predict(inputs)
    constant = torch.full((80, 1), 0.1, dtype=torch.float64)
    constant[inputs.queries] = torch.randn(len(inputs.queries), 1, dtype=torch.float64) * 1e6
    inputs.embeddings = torch.cat([inputs.embeddings, constant], dim=1)
    torch.testing.assert_close(Ridge().predict(inputs), before, rtol=1e-9, atol=1e-9)


def test_nothing_but_constant_columns_gives_the_mean():
    inputs, _ = make(labels=False)
    inputs.embeddings = torch.ones(80, 3)
    result = Ridge().predict(inputs)[inputs.queries]
    torch.testing.assert_close(result, inputs.scores.mean().expand(30))


def test_of_equal_errors_the_largest_penalty():
    fit = fit_ridge(torch.randn(8, 3), torch.ones(8), [1.0, 100.0, 10.0])
    assert fit.alpha == 100.0
    assert fit.errors.tolist() == [0.0, 0.0, 0.0]


def test_features_chunks_and_operations():
    inputs, _ = make()
    features = Features.of(inputs)
    assert features.width == 9
    fitted = features.rows(inputs.sample_ids)
    torch.testing.assert_close(fitted.mean(dim=0), torch.zeros(9, dtype=torch.float64), atol=1e-9, rtol=0)
    Ridge().predict(inputs)
    assert inputs.flops > 2 * 50 * 9 * 9


@pytest.mark.parametrize("alphas", [[], [0.0], [1.0, -1.0], [float("nan")], [float("inf")]])
def test_alphas_must_be_positive(alphas):
    with pytest.raises(ConfigError, match="alphas"):
        Ridge(alphas=alphas)
    with pytest.raises(ConfigError, match="alphas"):
        fit_ridge(torch.zeros(2, 1), torch.zeros(2), alphas)


def test_errors():
    with pytest.raises(DataError, match=r"\[3\]"):
        fit_ridge(torch.zeros(2, 1), torch.zeros(3))
    with pytest.raises(DataError, match="M >= 1"):
        fit_ridge(torch.zeros(0, 1), torch.zeros(0))
    with pytest.raises(NumericalError, match="first row 1"):
        fit_ridge(torch.zeros(2, 1), torch.tensor([0.0, float("nan")]))
