import dataclasses

import pytest
import torch
from scipy import stats

from secateur.core.errors import ConfigError, DataError
from secateur.selection.beta import Beta, beta_parameters


def test_parameters_move_from_the_anchor_towards_easy():
    means = []
    for ratio in (0.0, 0.3, 0.7, 0.99):
        alpha, beta = beta_parameters(0.35, ratio, concentration=15.0, c_d=4.0)
        assert alpha + beta == pytest.approx(15)
        assert beta == pytest.approx(15 * 0.65 * (1 - ratio**4))
        means.append(alpha / (alpha + beta))
    assert means[0] == pytest.approx(0.35)
    assert means == sorted(means)
    assert sum(beta_parameters(0.35, 0.5, 15.0, 4.0, alpha_offset=1.0)) == pytest.approx(16)


@pytest.mark.parametrize("anchor_mean", [0.0, 1.0])
def test_parameters_stay_positive(anchor_mean):
    assert min(beta_parameters(anchor_mean, 0.0, 15.0, 4.0)) > 0


def test_single_draws_follow_score_times_density(table_of):
    table = table_of(5, seed=3)
    mean = table.columns["mean_probability"].double()
    anchor = float(mean[table.score.argsort(descending=True)[:2]].mean())
    alpha, beta = beta_parameters(anchor, 1 - 1 / 5, 15.0, 4.0)
    weights = table.score.double() * torch.from_numpy(stats.beta.pdf(mean.numpy(), alpha, beta))
    expected = weights / weights.sum()
    selection = Beta(num_anchors=2)
    counts = sum(selection(table, 1, seed).keep.double() for seed in range(2000))
    error = (counts / 2000 - expected) / (expected * (1 - expected) / 2000).sqrt().clamp(min=1e-3)
    assert float(error.abs().max()) < 5


def test_the_more_is_pruned_the_easier_what_is_kept(table_of):
    table = table_of(3000, score=torch.ones(3000))
    table = dataclasses.replace(table, columns={"mean_probability": torch.linspace(0, 1, 3000)})
    means = []
    for num_keep in (1500, 600, 150):
        kept = Beta()(table, num_keep, 0).keep
        means.append(float(table.columns["mean_probability"][kept].mean()))
    assert means == sorted(means)


def test_zero_scores_come_last_and_only_when_needed(table_of):
    score = torch.tensor([0.0, 1e-30, 0.0, 0.5])
    table = table_of(4, score=score)
    for seed in range(10):
        assert Beta()(table, 2, seed).keep.tolist() == [False, True, False, True]
    assert Beta()(table, 3, 0).keep[[1, 3]].all()


def test_extreme_means_are_finite(table_of):
    table = dataclasses.replace(table_of(4), columns={"mean_probability": torch.tensor([0.0, 1.0, 0.0, 1.0])})
    assert Beta()(table, 3, 0).num_kept == 3


def test_what_it_cannot_use(table_of):
    table = table_of(4)
    with pytest.raises(ConfigError, match="must not be negative"):
        Beta()(dataclasses.replace(table, score=-table.score), 2, 0)
    with pytest.raises(DataError, match="no column 'mean_probability'"):
        Beta()(dataclasses.replace(table, columns={}), 2, 0)
    columns = {"mean_probability": torch.tensor([0.1, 0.2, 1.5, 0.3])}
    with pytest.raises(DataError, match="sample_id 2"):
        Beta()(dataclasses.replace(table, columns=columns), 2, 0)


@pytest.mark.parametrize(
    "wrong", [{"concentration": 0}, {"c_d": -1}, {"c_d": float("nan")}, {"num_anchors": 0}, {"alpha_offset": -1}]
)
def test_wrong_arguments(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Beta(**wrong)
