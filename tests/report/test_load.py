import json

import pytest
from filelock import FileLock

from secateur.core.errors import DataError
from secateur.core.record import label_of
from secateur.report.load import load_runs
from secateur.report.run import flat_settings


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
    ({"status": "running"}, "lost", "its process is gone"),
    ({"status": None}, "damaged", "status is None"),
    ({"status": "interrupted"}, "interrupted", "the same command goes on"),
    ({"metrics__test_accuracy": None}, "unusable", "metrics.test_accuracy is None"),
    ({"metrics__test_accuracy": 95.2}, "unusable", "not in [0, 1]"),
    ({"metrics__test_accuracy": True}, "unusable", "metrics.test_accuracy is True"),
    ({"seed": "0"}, "unusable", "seed is '0'"),
    ({"pruning": None}, "unusable", "NoneType"),
    ({"pruning__pruning_ratio": None}, "unusable", "pruning.pruning_ratio is None"),
    ({"pruning__method": None}, "unusable", "names no method"),
    ({"data": {"name": "digits"}}, "unusable", "no key 'fingerprint'"),
    ({"ledger__cost_vs_full": "cheap"}, "unusable", "ledger.cost_vs_full is 'cheap'"),
    ({"config": [1]}, "unusable", "config is [1], not a mapping"),
    ({"config": None}, "unusable", "config is None, not a mapping"),
    ({"config": "x" * 999}, "unusable", "not a mapping"),
    ({"comparison": {"full": {}}, "pruning__method": "rs2"}, "unusable", "no key 'test_accuracy'"),
]


@pytest.mark.parametrize(("changes", "kind", "reason"), CHANGES)
def test_what_cannot_be_used_says_why(write, record, changes, kind, reason):
    loaded = load_runs([write([record(**changes)])])
    assert loaded.runs == []
    assert loaded.left_out[0].kind == kind
    assert reason in loaded.left_out[0].reason


def test_a_nan_in_the_file_is_not_a_number(write, record):
    root = write([record()])
    path = root / "00000" / "run.json"
    values = json.loads(path.read_text())
    values["metrics"]["test_accuracy"] = float("nan")
    path.write_text(json.dumps(values))
    assert load_runs([root]).left_out[0].reason == "metrics.test_accuracy is nan, not a number"


def test_a_running_record_is_lost_only_when_nobody_holds_its_lock(write, record):
    root = write([record(status="running")])
    lock = FileLock(root / "00000" / "run.lock")
    with lock:
        assert [left.kind for left in load_runs([root]).left_out] == ["running"]
    assert [left.kind for left in load_runs([root]).left_out] == ["lost"]
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
    empty = dict.fromkeys(("score", "extrapolation", "selection", "variant"))
    assert label_of({"pruning": {**empty, **pruning}, **more}) == label


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


def test_a_random_subset_of_another_size_is_not_the_random_run_of_the_ratio(write, record):
    comparison = {name: {"test_accuracy": 0.9} for name in ("full", "random")}
    counts = {"pruning__num_total": 1000, "pruning__num_kept": 640}
    root = write([record("label_mapping", None, 0.3, comparison=comparison, **counts)])
    assert [run.label for run in load_runs([root]).runs] == ["label_mapping", "full"]


def test_settings_are_flat_and_without_what_cannot_matter():
    config = {
        "name": "x",
        "seed": 0,
        "score_seed": 1,
        "data": {"root": "/a", "split_seed": 3, "crop": 4},
        "logger": {"a": 1},
        "betas": [1, 2],
    }
    assert flat_settings(config) == {"data.crop": 4, "betas": [1, 2]}
