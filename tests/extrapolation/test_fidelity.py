import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import jaccard_score, recall_score

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.core.mask import keep_count
from secateur.core.neighbors import Neighbors
from secateur.core.tables import ScoreTable
from secateur.extrapolation.fidelity import (
    QUANTILES,
    bottom_recall,
    fidelity,
    kolmogorov_smirnov,
    per_query_diagnostics,
    places,
    quantiles,
    recall,
    seed_level,
    spread_ratio,
    wasserstein,
    without_same_class,
)
from secateur.selection.top import Top

RATIOS = (0.0, 0.1, 0.5, 0.9)


def pool(seed=0, n=200, m=60, tied=False):
    stream = np.random.default_rng(seed)
    true = stream.normal(size=n)
    merged = 0.5 * true + 0.4 * stream.normal(size=n)
    if tied:
        true, merged = true.round(0), merged.round(0)
    observed = torch.zeros(n, dtype=torch.bool)
    observed[torch.tensor(stream.permutation(n)[:m])] = True
    return torch.tensor(merged), torch.tensor(true), observed


def kept_by_hand(scores, num_keep):
    """Rows kept one at a time: the highest score, of equal ones the smallest row."""
    left, kept = list(range(len(scores))), set()
    for _ in range(num_keep):
        best = left[0]
        for row in left:
            if scores[row] > scores[best]:
                best = row
        kept.add(best)
        left.remove(best)
    return kept


@pytest.mark.parametrize("tied", [False, True])
def test_single_sample_metrics_against_scipy(tied):
    merged, true, observed = pool(tied=tied)
    result = fidelity(merged, true, observed, RATIOS)
    a, b = merged[~observed].numpy(), true[~observed].numpy()
    assert result.num_compared == 140
    assert result.pearson == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
    assert result.spearman == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert result.ks == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    assert result.wasserstein == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)
    assert result.spread_ratio == pytest.approx(a.std() / b.std(), abs=1e-12)
    assert list(result.predicted_quantiles.values()) == pytest.approx(np.quantile(a, QUANTILES), abs=1e-12)
    assert list(result.true_quantiles.values()) == pytest.approx(np.quantile(b, QUANTILES), abs=1e-12)
    a, b = merged[observed].numpy(), true[observed].numpy()
    assert result.observed_pearson == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
    assert result.observed_spearman == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_kept_sets_against_a_loop_and_sklearn(tied):
    merged, true, observed = pool(1, tied=tied)
    for entry, ratio in zip(fidelity(merged, true, observed, RATIOS).kept, RATIOS, strict=True):
        assert (entry.pruning_ratio, entry.num_keep) == (ratio, keep_count(200, ratio))
        kept, wanted = (kept_by_hand(scores.tolist(), entry.num_keep) for scores in (merged, true))
        kept, wanted = ([row in rows for row in range(200)] for rows in (kept, wanted))
        assert entry.recall == pytest.approx(recall_score(wanted, kept))
        assert entry.jaccard == pytest.approx(jaccard_score(wanted, kept))
        assert entry.observed_share == pytest.approx(sum(observed[kept].tolist()) / entry.num_keep)
        assert entry.chance_recall == entry.num_keep / 200


@pytest.mark.parametrize("tied", [False, True])
def test_tails_against_a_loop(tied):
    merged, true, observed = pool(2, tied=tied)
    a, b = merged[~observed].tolist(), true[~observed].tolist()
    for fraction, count in ((0.05, 7), (0.25, 35), (0.001, 1), (1.0, 140)):
        result = fidelity(merged, true, observed, [], tail_fraction=fraction)
        assert result.top_recall == len(kept_by_hand(a, count) & kept_by_hand(b, count)) / count
        rest = 140 - count
        everything = set(range(140))
        dropped, unwanted = everything - kept_by_hand(a, rest), everything - kept_by_hand(b, rest)
        assert result.bottom_recall == len(dropped & unwanted) / count
        assert result.chance_tail_recall == count / 140
        assert result.tail_fraction == fraction


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.data())
def test_places_are_those_of_the_top_selection(values, data):
    num_keep = data.draw(st.integers(1, len(values)))
    score = torch.tensor(values, dtype=torch.float32)
    table = ScoreTable(torch.arange(len(values)), torch.zeros(len(values)), score, torch.ones(len(values)).bool())
    assert (places(score) < num_keep).tolist() == Top()(table, num_keep=num_keep, seed=0).keep.tolist()


@given(st.integers(0, 2**31), st.integers(2, 60), st.booleans())
def test_identical_scores_are_perfect(seed, n, tied):
    merged, _, observed = pool(seed, n, n // 3, tied)
    result = fidelity(merged, merged.clone(), observed, [0.0, 0.3, 0.5])
    assert all(entry.recall == entry.jaccard == 1.0 for entry in result.kept)
    assert result.top_recall == result.bottom_recall == 1.0
    assert result.ks == result.wasserstein == 0.0
    assert math.isnan(result.spearman) or result.spearman == pytest.approx(1.0)


@given(st.integers(0, 2**31), st.integers(2, 60))
def test_monotone_maps_of_all_scores_change_nothing_that_is_ranked(seed, n):
    merged, true, observed = pool(seed, n, n // 3)
    one, other = fidelity(merged, true, observed, [0.3, 0.5]), fidelity(merged.exp(), true**3, observed, [0.3, 0.5])
    assert one.kept == other.kept
    assert (one.top_recall, one.bottom_recall) == (other.top_recall, other.bottom_recall)
    assert math.isnan(one.spearman) or one.spearman == pytest.approx(other.spearman)


def test_random_scores_reach_the_chance_levels():
    observed = torch.arange(1000) < 200
    draws = []
    for seed in range(300):
        stream = torch.Generator().manual_seed(seed)
        draws.append(fidelity(torch.rand(1000, generator=stream), torch.rand(1000, generator=stream), observed, [0.8]))
    first = draws[0].kept[0]
    assert np.mean([draw.kept[0].recall for draw in draws]) == pytest.approx(first.chance_recall, abs=0.006)
    assert np.mean([draw.kept[0].jaccard for draw in draws]) == pytest.approx(first.chance_jaccard, abs=0.004)
    assert np.mean([draw.top_recall for draw in draws]) == pytest.approx(draws[0].chance_tail_recall, abs=0.008)
    assert np.mean([draw.bottom_recall for draw in draws]) == pytest.approx(draws[0].chance_tail_recall, abs=0.008)
    assert np.mean([draw.kept[0].observed_share for draw in draws]) == pytest.approx(0.2, abs=0.006)
    assert (first.chance_recall, first.chance_jaccard) == (0.2, pytest.approx(1 / 9))


def test_the_observed_rows_are_in_no_single_sample_metric():
    merged, true, observed = pool(3)
    other = torch.where(observed, torch.linspace(50, 90, 200, dtype=torch.float64), merged)
    one, two = (fidelity(scores, true, observed, []) for scores in (merged, other))
    for name in ("pearson", "spearman", "top_recall", "bottom_recall", "ks", "wasserstein", "spread_ratio"):
        assert getattr(one, name) == getattr(two, name)
    assert one.observed_pearson != two.observed_pearson
    assert fidelity(other, true, observed, [0.8]).kept[0].observed_share == 1.0


def test_undefined_is_null_in_json():
    merged, true, observed = torch.zeros(6), torch.arange(6.0), torch.arange(6) < 2
    record = fidelity(merged, true, observed, [0.5]).to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["pearson"] is None
    assert record["spearman"] is None
    assert record["spread_ratio"] == 0.0
    assert record["kept"][0]["num_keep"] == 3
    assert record["true_quantiles"]["0.5"] == 3.5
    everything = fidelity(true, true, torch.ones(6, dtype=torch.bool), [0.5]).to_json()
    json.dumps(everything, allow_nan=False)
    undefined = ("pearson", "top_recall", "bottom_recall", "chance_tail_recall", "ks", "wasserstein", "spread_ratio")
    assert [everything[name] for name in undefined] == [None] * 7
    assert everything["kept"][0]["observed_share"] == 1.0
    assert fidelity(true, merged, observed, []).to_json()["spread_ratio"] is None


def test_seed_level_is_the_same_comparison_of_two_scorings():
    merged, true, observed = pool(4)
    rows = (~observed).nonzero().flatten()
    assert seed_level(merged, true, rows, RATIOS) == fidelity(merged, true, observed, RATIOS)


def test_wrong_arguments():
    scores, observed = torch.arange(4.0), torch.tensor([True, False, False, False])
    with pytest.raises(DataError, match=r"\[4\], \[3\] and \[4\]"):
        fidelity(scores, scores[:3], observed, [])
    with pytest.raises(DataError, match="bool"):
        fidelity(scores, scores, torch.tensor([0, 1, 2, 3]), [])
    with pytest.raises(NumericalError, match="merged are not finite; first row 2"):
        fidelity(torch.tensor([0.0, 1.0, math.nan, 2.0]), scores, observed, [])
    with pytest.raises(ConfigError, match=r"Did you mean 0\.3"):
        fidelity(scores, scores, observed, [30])
    with pytest.raises(ConfigError, match="tail_fraction"):
        fidelity(scores, scores, observed, [], tail_fraction=5)


def test_small_functions_at_their_edges():
    nothing = torch.empty(0)
    assert all(math.isnan(function(nothing, nothing)) for function in (kolmogorov_smirnov, wasserstein, spread_ratio))
    assert math.isnan(recall(nothing, nothing, 0))
    assert math.isnan(bottom_recall(nothing, nothing, 0))
    assert all(math.isnan(value) for value in quantiles(nothing).values())
    assert set(quantiles(torch.tensor([2.0])).values()) == {2.0}
    assert kolmogorov_smirnov(torch.zeros(3), torch.ones(5)) == 1.0


def test_ks_of_unequal_sizes():
    stream = np.random.default_rng(0)
    a, b = stream.integers(0, 9, 31).astype(float), stream.integers(2, 9, 57).astype(float)
    expected = stats.ks_2samp(a, b).statistic
    assert kolmogorov_smirnov(torch.tensor(a), torch.tensor(b)) == pytest.approx(expected, abs=1e-12)


def test_without_same_class():
    ids = torch.tensor([[0, 1], [1, 2], [0, -1], [-1, -1]])
    reference = torch.tensor([7, 8, 9])
    assert without_same_class(ids, torch.tensor([8, 7, 7, 7]), reference) == 0.5
    assert without_same_class(ids, torch.tensor([8, 9, 9, 9]), reference) == 0.5  # -1 is not the last reference
    assert math.isnan(without_same_class(ids[:0], torch.empty(0), reference))


def test_per_query_diagnostics():
    inf = math.inf
    neighbors = Neighbors(torch.tensor([[0, 1], [1, -1], [-1, -1]]), torch.tensor([[1.0, 4.0], [2.0, inf], [inf, inf]]))
    labels = {"query_labels": torch.tensor([0, 0, 0]), "reference_labels": torch.tensor([0, 1])}
    found = per_query_diagnostics(neighbors, **labels)
    assert (found["nearest_distance"]["0"], found["nearest_distance"]["1"]) == (1.0, 2.0)
    assert (found["farthest_distance"]["0"], found["farthest_distance"]["1"]) == (2.0, 4.0)
    assert (found["effective_neighbors"]["0.5"], found["effective_neighbors"]["1"]) == (1.0, 2.0)
    assert found["without_same_class"] == pytest.approx(2 / 3)
    assert found["without_neighbor"] == pytest.approx(1 / 3)
    weighted = per_query_diagnostics(neighbors, weights=torch.tensor([[0.75, 0.25], [1.0, 0.0], [0.0, 0.0]]))
    assert weighted["effective_neighbors"]["1"] == pytest.approx(1.6)
    assert weighted["without_same_class"] is None


def test_diagnostics_of_no_queries_are_null():
    found = per_query_diagnostics(Neighbors(torch.empty(0, 3, dtype=torch.int64), torch.empty(0, 3)))
    assert set(found["nearest_distance"].values()) == {None}
    assert found["without_neighbor"] is None
    json.dumps(found, allow_nan=False)
