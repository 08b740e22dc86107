"""Sweeps on a real Slurm: killed, preempted, edited under, and finished all the same."""

import json
import os
import signal
import subprocess
import threading

import pytest

from secateur.cli.main import main
from secateur.launch import watch as sweep_watch

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(900)]

GRID = ("score=el2n", "pruning_ratio=0.2,0.4,0.6,0.8", "seed=0,1", "score_seed=0", "name=array")
LENGTH = ("trainer.max_epochs=16", "scoring.max_epochs=2", "trainer.evaluate_every=16", "compare_with=[]")
LAUNCHER = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1")


def midway(outputs, but=()):
    """Return the final trainings that have a checkpoint and are not over: ``{Slurm job: (process, folder)}``."""
    found = {}
    for path in outputs.glob("store/training/*.holder"):
        try:
            holder = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        partial = path.with_suffix(".partial")
        if (partial / "checkpoints" / "last.ckpt").is_file() and holder["job"] not in but:
            found[holder["job"]] = (holder["pid"], partial)
    return found


def start_now(slurm, job):
    """Let a requeued job start at once; Slurm makes it wait for two minutes."""
    slurm.wait_for(lambda: dict(slurm.jobs().values()).get(job) == "PENDING", 60, "the requeued job in the queue")
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)


def results(lab):
    return {
        record["run_key"]: (record["metrics"]["test_accuracy"], record["artifacts"]["checkpoints/last.safetensors"])
        for record in lab.records()
    }


def test_a_killed_and_a_preempted_job_end_in_the_same_results(slurm, lab, tmp_path):
    undisturbed = type(lab)(tmp_path / "undisturbed")
    (undisturbed.folder / "repository").parent.mkdir()
    os.symlink(lab.repository, undisturbed.repository)
    assert undisturbed.secateur("run", "-m", *GRID, *LENGTH) == 0, undisturbed.err

    assert lab.secateur("sweep", "submit", *GRID, *LENGTH, *LAUNCHER) == 0, lab.err
    recipe = lab.repository / "conf" / "optim" / "digits.yaml"
    recipe.write_text(recipe.read_text() + "\nnot: [yaml\n")  # nothing that starts later may read it
    (lab.repository / "conf" / "score" / "el2n.yaml").unlink()
    checkpoint = slurm.wait_for(lambda: midway(lab.outputs), 120, "a first checkpoint")
    preempted, (_, partial) = next(iter(checkpoint.items()))
    subprocess.run(["scontrol", "requeue", preempted], check=True)
    killed, (process, _) = next(
        iter(slurm.wait_for(lambda: midway(lab.outputs, but=(preempted,)), 120, "another checkpoint").items())
    )
    os.kill(process, signal.SIGKILL)
    start_now(slurm, preempted)
    assert partial.is_dir()  # it was stopped midway, and has not begun again

    cells = lab.settled(400)
    states = [cell["status"] for cell in cells]
    assert lab.secateur("sweep", "status", str(lab.sweep_dir())) == 0
    assert f"again: secateur sweep resume {lab.sweep_dir()}" in lab.out
    assert sorted(states) == ["finished"] * 7 + ["interrupted"], lab.out
    assert killed not in (preempted, None)
    assert sum(cell["attempts"] for cell in cells) == 9  # the preempted one was started twice

    assert lab.secateur("sweep", "resume", str(lab.sweep_dir()), "--wait") == 0, lab.err
    assert "again: 1 of 8 jobs" in lab.out
    assert [cell["status"] for cell in lab.cells()] == ["finished"] * 8
    assert results(lab) == results(undisturbed)
    assert len(results(lab)) == 8
    scorings = [stage for r in lab.records() for stage in r["ledger"]["stages"] if stage["stage"] == "scoring"]
    assert len(scorings) == 8
    assert len(list(lab.outputs.glob("store/scoring/*/stage.json"))) == 1
    assert sum(not stage["reused"] for stage in scorings) <= 1  # none, if the one that made it had to start again


def test_other_code_is_refused_until_it_is_accepted(slurm, lab):
    quick = ("trainer.max_epochs=2", "compare_with=[]", "method=random", "name=code")
    hold = "+hydra.launcher.additional_parameters.hold=true"
    assert lab.secateur("sweep", "submit", *quick, "seed=0", *LAUNCHER, hold) == 0, lab.err
    seeds = lab.repository / "src" / "secateur" / "core" / "seeds.py"
    seeds.write_text(seeds.read_text() + "\n# edited after the launch\n")
    for cell in lab.cells():
        subprocess.run(["scontrol", "release", cell["job"]], check=True)
    cells = lab.settled(200)
    assert [cell["status"] for cell in cells] == ["failed"]
    assert "secateur's code is not what this sweep was launched with" in cells[0]["error"]
    assert not lab.records()
    resume = ("sweep", "resume", str(lab.sweep_dir()), "hydra/launcher=basic")
    assert lab.secateur(*resume) == 2
    assert "--accept-code" in lab.err
    assert lab.err.count("\n") == 1
    assert lab.secateur(*resume, "--accept-code") == 0, lab.err
    assert [record["status"] for record in lab.records()] == ["finished"]


def test_nobody_waits_for_a_job_that_is_gone(slurm, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep_watch, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(sweep_watch, "POLL_SECONDS", 0.5)
    outputs = tmp_path / "outputs"

    def kill():
        ((process, _),) = slurm.wait_for(lambda: midway(outputs), 90, "a checkpoint").values()
        os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    code = main(["run", "-m", "method=random", "seed=0", "name=gone", "trainer.max_epochs=160", *LAUNCHER])
    killer.join()
    out = capsys.readouterr().out
    assert code == 1
    assert "interrupted: it was started, has no result" in out
    assert "_log.err" in out
