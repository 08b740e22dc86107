"""The cost of a result, computed by hand."""

import json

import pytest

from secateur.core.ledger import Ledger, StageCost

FLOPS = 100.0  # of one forward pass
FULL = (40 + 2 * 40) * FLOPS  # 10 samples, 4 epochs; a backward pass counts twice a forward pass


def stage(name, forward, backward, *, seconds=1.0, **more):
    return StageCost(name, forward, backward, (forward + 2 * backward) * FLOPS, seconds, **more)


@pytest.fixture
def ledger():
    """10 samples, 4 epochs: scoring trains on all for 2 epochs and passes over all once more, half are retrained."""
    ledger = Ledger(full_flops=FULL)
    ledger.add(stage("scoring", forward=20 + 10, backward=20, seconds=6.0, reused=True))
    ledger.add(stage("training", forward=20, backward=20, seconds=4.0, pruning=False))
    return ledger


def test_cost_vs_full_counts_reused_stages(ledger):
    assert ledger.cost_vs_full == pytest.approx((30 + 2 * 20 + 20 + 2 * 20) / (40 + 2 * 40))


def test_the_amortized_cost_leaves_out_what_only_makes_the_mask(ledger):
    assert ledger.cost_vs_full_amortized == pytest.approx(0.5)


def test_a_full_training_costs_exactly_one():
    ledger = Ledger(FULL)
    ledger.add(stage("training", forward=40, backward=40, pruning=False))
    assert (ledger.cost_vs_full, ledger.cost_vs_full_amortized) == (1.0, 1.0)


def test_the_block_of_the_record(ledger):
    block = json.loads(json.dumps(ledger.to_json(), allow_nan=False))
    assert block.keys() == {"stages", "total_seconds", "cost_vs_full", "cost_vs_full_amortized"}
    assert block["total_seconds"] == 10.0
    asked = {"stage", "reused", "seconds", "device_seconds", "samples_forward", "samples_backward", "flops"}
    for entry in block["stages"]:
        assert entry.keys() >= asked | {"peak_memory_bytes"}
    assert [entry["reused"] for entry in block["stages"]] == [True, False]
    assert block["stages"][0]["peak_memory_bytes"] is None


def test_a_stage_survives_json_and_is_marked_as_reused():
    cost = stage("scoring", 3, 1, device_seconds=2.0, peak_memory_bytes=5)
    again = StageCost.from_json(json.loads(json.dumps(cost.to_json())), reused=True)
    assert again.reused
    assert {**again.to_json(), "reused": False} == cost.to_json()
