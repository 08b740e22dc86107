"""kill -9 in the middle, the same command again: the same files as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
EPOCHS = 12
COMPARED = ("mask.parquet", "scores.parquet", "metrics.csv", "checkpoints/last.safetensors")


def command(outputs: Path) -> list[str]:
    overrides = ["score=tdds", "pruning_ratio=0.4", f"trainer.max_epochs={EPOCHS}", "compare_with=[]"]
    return [sys.executable, "-m", "secateur", "run", *overrides, f"paths.output_dir={outputs}"]


def run_until_checkpoint_then_kill(outputs: Path, stage: str) -> None:
    """Start the command and SIGKILL it while the stage has a checkpoint but is not finished."""
    process = subprocess.Popen(command(outputs), stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not list(outputs.glob(f"store/{stage}/*.partial/checkpoints/last.ckpt")):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert list(outputs.glob(f"store/{stage}/*.partial")), "killed too late to test anything"


def finish(outputs: Path) -> tuple[str, dict]:
    done = subprocess.run(command(outputs), capture_output=True, text=True, check=True)
    (path,) = outputs.glob("runs/*/*/run.json")
    return done.stdout, json.loads(path.read_text())


def test_killed_while_scoring_and_again_while_training(tmp_path):
    _, reference = finish(tmp_path / "undisturbed")
    outputs = tmp_path / "killed"
    run_until_checkpoint_then_kill(outputs, "scoring")
    (path,) = outputs.glob("runs/*/*/run.json")
    assert json.loads(path.read_text())["status"] == "running"  # nobody could say more
    run_until_checkpoint_then_kill(outputs, "training")
    printed, record = finish(outputs)
    assert "going on from epoch" in printed
    assert record["status"] == "finished"
    assert record["metrics"] == reference["metrics"]
    assert {name: record["artifacts"][name] for name in COMPARED} == {
        name: reference["artifacts"][name] for name in COMPARED
    }
    counted = ("samples_forward", "samples_backward", "flops")
    for stage, undisturbed in zip(record["ledger"]["stages"], reference["ledger"]["stages"], strict=True):
        assert [stage[key] for key in counted] == [undisturbed[key] for key in counted]
    assert not list(outputs.glob("store/*/*.partial"))


def test_ctrl_c_ends_with_130_and_an_interrupted_record(tmp_path):
    process = subprocess.Popen(
        command(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background shell ignores it
    )
    while not list(tmp_path.glob("store/scoring/*.partial/checkpoints/last.ckpt")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("secateur: interrupted")
    (path,) = tmp_path.glob("runs/*/*/run.json")
    assert json.loads(path.read_text())["status"] == "interrupted"
