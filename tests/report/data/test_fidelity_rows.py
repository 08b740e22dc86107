"""Fidelity rows against hand computations and SciPy, and what the words say."""

import csv
import io

import pytest
from scipy import stats

from secateur.report.answers import fidelity_notes, gap_text, is_it_better
from secateur.report.data.load import load_runs
from secateur.report.tables.fidelity import fidelity_csv, fidelity_markdown, fidelity_parts


def pick(rows, label, **wanted):
    (row,) = [row for row in rows if row.label == label and all(getattr(row, k) == v for k, v in wanted.items())]
    return row


def seeds_of(predicted, name, values, **changes):
    return [predicted(name, value, seed, **changes) for seed, value in enumerate(values)]


def test_a_runs_value_is_its_mean_over_full_scorings_and_a_rows_is_over_runs(fidelity_of, predicted):
    records = [
        predicted("knn", [0.4, 0.6], 0, 0.8),
        predicted("knn", [0.6, 0.8], 1, 0.7),
        predicted("knn", 0.9, 2, 1.0),
    ]
    (row,) = fidelity_of(records)
    assert row.spearman_by_seed == {0: pytest.approx(0.5), 1: pytest.approx(0.7), 2: pytest.approx(0.9)}
    assert (row.spearman.mean, row.spearman.sd, row.spearman.n) == (pytest.approx(0.7), pytest.approx(0.2), 3)
    interval = stats.ttest_1samp([0.5, 0.7, 0.9], 0).confidence_interval(0.95)
    assert (row.spearman.low, row.spearman.high) == pytest.approx((interval.low, interval.high))
    shares = [0.5 / 0.8, 0.7 / 0.7, 0.9 / 1.0]
    assert (row.of_seed_level.mean, row.of_seed_level.sd) == pytest.approx((sum(shares) / 3, stats.tstd(shares)))
    assert row.seed_spearman == pytest.approx(2.5 / 3)
    assert [ratio.pruning_ratio for ratio in row.ratios] == [0.5, 0.9]
    half = row.ratios[0]
    assert (half.recall.mean, half.chance, half.seed_recall) == (pytest.approx(0.7), 0.5, pytest.approx(0.9))
    assert (half.jaccard, half.jaccard_chance, half.observed_share) == pytest.approx((0.4, 0.3, 0.2))
    assert (row.cost_vs_full_scoring, row.cost_choosing_vs_full) == pytest.approx((0.2, 0.1))
    assert half.cost_vs_full is None
    assert (row.tail_recall.mean, row.tail_chance) == pytest.approx((0.3, 0.05))


def test_rows_are_told_apart_by_subset_merge_and_differing_settings(fidelity_of, predicted):
    node = {"_target_": "knn", "seed": 0}
    records = [predicted(fraction=0.1), predicted(factor=2.0), predicted(merge="raw")]
    records += [predicted("ridge", config={"extrapolation": {**node, "alpha": alpha}}) for alpha in (10, 9)]
    rows = fidelity_of(records)
    assert [(row.label, row.merge, row.subset) for row in rows] == [
        ("knn", "quantile_match", (0.1, 1.0)),
        ("knn", "raw", (0.2, 1.0)),
        ("ridge [alpha=9]", "quantile_match", (0.2, 1.0)),
        ("ridge [alpha=10]", "quantile_match", (0.2, 1.0)),
        ("knn", "quantile_match", (0.2, 2.0)),
    ]


def test_what_only_the_final_training_reads_tells_no_rows_apart(fidelity_of, predicted):
    configs = [
        {
            "optim": {"lr": lr},
            "trainer": {"max_epochs": 3 * lr},
            "selection": {"k": lr},
            "fidelity": {"against": [lr]},
            "pruning_ratio": lr / 10,
        }
        for lr in (1, 2)
    ]
    records = [predicted(seed=seed, config=config, ratio=0.5) for seed, config in enumerate(configs)]
    (row,) = fidelity_of(records)
    assert (row.label, row.score_seeds) == ("knn", (0, 1))


def test_runs_of_one_subset_count_once_whatever_their_ratio(fidelity_of, predicted):
    trained = {"metrics__test_accuracy": 0.9, "config": {}}
    records = [
        predicted(spearman=0.5, ratio=0.5, ledger__cost_vs_full=0.7, finished="2026-01-01", **trained),
        predicted(spearman=0.6, ratio=0.9, ledger__cost_vs_full=0.3, finished="2026-01-02", **trained),
        predicted(spearman=0.6, ratio=0.9, ledger__cost_vs_full=0.5, finished="2026-01-02", run_key="b", **trained),
    ]
    (row,) = fidelity_of(records)
    assert (row.spearman.mean, row.spearman.n, row.spearman.sd) == (0.6, 1, None)
    assert [ratio.cost_vs_full for ratio in row.ratios] == [pytest.approx(0.7), pytest.approx(0.4)]


def test_what_was_not_measured_stays_unknown(fidelity_of, predicted):
    nothing = predicted("knn", None, 0, None, cost_vs_full_scoring=None, cost_choosing_vs_full=None)
    for line in nothing["extrapolation"]["fidelity"][0]["by_ratio"]:
        line.update(dict.fromkeys(("recall", "chance", "jaccard", "jaccard_chance", "observed_share")))
    (row,) = fidelity_of([nothing])
    assert (row.spearman, row.of_seed_level, row.seed_spearman, row.cost_vs_full_scoring) == (None,) * 4
    assert (row.ratios[0].recall, row.ratios[0].chance) == (None, None)
    assert "| knn | - | - | 0.30 (0.05) | - / - | not compared with chance; no control run |" in fidelity_markdown(
        [row]
    )
    (line, _) = csv.DictReader(io.StringIO(fidelity_csv([row])))
    assert {line[key] for key in ("spearman_mean", "seed_spearman", "recall_mean", "chance", "vs_control_low")} == {""}


def test_a_null_is_not_averaged_away_and_a_level_of_zero_has_no_share(fidelity_of, predicted):
    (row,) = fidelity_of([predicted("knn", [0.5, None], 0), predicted("knn", 0.4, 1, 0.0)])
    assert row.spearman_by_seed == {1: 0.4}
    assert (row.score_seeds, row.spearman.n, row.of_seed_level) == ((0, 1), 1, None)


def test_runs_without_a_full_scoring_are_noted_only(write, fidelity_of, predicted):
    records = [predicted(), predicted(seed=1, fidelity=[]), predicted("mlp", None, level=None)]
    rows = fidelity_of(records)
    assert [row.label for row in rows] == ["knn", "mlp"]
    assert fidelity_notes(load_runs([write(records)]).extrapolated, rows) == [
        "1 runs with extrapolation were compared with no full scoring and have no fidelity",
        "mlp, 20 % scored, quantile_match: no Spearman correlation on 1 of 1 subsets",
    ]


def test_a_missing_level_is_noted_and_constant_predictions_are_not(fidelity_of, predicted):
    lonely = fidelity_of([predicted(level=None), predicted("constant", None, level=None)])
    assert fidelity_notes([], lonely) == [
        "no level between full scorings: it needs two of them with different score_seed"
    ]


def test_what_cross_validation_chose_is_counted(fidelity_of, predicted):
    chosen = ["k=20", "k=10", "k=20"]
    (row,) = fidelity_of([predicted("knn_cv", seed=seed, chosen=name) for seed, name in enumerate(chosen)])
    assert row.chosen == "k=20 (2), k=10 (1)"


CONTROL = [0.50, 0.52, 0.54]


def test_rows_are_compared_with_the_best_control_paired_by_score_seed(fidelity_of, predicted):
    knn = [0.60, 0.61, 0.66]
    records = seeds_of(predicted, "knn", knn) + seeds_of(predicted, "class_mean", CONTROL)
    records += seeds_of(predicted, "uniform", [0.0, 0.01, -0.01]) + seeds_of(predicted, "constant", [None] * 3)
    records += seeds_of(predicted, "proxy_direct", [0.99] * 3, fraction=0.4)
    rows = fidelity_of(records)
    assert [row.label for row in rows] == ["class_mean", "constant", "uniform", "knn", "proxy_direct"]
    row = pick(rows, "knn")
    interval = stats.ttest_rel(knn, CONTROL).confidence_interval(0.95)
    assert (row.vs_control.low, row.vs_control.high) == pytest.approx((interval.low, interval.high))
    assert (row.control, row.verdict) == ("class_mean", "above class_mean")
    assert all(row.verdict == "" and row.vs_control is None for row in rows if row.is_control)
    (answer,) = is_it_better([row for row in rows if row.subset_fraction == 0.2])
    assert answer == (
        "20 % scored: the best extrapolation is knn: Spearman 0.623, 78 % of the level between full scorings, "
        f"above class_mean ({gap_text(row.vs_control)}); it costs 0.20 of a full scoring"
    )


NOT_BETTER = [
    ([0.40, 0.41, 0.44], "knn is worse than class_mean: -0.103 ± 0.014"),
    ([0.502, 0.520, 0.538], "knn is not better than class_mean: +0.000 ± 0.005"),
    ([0.60, 0.52, 0.45], "knn is not shown to be better than class_mean: +0.003 ± 0.236"),
    ([0.60], "knn against class_mean: n too small: one seed"),
    ([None, None], "knn against class_mean: not defined: constant prediction"),
]


@pytest.mark.parametrize(("values", "words"), NOT_BETTER, ids=["below", "ties", "undecided", "one", "undefined"])
def test_rows_that_are_not_better_than_the_control_are_named(fidelity_of, predicted, values, words):
    rows = fidelity_of(seeds_of(predicted, "knn", values) + seeds_of(predicted, "class_mean", CONTROL))
    assert is_it_better(rows)[-1] == f"20 % scored: {words}"


def test_without_a_control_there_is_no_claim_and_other_scorings_are_no_control(fidelity_of, predicted):
    other = {"config": {"score": {"window": 3}, "extrapolation": {}}}
    rows = fidelity_of([predicted("knn"), predicted("class_mean", 0.2, **other)])
    assert pick(rows, "knn").verdict == "better than chance; no control run"
    assert is_it_better(rows)[-1].startswith(
        "20 % scored: knn is better than chance; no control was run on its subsets"
    )


def weak(predicted, spearman, recall, **changes):
    """Return records with some correlations, one per score seed, and one recall where chance is 0.5."""
    records = seeds_of(predicted, "knn", spearman, **changes)
    for made in records:
        for entry in made["extrapolation"]["fidelity"]:
            entry["by_ratio"] = [{**entry["by_ratio"][0], "pruning_ratio": 0.5, "chance": 0.5, "recall": recall}]
    return records


NOTHING, UNSHOWN = "no better than chance", "not shown to be better than chance"
CHANCE = [  # of 800 samples, in a pool of 1,000
    ([0.12, 0.13, 0.11], 0.49, NOTHING),  # an order that is not by chance, and keeps nothing better than chance
    ([0.02, 0.00, -0.01], 0.60, NOTHING),
    ([0.034, 0.031, 0.038], 0.52, UNSHOWN),  # seeds that agree by chance add no samples
    ([0.034, -0.05, 0.12], 0.52, UNSHOWN),
    ([0.034], 0.52, UNSHOWN),
    ([0.12], 0.49, NOTHING),
    ([0.12], 0.60, None),
    ([0.60, 0.50], 0.70, None),  # two seeds are no less than one
    ([0.55], 0.70, None),
]


@pytest.mark.parametrize(("spearman", "recall", "not_better"), CHANCE)
def test_what_is_no_better_than_chance_is_called_so_without_any_control(
    fidelity_of, predicted, spearman, recall, not_better
):
    rows = fidelity_of(weak(predicted, spearman, recall, pruning__num_total=1000))
    assert rows[0].chance == (not_better or "better than chance")
    first, second = is_it_better(rows)
    if not not_better:
        assert rows[0].verdict == "better than chance; no control run"
        assert first.startswith("20 % scored: the best extrapolation is knn")
    else:
        assert rows[0].verdict == not_better
        shown = "" if not_better == NOTHING else "shown to be "
        assert first.startswith(f"20 % scored: no extrapolation is {shown}better than chance; the highest is knn")
        assert f"recall {recall:.2f} at 50 % pruned where chance is 0.50" in first
        assert second.startswith(f"20 % scored: knn is {not_better}: ")
        assert not_better in fidelity_markdown(rows)


def test_what_was_not_compared_with_chance_is_never_the_best(fidelity_of, predicted):
    unknown = predicted("ridge", 0.9, num_predicted=None)
    rows = fidelity_of([unknown, predicted("knn", 0.5)])
    assert is_it_better(rows)[0].startswith("20 % scored: the best extrapolation is knn: Spearman 0.500")


def test_what_was_not_compared_with_chance_alone_is_not_shown_to_be_better(fidelity_of, predicted):
    rows = fidelity_of([predicted("ridge", 0.9, num_predicted=None)])
    assert is_it_better(rows)[0].startswith("20 % scored: no extrapolation is shown to be better than chance; the high")


def test_a_control_does_not_make_chance_an_achievement(fidelity_of, predicted):
    records = weak(predicted, [0.02, -0.01, 0.01], 0.5) + seeds_of(predicted, "uniform", [-0.2, -0.21, -0.2])
    row = pick(fidelity_of(records), "knn")
    assert (row.control, row.verdict) == ("uniform", "no better than chance")
    assert row.vs_control.low > 0


def test_a_control_is_what_its_record_says_not_what_it_is_called(fidelity_of, predicted):
    records = seeds_of(predicted, "somebodys_own", CONTROL, control=True) + seeds_of(
        predicted, "knn", [0.6, 0.61, 0.66]
    )
    rows = fidelity_of(records)
    assert [(row.label, row.is_control) for row in rows] == [("somebodys_own", True), ("knn", False)]
    assert rows[1].verdict == "above somebodys_own"
    plain = fidelity_of(seeds_of(predicted, "constant", CONTROL, control=False))
    assert not plain[0].is_control


def test_studies_are_named_when_there_are_several(fidelity_of, predicted):
    rows = fidelity_of([predicted(), predicted(data__name="svhn", factor=0.5)])
    assert [line.split(":")[0] for line in is_it_better(rows)][::2] == [
        "digits, small_cnn, tdds, 20 % scored",
        "svhn, small_cnn, tdds, 20 % scored, epochs x0.5",
    ]


def test_pools_of_one_name_are_told_apart(fidelity_of, predicted):
    rows = fidelity_of([predicted(data__fingerprint=letter * 64) for letter in "ab"])
    assert [row.data for row in rows] == ["digits@aaaaaaaa", "digits@bbbbbbbb"]


def test_tables_have_the_level_between_full_scorings_and_chance(fidelity_of, predicted):
    records = seeds_of(predicted, "knn", [0.6, 0.63, 0.66]) + seeds_of(predicted, "class_mean", [0.5, 0.53, 0.56])
    correlations, recall, share = fidelity_parts(fidelity_of(records))
    assert correlations.title == "fidelity: digits, small_cnn, tdds, scored 20 %, merge quantile_match"
    assert correlations.lines == [
        ["class_mean", "0.530 ± 0.030 (3)", "66 ± 4 %", "0.30 (0.05)", "0.20 / 0.10", ""],
        ["knn", "0.630 ± 0.030 (3)", "79 ± 4 %", "0.30 (0.05)", "0.20 / 0.10", "+0.100 ± 0.000 above"],
        ["full, other seed", "0.800", "100 %", "", "1.00", ""],
    ]
    assert recall.headers == ["extrapolation", "50 % pruned", "90 % pruned"]
    assert recall.lines[1:] == [["knn", "0.63 (0.50)", "0.63 (0.10)"], ["full, other seed", "0.90", "0.90"]]
    assert share.lines[1] == ["knn", "20 %", "20 %"]


def test_varying_settings_are_columns_and_every_line_has_as_many_cells(fidelity_of, predicted):
    rows = fidelity_of([predicted(fraction=0.1), predicted(factor=2.0), predicted(merge="raw"), predicted("a|b")])
    parts = fidelity_parts(rows)
    assert parts[0].headers[:4] == ["extrapolation", "scored", "epochs", "merge"]
    for part in parts:
        assert {len(line) for line in part.lines} == {len(part.headers)} == {len(part.numbers)}
        assert len(part.lines) == len(part.first) == len(part.dim) == len(part.verdicts)
    assert r"a\|b" in fidelity_markdown(rows)


def test_csv_has_one_line_per_row_and_ratio_with_every_number(fidelity_of, predicted):
    rows = fidelity_of([*seeds_of(predicted, "knn", [0.6, 0.7]), predicted("ridge", 0.5), predicted("class_mean", 0.1)])
    lines = list(csv.DictReader(io.StringIO(fidelity_csv(rows))))
    assert [(line["label"], line["pruning_ratio"]) for line in lines[2:4]] == [("knn", "0.5"), ("knn", "0.9")]
    row, line = pick(rows, "knn"), lines[2]
    assert float(line["spearman_sd"]) == row.spearman.sd
    assert float(line["recall_high"]) == row.ratios[0].recall.high
    assert (line["score_seeds"], line["num_subsets"], line["control"]) == ("0 1", "2", "class_mean")
