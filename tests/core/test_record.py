"""run.json has the keys that reports and other people's scripts rely on."""

import json
from datetime import datetime

import pytest

from secateur.core.errors import DataError
from secateur.core.record import is_finished, load_record, new_record, now, one_line, save_record

TOP = """schema status run_key name label command seed score_seed select_on config provenance started finished warnings
ignored artifacts data models pruning transfer extrapolation metrics ledger"""
BLOCKS = {
    "data": "name class_names num_train num_validation num_test num_classes fingerprint",
    "models": "scoring final",
    "pruning": """method score extrapolation selection variant pruning_ratio realized_pruning_ratio keep_fraction
        num_total num_kept num_groups num_groups_kept num_zero_vote_groups class_counts observed_share mask_sha256
        given drawn_by per_epoch visited_share num_seen visits_sha256 reads_ratio follows_ratio""",
    "transfer": "source downstream finetune",
    "extrapolation": "",
    "metrics": """test_accuracy test_accuracy_best validation_accuracy worst_class_accuracy linear_probe_accuracy
        finetune_accuracy source_accuracy robust_accuracy""",
    "ledger": "stages total_seconds cost_vs_full cost_vs_full_amortized",
}


def test_schema_1_has_all_its_keys():
    record = new_record()
    assert record["schema"] == 1
    assert set(TOP.split()) <= record.keys()
    for block, keys in BLOCKS.items():
        assert set(keys.split()) <= record[block].keys(), block


def test_what_was_not_measured_is_null():
    record = new_record()
    assert all(value is None for block in ("data", "models", "pruning", "metrics") for value in record[block].values())
    assert record["status"] == "running"
    assert (record["warnings"], record["artifacts"], record["ledger"]["stages"]) == ([], {}, [])


def test_given_values_stand_and_unknown_keys_are_refused():
    assert new_record(run_key="abc", seed=3)["run_key"] == "abc"
    with pytest.raises(KeyError, match="sead"):
        new_record(sead=3)


def test_records_share_nothing():
    first = new_record()
    first["metrics"]["test_accuracy"] = 0.5
    first["warnings"].append("careful")
    assert new_record()["metrics"]["test_accuracy"] is None
    assert new_record()["warnings"] == []


def test_a_saved_record_is_read_back(tmp_path):
    record = new_record(run_key="abc", config={"seed": 0})
    assert save_record(tmp_path / "abc", record) == tmp_path / "abc" / "run.json"
    assert load_record(tmp_path / "abc") == record


def test_no_number_of_a_record_may_be_nan(tmp_path):
    record = new_record()
    save_record(tmp_path, record)
    record["metrics"]["test_accuracy"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        save_record(tmp_path, record)
    assert load_record(tmp_path)["metrics"]["test_accuracy"] is None


def test_a_missing_record(tmp_path):
    with pytest.raises(DataError, match=r"No run record at .*run\.json"):
        load_record(tmp_path)


@pytest.mark.parametrize("text", ["", '{"schema": 1, "sta', "\x00\x01"])
def test_a_truncated_record(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match="may be truncated"):
        load_record(tmp_path)


@pytest.mark.parametrize("value", [{}, {"schema": 2}, [1], None])
def test_json_that_is_not_a_record_of_this_schema(tmp_path, value):
    (tmp_path / "run.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="not a run record of schema 1"):
        load_record(tmp_path)


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_only_a_finished_record_is_finished(tmp_path, status):
    assert not is_finished(tmp_path)
    save_record(tmp_path, new_record(status=status))
    assert not is_finished(tmp_path)
    save_record(tmp_path, new_record(status="finished"))
    assert is_finished(tmp_path)


def test_times_are_utc_to_the_second():
    time = datetime.fromisoformat(now())
    assert time.utcoffset().total_seconds() == 0
    assert time.microsecond == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("two\n  lines\there "), "two lines here"), (KeyboardInterrupt(), "KeyboardInterrupt")],
)
def test_an_error_is_one_line(error, line):
    assert one_line(error) == line
