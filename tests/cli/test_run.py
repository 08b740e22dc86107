"""`secateur run`, end to end on the digits, with what a user would look at afterwards."""

import hashlib
import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable

pytestmark = pytest.mark.slow
EPOCHS = 3
POOL = 1437  # the training digits


def test_one_run_leaves_a_complete_record(program):
    assert program.run("score=el2n", "pruning_ratio=0.3") == 0
    record = program.record()
    run_dir = program.run_dir(record)
    assert record["status"] == "finished"
    assert record["label"] == "el2n"
    assert record["pruning"]["num_kept"] == round(POOL * 0.7)
    assert record["pruning"]["num_total"] == record["data"]["num_train"] == POOL
    assert sum(record["pruning"]["class_counts"]) == record["pruning"]["num_kept"]
    assert record["metrics"]["test_accuracy"] > 0.5
    for name, digest in record["artifacts"].items():
        assert hashlib.sha256((run_dir / name).read_bytes()).hexdigest() == digest
    assert {"mask.parquet", "scores.parquet", "metrics.csv"} <= set(record["artifacts"])
    assert (run_dir / "config.yaml").is_file()
    assert {"scoring", "training"} <= set(record["provenance"]["stage_versions"])


def test_the_files_load_and_agree_with_the_record(program):
    program.run("score=aum", "pruning_ratio=0.4")
    record = program.record()
    fingerprint = record["data"]["fingerprint"]
    mask = Mask.load(program.run_dir(record) / "mask.parquet", fingerprint)
    table = ScoreTable.load(program.run_dir(record) / "scores.parquet", fingerprint)
    assert mask.sha256 == record["pruning"]["mask_sha256"]
    assert table.score[mask.keep].min() >= table.score[~mask.keep].max()
    assert set(table.columns) >= {"mean_probability", "std_probability", "aum"}


def test_the_same_run_twice_does_nothing(program):
    program.run("method=random")
    path = program.run_dir(program.record()) / "run.json"
    before = path.read_bytes()
    assert program.run("method=random") == 0
    assert path.read_bytes() == before
    assert "already finished" in program.out


def test_a_sweep_trains_the_scorer_once_per_score_seed(program):
    assert program.run("-m", "score=el2n", "pruning_ratio=0.2,0.4,0.6", "seed=0,1", "score_seed=0") == 0
    assert len(program.records()) == 6
    assert len(program.stages("scoring")) == 1
    reused = [
        stage["reused"] for r in program.records() for stage in r["ledger"]["stages"] if stage["stage"] == "scoring"
    ]
    assert sorted(reused) == [False, True, True, True, True, True]


def test_seed_does_not_change_scores_and_score_seed_does(program):
    program.run("-m", "score=el2n", "seed=0,1", "score_seed=0,1")
    scores = {
        (record["seed"], record["score_seed"]): record["artifacts"]["scores.parquet"] for record in program.records()
    }
    assert scores[0, 0] == scores[1, 0]
    assert scores[0, 1] == scores[1, 1]
    assert scores[0, 0] != scores[0, 1]


def test_all_standard_scorers_share_one_training(program):
    program.run("-m", "score=el2n,aum,grand,entropy,moderate,forgetting")
    assert len(program.stages("scoring")) == 1
    assert {record["label"] for record in program.records()} == {
        *("el2n", "aum", "grand", "entropy", "moderate", "forgetting")
    }


def test_full_data_is_trained_once_for_all_ratios_and_recorded_once(program):
    program.run("-m", "method=full", "pruning_ratio=0.2,0.5", "score_seed=0,1")
    assert len(program.stages("training")) == 1
    record = program.record()
    assert record["pruning"]["pruning_ratio"] == 0
    assert record["ledger"]["cost_vs_full"] == 1


def test_two_runs_in_two_places_give_the_same_bytes(program, tmp_path):
    digests = []
    for place in ("a", "b"):
        program.folder = tmp_path / place
        program.run("score=tdds", "score.window=3", "optim.batch_size=100")
        record = program.record()
        digests.append((record["artifacts"], record["metrics"], record["run_key"]))
    assert digests[0] == digests[1]


def test_cost_is_what_the_samples_say(program):
    program.run("score=el2n", "pruning_ratio=0.5")
    record = program.record()
    kept, ledger = record["pruning"]["num_kept"], record["ledger"]
    scoring, training = ledger["stages"]
    assert scoring["samples_backward"] == POOL  # el2n reads the network after a tenth of the epochs, at least one
    assert scoring["samples_forward"] == POOL + POOL  # and passes the pool once more for that
    assert training["samples_forward"] == training["samples_backward"] == kept * EPOCHS
    expected = (3 * POOL + POOL + 3 * kept * EPOCHS) / (3 * POOL * EPOCHS)
    assert ledger["cost_vs_full"] == pytest.approx(expected)
    assert ledger["cost_vs_full_amortized"] == pytest.approx(kept / POOL)


def test_the_pass_after_training_is_paid_for_by_who_reads_it(program):
    program.run("score=entropy", "pruning_ratio=0.5")
    stages = {stage["stage"]: stage for stage in program.record()["ledger"]["stages"]}
    assert (stages["scoring_final_pass"]["samples_forward"], stages["scoring_final_pass"]["samples_backward"]) == (
        POOL,
        0,
    )


def test_a_comparison_can_be_added_to_a_finished_run(program):
    program.run("score=el2n", "pruning_ratio=0.5")
    assert program.record()["comparison"] == {}
    program.quick = tuple(text for text in program.quick if not text.startswith("compare_with"))
    assert program.run("score=el2n", "pruning_ratio=0.5") == 0
    record = program.record()
    assert set(record["comparison"]) == {"full", "random"}
    assert "vs full" in program.out


def test_a_variant_that_changes_nothing_is_the_reference_s_own_run(program):
    program.run("-m", "score=aum", "variant=reference,released")
    assert program.record()["label"] == "aum"


def test_a_checkpoint_interval_longer_than_the_run(program):
    assert program.run("score=el2n", "trainer.checkpoint_every=10") == 0


def test_one_sample_left_over_joins_the_batch_before(program):
    # 517 kept in batches of 43: a last batch of one would stop batch normalization at 1x1 pixels
    program.quick = ("trainer.max_epochs=1", "compare_with=[]")
    assert program.run("method=random", "model=resnet18", "pruning_ratio=0.6", "optim.batch_size=43") == 0


def test_the_comparison_is_the_run_s_yardstick_and_not_its_cost(program):
    program.run("score=el2n", "pruning_ratio=0.5", "compare_with=[full,random]")
    program.quick = program.quick[:1]
    program.run("score=el2n", "pruning_ratio=0.5")
    record = max(program.records(), key=lambda record: len(record["comparison"]))
    assert set(record["comparison"]) == {"full", "random"}
    assert len(record["ledger"]["stages"]) == 2
    assert "vs full" in program.out


def test_several_networks_are_averaged_and_paid_for(program):
    program.run("score=el2n", "score.num_networks=2", "score.epoch=1")
    record = program.record()
    first, second, _ = record["ledger"]["stages"]
    assert (first["stage"], second["stage"]) == ("scoring", "scoring")
    assert first["samples_backward"] == second["samples_backward"] == POOL  # each stops after the epoch that is read
    tables = [ScoreTable.load(stage / "scores" / "score.parquet") for stage in program.stages("scoring")]
    mean = ScoreTable.load(program.run_dir(record) / "scores.parquet")
    assert mean.score.numpy() == pytest.approx((tables[0].score + tables[1].score).numpy() / 2, abs=1e-6)


def test_an_evaluation_pass_per_epoch_is_recorded_and_paid_for(program):
    program.run("score=aum", "score.record=eval_pass")
    scoring = program.record()["ledger"]["stages"][0]
    assert scoring["samples_forward"] == POOL * EPOCHS * 2


@pytest.mark.parametrize("record", ["eval_pass", "before_step"])
def test_clean_views_are_paid_for_in_the_epochs_that_are_read(program, record):
    program.run("score=dynamic_uncertainty", "score.window=2", f"score.record={record}", "train_final=false")
    (scoring,) = program.record()["ledger"]["stages"]
    assert scoring["samples_backward"] == POOL * (EPOCHS - 1)  # the last epoch is not read, nor trained
    assert scoring["samples_forward"] == 2 * POOL * (EPOCHS - 1)


@pytest.mark.parametrize("method", ["rs2", "infobatch"])
def test_dynamic_methods_train_while_pruning(program, method):
    program.run(f"method={method}", "pruning_ratio=0.5")
    record = program.record()
    (stage,) = record["ledger"]["stages"]
    assert (record["pruning"]["num_kept"], record["pruning"]["per_epoch"]) == (None, True)
    seen = stage["samples_backward"] / (POOL * EPOCHS)
    assert record["pruning"]["realized_pruning_ratio"] == pytest.approx(1 - seen)
    assert record["ledger"]["cost_vs_full"] == pytest.approx(seen)
    assert seen == pytest.approx(0.5, abs=1e-3) if method == "rs2" else 0.5 < seen < 1


def test_another_model_can_be_trained_on_the_mask(program):
    program.run("score=el2n", "model.width=4", "model@retrain_model=resnet8")
    record = program.record()
    assert record["models"] == {"scoring": "small_cnn", "final": "resnet8"}


def test_label_noise_is_recorded_and_where_it_went(program):
    program.run("score=aum", "data.label_noise=0.2", "pruning_ratio=0.2")
    record = program.record()
    assert record["data"]["num_flipped"] == round(POOL * 0.2)
    shares = record["pruning"]["flipped_share_kept"], record["pruning"]["flipped_share_pruned"]
    assert 0.8 * shares[0] + 0.2 * shares[1] == pytest.approx(0.2, abs=0.01)


def test_a_class_that_the_mask_empties_is_named(program):
    program.run("method=random", "pruning_ratio=0.998")
    (warning, *_) = program.record()["warnings"]
    assert "keeps no sample of" in warning
    assert "keeps no sample of" in program.out


def test_force_trains_again_and_gives_the_same(program):
    program.run("method=random")
    before = program.record()
    program.run("method=random", "force=true")
    after = program.record()
    assert after["ledger"]["stages"][0]["reused"] is False
    assert after["finished"] >= before["finished"]
    assert after["metrics"] == before["metrics"]


def test_a_variant_changes_the_score_and_its_name(program):
    program.quick = ("trainer.max_epochs=13", "compare_with=[]", "trainer.evaluate_every=13")
    program.run("-m", "variant=reference,released_extrapolation", "score.window=8", "retrain_model=null")
    labels = {record["label"]: record for record in program.records()}
    assert set(labels) == {"dynamic_uncertainty", "dynamic_uncertainty + released_extrapolation"}
    released = labels["dynamic_uncertainty + released_extrapolation"]["config"]["score"]
    assert (released["skip_first"], released["skip_last"], released["ddof"]) == (2, 0, 0)


def test_results_do_not_depend_on_what_else_is_in_the_store(program, tmp_path):
    program.run("-m", "score=aum,el2n")
    shared = {record["label"]: record["artifacts"] for record in program.records()}
    program.folder = tmp_path / "alone"
    program.run("score=el2n")
    assert program.record()["artifacts"] == shared["el2n"]


def test_the_record_is_valid_json_with_a_resolved_config(program):
    program.run("score=el2n")
    text = (program.run_dir(program.record()) / "run.json").read_text()
    assert "${" not in text
    assert json.loads(text)["config"]["scoring"]["max_epochs"] == EPOCHS


def test_the_command_line_replaces_the_values_of_a_sweep_file(program):
    arms = "experiment=demo/full,demo/random"
    assert program.run("sweeps=demo/digits", arms, "seed=3,4", "pruning_ratio=0.5", "name=mine") == 0
    found = {(record["label"], record["seed"], record["pruning"]["pruning_ratio"]) for record in program.records()}
    assert found == {("full", 3, 0.0), ("full", 4, 0.0), ("random", 3, 0.5), ("random", 4, 0.5)}
    assert (program.folder / "reports/mine/results.csv").is_file()
    assert list((program.folder / "reports/mine/figures").glob("*.svg"))


def test_another_test_split_is_another_run(program, tmp_path):
    """The same training images, and test labels that are all wrong: the accuracy of the first must not come back."""
    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)
    for name, shift in (("right", 0), ("wrong", 1)):
        labels = (digits.target[1500:] + shift) % 10
        np.savez(
            tmp_path / name, x_train=images[:1500], y_train=digits.target[:1500], x_test=images[1500:], y_test=labels
        )
    program.quick = ("data=npz", "data.name=digits", "method=random", "trainer.max_epochs=3", "compare_with=[]")
    accuracy = {}
    for name in ("right", "wrong"):
        assert program.run(f"data.root={tmp_path / name}.npz", f"name={name}") == 0
        (record,) = [json.loads(path.read_text()) for path in program.folder.glob(f"runs/{name}/*/run.json")]
        accuracy[name] = record["metrics"]["test_accuracy"]
        assert len(record["data"]["evaluation_fingerprint"]) == 64
    assert accuracy["right"] > 0.8 > 0.2 > accuracy["wrong"]
    assert program.run(f"data.root={tmp_path / 'wrong'}.npz", "name=wrong") == 0
    assert "already finished" in program.out
