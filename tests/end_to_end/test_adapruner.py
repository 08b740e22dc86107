"""`secateur run method=adapruner`, end to end on the digits."""

import json
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.report.data.cells import at_realized_ratio
from secateur.report.data.load import load_runs
from secateur.training.modules.joint_pruning import JointPruning

pytestmark = pytest.mark.slow
POOL = 1437
JOINT_EPOCHS, WARMUP_EPOCHS = 3, 1


@pytest.fixture
def adapruner(program):
    """The program, set to a short AdaPruner run."""
    joint = (f"method.joint_epochs={JOINT_EPOCHS}", f"method.warmup_epochs={WARMUP_EPOCHS}")
    program.quick = (
        *("method=adapruner", "optim@method.optim=adapruner_small", *joint),
        *("trainer.max_epochs=1", "compare_with=[]"),
    )
    return program


def stage(record, name):
    (found,) = [stage for stage in record["ledger"]["stages"] if stage["stage"] == name]
    return found


def mask_of(program, record):
    return Mask.load(program.run_dir(record) / "mask.parquet", record["data"]["fingerprint"]).keep


# -- ratios --------------------------------------------------------------------------------------------------------


def test_every_ratio_keeps_its_exact_count_and_all_share_one_warm_up(adapruner):
    ratios = (0.1, 0.2, 0.3, 0.5)
    assert adapruner.run("-m", f"pruning_ratio={','.join(map(str, ratios))}") == 0
    records = adapruner.records()
    assert {r["pruning"]["pruning_ratio"]: r["pruning"]["num_kept"] for r in records} == {
        ratio: round(POOL * (1 - ratio)) for ratio in ratios
    }
    assert len(adapruner.stages("warmup")) == 1
    assert len(adapruner.stages("joint_pruning")) == 4
    assert sorted(stage(record, "warmup")["reused"] for record in records) == [False, True, True, True]
    for record in records:
        rows = json.loads((adapruner.run_dir(record) / "diagnostics.json").read_text())
        assert [row["epoch"] for row in rows] == list(range(JOINT_EPOCHS))
        assert record["pruning"]["last_raw_kept_fraction"] == rows[-1]["raw_kept_fraction"]
        assert record["pruning"]["raw_kept_fraction"] == rows[record["pruning"]["chosen_epoch"]]["raw_kept_fraction"]


def test_the_record_says_what_was_used_and_what_it_cost(adapruner):
    adapruner.run("pruning_ratio=0.2")
    record = adapruner.record()
    used = {key: record["pruning"][key] for key in ("index", "select_on", "exact_ratio", "finetune", "variant")}
    assert used == {
        **{"index": "sample", "select_on": "last", "exact_ratio": True, "finetune": False},
        "variant": "reference",
    }
    assert (record["select_on"], record["label"]) == ("last", "adapruner")
    assert "diagnostics.json" in record["artifacts"]
    table = ScoreTable.load(adapruner.run_dir(record) / "scores.parquet", record["data"]["fingerprint"])
    mask = mask_of(adapruner, record)
    assert table.score[mask].min() >= table.score[~mask].max()
    kept = record["pruning"]["num_kept"]
    assert stage(record, "warmup")["samples_backward"] == POOL * WARMUP_EPOCHS
    assert stage(record, "joint_pruning")["samples_backward"] == POOL * JOINT_EPOCHS
    expected = WARMUP_EPOCHS + JOINT_EPOCHS + kept / POOL  # in trainings of one epoch
    assert record["ledger"]["cost_vs_full"] == pytest.approx(expected)
    assert record["ledger"]["cost_vs_full_amortized"] == pytest.approx(kept / POOL)


def test_one_joint_run_serves_several_ratios_and_selections(adapruner):
    arguments = ("method.joint_ratio=0.3", "pruning_ratio=0.2,0.4", "selection=top,class_balanced")
    assert adapruner.run("-m", *arguments) == 0
    assert len(adapruner.stages("joint_pruning")) == 1
    records = {(r["pruning"]["selection"], r["pruning"]["pruning_ratio"]): r for r in adapruner.records()}
    assert all(record["pruning"]["joint_pruning_ratio"] == pytest.approx(0.3) for record in records.values())
    large, small = (mask_of(adapruner, records["top", ratio]) for ratio in (0.2, 0.4))
    assert int(large.sum()) == round(POOL * 0.8)
    assert bool((large | ~small).all())  # what survives 40 % survives 20 %


def test_the_raw_threshold_is_kept_when_it_is_near_the_ratio(adapruner):
    """A longer step of the mask brings the threshold near the ratio within a few epochs."""
    arguments = ("pruning_ratio=0.3", "method.exact_ratio=false", "method.ratio_tolerance=0.3", "method.mask_lr=3")
    assert adapruner.run(*arguments, "method.joint_epochs=5", "method.select_on=last") == 0
    pruning = adapruner.record()["pruning"]
    assert pruning["num_kept"] == round(POOL * pruning["raw_kept_fraction"]) < POOL
    assert adapruner.record()["label"] == "adapruner + raw"
    assert pruning["follows_ratio"] is False
    (run,) = at_realized_ratio(load_runs([adapruner.folder / "runs"]).runs)
    assert run.asked_ratio == 0.3
    assert run.pruning_ratio == pytest.approx(pruning["realized_pruning_ratio"], abs=0.005)


def test_the_release_is_a_variant(adapruner):
    assert adapruner.run("variant=released", "method.ratio_tolerance=1", "pruning_ratio=0.1") == 0
    record = adapruner.record()
    assert record["label"] == "adapruner + released + selected on test"
    used = {key: record["pruning"][key] for key in ("index", "select_on", "exact_ratio")}
    assert used == {"index": "position", "select_on": "test", "exact_ratio": False}
    assert any("parity only" in warning for warning in record["warnings"])


# -- after the mask ------------------------------------------------------------------------------------------------


def test_fine_tuning_goes_on_from_the_joint_weights(adapruner):
    adapruner.run("-m", "method.finetune=false,true")
    scratch, tuned = sorted(adapruner.records(), key=lambda record: record["pruning"]["finetune"])
    assert scratch["pruning"]["mask_sha256"] == tuned["pruning"]["mask_sha256"]
    assert len(adapruner.stages("joint_pruning")) == 1
    assert len(adapruner.stages("training")) == 2
    assert tuned["metrics"]["test_accuracy"] > scratch["metrics"]["test_accuracy"]  # one epoch from scratch is little
    assert tuned["label"] == "adapruner + fine-tuned"


def test_another_model_can_be_trained_on_the_mask_but_not_fine_tuned(adapruner):
    assert adapruner.run("model.width=4", "model@retrain_model=resnet8") == 0
    assert adapruner.record()["models"]["final"] == "resnet8"
    assert adapruner.run("model.width=4", "model@retrain_model=resnet8", "method.finetune=true") == 2
    assert "needs the same model and retrain_model" in adapruner.err


def test_interrupted_after_an_epoch_it_ends_with_the_same_mask(adapruner, tmp_path, monkeypatch):
    adapruner.run()
    undisturbed = adapruner.record()
    adapruner.folder = tmp_path / "interrupted"
    start = JointPruning.on_train_epoch_start

    def interrupt(module):
        if module.current_epoch == interrupt.epoch:
            raise InterruptedError
        start(module)

    monkeypatch.setattr(JointPruning, "on_train_epoch_start", interrupt)
    for interrupt.epoch in range(1, JOINT_EPOCHS):
        assert adapruner.run() == 1  # an error that is not ours
        assert adapruner.record()["status"] == "failed"
    interrupt.epoch = None
    assert adapruner.run() == 0
    record = adapruner.record()
    assert f"going on from epoch {JOINT_EPOCHS - 1} of {JOINT_EPOCHS}" in adapruner.out
    assert record["pruning"] == undisturbed["pruning"]
    assert record["artifacts"] == undisturbed["artifacts"]


# -- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("method.joint_ratio=30", "Did you mean 0.3?"),
        ("method.index=place", "method.index='place'"),
        ("method.mask_lr=-1", "method.mask_lr must not be negative"),
        ("method.cold_start_epochs=3", "freezes the mask in all of the 3 joint epochs"),
        ("method.optim.label_smoothing=0.1", "label_smoothing is not read"),
        ("method.scale_start=0", "scale_start"),
    ],
)
def test_what_the_configuration_can_tell_is_found_before_anything_starts(adapruner, arguments, complaint):
    assert adapruner.run(*arguments.split()) == 2
    assert complaint in adapruner.err
    assert adapruner.err.count("\n") == 1
    assert not adapruner.folder.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("method.optim.batch_size=2000", "method.optim.batch_size=2000 is larger than the pool of 1437 samples"),
        ("method.select_on=validation data.validation_fraction=0", "needs samples to select on"),
        ("pruning_ratio=0.99999", "would keep 0 of 1437 samples"),
    ],
)
def test_what_only_the_data_can_tell_leaves_no_record(adapruner, arguments, complaint):
    assert adapruner.run(*arguments.split()) == 2
    assert complaint in adapruner.err
    assert adapruner.err.count("\n") == 1
    assert not adapruner.records()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("method.exact_ratio=false", "keeps 1437 of 1437 samples, which misses pruning_ratio=0.3"),
        ("method.optim.lr=1e30 method.optim.schedule=constant method.optim.period_epochs=null", "nan in epoch 0, step"),
    ],
)
def test_what_fails_later_is_one_line_and_a_record(adapruner, arguments, complaint):
    assert adapruner.run(*arguments.split()) == 2
    assert complaint in adapruner.err
    assert adapruner.err.count("\n") == 1
    assert adapruner.record()["status"] == "failed"


def test_a_single_sample_cannot_be_pruned(adapruner, tmp_path):
    pixels = BytesIO()
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(pixels, "PNG")
    for split in ("train", "test"):
        row = {"image": [{"bytes": pixels.getvalue(), "path": None}], "label": [0]}
        pq.write_table(pa.table(row), tmp_path / f"{split}.parquet")
    assert adapruner.run("data=parquet", f"data.root={tmp_path}", "data.validation_fraction=0") == 2
    assert "AdaPruner needs at least 2 training samples, got 1" in adapruner.err
