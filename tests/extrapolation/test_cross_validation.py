import json
from functools import partial

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy import stats
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor

from secateur.core.errors import ConfigError, DataError, NumericalError
from secateur.extrapolation.base import ExtrapolationInputs, Extrapolator, Needs
from secateur.extrapolation.constant import Constant
from secateur.extrapolation.cross_validation import CrossValidated, assign_folds, expand, hide, observed_only
from secateur.extrapolation.knn import KNN
from secateur.runs.nodes import build
from secateur.runs.paths import CONF
from secateur.runs.validate import check_node


class Nearest(Extrapolator):
    """Mean score of the k nearest; notes every inputs object that it saw."""

    needs = frozenset({Needs.EMBEDDINGS})

    def __init__(self, k=3, power=1.0, same_class=False):
        self.k, self.power, self.same_class = k, power, same_class
        self.seen = []

    def predict(self, inputs):
        self.seen.append(inputs)
        found = inputs.neighbors(self.k, same_class=self.same_class)
        score = torch.cat([inputs.scores, torch.zeros(1)])[found.ids]
        return inputs.filled(score.sum(dim=1) / (found.ids >= 0).sum(dim=1) * self.power)


class Fixed(Extrapolator):
    """Predicts one value, or whatever function of the inputs it is given."""

    def __init__(self, value=0.0, needs=frozenset()):
        self.value, self.needs = value, needs

    def predict(self, inputs):
        value = self.value(inputs) if callable(self.value) else torch.full((len(inputs.queries),), self.value)
        return inputs.filled(value)


def first_feature(inputs):
    return inputs.embeddings[inputs.queries, 0]


def make_inputs(data=0, n=120, m=60, labelled=True, **given):
    stream = torch.Generator().manual_seed(data)
    embeddings = torch.randn(n, 4, generator=stream)
    scores = embeddings[:, 0] + 0.3 * torch.randn(n, generator=stream)
    sample_ids = torch.randperm(n, generator=stream)[:m]
    settings = {
        "embeddings": embeddings,
        "sample_ids": sample_ids,
        "scores": scores[sample_ids],
        "labels": torch.randint(3, (n,), generator=stream) if labelled else None,
        "num_samples": n,
        "num_classes": 3 if labelled else 0,
    }
    return ExtrapolationInputs(**{**settings, **given})


def test_values_are_those_of_a_loop_with_sklearn():
    inputs = make_inputs()
    choice = CrossValidated({"knn": partial(Nearest)}, {"knn": {"k": [1, 5, 20]}}, folds=4).choose(inputs)
    order = inputs.sample_ids.argsort()
    x, y = inputs.embeddings[inputs.sample_ids[order]].numpy(), inputs.scores[order].numpy()
    fold = assign_folds(60, 4, 0, inputs.labels[inputs.sample_ids[order]]).numpy()
    for k, trial in zip((1, 5, 20), choice.trace, strict=True):
        expected = []
        for number in range(4):
            train, test = fold != number, fold == number
            predicted = KNeighborsRegressor(k).fit(x[train], y[train]).predict(x[test])
            expected.append(stats.spearmanr(predicted, y[test]).statistic)
        assert trial["candidate"] == f"knn k={k}"
        assert trial["folds"] == pytest.approx(expected, abs=1e-6)
        assert trial["mean"] == pytest.approx(np.mean(expected), abs=1e-6)
        assert trial["sd"] == pytest.approx(np.std(expected, ddof=1), abs=1e-6)
        assert trial["skipped"] is None
    best = max(choice.trace, key=lambda trial: trial["mean"])
    assert choice.name == best["candidate"]
    assert f"knn k={choice.extrapolator.k}" == choice.name
    json.dumps(choice.to_json(), allow_nan=False)


def test_level_agrees_with_sklearns_cross_validation():
    inputs = make_inputs(n=700, m=600)
    value = CrossValidated({"knn": Nearest(10)}, criterion="pearson").choose(inputs).trace[0]["mean"]
    x, y = inputs.embeddings[inputs.sample_ids].numpy(), inputs.scores.numpy()
    split = StratifiedKFold(5, shuffle=True, random_state=0).split(x, inputs.labels[inputs.sample_ids].numpy())
    predicted = cross_val_predict(KNeighborsRegressor(10), x, y, cv=list(split))
    assert value == pytest.approx(stats.pearsonr(predicted, y).statistic, abs=0.02)


def test_only_the_winner_predicts_the_pool():
    inputs = make_inputs()
    good, bad = Fixed(first_feature), Fixed(lambda inputs: -first_feature(inputs))
    chooser = CrossValidated({"bad": bad, "good": good})
    assert chooser.choice is None
    assert torch.equal(chooser.predict(inputs), good.predict(inputs))
    assert chooser.choice.name == "good"
    assert chooser.choice.extrapolator is good
    assert [trial["candidate"] for trial in chooser.choice.trace] == ["bad", "good"]


def test_nothing_of_other_samples_is_read():
    inputs = make_inputs()
    others = ~inputs.observed
    embeddings, labels = inputs.embeddings.clone(), inputs.labels.clone()
    embeddings[others] = 1e6
    labels[others] = 0
    changed = make_inputs(embeddings=embeddings, labels=labels)
    candidates = {"three": Nearest(3), "same": Nearest(2, same_class=True), "feature": Fixed(first_feature)}
    one, two = (CrossValidated(candidates).choose(given) for given in (inputs, changed))
    assert one.to_json() == two.to_json()


def test_held_out_scores_are_not_in_the_inputs_of_a_fold():
    inputs = make_inputs()
    candidate = Nearest(3)
    CrossValidated({"knn": candidate}, folds=5).choose(inputs)
    hidden = torch.cat([fold.queries for fold in candidate.seen])
    assert sorted(hidden.tolist()) == list(range(60))
    order = inputs.sample_ids.argsort()
    for fold in candidate.seen:
        assert (fold.num_samples, len(fold.scores), fold.num_classes, fold.seed) == (60, 48, 3, 0)
        assert torch.equal(fold.scores, inputs.scores[order][fold.sample_ids])
        assert torch.equal(fold.labels, inputs.labels[inputs.sample_ids[order]])
        assert torch.equal(fold.embeddings, inputs.embeddings[inputs.sample_ids[order]])


@given(st.permutations(range(20)), st.integers(0, 99))
def test_the_order_of_sample_ids_changes_nothing(order, seed):
    inputs = make_inputs(3, n=30, m=20, seed=seed)
    shuffled = make_inputs(
        3, n=30, m=20, seed=seed, sample_ids=inputs.sample_ids[list(order)], scores=inputs.scores[list(order)]
    )
    chooser = CrossValidated({"a": Nearest(3), "b": Fixed(first_feature)}, folds=3)
    assert chooser.choose(inputs).to_json() == chooser.choose(shuffled).to_json()


def test_the_seed_draws_the_folds():
    chooser = CrossValidated({"knn": Nearest(3)})
    traces = [chooser.choose(make_inputs(seed=seed)).trace for seed in (0, 0, 1)]
    assert traces[0] == traces[1] != traces[2]


@given(st.lists(st.integers(0, 4), min_size=4, max_size=50), st.integers(2, 6), st.integers(0, 99))
def test_folds_are_stratified(labels, num_folds, seed):
    labels = torch.tensor(labels)
    fold = assign_folds(len(labels), num_folds, seed, labels)
    for rows in (torch.ones(len(labels), dtype=torch.bool), *(labels == label for label in labels.unique())):
        counts = fold[rows].bincount(minlength=num_folds)
        assert len(counts) == num_folds
        assert int(counts.max() - counts.min()) <= 1


def test_ties_go_to_the_earlier_candidate():
    inputs = make_inputs()
    names = ["one", "two", "three"]
    for turn in range(3):
        order = names[turn:] + names[:turn]
        chooser = CrossValidated({name: Fixed(first_feature) for name in order})
        assert chooser.choose(inputs).name == order[0]


def test_constant_predictions_count_as_no_correlation():
    inputs = make_inputs()
    against = Fixed(lambda inputs: -first_feature(inputs))
    choice = CrossValidated({"against": against, "constant": Fixed(1.0)}).choose(inputs)
    assert choice.name == "constant"
    assert choice.trace[1] == {
        "candidate": "constant",
        "mean": 0.0,
        "sd": 0.0,
        "folds": [0.0] * 5,
        "skipped": None,
    }


def test_recall_criterion():
    inputs = make_inputs()
    choice = CrossValidated({"f": Fixed(first_feature)}, folds=3, criterion="recall", pruning_ratio=0.7).choose(inputs)
    subset = observed_only(inputs)
    fold = assign_folds(60, 3, 0, subset.labels)
    for number, value in enumerate(choice.trace[0]["folds"]):
        rows = (fold == number).nonzero().flatten().tolist()
        best = [
            set(sorted(rows, key=lambda row: -of[row])[:6])  # round(20 * 0.3)
            for of in (subset.scores.tolist(), subset.embeddings[:, 0].tolist())
        ]
        assert value == len(best[0] & best[1]) / 6


def test_criteria_can_disagree():
    # an outlier rules Pearson's correlation, and nothing else
    inputs = make_inputs(n=60, m=40, labelled=False)
    inputs.scores[:] = torch.arange(40.0)
    inputs.scores[7] = 1e5
    true = observed_only(inputs).scores
    outlier = Fixed(lambda fold: true[fold.queries].gt(1e4).float() - 1e-5 * true[fold.queries].clamp(max=100))
    ordered = Fixed(lambda fold: true[fold.queries].clamp(max=20))
    candidates = {"outlier": outlier, "ordered": ordered}
    assert CrossValidated(candidates, folds=2, criterion="spearman").choose(inputs).name == "ordered"
    fold = int(assign_folds(40, 2, 0)[true > 1e4])
    values = [
        trial["folds"][fold] for trial in CrossValidated(candidates, folds=2, criterion="pearson").choose(inputs).trace
    ]
    assert values[0] > 0.99 > values[1]


def test_a_candidate_that_cannot_work_is_skipped_with_the_reason():
    inputs = make_inputs()
    noise = Fixed(lambda inputs: torch.full((len(inputs.queries),), torch.nan))
    choice = CrossValidated({"many": Nearest(49), "nan": noise, "few": Nearest(3)}).choose(inputs)
    many, nan, few = choice.trace
    assert choice.name == "few"
    assert "k=49 neighbors cannot be found among 48" in many["skipped"]
    assert "not finite" in nan["skipped"]
    assert (many["mean"], many["sd"], many["folds"]) == (None, None, [])
    assert few["skipped"] is None
    with pytest.raises(ConfigError, match=r"No candidate can work with 60 scores in 5 folds. many: k=49"):
        CrossValidated({"many": Nearest(49)}).choose(inputs)


def test_other_errors_are_not_swallowed():
    def broken(inputs):
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        CrossValidated({"broken": Fixed(broken), "fine": Fixed(first_feature)}).choose(make_inputs())


@pytest.mark.parametrize(("m", "num_folds"), [(4, 2), (7, 3), (9, 4), (10, 5), (60, 5)])
def test_few_scores_make_fewer_folds(m, num_folds):
    choice = CrossValidated({"knn": Nearest(1)}).choose(make_inputs(m=m))
    assert choice.num_folds == num_folds
    assert len(choice.trace[0]["folds"]) == num_folds


def test_too_few_scores():
    with pytest.raises(ConfigError, match="at least 4 scores, got 3"):
        CrossValidated({"knn": Nearest(1)}).choose(make_inputs(m=3))


def test_one_search_per_fold_serves_all_and_is_paid_for(monkeypatch):
    searched = []
    original = ExtrapolationInputs._search

    def counting(self, k, *settings):
        searched.append(k)
        return original(self, k, *settings)

    monkeypatch.setattr(ExtrapolationInputs, "_search", counting)
    inputs = make_inputs()
    inputs.flops = 5.0
    CrossValidated({"knn": partial(Nearest)}, {"knn": {"k": [2, 30, 7, 500]}}, folds=5).choose(inputs)
    assert searched == [30, 500, 30, 30, 30, 30]  # 500 is tried once, and refused
    assert inputs.flops == 5.0 + 5 * 2 * 12 * 48 * 4


def test_needs_are_those_of_all_candidates():
    chooser = CrossValidated({"a": Fixed(needs=frozenset({Needs.LABELS})), "b": Nearest(), "c": Fixed()})
    assert chooser.needs == {Needs.LABELS, Needs.EMBEDDINGS}
    with pytest.raises(ConfigError, match="Candidate a needs labels"):
        chooser.choose(make_inputs(labelled=False))
    with pytest.raises(ConfigError, match="Candidate b needs embeddings"):
        chooser.choose(make_inputs(embeddings=None))


def test_works_without_labels_and_with_proxy_logits():
    logits = torch.randn(120, 3)
    inputs = make_inputs(labelled=False, proxy_logits=logits)
    seen = []
    candidate = Fixed(lambda fold: seen.append(fold.proxy_logits) or first_feature(fold))
    CrossValidated({"f": candidate}).choose(inputs)
    assert torch.equal(seen[0], logits[inputs.sample_ids.sort().values])


def test_grids_are_products_in_order():
    grid = {"power": [1, 0.5], "same_class": [False, True], "k": [2, 9]}
    found = expand({"first": Fixed(), "knn": partial(Nearest), "last": Fixed()}, {"knn": grid})
    assert list(found) == [
        "first",
        "knn power=1 same_class=false k=2",
        "knn power=1 same_class=false k=9",
        "knn power=1 same_class=true k=2",
        "knn power=1 same_class=true k=9",
        "knn power=0.5 same_class=false k=2",
        "knn power=0.5 same_class=false k=9",
        "knn power=0.5 same_class=true k=2",
        "knn power=0.5 same_class=true k=9",
        "last",
    ]
    chosen = found["knn power=0.5 same_class=true k=2"]
    assert (chosen.k, chosen.power, chosen.same_class) == (2, 0.5, True)
    assert len({id(one) for one in found.values()}) == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": {}}, "no candidates"),
        ({"candidates": {"a": 3}}, "a is no extrapolator: 3"),
        ({"candidates": {"a": partial(Nearest)}}, "drop _partial_"),
        ({"candidates": {"a": Nearest()}, "grids": {"a": {"k": [1]}}}, "add _partial_"),
        ({"candidates": {"a": Nearest()}, "grids": {"b": {"k": [1]}}}, "grid b has no candidate; there are a"),
        ({"candidates": {"a": partial(Nearest)}, "grids": {"a": {"k": []}}}, r"grids\.a\.k must be a list"),
        ({"candidates": {"a": partial(Nearest)}, "grids": {"a": {"k": "12"}}}, r"grids\.a\.k must be a list"),
        ({"candidates": {"a": partial(Nearest)}, "grids": {"a": {"k": 12}}}, r"grids\.a\.k must be a list"),
        ({"candidates": {"a": partial(Nearest)}, "grids": {"a": {}}}, r"grids\.a must be"),
        ({"candidates": {"a": partial(Nearest)}, "grids": {"a": {"q": [1]}}}, "'q'"),
        ({"candidates": {"a": Fixed()}, "folds": 1}, "folds must be an integer of at least 2, got 1"),
        ({"candidates": {"a": Fixed()}, "folds": True}, "folds"),
        ({"candidates": {"a": Fixed()}, "criterion": "kendall"}, "must be one of spearman, pearson, recall"),
        ({"candidates": {"a": Fixed()}, "criterion": "recall"}, "pruning_ratio"),
        ({"candidates": {"a": Fixed()}, "pruning_ratio": 0.5}, "pruning_ratio"),
        ({"candidates": {"a": Fixed()}, "criterion": "recall", "pruning_ratio": 30}, r"Did you mean 0\.3"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        CrossValidated(**settings)


def test_hide_keeps_the_pool_and_drops_scores():
    subset = observed_only(make_inputs())
    held_out = torch.arange(60) < 15
    fold = hide(subset, held_out, largest_k=8)
    assert torch.equal(fold.queries, torch.arange(15))
    assert fold.largest_k == 8
    assert torch.equal(fold.scores, subset.scores[15:])


def test_numerical_errors_skip_too():
    def diverged(inputs):
        raise NumericalError("loss is nan")

    choice = CrossValidated({"gnn": Fixed(diverged), "fine": Fixed(first_feature)}).choose(make_inputs())
    assert (choice.name, choice.trace[0]["skipped"]) == ("fine", "loss is nan")


def composed(option):
    """Return the ``extrapolation`` node of a shipped option, as plain values."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return OmegaConf.to_container(compose("config", [f"extrapolation={option}"]).extrapolation)


@pytest.mark.parametrize("same_class", [False, True])
def test_the_shipped_grid_over_nearest_neighbors(same_class):
    node = composed("knn_same_class_cv" if same_class else "knn_cv")
    check_node("extrapolation", node)
    check_node("extrapolation.candidates.knn", node["candidates"]["knn"])
    chooser = build(node)
    assert len(chooser.extrapolators) == 12
    assert next(iter(chooser.extrapolators)) == "knn k=10 weighting=average"
    assert {one.k for one in chooser.extrapolators.values()} == {10, 20, 50, 100}
    assert {one.same_class for one in chooser.extrapolators.values()} == {same_class}
    assert chooser.needs == {Needs.EMBEDDINGS, *([Needs.LABELS] if same_class else [])}
    choice = chooser.choose(make_inputs())
    assert choice.name.startswith("knn k=")
    assert [bool(trial["skipped"]) for trial in choice.trace] == [False] * 6 + [True] * 6


def test_the_shipped_choice_among_all_predictors():
    node = composed("cross_validated")
    chooser = build(node)
    first = list(chooser.extrapolators)
    assert first[:3] == ["constant", "class_mean", "proxy_direct measure=el2n reverse=false"]
    assert sum(name.startswith("proxy_direct") for name in first) == 8
    assert {"ridge", "mlp"} < set(chooser.extrapolators)
    assert len(chooser.extrapolators) == 4 + 8 + 24
    assert chooser.needs == set(Needs)


def test_the_shipped_grid_over_graph_networks():
    node = composed("gnn_cv")
    check_node("extrapolation", node)
    check_node("extrapolation.candidates.gnn", node["candidates"]["gnn"])
    assert list(build(node).extrapolators) == ["gnn k=10", "gnn k=20", "gnn k=50"]


def test_what_cannot_be_cross_validated_is_told_before_anything_is_trained():
    candidates = {f"knn {k}": KNN(k=k) for k in (7, 9)}
    chooser = CrossValidated(candidates, folds=5)
    chooser.check(10, 100)  # folds of 2: 8 scores are left, enough for one of the candidates
    with pytest.raises(ConfigError, match="at least 4 scores, got 3"):
        chooser.check(3, 100)
    with pytest.raises(ConfigError, match=r"No candidate can work with 8 scores in 4 folds\. knn 7: .* k=7 .*; knn 9"):
        chooser.check(8, 100)
    CrossValidated({**candidates, "mean": Constant()}, folds=5).check(8, 100)
