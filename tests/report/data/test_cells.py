import pytest

from secateur.report.data.cells import make_cells
from secateur.report.data.load import load_runs
from secateur.report.data.two_seeds import by_seed


@pytest.fixture
def cells_of(write):
    def cells_of_records(records):
        return make_cells(load_runs([write(records)]).runs)

    return cells_of_records


def test_runs_that_differ_in_seeds_share_a_cell(cells_of, record):
    records = [record("score", "tdds", ratio, seed, 0.9) for ratio in (0.3, 0.5) for seed in (2, 0, 1)]
    cells, left_out = cells_of(records)
    assert [(cell.label, cell.pruning_ratio, len(cell.runs)) for cell in cells] == [("tdds", 0.3, 3), ("tdds", 0.5, 3)]
    assert cells[0].seeds == (0, 1, 2)
    assert left_out == []


def test_a_run_found_twice_counts_once(cells_of, record):
    one = record(seed=0, accuracy=0.8)
    cells, left_out = cells_of([one, one, record(seed=1, accuracy=0.9)])
    assert cells[0].accuracy == {(0, 0): 0.8, (1, 1): 0.9}
    assert left_out == []


def test_of_two_disagreeing_copies_the_later_counts_and_the_other_is_named(cells_of, record):
    old = record(accuracy=0.8, run_key="same", finished="2026-01-01")
    new = record(accuracy=0.7, run_key="same", finished="2026-02-01")
    cells, left_out = cells_of([old, new, new])
    assert cells[0].accuracy == {(0, 0): 0.7}
    assert [(left.kind, left.path.name) for left in left_out] == [("superseded", "00000")]
    assert "same run key as" in left_out[0].reason


def test_of_two_disagreeing_runs_the_later_counts_and_the_other_is_named(cells_of, record):
    old = record(accuracy=0.8, run_key="old", finished="2026-01-01")
    new = record(accuracy=0.7, run_key="new", finished="2026-02-01")
    cells, left_out = cells_of([old, new])
    assert cells[0].accuracy == {(0, 0): 0.7}
    assert [left.kind for left in left_out] == ["superseded"]
    assert "same settings and seeds" in left_out[0].reason


def test_several_masks_of_one_seed_are_averaged(cells_of, record):
    records = [record(accuracy=accuracy, score_seed=seed) for seed, accuracy in enumerate((0.8, 0.9))]
    cells, _ = cells_of(records)
    assert by_seed(cells[0].accuracy) == {0: pytest.approx(0.85)}
    assert cells[0].num_masks == 2


def test_full_data_is_one_cell_whatever_the_ratio(cells_of, record):
    cells, left_out = cells_of([record("full", ratio=ratio, seed=seed) for ratio in (0.3, 0.7) for seed in (0, 1)])
    assert [(cell.label, cell.pruning_ratio, len(cell.runs)) for cell in cells] == [("full", 0.0, 2)]
    assert left_out == []


def test_different_settings_are_told_apart_by_name(cells_of, record):
    configs = [{"trainer": {"max_epochs": epochs}, "score": {"window": 5}} for epochs in (30, 200)]
    records = [record("score", "tdds", seed=seed, config=config) for config in configs for seed in (0, 1)]
    cells, _ = cells_of(records)
    assert [cell.label for cell in cells] == ["tdds [max_epochs=200]", "tdds [max_epochs=30]"]
    assert cells[1].recipe == {"trainer.max_epochs": 30}


def test_settings_of_one_name_keep_their_path(cells_of, record):
    configs = [{"optim": {"lr": lr}, "scoring": {"optim": {"lr": lr}}} for lr in (0.1, 0.2)]
    cells, _ = cells_of([record("score", "tdds", config=config) for config in configs])
    assert cells[0].label == "tdds [optim.lr=0.1, scoring.optim.lr=0.1]"


def test_pools_of_one_name_are_told_apart_by_fingerprint(cells_of, record):
    records = [record(data__fingerprint=letter * 64) for letter in "ab"]
    records += [record(data__name="cifar10", data__fingerprint="c" * 64)]
    cells, _ = cells_of(records)
    assert [cell.data for cell in cells] == ["cifar10", "digits@aaaaaaaa", "digits@bbbbbbbb"]


def test_models_and_data_sets_are_never_mixed(cells_of, record):
    cells, _ = cells_of([record(), record(models__final="resnet18"), record(data__name="svhn")])
    assert len(cells) == 3


def test_robust_accuracy_needs_every_run(cells_of, record):
    def robust(ratio, *values):
        more = [{} if value is None else {"metrics__robust_accuracy": value} for value in values]
        return [record(ratio=ratio, seed=seed // 2, score_seed=seed, **keys) for seed, keys in enumerate(more)]

    cells, _ = cells_of([*robust(0.3, 0.4, 0.5, 0.3), *robust(0.5, 0.4, None)])
    assert [by_seed(cell.robust_accuracy) for cell in cells] == [{0: pytest.approx(0.45), 1: 0.3}, {}]


def test_a_key_that_came_later_is_shown_by_the_value_it_always_had(cells_of, record):
    configs = ({}, {"budget": "epochs"}, {"budget": "steps"})
    records = [
        record("score", "tdds", seed=seed, accuracy=0.9, run_key=f"run{seed}", config=config)
        for seed, config in enumerate(configs)
    ]
    cells, _ = cells_of(records)
    assert [(cell.label, len(cell.runs)) for cell in cells] == [("tdds [budget=epochs]", 2), ("tdds [budget=steps]", 1)]


def test_full_data_is_one_cell_whatever_its_budget_and_is_what_both_budgets_are_compared_with(rows_of, record):
    configs = [{"budget": budget, "optim": {"lr": 0.1}, "relabel": budget == "steps"} for budget in ("epochs", "steps")]
    records = [
        record(*method, seed=seed, accuracy=0.9 + seed / 100, config=config)
        for method in (("full", None), ("score", "tdds"), ("random", None))
        for config in configs
        for seed in (0, 1)
    ]
    rows = {row.label: row for row in rows_of(records)}
    budgets = ("[budget=epochs]", "[budget=steps]")
    assert {label for label in rows if not label.startswith("tdds")} == {"full", *(f"random {one}" for one in budgets)}
    tdds = [row for label, row in rows.items() if label.startswith("tdds [budget=")]
    assert [(row.vs_full.n, row.vs_baseline.n) for row in tdds] == [(2, 2), (2, 2)]


def test_relabeling_does_not_tell_random_samples_apart(cells_of, record):
    cells, _ = cells_of([record(seed=seed, config={"relabel": bool(seed)}) for seed in (0, 1)])
    assert [(cell.label, len(cell.runs)) for cell in cells] == [("random", 2)]


def test_full_data_beside_a_run_of_either_budget_is_the_same_cell(cells_of, record):
    comparison = {"full": {"test_accuracy": 0.95}}
    records = [
        record("rs2", seed=seed, comparison=comparison, config={"budget": budget})
        for seed, budget in enumerate(("epochs", "steps"))
    ]
    assert [cell.label for cell in cells_of(records)[0]] == ["full", "rs2 [budget=epochs]", "rs2 [budget=steps]"]


def test_a_record_without_a_configuration_leaves_the_others_as_they_are(write, record):
    config = {"optim": {"lr": 0.1, "momentum": 0.9}, "trainer": {"max_epochs": 3}}
    records = [record("score", "tdds", seed=seed, config=config) for seed in (0, 1)]
    loaded = load_runs([write([*records, record("score", "tdds", seed=2, config=None)])])
    assert [cell.label for cell in make_cells(loaded.runs)[0]] == ["tdds"]
    assert [one.kind for one in loaded.left_out] == ["unusable"]


def test_a_label_shows_few_of_many_settings_and_stays_unique(cells_of, record):
    def config(last):
        return {"score": {f"s{i}": i * last for i in range(1, 9)} | {"t": last}}

    cells, _ = cells_of([record("score", "tdds", config=config(last)) for last in (1, 2)])
    labels = [cell.label for cell in cells]
    assert labels[0].startswith("tdds [s1=1, s2=2, s3=3, s4=4, 5 more #")
    assert labels[1].startswith("tdds [s1=2, s2=4, s3=6, s4=8, 5 more #")
    same = [{"score": {f"s{i}": i for i in range(1, 9)} | {"t": last}, "x": last} for last in (1, 2)]
    cells, _ = cells_of([record("score", "el2n", config=one) for one in same])
    assert len({cell.label for cell in cells if cell.label.startswith("el2n")}) == 2
    many = [{"score": {f"s{i}": i * (last == 3) for i in range(1, 9)} | {"t": last}} for last in (1, 2, 3)]
    cells, _ = cells_of([record("score", "aum", config=one) for one in many])
    assert len({cell.label for cell in cells if cell.label.startswith("aum")}) == 3
