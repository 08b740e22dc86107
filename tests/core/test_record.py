"""run.json has the keys that reports and other people's scripts rely on, and no value that is not what it should be."""

import json
import subprocess
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.block import LARGEST
from secateur.core.errors import DataError
from secateur.core.ledger import StageCost
from secateur.core.record import (
    Baseline,
    Fidelity,
    Pruning,
    RunRecord,
    is_finished,
    label_of,
    load_record,
    new_record,
    now,
    one_line,
    read_record,
    save_record,
)

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
    record = new_record().to_json()
    assert record["schema"] == 1
    assert set(TOP.split()) <= record.keys()
    for block, keys in BLOCKS.items():
        assert set(keys.split()) <= record[block].keys(), block


def test_what_was_not_measured_is_null():
    record = new_record().to_json()
    assert all(value is None for block in ("data", "models", "pruning", "metrics") for value in record[block].values())
    assert record["status"] == "running"
    assert (record["warnings"], record["artifacts"], record["ledger"]["stages"]) == ([], {}, [])


def test_given_values_stand_and_unknown_keys_are_refused():
    assert new_record(run_key="abc", seed=3).run_key == "abc"
    with pytest.raises(KeyError, match="sead"):
        new_record(sead=3)
    with pytest.raises(DataError, match="seed is 'three', not a whole number"):
        new_record(seed="three")


def test_records_share_nothing():
    first = new_record()
    first.metrics.test_accuracy = 0.5
    first.warnings.append("careful")
    first.ledger.stages.append(StageCost("training", 1, 1, 1.0, 1.0))
    assert new_record().metrics.test_accuracy is None
    assert (new_record().warnings, new_record().ledger.stages) == ([], [])


def test_a_saved_record_is_read_back(tmp_path):
    record = new_record(run_key="abc", config={"seed": 0})
    assert save_record(tmp_path / "abc", record) == tmp_path / "abc" / "run.json"
    assert load_record(tmp_path / "abc") == record


def test_no_number_of_a_record_may_be_nan(tmp_path):
    record = new_record()
    save_record(tmp_path, record)
    record.metrics.test_accuracy = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        save_record(tmp_path, record)
    assert load_record(tmp_path).metrics.test_accuracy is None


def test_a_record_of_an_older_version_is_read_and_written_as_it_was(tmp_path):
    older = {"schema": 1, "status": "finished", "seed": 0, "pruning": {"method": "score", "num_kept": 7}}
    (tmp_path / "run.json").write_text(json.dumps(older))
    record = load_record(tmp_path)
    assert (record.pruning.num_kept, record.pruning.mask_sha256, record.transfer.downstream) == (7, None, None)
    assert (record.warnings, record.comparison, record.ledger.stages, record.extrapolation.fidelity) == ([], {}, [], [])
    assert record.extrapolation.is_empty
    assert record.pruning.model_fields_set == {"method", "num_kept"}
    save_record(tmp_path, record)
    assert read_record(tmp_path) == older


def test_null_is_nothing_where_older_records_have_it():
    record = RunRecord.of({"artifact_bytes": None, "transfer": None, "extrapolation": None, "comparison": None})
    assert (record.artifact_bytes, record.transfer.downstream, record.comparison) == ({}, None, {})
    assert record.extrapolation.is_empty
    assert RunRecord.of({"extrapolation": {"fidelity": None}}).extrapolation.fidelity == []


def test_unknown_keys_are_kept(tmp_path):
    stage = {"stage": "training", "samples_forward": 1, "samples_backward": 1, "flops": 1, "seconds": 0.5, "room": "B"}
    later = {"schema": 1, "weather": "rain", "pruning": {"depth": [1]}, "ledger": {"stages": [stage]}}
    (tmp_path / "run.json").write_text(json.dumps(later))
    record = load_record(tmp_path)
    assert (record.weather, record.pruning.depth) == ("rain", [1])
    assert record.to_json()["ledger"]["stages"][0]["room"] == "B"
    save_record(tmp_path, record)
    assert {"weather", "pruning"} <= read_record(tmp_path).keys()


def test_an_integer_stays_one(tmp_path):
    record = RunRecord.of({"pruning": {"pruning_ratio": 0}, "ledger": {"cost_vs_full": 1}})
    assert json.dumps(record.to_json()) == '{"pruning": {"pruning_ratio": 0}, "ledger": {"cost_vs_full": 1}}'


def test_the_stages_of_the_ledger_are_costs():
    cost = StageCost("scoring", 10, 5, 4e3, 2.0, reused=True)
    record = new_record()
    record.ledger.update({"stages": [cost.to_json()], "cost_vs_full": 1.5})
    assert record.ledger.stages == [cost]
    assert RunRecord.of(record.to_json()).ledger.stages == [cost]


def test_an_update_is_checked_as_a_whole():
    record = new_record()
    with pytest.raises(DataError, match=r"^pruning\.keep_fraction is 2, not a number in \[0, 1\]$"):
        record.pruning.update({"num_kept": 3, "keep_fraction": 2}, "pruning")
    assert record.pruning.num_kept is None
    record.pruning.update({"num_kept": 3, "depth": 1}, "pruning")
    assert (record.pruning.num_kept, list(record.pruning.to_json())[-1]) == (3, "depth")


STAGE = {"stage": "training", "samples_forward": 1, "samples_backward": 1, "flops": 1.0, "seconds": 1.0}
NAN, HUGE = float("nan"), 10 * LARGEST
WRONG = [
    ({"seed": "0"}, "seed is '0', not a whole number"),
    ({"seed": True}, "seed is true, not a whole number"),
    ({"seed": 1.0}, "seed is 1.0, not a whole number"),
    ({"status": "done"}, "status is 'done', not one of running, finished, failed, interrupted"),
    ({"status": None}, "status is null, not one of running, finished, failed, interrupted"),
    ({"run_key": ""}, "run_key is '', not a text"),
    ({"name": 5}, "name is 5, not a text"),
    ({"config": [1]}, "config is [1], not a mapping"),
    ({"config": "x" * 999}, f"config is '{'x' * 59}..., not a mapping"),
    ({"warnings": "x"}, "warnings is 'x', not a list"),
    ({"warnings": ["x", 3]}, "warnings[1] is 3, not a text"),
    ({"artifacts": {"mask.parquet": None}}, "artifacts.mask.parquet is null, not a text"),
    ({"artifact_bytes": {"a\nb": -1}}, "artifact_bytes.a b is -1, not a whole number of at least 0"),
    ({"pruning": None}, "pruning is null, not a mapping"),
    ({"pruning": {"pruning_ratio": 1}}, "pruning.pruning_ratio is 1, not a number in [0, 1)"),
    ({"pruning": {"pruning_ratio": 1.0}}, "pruning.pruning_ratio is 1.0, not a number in [0, 1)"),
    ({"pruning": {"keep_fraction": -0.1}}, "pruning.keep_fraction is -0.1, not a number in [0, 1]"),
    ({"pruning": {"keep_fraction": False}}, "pruning.keep_fraction is false, not a number in [0, 1]"),
    ({"pruning": {"num_kept": 0}}, "pruning.num_kept is 0, not a whole number of at least 1"),
    ({"pruning": {"per_epoch": 1}}, "pruning.per_epoch is 1, not true or false"),
    ({"pruning": {"drawn_by": []}}, "pruning.drawn_by is [], not a list of seed and score_seed"),
    ({"pruning": {"class_counts": [1, 2.5]}}, "pruning.class_counts[1] is 2.5, not a whole number of at least 0"),
    ({"metrics": {"test_accuracy": NAN}}, "metrics.test_accuracy is nan, not a number in [0, 1]"),
    ({"metrics": {"class_accuracy": [None, 2]}}, "metrics.class_accuracy[1] is 2, not a number in [0, 1]"),
    ({"ledger": {"cost_vs_full": float("inf")}}, "ledger.cost_vs_full is inf, not a number in [0, 1e100]"),
    ({"ledger": {"cost_vs_full": HUGE}}, f"ledger.cost_vs_full is {str(HUGE)[:60]}..., not a number in [0, 1e100]"),
    ({"ledger": {"stages": {"a": 1}}}, "ledger.stages is {'a': 1}, not a list"),
    ({"ledger": {"stages": [3]}}, "ledger.stages[0] is 3, not a mapping"),
    ({"ledger": {"stages": [{**STAGE, "flops": "x"}]}}, "ledger.stages[0].flops is 'x', not a number in [0, 1e100]"),
    ({"comparison": {"full": 1}}, "comparison.full is 1, not a mapping"),
    ({"extrapolation": {"fidelity": 3}}, "extrapolation.fidelity is 3, not a list"),
    ({"extrapolation": {"fidelity": [{}]}}, "extrapolation.fidelity[0] has no score_seed"),
    ({"seed": "0", "score_seed": "0"}, "seed is '0', not a whole number (and 1 more)"),
]


@pytest.mark.parametrize(("values", "line"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_value_is_one_line_with_its_key_and_what_was_expected(tmp_path, values, line):
    with pytest.raises(DataError) as caught:
        RunRecord.of(values)
    assert str(caught.value) == line
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, **values}))
    with pytest.raises(DataError) as caught:
        load_record(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'run.json'} is not a run record: {line}."
    assert not is_finished(tmp_path)


def test_a_key_that_no_file_takes_can_be_named():
    with pytest.raises(DataError) as caught:
        RunRecord.of({"artifacts": {"\ud800" + "x" * 99: 3}})
    assert str(caught.value).encode()
    assert "... is 3, not a text" in str(caught.value)


shares = st.none() | st.floats(0, 1)
costs = st.none() | st.floats(0, 1e50) | st.integers(0, 10**12)
texts = st.text(max_size=5)
stages = st.builds(
    StageCost,
    stage=st.just("training"),
    samples_forward=st.integers(0, 10**9),
    samples_backward=st.integers(0, 10**9),
    flops=st.floats(0, 1e30),
    seconds=st.floats(0, 1e9),
    peak_memory_bytes=st.none() | st.integers(0, 10**12),
    reused=st.booleans(),
)
ratios = st.builds(dict, pruning_ratio=st.floats(0, 0.99), recall=shares)
records = st.builds(
    lambda blocks, **values: {**values, **{key: dict(value) for key, value in blocks.items()}},
    st.fixed_dictionaries(
        {},
        optional={
            "data": st.fixed_dictionaries({}, optional={"name": st.none() | texts, "class_names": st.lists(texts)}),
            "pruning": st.fixed_dictionaries(
                {},
                optional={
                    **{"method": st.none() | texts, "keep_fraction": shares, "num_kept": st.integers(1, 10**9)},
                    **{"class_counts": st.lists(st.integers(0, 10**6), max_size=4), "given": st.booleans()},
                    **{"drawn_by": st.just(["seed", "score_seed"]), "further": st.lists(st.integers())},
                },
            ),
            "metrics": st.fixed_dictionaries(
                {}, optional={"test_accuracy": shares, "class_accuracy": st.lists(shares)}
            ),
            "extrapolation": st.fixed_dictionaries(
                {},
                optional={
                    "fidelity": st.lists(
                        st.builds(dict, score_seed=st.integers(), by_ratio=st.lists(ratios, max_size=2)), max_size=2
                    ),
                    "seed_level": st.none() | st.builds(dict, spearman=shares),
                },
            ),
            "comparison": st.dictionaries(texts, st.fixed_dictionaries({}, optional={"test_accuracy": shares})),
            "ledger": st.fixed_dictionaries(
                {"stages": st.lists(stages, max_size=2).map(lambda costs: [cost.to_json() for cost in costs])},
                optional={"cost_vs_full": costs},
            ),
        },
    ),
    status=st.sampled_from(["running", "finished", "failed", "interrupted"]),
    seed=st.none() | st.integers(),
    warnings=st.lists(texts),
    config=st.dictionaries(texts, st.integers() | texts | st.lists(st.booleans())),
)


@given(records)
def test_a_record_survives_its_json(values):
    record = RunRecord.of(values)
    text = json.dumps(record.to_json(), allow_nan=False)
    again = RunRecord.of(json.loads(text))
    assert again == record
    assert again.model_fields_set == record.model_fields_set
    assert json.dumps(again.to_json()) == text
    assert record.to_json() == values


def test_what_is_known_of_predicted_scores_is_typed():
    entry = {"score_seed": 100, "spearman": 0.5, "by_ratio": [{"pruning_ratio": 0.3, "recall": 0.9}]}
    record = RunRecord.of({"extrapolation": {"fidelity": [entry], "seed_level": {"spearman": 0.8}}})
    (fidelity,) = record.extrapolation.fidelity
    assert isinstance(fidelity, Fidelity)
    assert (fidelity.score_seed, fidelity.by_ratio[0].recall, fidelity.ks) == (100, 0.9, None)
    assert record.extrapolation.seed_level.spearman == 0.8
    assert list(fidelity.to_json()) == ["score_seed", "spearman", "by_ratio"]
    assert isinstance(RunRecord.of({"comparison": {"full": {}}}).comparison["full"], Baseline)


def test_a_label_names_what_is_not_the_default():
    assert label_of(Pruning(method="score", score="tdds", selection="ccs", modifiers=["raw"])) == "tdds + ccs + raw"
    with pytest.raises(DataError, match="pruning names no method: method is 'score', score is null"):
        label_of(Pruning(method="score"))


def test_importing_the_module_does_not_import_torch():
    code = "import sys, secateur.core.record; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
