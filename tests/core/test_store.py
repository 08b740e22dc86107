"""A stage is computed once, whoever asks, however often its process dies."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from secateur.core.errors import StoreError
from secateur.core.store import Store, locked, stage_key

WORKER = """
import sys, time
from pathlib import Path
from secateur.core.store import Store

root = Path(sys.argv[1])

def compute(folder):
    (folder / "half").write_text("half")
    {body}
    with (root / "computed").open("a") as file:
        file.write("once\\n")
    return {{"answer": 42}}

result = Store(root).get("scoring", "key", compute)
print(result.reused, result.summary["answer"])
"""


def start(root, body):
    """Start a process that asks for the stage (scoring, key); ``body`` is what computing it takes."""
    code = WORKER.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip())
    return subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)


def wait_for(process, word):
    """Wait until a process printed a word."""
    assert process.stdout.readline().strip() == word


HANG = "print('computing', flush=True); time.sleep(60)"


def make(value):
    def compute(folder):
        (folder / "weights").write_text(str(value))
        return {"value": value}

    return compute


def refuse(folder):
    raise AssertionError("a finished stage was computed again")


# -- keys ----------------------------------------------------------------------------------------------------------


def test_a_key_depends_on_everything_it_is_made_of():
    variants = [
        ("scoring", 1, {"a": 1}, "pool", []),
        ("training", 1, {"a": 1}, "pool", []),
        ("scoring", 2, {"a": 1}, "pool", []),
        ("scoring", 1, {"a": 2}, "pool", []),
        ("scoring", 1, {"a": 1}, "other", []),
        ("scoring", 1, {"a": 1}, "pool", ["mask"]),
    ]
    keys = {stage_key(*variant) for variant in variants}
    assert len(keys) == len(variants)
    assert all(len(key) == 16 for key in keys)


def test_a_key_does_not_depend_on_the_order_of_the_config():
    assert stage_key("s", 1, {"a": 1, "b": 2}, "pool") == stage_key("s", 1, {"b": 2, "a": 1}, "pool", [])


# -- one process ---------------------------------------------------------------------------------------------------


def test_computed_once_and_then_reused(tmp_path):
    store = Store(tmp_path)
    first = store.get("scoring", "key", make(1))
    second = store.get("scoring", "key", refuse)
    assert (first.reused, second.reused) == (False, True)
    assert first.path == second.path == tmp_path / "scoring" / "key"
    assert first.summary == second.summary == {"value": 1}
    assert (first.path / "weights").read_text() == "1"


def test_stages_and_keys_are_kept_apart(tmp_path):
    store = Store(tmp_path)
    places = [("a", "x"), ("a", "y"), ("b", "x")]
    results = [store.get(*place, make(number)) for number, place in enumerate(places)]
    assert [result.summary["value"] for result in results] == [0, 1, 2]


def test_nothing_but_the_stage_and_its_lock_is_left(tmp_path):
    Store(tmp_path).get("scoring", "key", make(1))
    assert sorted(path.name for path in (tmp_path / "scoring").iterdir()) == ["key", "key.lock"]
    assert json.loads((tmp_path / "scoring" / "key" / "stage.json").read_text()) == {"value": 1}


def test_a_computation_that_fails_leaves_its_folder_to_the_next(tmp_path):
    def fail(folder):
        (folder / "epoch").write_text("3")
        raise KeyboardInterrupt

    def resume(folder):
        return {"from": int((folder / "epoch").read_text())}

    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.get("scoring", "key", fail)
    assert [path.name for path in (tmp_path / "scoring").iterdir() if path.is_dir()] == ["key.partial"]
    result = store.get("scoring", "key", resume)
    assert (result.reused, result.summary) == (False, {"from": 3})
    assert not (tmp_path / "scoring" / "key.partial").exists()


def test_a_summary_that_is_not_json_does_not_finish_the_stage(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="JSON"):
        store.get("scoring", "key", lambda folder: {"value": float("nan")})
    assert not store.get("scoring", "key", make(1)).reused


def test_recompute_replaces_a_finished_stage(tmp_path):
    store = Store(tmp_path)
    store.get("scoring", "key", make(1))
    again = store.get("scoring", "key", make(2), recompute=True)
    assert (again.reused, again.summary) == (False, {"value": 2})
    assert store.get("scoring", "key", refuse).summary == {"value": 2}
    assert sorted(path.name for path in (tmp_path / "scoring").iterdir()) == ["key", "key.lock"]


def test_a_recomputation_that_fails_leaves_the_finished_stage(tmp_path):
    store = Store(tmp_path)
    store.get("scoring", "key", make(1))
    with pytest.raises(AssertionError):
        store.get("scoring", "key", refuse, recompute=True)
    assert store.get("scoring", "key", refuse).summary == {"value": 1}


def test_a_damaged_stage_says_what_to_do(tmp_path):
    store = Store(tmp_path)
    path = store.get("scoring", "key", make(1)).path
    (path / "stage.json").write_text('{"val')
    with pytest.raises(StoreError, match=r"scoring/key is damaged \(stage\.json cannot be read\)\. Delete the folder"):
        store.get("scoring", "key", refuse)


# -- locks ---------------------------------------------------------------------------------------------------------


def test_the_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a.lock", "a", print):
        raise ZeroDivisionError
    with locked(tmp_path / "a.lock", "a", pytest.fail):
        assert json.loads((tmp_path / "a.holder").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "a.holder").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch, number):
    def flock(*args):
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match=r"No file lock at .*key\.lock.*not here.*secateur doctor"):
        Store(tmp_path).get("scoring", "key", refuse)


# -- many processes ------------------------------------------------------------------------------------------------


def test_of_three_processes_one_computes_and_the_others_reuse(tmp_path):
    processes = [start(tmp_path, "time.sleep(0.3)") for _ in range(3)]
    answers = sorted(process.communicate(timeout=30)[0].strip() for process in processes)
    assert answers == ["False 42", "True 42", "True 42"]
    assert (tmp_path / "computed").read_text() == "once\n"


def test_a_killed_process_frees_the_lock_and_leaves_its_folder(tmp_path):
    process = start(tmp_path, HANG)
    wait_for(process, "computing")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)

    said = []
    found = Store(tmp_path, said.append).get("scoring", "key", lambda folder: {"half": (folder / "half").read_text()})
    assert (found.reused, found.summary) == (False, {"half": "half"})
    assert said == []


@pytest.mark.parametrize("job", [None, "4711"])
def test_whoever_waits_is_told_who_holds_the_lock(tmp_path, monkeypatch, job):
    monkeypatch.setenv("SLURM_JOB_ID", job or "")
    process = start(tmp_path, "print('computing', flush=True)\nwhile not (root / 'go').exists(): time.sleep(0.01)")
    wait_for(process, "computing")
    said = []

    def say(line):
        said.append(line)
        (tmp_path / "go").touch()

    assert Store(tmp_path, say).get("scoring", "key", refuse).reused
    process.communicate(timeout=30)
    (line,) = said
    who = f"process {process.pid} on {socket.gethostname()}" + (f", Slurm job {job}" if job else "")
    assert line.startswith(f"waiting for stage scoring key, held by {who} (")
