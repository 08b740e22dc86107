"""One scoring for all scorers: stopped early, extended or trained at once, it gives the same tables and costs."""

import hashlib
import json
import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console
from safetensors.torch import load_file

from secateur.core.record import read_record
from secateur.core.tables import ScoreTable
from secateur.data.order import Shuffled, positions
from secateur.runs.compose import resolve
from secateur.runs.paths import CONF
from secateur.runs.run import execute
from secateur.runs.stages import scoring
from secateur.scores.order import order_r2
from secateur.training import checkpoints
from secateur.training.callbacks import recorder as recorder_module

T, POOL = 20, 90
QUICK = ("data.first=90", f"trainer.max_epochs={T}", "compare_with=[]", "train_final=false", "optim.batch_size=16")
STOPS = {"el2n": 2, "tdds": 10, "dual": 10, "dynamic_uncertainty": 19, "entropy": 20, "aum": 20}


def run(folder, *overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        cfg = compose("config", [*QUICK, *overrides, f"paths.output_dir={folder}"])
    GlobalHydra.instance().clear()
    outcome = execute(resolve(cfg), Console(quiet=True))
    return read_record(outcome.run_dir), outcome.run_dir


def entry(folder):
    (path,) = folder.glob("store/scoring/*/stage.json")
    return path.parent, json.loads(path.read_text())["summary"]


def digests(folder):
    """Return the hashes of all files of the entry but those that hold times, and of a checkpoint."""
    root, _ = entry(folder)
    files = [path for path in root.rglob("*") if path.is_file() and path.name not in ("stage.json", "resume.ckpt")]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def what_counts(record):
    keys = ("stage", "samples_forward", "samples_backward", "flops")
    return [[stage[key] for key in keys] for stage in record["ledger"]["stages"]]


@pytest.fixture
def epochs(monkeypatch):
    """The epochs that scorings begin to train from here on, in their order."""
    begun = []
    original = recorder_module.ScoreRecorder.on_train_epoch_start

    def noting(self, trainer, pl_module):
        begun.append(trainer.current_epoch)
        original(self, trainer, pl_module)

    monkeypatch.setattr(recorder_module.ScoreRecorder, "on_train_epoch_start", noting)
    return begun


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """All scorers after the longest one, which needs the most passes: nothing is ever extended."""
    folder = tmp_path_factory.mktemp("at_once")
    run(folder, "score=dynamic_uncertainty")
    run(folder, "score=entropy")
    return folder, {name: run(folder, f"score={name}") for name in STOPS}


@pytest.mark.slow
@pytest.mark.parametrize(
    "scorers", [("el2n", "tdds", "entropy", "dynamic_uncertainty"), ("aum", "dynamic_uncertainty")]
)
def test_stopping_and_extending_change_no_byte_and_no_cost(tmp_path, at_once, scorers):
    reference, expected = at_once
    for name in scorers:
        record, run_dir = run(tmp_path, f"score={name}")
        true_record, true_dir = expected[name]
        assert what_counts(record) == what_counts(true_record)
        assert record["pruning"] == true_record["pruning"]
        for file in ("scores.parquet", "mask.parquet"):
            assert (run_dir / file).read_bytes() == (true_dir / file).read_bytes()
        found, everything = digests(tmp_path), digests(reference)
        assert found.items() - {("metrics.csv", found["metrics.csv"])} <= everything.items()
    assert digests(tmp_path) == digests(reference)


@pytest.mark.slow
def test_a_scoring_stops_after_the_last_epoch_that_is_read_and_is_extended(tmp_path):
    read = []
    for name in ("el2n", "tdds", "dual", "aum"):
        record, _ = run(tmp_path, f"score={name}")
        folder, summary = entry(tmp_path)
        read.append((summary["epochs"], record["ledger"]["stages"][0]["reused"], (folder / "resume.ckpt").exists()))
        assert record["ledger"]["stages"][0]["samples_backward"] == POOL * STOPS[name]
    assert read == [(2, False, True), (10, False, True), (10, True, True), (20, False, False)]
    assert sorted(path.stem for path in (folder / "weights").iterdir()) == ["10", "2", "20"]
    assert "dynamic_uncertainty" not in summary["scores"]  # a pass after each epoch, which nobody asked for


@pytest.mark.slow
def test_a_longer_training_goes_on_and_does_not_start_again(tmp_path, epochs):
    run(tmp_path, "score=tdds")
    epochs.clear()
    run(tmp_path, "score=forgetting")
    assert epochs == list(range(10, T))
    epochs.clear()
    run(tmp_path, "score=dynamic_uncertainty")  # needs passes after epochs that are over
    assert epochs == list(range(T))
    epochs.clear()
    for name in STOPS:
        run(tmp_path, f"score={name}")
    assert epochs == []


@pytest.mark.slow
def test_a_killed_scoring_is_finished_as_it_was_begun(tmp_path, at_once, monkeypatch):
    _, expected = at_once

    original = recorder_module.ScoreRecorder.on_train_epoch_start

    def dies(self, trainer, pl_module):
        original(self, trainer, pl_module)
        if trainer.current_epoch == 15:
            raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(recorder_module.ScoreRecorder, "on_train_epoch_start", dies)
        with pytest.raises(RuntimeError, match="killed"):
            run(tmp_path, "score=aum")
    record, run_dir = run(tmp_path, "score=tdds", "force=true")
    assert entry(tmp_path)[1]["epochs"] == T
    assert what_counts(record) == what_counts(expected["tdds"][0])
    assert (run_dir / "scores.parquet").read_bytes() == (expected["tdds"][1] / "scores.parquet").read_bytes()


@pytest.mark.slow
def test_a_killed_scoring_that_lacks_passes_starts_again(tmp_path, at_once, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(scoring, "keep_checkpoint", None)
        with pytest.raises(TypeError):
            run(tmp_path, "score=tdds")
    record, run_dir = run(tmp_path, "score=dynamic_uncertainty")
    true_record, true_dir = at_once[1]["dynamic_uncertainty"]
    assert what_counts(record) == what_counts(true_record)
    assert (run_dir / "scores.parquet").read_bytes() == (true_dir / "scores.parquet").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("fits", [True, False])
def test_a_longer_training_goes_on_from_a_checkpoint_of_other_code_where_it_fits(tmp_path, monkeypatch, epochs, fits):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "_code", lambda: "other")
        run(tmp_path, "score=tdds")
    before = digests(tmp_path)
    epochs.clear()

    def refusing(self, state_dict):
        raise KeyError("a name of today")

    if not fits:
        monkeypatch.setattr(recorder_module.ScoreRecorder, "load_state_dict", refusing)
    run(tmp_path, "score=forgetting")
    assert epochs == list(range(10 if fits else 0, T))
    after = digests(tmp_path)
    assert all(after[name] == before[name] for name in before if name != "metrics.csv")


@pytest.mark.slow
def test_the_seconds_of_a_scoring_are_those_that_its_scorer_reads(tmp_path):
    run(tmp_path, "score=aum")
    for name in ("tdds", "el2n"):
        record, _ = run(tmp_path, f"score={name}")
        stage, summary = record["ledger"]["stages"][0], entry(tmp_path)[1]
        training = sum(epoch["train_seconds"] for epoch in summary["epochs_trained"][: STOPS[name]])
        passes = summary["passes"]["eval_pass"][str(STOPS[name] - 1)]["seconds"] if name == "el2n" else 0.0
        assert stage["train_seconds"] == pytest.approx(training)
        assert stage["seconds"] == pytest.approx(training + passes)


@pytest.mark.slow
def test_a_scoring_that_is_made_again_is_not_shorter(tmp_path, epochs):
    run(tmp_path, "score=tdds")
    before = digests(tmp_path)
    epochs.clear()
    run(tmp_path, "score=el2n", "force=all")
    assert epochs == list(range(STOPS["tdds"]))
    assert digests(tmp_path) == before
    epochs.clear()
    run(tmp_path, "score=tdds")
    assert epochs == []


@pytest.mark.slow
def test_embeddings_are_of_the_network_where_the_scorer_stopped(tmp_path):
    predicted = ("score=tdds", "extrapolation=knn", "subset_fraction=0.5", "extrapolation.k=3")
    first, first_dir = run(tmp_path / "alone", *predicted)
    run(tmp_path / "extended", *(text.replace("tdds", "aum") for text in predicted))
    again, again_dir = run(tmp_path / "extended", *predicted)
    assert (first_dir / "scores.parquet").read_bytes() == (again_dir / "scores.parquet").read_bytes()
    assert what_counts(first) == what_counts(again)
    alone, extended = (entry(tmp_path / name)[0] for name in ("alone", "extended"))
    early, late = load_file(extended / "weights/10.safetensors"), load_file(extended / "weights/20.safetensors")
    assert all(torch.equal(early[name], value) for name, value in load_file(alone / "weights/10.safetensors").items())
    assert not torch.equal(early["head.weight"], late["head.weight"])


@pytest.mark.slow
def test_the_record_says_what_the_order_explains(at_once):
    _, expected = at_once
    for name, (record, run_dir) in expected.items():
        table = ScoreTable.load(run_dir / "scores.parquet")
        seed = scoring.stream_seed(0, "scoring-training", 0)
        places = positions(Shuffled(table.sample_id, seed), table.sample_id, STOPS[name])
        assert record["pruning"]["order_r2"] == order_r2(table.score, places)
        if name in ("dynamic_uncertainty", "el2n"):
            assert not any("order in which" in warning for warning in record["warnings"])


@pytest.mark.slow
def test_a_score_that_follows_the_order_is_warned_of(tmp_path):
    overrides = ("data.first=600", "trainer.max_epochs=11", "score=dynamic_uncertainty", "score.record=train_forward")
    record, _ = run(tmp_path, *overrides)
    assert record["pruning"]["order_r2"] > 0.1
    (warning,) = [text for text in record["warnings"] if "order in which" in text]
    assert "score.record=eval_pass" in warning
    assert f"{record['pruning']['order_r2']:.0%}" in warning


@pytest.mark.slow
def test_a_scorer_with_settings_of_its_own_is_recorded_alone_for_as_long_as_it_reads(tmp_path):
    record, _ = run(tmp_path, "score=tdds", "score.trajectory_epochs=12")
    folder, summary = entry(tmp_path)
    assert (summary["epochs"], summary["scores"]) == (12, ["score"])
    assert not (folder / "resume.ckpt").exists()
    assert record["ledger"]["stages"][0]["samples_backward"] == 12 * POOL
    shutil.rmtree(tmp_path)
