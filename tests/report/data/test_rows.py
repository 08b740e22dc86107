import pytest
from scipy import stats

from secateur.report.answers import did_it_pay, notes


def pick(rows, label, ratio=0.5):
    return next(row for row in rows if row.label == label and (row.is_full or row.pruning_ratio == ratio))


def accuracies(method, score, values, **changes):
    return {"method": method, "score": score, "values": values, **changes}


@pytest.fixture
def records_of(record):
    """Return one record per value, with seeds 0, 1, ..."""

    def records_of_methods(*methods):
        made = []
        for settings in methods:
            settings = dict(settings)
            values = settings.pop("values")
            made += [record(seed=seed, accuracy=value, **settings) for seed, value in enumerate(values)]
        return made

    return records_of_methods


FULL = accuracies("full", None, [0.950, 0.960, 0.955])
RANDOM = accuracies("random", None, [0.900, 0.911, 0.904])
TDDS = accuracies("score", "tdds", [0.951, 0.959, 0.956], ledger__cost_vs_full=0.8)


def test_rows_agree_with_scipy(rows_of, records_of):
    row = pick(rows_of(records_of(FULL, RANDOM, TDDS)), "tdds")
    interval = stats.ttest_rel(TDDS["values"], RANDOM["values"]).confidence_interval(0.95)
    assert (row.vs_baseline.low, row.vs_baseline.high) == pytest.approx((interval.low, interval.high))
    interval = stats.ttest_rel(TDDS["values"], FULL["values"]).confidence_interval(0.95)
    assert (row.vs_full.low, row.vs_full.high) == pytest.approx((interval.low, interval.high))
    assert row.accuracy.sd == pytest.approx(stats.tstd(TDDS["values"]))
    assert (row.verdict_baseline, row.verdict_full) == ("above random", "matches full")
    assert (row.cost_vs_full, row.keep_fraction, row.seeds) == (pytest.approx(0.8), 0.5, (0, 1, 2))


def test_rows_are_sorted_and_references_are_not_compared_with_themselves(rows_of, records_of):
    other = accuracies("score", "aum", [0.9, 0.9, 0.9], ratio=0.3)
    rows = rows_of(records_of(TDDS, other, RANDOM, FULL))
    assert [row.label for row in rows] == ["full", "aum", "random", "tdds"]
    full, aum, random, _ = rows
    assert (full.verdict_full, full.verdict_baseline, full.vs_full, full.vs_baseline) == ("", "", None, None)
    assert (random.verdict_baseline, random.vs_baseline) == ("", None)
    assert random.verdict_full == "below full"
    assert aum.verdict_baseline == "no random run"


def test_one_seed_gets_no_verdict(rows_of, records_of):
    methods = [{**method, "values": method["values"][:1]} for method in (FULL, RANDOM, TDDS)]
    rows = rows_of(records_of(*methods))
    assert pick(rows, "tdds").verdict_baseline == "n too small: one seed"
    assert pick(rows, "tdds").vs_baseline.mean == pytest.approx(0.051)
    assert did_it_pay(rows) == ["50 % pruned: no verdict (tdds is best, n too small: one seed)"]


def test_another_baseline(rows_of, records_of):
    rows = rows_of(records_of(FULL, RANDOM, TDDS), baseline="tdds")
    assert pick(rows, "random").verdict_baseline == "below tdds"
    assert pick(rows, "tdds").verdict_baseline == ""


def test_only_equal_recipes_are_compared(rows_of, records_of):
    short, long = ({"config": {"trainer": {"max_epochs": epochs}}} for epochs in (30, 200))
    rows = rows_of(records_of({**FULL, **long}, {**RANDOM, **long}, {**TDDS, **long}, {**TDDS, **short}))
    compared = pick(rows, "tdds [max_epochs=200]")
    alone = pick(rows, "tdds [max_epochs=30]")
    assert compared.verdict_full == "matches full"
    assert alone.verdict_baseline == "no random run with the same trainer.max_epochs"
    assert (alone.vs_baseline, alone.vs_full) == (None, None)


def test_recipes_are_matched_when_each_has_its_references(rows_of, records_of):
    short, long = ({"config": {"optim": {"lr": lr}}} for lr in (0.1, 0.2))
    worse = {**RANDOM, "values": [0.5, 0.5, 0.5]}
    rows = rows_of(records_of({**RANDOM, **long}, {**worse, **short}, {**TDDS, **long}, {**TDDS, **short}))
    assert pick(rows, "tdds [lr=0.1]").vs_baseline.mean == pytest.approx(0.4553, abs=1e-3)
    assert pick(rows, "tdds [lr=0.2]").vs_baseline.mean == pytest.approx(0.0503, abs=1e-3)
    assert pick(rows, "random [lr=0.1]").vs_baseline is None


def test_a_runs_own_comparisons_are_enough(rows_of, record):
    def compared(seed, accuracy):
        comparison = {"full": {"test_accuracy": 0.95}, "random": {"test_accuracy": accuracy - 0.02}}
        counts = {"pruning__num_total": 10, "pruning__num_kept": 5}
        return record("score", "tdds", seed=seed, accuracy=accuracy, comparison=comparison, **counts)

    rows = rows_of([compared(0, 0.95), compared(1, 0.951), compared(2, 0.949)])
    assert [row.label for row in rows] == ["full", "random", "tdds"]
    assert pick(rows, "tdds").vs_baseline.mean == pytest.approx(0.02)
    assert pick(rows, "tdds").verdict_baseline == "above random"
    assert pick(rows, "tdds").verdict_full == "matches full"
    assert pick(rows, "random").verdict_full == "below full"


def test_a_run_of_a_reference_and_the_same_as_a_comparison_count_once(rows_of, record):
    comparison = {"full": {"test_accuracy": 0.95, "cost_vs_full": 1.0}}
    rows = rows_of([record("full", accuracy=0.95, score_seed=None), record("rs2", comparison=comparison)])
    assert [(row.label, row.accuracy.n) for row in rows] == [("full", 1), ("rs2", 1)]


def test_settings_of_the_scoring_do_not_hinder_a_comparison(rows_of, records_of):
    few, many = ({"config": {"subset_fraction": share}} for share in (0.1, 0.2))
    rows = rows_of(records_of(FULL, {**RANDOM, **few}, {**TDDS, **few}, {**TDDS, **many}))
    assert pick(rows, "tdds [subset_fraction=0.2]").verdict_baseline == "above random"
    assert pick(rows, "tdds [subset_fraction=0.1]").verdict_full == "matches full"


def test_selection_on_the_test_set_gets_no_verdict(rows_of, records_of):
    rows = rows_of(records_of(FULL, RANDOM, {**TDDS, "select_on": "test"}))
    row = pick(rows, "tdds + selected on test")
    assert row.verdict_full == row.verdict_baseline == "selected on test: no verdict"
    assert did_it_pay(rows)[0].startswith("50 % pruned: no: random")


def test_an_unmeasured_cost_is_not_averaged_away(rows_of, record):
    rows = rows_of([record(seed=0, ledger__cost_vs_full=None), record(seed=1)])
    assert rows[0].cost_vs_full is None


PAID = [
    ({}, "yes: tdds matches full (+0.0 ± 0.3 points) at 0.80 of its cost"),
    (
        {"ledger__cost_vs_full": 1.5},
        "no: tdds matches full (+0.0 ± 0.3 points), but at 1.50 of its cost (0.50 if the mask is reused often)",
    ),
    ({"ledger__cost_vs_full": None}, "cost not measured: tdds matches full (+0.0 ± 0.3 points)"),
    ({"values": [0.94, 0.95, 0.945]}, "no: tdds, the best, is below full (-1.0 ± 0.0 points) at 0.80 of its cost"),
    ({"values": [0.91, 0.97, 0.94]}, "undecided: tdds is best, -1.5 ± 6.2 points against full"),
]


@pytest.mark.parametrize(("changes", "answer"), PAID, ids=["yes", "dear", "unmeasured", "worse", "unclear"])
def test_did_it_pay(rows_of, records_of, changes, answer):
    assert did_it_pay(rows_of(records_of(FULL, RANDOM, {**TDDS, **changes}))) == [f"50 % pruned: {answer}"]


def test_of_the_methods_that_match_the_cheapest_is_named(rows_of, records_of):
    cheap = {**RANDOM, "values": [0.950, 0.959, 0.955]}
    (line,) = did_it_pay(rows_of(records_of(FULL, cheap, TDDS)))
    assert line == "50 % pruned: yes: random matches full (+0.0 ± 0.1 points) at 0.50 of its cost"


def test_a_method_that_matches_counts_more_than_a_better_mean_that_is_undecided(rows_of, records_of):
    wide = {**TDDS, "pruning__score": "el2n", "values": [0.99, 0.94, 0.96]}
    (line,) = did_it_pay(rows_of(records_of(FULL, wide, TDDS)))
    assert line.startswith("50 % pruned: yes: tdds matches full")


def test_without_full_data_there_is_no_answer(rows_of, records_of):
    assert did_it_pay(rows_of(records_of(TDDS))) == ["50 % pruned: no verdict (tdds is best, no full run)"]


def test_a_best_mean_of_few_seeds_says_so(rows_of, records_of):
    few = {**TDDS, "pruning__score": "el2n", "values": [0.99, 0.94]}
    (line,) = did_it_pay(rows_of(records_of(FULL, RANDOM, few)))
    assert line.startswith("50 % pruned: undecided: el2n is best (of 2 seeds), ")


def test_several_data_sets_are_named(rows_of, records_of):
    rows = rows_of(records_of(FULL, TDDS, {**FULL, "data__name": "svhn"}, {**TDDS, "data__name": "svhn"}))
    assert [line.split(":")[0] for line in did_it_pay(rows)] == [
        "digits, small_cnn, 50 % pruned",
        "svhn, small_cnn, 50 % pruned",
    ]


def test_shared_masks_are_noted(rows_of, records_of):
    short = {**TDDS, "values": TDDS["values"][:2], "score_seed": 0}
    assert notes(rows_of(records_of(FULL, RANDOM, short))) == [
        "one mask for all seeds, so the verdicts hold for this mask, and it is not ranked: tdds "
        "(score_seed=${seed} draws a mask for every seed)",
    ]
    assert notes(rows_of(records_of(FULL, RANDOM, TDDS))) == []


def test_seeds_that_agree_are_no_certainty(rows_of, record):
    sizes = {"data__num_test": 200, "data__num_classes": 10, "metrics__worst_class_accuracy": 0.5}
    row = pick(rows_of([record("score", "tdds", seed=seed, accuracy=0.9, **sizes) for seed in range(3)]), "tdds")
    assert (row.accuracy.sd, row.worst_class_accuracy.sd) == (0.0, 0.0)
    assert (row.accuracy.low, row.accuracy.high) == pytest.approx((0.895, 0.905))
    assert (row.worst_class_accuracy.low, row.worst_class_accuracy.high) == pytest.approx((0.45, 0.55))


def test_masks_that_recur_over_the_seeds_widen_the_verdict(rows_of, record):
    """Three masks, each trained with three seeds: seeds agree, masks do not, so another mask may be anywhere."""
    masks = (0.90, 0.82, 0.72)
    made = [
        record(*method, seed=seed, score_seed=mask, accuracy=accuracy + 0.001 * seed)
        for seed in range(3)
        for mask, worse in enumerate(masks)
        for method, accuracy in ((("score", "el2n"), worse), (("random", None), 0.80))
    ]
    row = pick(rows_of(made), "el2n")
    assert row.verdict_baseline == "undecided: interval too wide"
    assert row.accuracy.high - row.accuracy.low > 0.3
    assert row.accuracy.sd > 0.07
    assert row.vs_baseline.p_t > 0.5


LOWER, HIGHER = [0.945, 0.952, 0.9475], [0.955, 0.968, 0.9625]
HOLM = [
    (LOWER, 7, "undecided: m0, the best, is (below) full (-0.7 ± 0.4 points)"),
    (HIGHER, 7, "undecided: m0, the best, is (above) full (+0.7 ± 0.4 points)"),
    (LOWER, 0, "no: m0, the best, is below full (-0.7 ± 0.4 points) at 0.80 of its cost"),
    (HIGHER, 0, "yes: m0 above full (+0.7 ± 0.4 points) at 0.80 of its cost"),
]


@pytest.mark.parametrize(("values", "num_others", "answer"), HOLM, ids=["(below)", "(above)", "below", "above"])
def test_a_verdict_that_does_not_survive_holm_decides_nothing(rows_of, records_of, values, num_others, answer):
    other = [{**TDDS, "pruning__score": f"m{i}", "values": [0.6, 0.7, 0.9]} for i in range(1, num_others + 1)]
    rows = rows_of(records_of(FULL, {**TDDS, "pruning__score": "m0", "values": values}, *other))
    difference = pick(rows, "m0").vs_full
    assert difference.p_t < 0.05
    assert (difference.p_holm > 0.05) == (num_others > 0)
    assert did_it_pay(rows) == [f"50 % pruned: {answer}"]


def test_robust_accuracy_of_a_run_and_of_what_it_was_compared_with(rows_of, record):
    comparison = {"full": {"test_accuracy": 0.95, "robust_accuracy": 0.6}, "random": {"test_accuracy": 0.9}}
    counts = {"pruning__num_total": 10, "pruning__num_kept": 5}
    rows = rows_of([record("score", "tdds", comparison=comparison, metrics__robust_accuracy=0.5, **counts)])
    means = {row.label: row.robust_accuracy and row.robust_accuracy.mean for row in rows}
    assert means == {"full": 0.6, "random": None, "tdds": 0.5}
