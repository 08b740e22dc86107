import pytest

from secateur.core.record import new_record
from secateur.tracking.facts import filterable, summary

STAGE = {
    "stage": "scoring",
    "reused": False,
    "seconds": 2.0,
    "samples_forward": 10,
    "samples_backward": 5,
    "flops": 4e3,
}


@pytest.fixture
def record():
    pruning = {"method": "score", "score": "el2n", "pruning_ratio": 0.5, "keep_fraction": 0.5, "num_kept": 5}
    filled = new_record(status="finished", label="el2n")
    filled.data.name = "digits"
    filled.pruning.update({**pruning, "num_total": 10, "class_counts": [3, 0, 2], "realized_pruning_ratio": 0.5})
    filled.metrics.test_accuracy = 0.75
    stages = [STAGE, {**STAGE, "seconds": 3.0}]
    filled.ledger.update({"stages": stages, "total_seconds": 5.0, "cost_vs_full": 1.5})
    filled.update({"comparison": {"full": {"test_accuracy": 0.8, "robust_accuracy": None, "reused": True}}})
    return filled


def test_what_tells_runs_apart_is_flat_and_known(record):
    assert filterable(record) == {
        **{"realized_pruning_ratio": 0.5, "keep_fraction": 0.5, "num_total": 10, "num_kept": 5, "cost_vs_full": 1.5},
        **{"method_name": "score", "score_name": "el2n", "data_name": "digits", "label": "el2n", "status": "finished"},
    }


def test_an_empty_record_has_no_outcomes():
    assert filterable(new_record()) == {"status": "running"}
    assert summary(new_record()) == {}


def test_the_summary_holds_numbers_only(record):
    values = summary(record)
    assert {type(value) for value in values.values()} <= {int, float}
    assert values["test_accuracy"] == 0.75
    assert values["comparison/full/test_accuracy"] == 0.8
    assert "comparison/full/reused" not in values
    assert "worst_class_accuracy" not in values


def test_stages_of_one_name_are_summed(record):
    values = summary(record)
    assert (values["ledger/scoring/seconds"], values["ledger/scoring/samples_forward"]) == (5.0, 20)
    assert values["ledger/total_seconds"] == 5.0


def test_class_balance(record):
    values = summary(record)
    names = ("smallest_class", "largest_class", "num_empty_classes")
    assert [values[f"mask/{name}"] for name in names] == [0, 3, 1]


def test_no_key_is_one_that_a_logger_reserves(record):
    assert not any(key.startswith("_") for key in {**filterable(record), **summary(record)})
    assert not set(filterable(record)) & {"method", "score", "extrapolation", "selection", "data"}  # the config's nodes
