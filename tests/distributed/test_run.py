"""``secateur run`` with two processes: killed and resumed, repeated, failing, and beside one with one process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from secateur.cli.main import main
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable

pytestmark = pytest.mark.slow
EPOCHS = 4
DIGITS = ("data.first=400", f"trainer.max_epochs={EPOCHS}", "compare_with=[]")
METHOD = ("score=aum", "extrapolation=knn", "subset_fraction=0.5")


def command(outputs, *overrides, strategy="ddp_cpu"):
    return [*DIGITS, *METHOD, f"strategy={strategy}", f"paths.output_dir={outputs}", *overrides]


def start(outputs, *overrides, **options):
    words = [sys.executable, "-m", "secateur", "run", *command(outputs, *overrides)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def run(outputs, *overrides, **options):
    """Run to the end; return exit code, output and errors, of which warnings about the machine are left out."""
    process = start(outputs, *overrides, **options)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def run_as_torchrun_would(outputs, *overrides):
    """Start the processes from outside, by the environment alone; return their exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    processes = [start(outputs, *overrides, env={**os.environ, **place, **rank}) for rank in ranks]
    for process in processes:
        process.communicate(timeout=240)
    return [process.returncode for process in processes]


def run_here(outputs, *overrides):
    GlobalHydra.instance().clear()
    return main(["run", *command(outputs, *overrides, strategy="single")])


def records(outputs):
    return [json.loads(path.read_text()) for path in sorted(Path(outputs).glob("runs/*/*/run.json"))]


def rank_of_child(launcher, rank):
    """Return the pid of one of a launcher's processes."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
            return int(child)
    raise AssertionError("no such process")


def kill_one_after_the_first_checkpoint(outputs):
    """SIGKILL rank 1 while the scoring network has a checkpoint and is not finished; return code and errors."""
    process = start(outputs)
    deadline = time.monotonic() + 200
    while not list(Path(outputs).glob("store/scoring/*.partial/checkpoints/last.ckpt")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(rank_of_child(process.pid, 1), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """One folder in which two processes compute: killed, run again, then found finished."""
    folder = tmp_path_factory.mktemp("two")
    killed = kill_one_after_the_first_checkpoint(folder)
    (after_kill,) = records(folder)
    resumed = run(folder)
    (record,) = records(folder)
    files = {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and "hydra" not in path.parts
    }
    again = run(folder)
    return {
        **{"folder": folder, "killed": killed, "after_kill": after_kill, "resumed": resumed, "record": record},
        **{"files": files, "again": again},
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same with one process."""
    folder = tmp_path_factory.mktemp("one")
    assert run_here(folder) == 0
    return folder


def run_dir(folder):
    (path,) = Path(folder).glob("runs/*/*/run.json")
    return path.parent


def test_a_killed_process_ends_all_and_the_record_says_so(story):
    code, err = story["killed"]
    assert code == 1
    assert "ended without saying why" in err
    assert story["after_kill"]["status"] == "failed"
    assert "ended without saying why" in story["after_kill"]["error"]


def test_it_goes_on_from_the_last_epoch(story):
    code, out, _ = story["resumed"]
    assert code == 0
    assert out.count(": going on from epoch") == 1
    assert out.count("finished: ") == 1  # one process speaks
    assert not list(story["folder"].glob("store/*/*.partial"))


def test_the_record_is_that_of_one_process(story, alone):
    two, one = story["record"], json.loads((run_dir(alone) / "run.json").read_text())
    assert two["status"] == "finished"
    assert two["provenance"]["num_processes"] == 2
    assert one["provenance"]["num_processes"] == 1
    assert two["run_key"] == one["run_key"]
    assert two["artifacts"].keys() == one["artifacts"].keys()
    assert two["data"] == one["data"]
    for key in ("num_total", "num_kept", "method", "observed_share"):
        assert two["pruning"][key] == one["pruning"][key]
    counted = ("stage", "samples_forward", "samples_backward", "flops")
    stages = [[[stage[key] for key in counted] for stage in record["ledger"]["stages"]] for record in (two, one)]
    assert stages[0] == stages[1]
    assert two["ledger"]["cost_vs_full"] == one["ledger"]["cost_vs_full"]


def test_scores_mask_and_accuracy_are_those_of_one_process(story, alone):
    """Weights are the same up to rounding, so scores are, and no accuracy moves by more than a few samples."""
    two, one = run_dir(story["folder"]), run_dir(alone)
    tables = [ScoreTable.load(path / "scores.parquet") for path in (two, one)]
    assert tables[0].sample_id.equal(tables[1].sample_id)
    assert tables[0].observed.equal(tables[1].observed)
    seen = tables[0].observed
    assert float((tables[0].score - tables[1].score)[seen].abs().max()) < 0.02
    masks = [Mask.load(path / "mask.parquet") for path in (two, one)]
    assert float((masks[0].keep == masks[1].keep).float().mean()) > 0.95
    metrics = [json.loads((path / "run.json").read_text())["metrics"] for path in (two, one)]
    assert metrics[0]["test_accuracy"] == pytest.approx(metrics[1]["test_accuracy"], abs=0.03)


def test_the_second_call_does_nothing(story):
    code, out, err = story["again"]
    assert code == 0, err
    assert "already finished" in out
    for path, changed in story["files"].items():
        assert path.stat().st_mtime_ns == changed, path


def test_one_process_finds_what_two_have_finished(story, capsys):
    assert run_here(story["folder"]) == 0
    assert "already finished" in capsys.readouterr().out
    assert len(records(story["folder"])) == 1


def test_a_stage_that_is_there_is_there_for_all(alone):
    """What one process has stored, two find; what is missing they compute together."""
    assert run_as_torchrun_would(alone, "pruning_ratio=0.5") == [0, 0]
    (record,) = [record for record in records(alone) if record["pruning"]["pruning_ratio"] == 0.5]
    reused = {stage["stage"]: stage["reused"] for stage in record["ledger"]["stages"]}
    assert reused == {"scoring": True, "embeddings": True, "extrapolation": True, "training": False}
    assert record["provenance"]["num_processes"] == 2


BREAKING = '''
import os
from secateur.core.errors import DataError
from secateur.scores.aum import AUM


class Breaking(AUM):
    """Breaks in one process only, in the middle of the training."""

    def end_epoch(self, epoch):
        super().end_epoch(epoch)
        if os.environ.get("RANK") == "1" and epoch == 1:
            raise DataError("row 7 of this process cannot be read.")
'''


def test_an_error_of_one_process_is_the_error_of_all(tmp_path):
    (tmp_path / "breaking.py").write_text(BREAKING)
    overrides = ("extrapolation=none", "score._target_=breaking.Breaking")
    code, _, err = run(tmp_path / "outputs", *overrides, cwd=tmp_path)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("secateur:")]
    assert lines == ["secateur: error: row 7 of this process cannot be read."]
    assert "Traceback" not in err
    (record,) = records(tmp_path / "outputs")
    assert record["status"] == "failed"
    assert record["error"] == "row 7 of this process cannot be read."
