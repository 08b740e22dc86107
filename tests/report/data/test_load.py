import json

import pytest
from filelock import FileLock

from secateur.core.errors import DataError
from secateur.core.record import Pruning, label_of
from secateur.report.build import build_report
from secateur.report.data.league import with_ranks
from secateur.report.data.load import load_runs
from secateur.report.tables.terminal import name_text
from secateur.runs.config import compared_settings


def test_records_are_found_at_any_depth_and_each_once(tmp_path, write, record):
    root = write([record(seed=seed) for seed in range(3)])
    loaded = load_runs([root, tmp_path, root / "00001", root / "00001" / "run.json"])
    assert [run.seed for run in loaded.runs] == [0, 1, 2]
    assert loaded.left_out == []


def test_a_record_becomes_a_run(write, record):
    config = {"seed": 1, "trainer": {"max_epochs": 3, "num_threads": 2}, "score": {"window": 10}, "paths": {"a": "b"}}
    root = write([record("score", "tdds", 0.3, 1, 0.91, config=config, ledger__cost_vs_full=1.25)])
    (run,) = load_runs([root]).runs
    assert (run.label, run.pruning_ratio, run.seed, run.accuracy) == ("tdds", 0.3, 1, 0.91)
    assert (run.data, run.model, run.cost_vs_full) == ("digits", "small_cnn", 1.25)
    assert run.settings == {"trainer.max_epochs": 3, "score.window": 10}


def test_only_the_last_epoch_counts(write, record):
    root = write([record(accuracy=0.5, metrics__test_accuracy_best=0.9)])
    assert load_runs([root]).runs[0].accuracy == 0.5


BROKEN = {
    "truncated": ('{"schema": 1, "status": "fin', "damaged"),
    "empty": ("", "damaged"),
    "not JSON": ("\x00\x01", "damaged"),
    "a list": ("[]", "damaged"),
    "another schema": ('{"schema": 2}', "damaged"),
    "almost empty": ('{"schema": 1, "status": "finished"}', "unusable"),
    "too deep": ("[" * 100_000, "damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named_and_the_others_are_read(tmp_path, write, record, name):
    text, kind = BROKEN[name]
    write([record()])
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text(text)
    loaded = load_runs([tmp_path])
    assert len(loaded.runs) == 1
    assert [(left.path, left.kind) for left in loaded.left_out] == [(broken.resolve(), kind)]
    assert loaded.left_out[0].reason
    assert "\n" not in loaded.left_out[0].reason


CHANGES = [
    ({"status": "failed", "error": "out of memory"}, "failed", "out of memory"),
    ({"status": "failed"}, "failed", "no reason recorded"),
    ({"status": "running"}, "interrupted", "its process is gone"),
    ({"status": None}, "damaged", "status is None"),
    ({"status": "interrupted"}, "interrupted", "the same command goes on"),
    ({"metrics__test_accuracy": None}, "unusable", "metrics.test_accuracy is not recorded"),
    ({"metrics__test_accuracy": 95.2}, "unusable", "not a number in [0, 1]"),
    ({"metrics__test_accuracy": True}, "unusable", "metrics.test_accuracy is true, not a number"),
    ({"seed": "0"}, "unusable", "seed is '0', not a whole number"),
    ({"pruning": None}, "unusable", "pruning is null, not a mapping"),
    ({"pruning__pruning_ratio": None}, "unusable", "pruning.pruning_ratio is not recorded"),
    ({"pruning__method": None}, "unusable", "pruning.method is not recorded"),
    ({"data": {"name": "digits"}}, "unusable", "data.fingerprint is not recorded"),
    ({"ledger__cost_vs_full": "cheap"}, "unusable", "ledger.cost_vs_full is 'cheap'"),
    ({"config": [1]}, "unusable", "config is [1], not a mapping"),
    ({"config": None}, "unusable", "config is null, not a mapping"),
    ({"config": "x" * 999}, "unusable", "not a mapping"),
    *(({"run_key": value}, "unusable", f"run_key is {value!r}, not a text") for value in ("", " ", 5, [], {})),
    ({"pruning__pruning_ratio": 2.5}, "unusable", "pruning.pruning_ratio is 2.5, not a number in [0, 1)"),
    ({"pruning__pruning_ratio": -0.1}, "unusable", "pruning.pruning_ratio is -0.1, not a number in [0, 1)"),
    ({"pruning__pruning_ratio": 1}, "unusable", "pruning.pruning_ratio is 1, not a number in [0, 1)"),
    ({"pruning__order_r2": "high"}, "unusable", "pruning.order_r2 is 'high', not a number"),
    ({"ledger__cost_vs_full": -1.5}, "unusable", "ledger.cost_vs_full is -1.5, not a number in [0, 1e100]"),
    (
        {"ledger__cost_vs_full_amortized": -1},
        "unusable",
        "ledger.cost_vs_full_amortized is -1, not a number in [0, 1e100]",
    ),
    ({"ledger__cost_vs_full": 1e300}, "unusable", "ledger.cost_vs_full is 1e+300, not a number"),
    ({"data__num_test": 0}, "unusable", "data.num_test is 0, not a whole number of at least 1"),
    ({"data__num_test": -5}, "unusable", "data.num_test is -5, not a whole number of at least 1"),
    ({"metrics__test_accuracy": -0.1}, "unusable", "metrics.test_accuracy is -0.1, not a number in [0, 1]"),
    ({"metrics__robust_accuracy": 2}, "unusable", "metrics.robust_accuracy is 2, not a number in [0, 1]"),
    ({"metrics": []}, "unusable", "metrics is [], not a mapping"),
    ({"ledger": 3}, "unusable", "ledger is 3, not a mapping"),
    ({"data": "x"}, "unusable", "data is 'x', not a mapping"),
    ({"extrapolation": 5}, "unusable", "extrapolation is 5, not a mapping"),
    ({"models": None}, "unusable", "models is null, not a mapping"),
    ({"transfer": [1]}, "unusable", "transfer is [1], not a mapping"),
    ({"comparison": [1], "pruning__method": "rs2"}, "unusable", "comparison is [1], not a mapping"),
    ({"comparison": {"full": 1}, "pruning__method": "rs2"}, "unusable", "comparison.full is 1, not a mapping"),
    ({"pruning__modifiers": 5}, "unusable", "pruning.modifiers is 5, not a list"),
    ({"pruning__visited_share": 7}, "unusable", "pruning.visited_share is 7, not a number in [0, 1]"),
    ({"pruning__num_total": "x"}, "unusable", "pruning.num_total is 'x', not a whole number of at least 1"),
    ({"pruning__method": ""}, "unusable", "names no method"),
    ({"pruning__drawn_by": ["seeds"]}, "unusable", "pruning.drawn_by is ['seeds'], not a list of seed and score_seed"),
    ({"artifacts": None}, "unusable", "artifacts is null, not a mapping"),
    ({"warnings": "x"}, "unusable", "warnings is 'x', not a list"),
    ({"provenance": []}, "unusable", "provenance is [], not a mapping"),
    ({"ledger__stages": ["odd"]}, "unusable", "ledger.stages[0] is 'odd', not a mapping"),
    ({"data__class_names": 3}, "unusable", "data.class_names is 3, not a list"),
    ({"pruning__class_counts": [2.5]}, "unusable", "pruning.class_counts[0] is 2.5, not a whole number of at least 0"),
    (
        {"comparison": {"full": {}}, "pruning__method": "rs2"},
        "unusable",
        "comparison.full.test_accuracy is not recorded",
    ),
]


@pytest.mark.parametrize(("changes", "kind", "reason"), CHANGES)
def test_what_cannot_be_used_says_why(write, record, changes, kind, reason):
    loaded = load_runs([write([record(**changes)])])
    assert loaded.runs == []
    assert loaded.left_out[0].kind == kind
    assert reason in loaded.left_out[0].reason


def test_records_without_a_key_do_not_become_one(tmp_path, write, record):
    root = write([record(seed=seed, accuracy=0.9 + seed / 100) for seed in range(2)])
    for path in root.glob("*/run.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "run_key": None}))
    loaded = load_runs([root])
    assert loaded.runs == []
    assert [left.reason for left in loaded.left_out] == ["run_key is not recorded"] * 2


BITS = "an integer of more than 63 bits"
NESTED = "is nested more than 100 deep"
NO_TEXT = "holds half a character"
UNFIT = [
    ({"seed": 10**400}, f"seed is {BITS}"),
    ({"metrics__test_accuracy": 10**400}, f"metrics.test_accuracy is {BITS}"),
    ({"pruning__class_counts": [1, -(2**64)]}, f"pruning.class_counts[1] is {BITS}"),
    ({"ledger__stages": [{"flops": 10**400}]}, f"ledger.stages[0].flops is {BITS}"),
    ({"name": "\ud800"}, f"name {NO_TEXT}"),
    ({"data__class_names": ["a", "\udc00b"]}, f"data.class_names[1] {NO_TEXT}"),
    ({"config": {"\ud800": 1}}, f"a key of config {NO_TEXT}"),
    ({"status": "failed", "error": "\ud800"}, f"error {NO_TEXT}"),
    ({"warnings": json.loads("[" * 900 + "]" * 900)}, NESTED),
    ({"config": json.loads('{"a":' * 900 + "1" + "}" * 900)}, NESTED),
]


@pytest.mark.parametrize(("changes", "reason"), UNFIT)
def test_what_json_allows_and_nothing_can_hold_is_named(tmp_path, write, record, changes, reason):
    root = write([record(seed=seed) for seed in range(3)])
    bad = {**json.loads((root / "00002" / "run.json").read_text()), "config": {}}
    for key, value in changes.items():
        block, _, name = key.partition("__")
        bad[block] = {**bad[block], name: value} if name else value
    (root / "00002" / "run.json").write_text(json.dumps(bad))
    report = build_report([root], tmp_path / "out", figure_formats=[])
    assert len(report.rows[0].runs) == 2
    assert [one.kind for one in report.problems if one.path.name == "00002"] == ["unusable"]
    assert reason in report.problems[0].reason
    assert reason.split(" ")[-1] in (tmp_path / "out" / "report.html").read_text()


def test_a_configuration_beside_a_broken_record_may_be_broken_too(tmp_path, write, record):
    root = write([record(), record(seed=1)])
    (root / "00001" / "run.json").write_text("{")
    (root / "00001" / "config.yaml").write_text(f'seed: {10**400}\nmethod: {{_target_: "a.\\ud800.b"}}\n')
    report = build_report([root], tmp_path / "out", figure_formats=[])
    assert [(one.kind, one.name) for one in report.problems] == [("damaged", "00001")]


def test_a_nan_in_the_file_is_not_a_number(write, record):
    root = write([record()])
    path = root / "00000" / "run.json"
    values = json.loads(path.read_text())
    values["metrics"]["test_accuracy"] = float("nan")
    path.write_text(json.dumps(values))
    assert load_runs([root]).left_out[0].reason == "metrics.test_accuracy is nan, not a number in [0, 1]"


def test_a_running_record_is_lost_only_when_nobody_holds_its_lock(write, record):
    root = write([record(status="running")])
    lock = FileLock(root / "00000" / "run.lock")
    with lock:
        assert [left.kind for left in load_runs([root]).left_out] == ["running"]
    assert [left.kind for left in load_runs([root]).left_out] == ["interrupted"]
    with lock.acquire(timeout=0):  # looking has not kept it
        pass


def test_a_run_whose_record_was_removed_is_damaged_and_a_folder_of_something_else_is_nothing(write, record):
    root = write([record(seed=0), record(seed=1)])
    (root / "00001" / "run.json").rename(root / "00001" / "config.yaml")
    (root / "00001" / "run.lock").touch()
    (root / "other").mkdir()
    (root / "other" / "config.yaml").touch()
    loaded = load_runs([root])
    assert len(loaded.runs) == 1
    assert [(left.kind, left.path.name) for left in loaded.left_out] == [("damaged", "00001")]
    assert "No run record" in loaded.left_out[0].reason


def test_a_missing_path_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_runs([tmp_path / "nowhere"])


LABELS = [
    ({"method": "random"}, {}, "random"),
    ({"method": "adapruner", "score": "ignored", "selection": "ccs"}, {}, "adapruner"),
    ({"method": "score", "score": "tdds", "extrapolation": "none", "selection": "top"}, {}, "tdds"),
    ({"method": "score", "score": "tdds", "extrapolation": "knn", "selection": "ccs"}, {}, "tdds + knn + ccs"),
    ({"method": "score", "score": "tdds", "variant": "released"}, {}, "tdds + released"),
    ({"method": "score", "score": "tdds"}, {"select_on": "test"}, "tdds + selected on test"),
]


@pytest.mark.parametrize(("pruning", "more", "label"), LABELS)
def test_labels(pruning, more, label):
    assert label_of(Pruning(**pruning), **more) == label


def test_transfer_names_both_data_sets(write, record):
    root = write([record(data__name="cifar100", transfer__downstream="cifar10")])
    assert load_runs([root]).runs[0].data == "cifar100 -> cifar10"


def test_full_data_has_ratio_0_and_for_references_only_the_final_recipe_matters(write, record):
    config = {"score": {"window": 10}, "optim": {"lr": 0.1}, "subset_fraction": 0.2}
    runs = load_runs([write([record("full", ratio=0.7, config=config), record("random", config=config)])]).runs
    assert runs[0].pruning_ratio == 0.0
    assert runs[0].settings == runs[1].settings == {"optim.lr": 0.1}


def test_what_a_run_was_compared_with_are_runs_too(write, record):
    comparison = {
        "full": {"test_accuracy": 0.95, "cost_vs_full": 1.0, "reused": True},
        "random": {"test_accuracy": 0.85, "cost_vs_full": 0.7, "reused": False},
    }
    config = {"optim": {"lr": 0.1}, "score": {"window": 10}}
    counts = {"pruning__num_total": 1000, "pruning__num_kept": 700}
    root = write([record("score", "tdds", 0.3, 4, 0.9, config=config, comparison=comparison, **counts)])
    run, full, random = load_runs([root]).runs
    assert run.comparison == {"full": 0.95, "random": 0.85}
    assert (full.label, full.pruning_ratio, full.score_seed, full.accuracy) == ("full", 0.0, None, 0.95)
    assert (random.label, random.pruning_ratio, random.score_seed, random.accuracy) == ("random", 0.3, 4, 0.85)
    assert (full.cost_vs_full, full.keep_fraction, random.cost_vs_full) == (1.0, 1.0, 0.7)
    assert full.settings == random.settings == {"optim.lr": 0.1}


def test_a_random_subset_of_another_size_is_a_row_of_its_own_and_compared_with_its_run_only(rows_of, record):
    comparison = {"full": {"test_accuracy": 0.9}, "random": {"test_accuracy": 0.85, "num_kept": 640}}
    counts = {"pruning__num_total": 1000, "pruning__num_kept": 640, "pruning__keep_fraction": 0.64}
    beside = [record("label_mapping", None, 0.3, seed, 0.88, comparison=comparison, **counts) for seed in (0, 1)]
    rows = with_ranks(rows_of([*beside, *(record("score", "tdds", 0.3, seed, 0.87) for seed in (0, 1))]))
    assert [row.label for row in rows] == ["full", "random [as many as label_mapping]", "label_mapping", "tdds"]
    _, random, mapped, tdds = rows
    assert (random.is_yardstick, random.is_comparison, random.counts, random.rank) == (True, True, False, None)
    assert (random.keep_fraction, random.accuracy.mean) == (0.64, 0.85)
    assert mapped.vs_baseline.mean == pytest.approx(0.03)
    assert (tdds.vs_baseline, tdds.verdict_baseline) == (None, "no random run")
    assert name_text(random) == "random [as many as label_mapping] (compare_with)"
    assert (mapped.rank, tdds.rank) == (1.0, 2.0)


def test_settings_are_flat_and_without_what_cannot_matter():
    config = {
        "name": "x",
        "seed": 0,
        "score_seed": 1,
        "data": {"root": "/a", "split_seed": 3, "crop": 4},
        "logger": {"a": 1},
        "betas": [1, 2],
    }
    assert compared_settings(config) == {"data.crop": 4, "betas": [1, 2]}
