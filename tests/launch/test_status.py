"""What became of a job, from run.json, the locks and the queue: one table of all that can be."""

import json
import os
import shutil

import pytest
from filelock import FileLock

from secateur.cli.main import main
from secateur.core.errors import ConfigError
from secateur.core.manifest import Cell, Manifest, load_manifest, save_manifest
from secateur.core.record import new_record, save_record
from secateur.launch.status import INTERRUPTED, LAUNCH_LOCK, NOT_STARTED, find_sweep, refresh, status_of

BEFORE, START, AFTER = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"


def cell(status="running", **values):
    return Cell(0, ["seed=0"], status, **{"run": "run", "started": START, **values})


def record(folder, status, finished=None, error=None):
    save_record(folder / "run", new_record(error=error, status=status, finished=finished))


def look(folder, cell, queue=None, *, launching=False):
    return status_of(cell, folder, queue, launching=launching)


def test_a_finished_record_is_a_finished_job_whoever_died_since(tmp_path):
    record(tmp_path, "finished", AFTER)
    assert look(tmp_path, cell(), {}) == ("finished", None)
    assert look(tmp_path, cell(job="7_0"), {"7_0": "running"}) == ("finished", None)


def test_a_record_of_before_counts_only_when_the_job_said_so(tmp_path):
    record(tmp_path, "finished", BEFORE)  # the job may be doing it again (force=true)
    assert look(tmp_path, cell(), {})[0] == "interrupted"
    assert look(tmp_path, cell("finished"), {}) == ("finished", None)


def test_a_finished_job_whose_record_is_gone_is_interrupted(tmp_path):
    assert look(tmp_path, cell("finished"), {}) == ("interrupted", INTERRUPTED)


def test_a_failure_has_its_reason_from_the_job_or_from_the_record(tmp_path):
    assert look(tmp_path, cell("failed", error="no data", run=None), {}) == ("failed", "no data")
    record(tmp_path, "failed", AFTER, "NaN")
    assert look(tmp_path, cell(), {}) == ("failed", "NaN")
    record(tmp_path, "failed", BEFORE, "NaN")
    assert look(tmp_path, cell(job="7"), {"7": "running"}) == ("running", None)


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_job_in_the_queue_is_what_the_queue_says(tmp_path, state):
    record(tmp_path, "running")  # of its first start; it may be waiting for the second one
    assert look(tmp_path, cell(job="7_0"), {"7_0": state}) == (state, None)


def test_a_job_that_left_the_queue_without_a_result_was_interrupted_or_not_started(tmp_path):
    record(tmp_path, "running")
    assert look(tmp_path, cell(job="7_0"), {"7_1": "running"}) == ("interrupted", INTERRUPTED)
    assert look(tmp_path, cell("pending", job="7_0", run=None, started=None), {}) == ("not started", NOT_STARTED)
    assert look(tmp_path, cell("pending", job="7_0", run=None, started=None, attempts=1), {})[0] == "interrupted"


@pytest.mark.parametrize("status", ["pending", "running"])
def test_nothing_is_concluded_while_squeue_does_not_answer(tmp_path, status):
    assert look(tmp_path, cell(status, job="7_0"), None) == (status, None)


def test_without_slurm_the_run_s_lock_decides(tmp_path):
    record(tmp_path, "running")
    lock = tmp_path / "run" / "run.lock"
    with FileLock(lock):
        assert look(tmp_path, cell()) == ("running", None)
    assert look(tmp_path, cell()) == ("interrupted", INTERRUPTED)


def test_what_waits_its_turn_is_pending_while_its_launcher_lives(tmp_path):
    waiting = cell("pending", run=None, started=None)
    assert look(tmp_path, waiting, launching=True) == ("pending", None)
    assert look(tmp_path, waiting) == ("not started", NOT_STARTED)
    assert look(tmp_path, cell(run=None), launching=True) == ("running", None)


def test_an_interrupted_run_says_so(tmp_path):
    record(tmp_path, "interrupted", AFTER)
    assert look(tmp_path, cell()) == ("interrupted", "stopped by hand or by its scheduler")


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "sweeps" / "name" / "2026"
    folder.mkdir(parents=True)
    cells = [Cell(num, [f"seed={num}"]) for num in range(3)]
    save_manifest(folder, Manifest("name", "c", BEFORE, str(tmp_path), "config", None, [], "basic", "x", {}, cells))
    return folder


def test_the_manifest_is_brought_up_to_date(sweep):
    assert [cell.status for cell in refresh(sweep, {}).cells] == ["not started"] * 3
    assert [cell.status for cell in load_manifest(sweep).cells] == ["not started"] * 3
    with FileLock(sweep / LAUNCH_LOCK):
        assert [cell.status for cell in refresh(sweep, {}).cells] == ["not started"] * 3  # it says nothing of these


def test_who_may_not_write_can_look(sweep, monkeypatch):
    before = (sweep / "sweep.json").read_bytes()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert refresh(sweep, {}).counts()["not started"] == 3
    assert (sweep / "sweep.json").read_bytes() == before


def test_a_sweep_is_found_by_its_own_folder_or_as_the_only_one_below(sweep):
    assert find_sweep(sweep) == sweep
    assert find_sweep(sweep.parent) == sweep
    with pytest.raises(ConfigError, match=r"is not the folder of a sweep"):
        find_sweep(sweep.parents[2])
    (sweep.parent / "2027").mkdir()
    (sweep.parent / "2027" / "sweep.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match=r"holds 2 sweeps; name one, the latest is .*2027"):
        find_sweep(sweep.parent)


def test_status_takes_the_latest_of_several_and_says_so(sweep, capsys):
    later = sweep.parent / "2027"
    shutil.copytree(sweep, later)
    assert main(["sweep", "status", str(sweep.parent), "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["cells"]) == 3
    assert err == f"secateur: {sweep.parent} holds 2 sweeps; this is the latest, {later}\n"
    assert main(["sweep", "resume", str(sweep.parent)]) == 2
    assert "holds 2 sweeps; name one" in capsys.readouterr().err
