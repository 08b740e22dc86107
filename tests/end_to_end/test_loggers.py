"""`logger=` end to end: what is written, read back by the loggers' own readers."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from secateur.cli.main import main
from secateur.core.files import read_json

pytestmark = pytest.mark.slow
RATES = (0.1, 1e30, 0.05)  # the second training becomes NaN
RANDOM = ("method=random", "trainer.max_epochs=1")  # as little as a run can be
QUICK = ("score=el2n", "trainer.max_epochs=2", "compare_with=[]")


def run(folder: Path, *arguments: str) -> int:
    GlobalHydra.instance().clear()
    return main(["run", *QUICK, *arguments, f"paths.output_dir={folder}"])


@cache
def inspect(*arguments: object) -> str:
    """Let wandb's own reader print what lies in a finished offline run's folder."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def summary_of(folder: Path) -> dict:
    return json.loads(inspect("--summary", folder))


def entries(folder: Path, kind: str) -> list[dict]:
    """Return the records of one kind of an offline run."""
    found = map(json.loads, inspect(folder).splitlines())
    return [entry[kind] for entry in found if entry["type"] == kind]


def history(folder: Path, training: str = "training") -> list[dict]:
    items = (entry["item"] for entry in entries(folder, "history"))
    named = [{key.partition("/")[2]: v for key, v in item.items() if key.startswith(f"{training}/")} for item in items]
    return list(filter(None, named))


def metrics(run_dir: Path) -> list[dict]:
    with (run_dir / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def run_dirs(folder: Path) -> list[Path]:
    """Return the run folders of the three jobs in the order they were begun."""
    found = [path.parent for path in folder.glob("runs/three/*/run.json")]
    return sorted(found, key=lambda path: RATES.index(read_json(path / "run.json")["config"]["optim"]["lr"]))


def offline(run_dir: Path) -> list[Path]:
    return sorted(run_dir.glob("wandb/offline-run-*"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Iterator[Path]:
    """Three jobs in this process, the second of which fails; nobody is logged in, and the home folder is empty."""
    base = tmp_path_factory.mktemp("sweep")
    (base / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        patch.setenv("HOME", str(base / "home"))
        patch.delenv("WANDB_API_KEY", raising=False)
        rates = ",".join(f"{rate:g}" for rate in RATES)
        code = run(base / "outputs", "-m", f"optim.lr={rates}", "logger=wandb", "logger.num_images=3", "name=three")
        assert code == 2  # the second
        yield base / "outputs"


def test_three_jobs_in_one_process_are_three_runs_also_when_the_second_fails(sweep):
    found = run_dirs(sweep)
    assert len(found) == 3
    runs = [summary_of(*offline(run_dir)) for run_dir in found]
    assert [run["run_id"] for run in runs] == [run_dir.name for run_dir in found]
    assert [run["config"]["optim"]["lr"] for run in runs] == list(RATES)
    assert [run["state"] for run in runs] == ["finished", "failed", "finished"]
    assert [run["exit_code"] for run in runs] == [0, 1, 0]
    assert "Lower optim.lr" in runs[1]["summary"]["error"]
    assert runs[1]["config"]["status"] == "failed"


def test_a_run_is_found_by_group_job_type_name_and_tags(sweep):
    for run_dir in run_dirs(sweep):
        (about,) = entries(*offline(run_dir), "run")
        assert (about["run_group"], about["job_type"], about["project"]) == ("three", "score", "secateur")
        assert about["display_name"] == "digits/el2n/r0.3/s0"
        assert about["tags"] == ["digits", "el2n"]


def test_config_and_summary_mirror_the_record(sweep):
    run_dir = run_dirs(sweep)[0]
    record, run = read_json(run_dir / "run.json"), summary_of(*offline(run_dir))
    config = {key: value for key, value in record["config"].items() if value is not None}
    assert {key: run["config"][key] for key in config} == config
    for key in ("keep_fraction", "realized_pruning_ratio", "num_kept", "num_total"):
        assert run["config"][key] == record["pruning"][key]
    assert run["config"]["cost_vs_full"] == record["ledger"]["cost_vs_full"]
    assert run["summary"]["test_accuracy"] == record["metrics"]["test_accuracy"]
    assert run["summary"]["ledger/total_seconds"] == record["ledger"]["total_seconds"]
    assert run["summary"]["mask/smallest_class"] == min(record["pruning"]["class_counts"])
    shown = {"worst_class_accuracy", "ledger/cost_vs_full", "ledger/cost_vs_full_amortized", "mask/keep_fraction"}
    assert shown | {"mask/num_empty_classes", "mask/observed_share"} <= set(run["summary"])


def test_every_epoch_of_the_final_training_is_there_once(sweep):
    run_dir = run_dirs(sweep)[2]
    assert history(*offline(run_dir)) == metrics(run_dir)
    assert len(metrics(run_dir)) == 2


def test_artifacts_are_the_run_s_own_files_and_nothing_lies_elsewhere(sweep):
    run_dir = run_dirs(sweep)[0]
    artifacts = {entry["type"]: entry for entry in entries(*offline(run_dir), "artifact")}
    assert set(artifacts) == {"scores", "mask", "run_table"}
    for kind in ("scores", "mask"):
        (content,) = artifacts[kind]["manifest"]["contents"]
        assert content["local_path"] == str(run_dir / f"{kind}.parquet")
        assert artifacts[kind]["name"] == f"{kind}-{run_dir.name}"
    for content in artifacts["run_table"]["manifest"]["contents"]:
        assert Path(content["local_path"]).is_relative_to(run_dir)
        assert Path(content["local_path"]).is_file()
    assert not list((sweep.parent / "home").rglob("*wandb*"))


def test_images_of_the_ends_of_the_scores(sweep):
    run_dir = run_dirs(sweep)[0]
    summary = summary_of(*offline(run_dir))["summary"]
    for name in ("kept", "pruned"):
        (table,) = run_dir.glob(f"wandb/offline-run-*/files/media/table/images/{name}_*.json")
        rows = [dict(zip(json.loads(table.read_text())["columns"], row, strict=True)) for row in _rows(table)]
        assert summary[f"images/{name}"]["nrows"] == len(rows) == 6
        assert [row["place"] for row in rows] == ["highest"] * 3 + ["lowest"] * 3
        scores = [row["score"] for row in rows]
        assert scores == sorted(scores, reverse=True)


def _rows(table: Path) -> list:
    return json.loads(table.read_text())["data"]


def test_a_reused_training_has_its_whole_history(sweep):
    assert run(sweep, "optim.lr=0.1", "logger=wandb", "name=reused") == 0
    (run_dir,) = (sweep / "runs" / "reused").iterdir()
    assert all(stage["reused"] for stage in read_json(run_dir / "run.json")["ledger"]["stages"])
    assert history(*offline(run_dir)) == metrics(run_dir)


def test_a_finished_run_is_logged_once_to_each_place(sweep):
    command = ("optim.lr=0.05", "name=three")
    run_dir = run_dirs(sweep)[2]
    before = (run_dir / "run.json").read_bytes()
    for arguments in (("logger=wandb",), ("logger=wandb", "logger.num_images=1"), ("logger=csv",)):
        assert run(sweep, *command, *arguments) == 0
        assert len(offline(run_dir)) == 1
    assert run(sweep, *command, "logger=wandb", "logger.project=other") == 0
    assert len(offline(run_dir)) == 2
    assert summary_of(offline(run_dir)[1])["project"] == "other"
    assert (run_dir / "run.json").read_bytes() == before


def test_what_a_run_is_compared_with_is_not_its_history(sweep):
    assert run(sweep, "logger=wandb", "name=compared", "optim.lr=0.1", "compare_with=[full]") == 0
    (run_dir,) = (sweep / "runs" / "compared").iterdir()
    (folder,) = offline(run_dir)
    assert len(entries(folder, "history")) == 2 + 1  # epochs, images
    assert "comparison/full/test_accuracy" in summary_of(folder)["summary"]


def test_a_run_that_was_interrupted_goes_on_under_the_same_id_with_its_whole_history(tmp_path, monkeypatch):
    from secateur.training.callbacks.metrics import EpochMetrics

    tell, interrupted = EpochMetrics._tell, []

    def interrupt(self, rows):
        if self.listener and rows and rows[-1]["epoch"] == 2 and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        tell(self, rows)

    monkeypatch.setattr(EpochMetrics, "_tell", interrupt)
    command = ("logger=wandb", "method=random", "trainer.max_epochs=4")
    assert run(tmp_path, *command) == 130
    assert run(tmp_path, *command) == 0
    (run_dir,) = tmp_path.glob("runs/*/*")
    first, second = offline(run_dir)
    assert summary_of(first)["run_id"] == summary_of(second)["run_id"] == run_dir.name
    assert (summary_of(first)["exit_code"], summary_of(second)["exit_code"]) == (130, 0)
    assert [row["epoch"] for row in history(first)] == [0, 1]
    assert history(second) == metrics(run_dir)
    assert len(metrics(run_dir)) == 4


def test_tensorboard_reads_the_event_file(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # the second replaces the first and does not stand beside it
        assert run(tmp_path, "method=random", "logger=tensorboard", "force=true") == 0
    (run_dir,) = tmp_path.glob("runs/*/*")
    (events,) = run_dir.glob("tensorboard/events*")
    found = EventAccumulator(str(events)).Reload()
    logged = [(event.step, event.value) for event in found.Scalars("training/train_loss")]
    assert logged == [(step, pytest.approx(row["train_loss"])) for step, row in enumerate(metrics(run_dir))]
    accuracy = read_json(run_dir / "run.json")["metrics"]["test_accuracy"]
    assert found.Scalars("test_accuracy")[0].value == pytest.approx(accuracy)


def test_mlflow_reads_its_store(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for _ in range(2):  # the second finds the first's run and adds nothing twice
        assert run(tmp_path, "logger=mlflow", "force=true", "name=one") == 0
    (run_dir,) = tmp_path.glob("runs/*/*")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    client = MlflowClient((run_dir / "mlflow").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("one").experiment_id])
    record = read_json(run_dir / "run.json")
    assert found.info.status == "FINISHED"
    assert found.data.tags["secateur.run_key"] == run_dir.name
    assert found.data.params["optim/lr"] == str(record["config"]["optim"]["lr"])
    assert found.data.metrics["test_accuracy"] == record["metrics"]["test_accuracy"]
    losses = client.get_metric_history(found.info.run_id, "training/train_loss")
    assert [(entry.step, entry.value) for entry in losses] == [
        (step, row["train_loss"]) for step, row in enumerate(metrics(run_dir))
    ]
    assert {entry.path for entry in client.list_artifacts(found.info.run_id)} >= {"mask.parquet", "scores.parquet"}


@pytest.mark.parametrize("option", ["tensorboard", "mlflow", "wandb"])
def test_an_extra_that_is_not_installed_is_one_line_before_anything_starts(tmp_path, monkeypatch, capsys, option):
    monkeypatch.setitem(sys.modules, option, None)
    assert run(tmp_path / "outputs", f"logger={option}") == 2
    err = capsys.readouterr().err
    assert f"logger={option} needs {option}: pip install" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_online_without_a_login_is_one_line_before_anything_starts(tmp_path, monkeypatch, capsys):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(tmp_path / "outputs", "logger=wandb", "logger.mode=online") == 2
    err = capsys.readouterr().err
    assert err.startswith("secateur: error: logger.mode=online needs a W&B login")
    assert err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_logger_that_breaks_does_not_end_the_run_and_the_same_command_logs_it_later(tmp_path, monkeypatch, capsys):
    from secateur.tracking.tensorboard import TensorBoardSession

    def full(self, *arguments):
        raise OSError("No space left")

    with monkeypatch.context() as patch:
        patch.setattr(TensorBoardSession, "log_epoch", full)
        assert run(tmp_path, *RANDOM, "logger=tensorboard") == 0
    (run_dir,) = tmp_path.glob("runs/*/*")
    assert read_json(run_dir / "run.json")["status"] == "finished"
    assert "the logger failed and is left out (No space left); the run goes on" in capsys.readouterr().out
    assert not (run_dir / "tracking.json").exists()
    assert run(tmp_path, *RANDOM, "logger=tensorboard") == 0
    assert (run_dir / "tracking.json").exists()


def test_only_the_first_process_logs(tmp_path, monkeypatch):
    monkeypatch.setattr("secateur.runs.history.is_rank_zero", lambda: False)
    assert run(tmp_path, *RANDOM, "logger=wandb") == 0
    (run_dir,) = tmp_path.glob("runs/*/*")
    assert not (run_dir / "wandb").exists()


def test_data_that_cannot_be_read_is_a_failed_run_too(tmp_path):
    import numpy as np

    path = tmp_path / "broken.npz"
    np.savez(
        path, x_train=np.zeros((4, 8, 8)), y_train=np.zeros(4, int), x_test=np.zeros((4, 8, 8)), y_test=np.zeros(4)
    )
    assert run(tmp_path / "outputs", "data=npz", f"data.root={path}", "logger=wandb") == 2
    (run_dir,) = tmp_path.glob("outputs/runs/*/*")
    run_found = summary_of(*offline(run_dir))
    assert run_found["state"] == "failed"
    assert run_found["summary"]["error"] == read_json(run_dir / "run.json")["error"]
