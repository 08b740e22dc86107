"""The structure behind the page: complete, JSON without NaN, and the same numbers as the tables."""

import json
import typing
from pathlib import Path

import pytest

from secateur.core.ledger import StageCost
from secateur.report.answers import did_it_pay
from secateur.report.data.cells import make_cells
from secateur.report.data.league import with_ranks
from secateur.report.data.load import load_runs
from secateur.report.data.rows import make_rows
from secateur.report.page.payload import finite, make_payload
from secateur.report.page.payload_types import CellEntry, Payload, ProblemEntry
from secateur.report.problems import missing


@pytest.fixture
def payload_of(write):
    def payload_of_records(records, **changes):
        loaded = load_runs([records if isinstance(records, Path) else write(records)])
        cells, superseded = make_cells(loaded.runs)
        rows = with_ranks(make_rows(cells))
        settings = {
            **{"title": "demo", "paths": ["runs"], "baseline": "random", "answers": did_it_pay(rows), "notes": []},
            **{"problems": [*loaded.left_out, *superseded, *missing(cells, loaded.left_out)], "figures": []},
        }
        return make_payload(rows, **{**settings, **changes}), rows

    return payload_of_records


def test_it_is_json_and_has_the_keys_it_declares(tmp_path, write, payload_of, comparison, record):
    config = {"optim": {"lr": "not a number"}}
    extra = [record(seed=9, status="failed", error="x"), record("rs2", seed=0, config=config)]
    write([*comparison(), *extra])
    for path in tmp_path.glob("runs/*/run.json"):
        path.write_text(path.read_text().replace('"not a number"', "NaN"))
    payload, _ = payload_of(tmp_path / "runs")
    assert {"optim": {"lr": None}} in payload["configs"].values()
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert set(payload) == set(typing.get_type_hints(Payload))
    assert all(set(cell) == set(typing.get_type_hints(CellEntry)) for cell in payload["cells"].values())
    assert all(set(one) == set(typing.get_type_hints(ProblemEntry)) for one in payload["problems"])
    assert "failed" in {one["kind"] for one in payload["problems"]}


def test_numbers_are_those_of_the_rows(payload_of, comparison):
    payload, rows = payload_of(comparison())
    assert len(payload["cells"]) == len(rows)
    for cell, row in zip(payload["cells"].values(), rows, strict=True):
        assert (cell["method"], cell["pruning_ratio"], cell["n"]) == (row.label, row.pruning_ratio, row.accuracy.n)
        assert cell["accuracy"]["low"] == row.accuracy.low
        assert (cell["rank"], cell["best"]) == (row.rank, row.best)
        if row.vs_baseline is not None:
            assert cell["vs_baseline"]["p_holm"] == row.vs_baseline.p_holm
            assert cell["vs_baseline"]["survives_holm"] == (row.vs_baseline.p_holm < 0.05)
        assert all(payload["runs"][key]["seed"] in cell["seeds"] for key in cell["runs"])
    (table,) = payload["tables"]
    assert table["cells"] == list(payload["cells"])
    assert {rank["num_ratios"] for rank in table["ranks"]} == {4}


def test_a_config_is_kept_once_for_runs_that_share_it(payload_of, record):
    def made(seed, lr):
        config = {"seed": seed, "score_seed": seed, "name": "x", "optim": {"lr": lr}, "data": {"root": "/d"}}
        return record("score", "tdds", seed=seed, config=config)

    payload, _ = payload_of([made(seed, lr) for seed in range(3) for lr in (0.1, 0.2)])
    assert len(payload["configs"]) == 2
    for run in payload["runs"].values():
        assert payload["configs"][run["config"]]["data"] == {"root": "/d"}
    labels = {cell["method"]: cell["settings"] for cell in payload["cells"].values()}
    assert labels == {"tdds [lr=0.1]": {"lr": "0.1"}, "tdds [lr=0.2]": {"lr": "0.2"}}


def test_runs_say_where_they_come_from_and_comparisons_whose_they_are(payload_of, record):
    comparison = {"full": {"test_accuracy": 0.95, "cost_vs_full": 1.0}}
    stage = StageCost("training", 5, 5, flops=1e9, seconds=2.0, reused=True).to_json()
    ledger = {
        "stages": [{**stage, "unknown": 1}],
        "total_seconds": 3.0,
        "cost_vs_full": 0.5,
        "cost_vs_full_amortized": 0.4,
    }
    payload, _ = payload_of(
        [record("rs2", command="secateur run", comparison=comparison, ledger=ledger, artifacts={"mask.parquet": "0"})]
    )
    own, other = sorted(payload["runs"].values(), key=lambda run: run["is_comparison"])
    assert (own["command"], own["artifacts"], own["method"]) == ("secateur run", ["mask.parquet"], "rs2")
    (shown,) = own["ledger"]["stages"]
    assert (shown["flops"], "unknown" in shown) == (1e9, False)
    assert (other["label"], other["run_key"], other["path"]) == ("full", own["run_key"], own["path"])
    assert (other["artifacts"], other["ledger"]["stages"], other["mask_sha256"]) == ([], [], None)


def test_curves_follow_the_ratio_and_mark_the_front(payload_of, comparison):
    payload, _ = payload_of(comparison())
    curves = {curve["method"]: curve["points"] for curve in payload["curves"] if curve["metric"] == "accuracy"}
    assert [point["pruning_ratio"] for point in curves["tdds"]] == [0.3, 0.5, 0.7, 0.9]
    assert [point["pareto"] for point in curves["full"]] == [True]
    assert not any(curve["metric"] == "robust_accuracy" for curve in payload["curves"])
    methods = {method["label"]: method for method in payload["methods"]}
    assert methods["random"]["is_baseline"]
    assert methods["full"]["is_full"]


def test_numbers_that_json_lacks_become_null():
    assert finite({1: (float("inf"), [float("nan"), 2.0], "x", True)}) == {"1": [None, [None, 2.0], "x", True]}
