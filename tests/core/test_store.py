"""A stage is computed once, whoever asks, however often its process dies."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from secateur.core import store as store_module
from secateur.core.errors import DataError, StoreError
from secateur.core.files import link_or_copy
from secateur.core.parquet import read_table, write_table
from secateur.core.stage_files import read_stage
from secateur.core.store import Store, locked, read_stored, stage_key

WORKER = """
import sys, time
from pathlib import Path
from secateur.core.store import Store

root = Path(sys.argv[1])

def compute(folder):
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "half").write_text("half")
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
    said = json.loads((tmp_path / "scoring" / "key" / "stage.json").read_text())
    assert (said["schema"], said["summary"], list(said["files"])) == (1, {"value": 1}, ["weights"])
    assert said["files"]["weights"] == {"bytes": 1, "sha256": hashlib.sha256(b"1").hexdigest()}


def test_a_computation_that_fails_leaves_its_folder_to_the_next(tmp_path):
    def fail(folder):
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "epoch").write_text("3")
        raise KeyboardInterrupt

    def resume(folder):
        return {"from": int((folder / "checkpoints" / "epoch").read_text())}

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


def test_a_stage_that_does_not_suffice_is_extended_from_what_it_holds(tmp_path):
    store = Store(tmp_path)
    assert store.finished("scoring", "key") is None
    store.get("scoring", "key", make(1))

    def extend(folder):
        before = (store.folder("scoring", "key") / "weights").read_text()
        (folder / "weights").write_text(before + "2")
        return {"value": 2}

    longer = store.get("scoring", "key", extend, suffices=lambda summary: summary["value"] >= 2)
    assert (longer.reused, longer.summary) == (False, {"value": 2})
    assert (longer.path / "weights").read_text() == "12"
    assert store.get("scoring", "key", refuse, suffices=lambda summary: summary["value"] >= 1).reused
    assert store.finished("scoring", "key") == {"value": 2}


def test_a_recomputation_that_fails_leaves_the_finished_stage(tmp_path):
    store = Store(tmp_path)
    store.get("scoring", "key", make(1))
    with pytest.raises(AssertionError):
        store.get("scoring", "key", refuse, recompute=True)
    assert store.get("scoring", "key", refuse).summary == {"value": 1}


# -- damage --------------------------------------------------------------------------------------------------------


def make_files(folder):
    """A stage with files of several kinds, one of them in a folder of its own."""
    (folder / "scores").mkdir()
    write_table(folder / "scores" / "a.parquet", {"sample_id": [0, 1]}, {"kind": "scores"})
    (folder / "metrics.csv").write_text("epoch,loss\n0,0.5\n")
    (folder / "empty").touch()
    return {"value": 1.5, "names": ["a"]}


STAGE_FILES = ("scores/a.parquet", "metrics.csv", "empty", "stage.json")


def damaged(path, change):
    """Change a published file, which is read-only."""
    path.chmod(0o644)
    change(path)


def recomputed(root):
    """Get the stage again; return whether it was computed, and what was said."""
    said, computed = [], []
    result = Store(root, said.append).get("scoring", "key", lambda folder: computed.append(1) or make_files(folder))
    assert result.summary == {"value": 1.5, "names": ["a"]}
    assert result.reused == (not computed)
    return bool(computed), said


@pytest.mark.parametrize("name", STAGE_FILES)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "has .* bytes instead of|was changed"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
            "has sha256|has .* bytes|cannot be read|was changed",
        ),
        (lambda path: path.write_bytes(b"\xff\xfe"), "has .* bytes|cannot be read"),
    ],
    ids=["deleted", "longer", "changed", "replaced"],
)
def test_a_damaged_stage_is_computed_again_with_one_line(tmp_path, name, change, reason):
    path = Store(tmp_path).get("scoring", "key", make_files).path
    assert recomputed(tmp_path) == (False, [])
    damaged(path / name, change)
    again, (line,) = recomputed(tmp_path)
    assert again
    assert re.fullmatch(rf"warning: {path} is damaged and is computed again: {name} ({reason}).*\.", line)
    assert recomputed(tmp_path) == (False, [])
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["key", "key.lock"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A finished stage, and the bytes of its files."""
    path = Store(tmp_path_factory.mktemp("store")).get("scoring", "key", make_files).path
    return path, {name: (path / name).read_bytes() for name in STAGE_FILES}


@given(st.data())
def test_no_changed_bit_is_accepted(published, data):
    path, contents = published
    name = data.draw(st.sampled_from([name for name in STAGE_FILES if contents[name]]))
    place = data.draw(st.integers(0, 8 * len(contents[name]) - 1))
    changed = bytearray(contents[name])
    changed[place // 8] ^= 1 << place % 8
    damaged(path / name, lambda file: file.write_bytes(changed))
    try:
        with pytest.raises(StoreError):
            read_stage(path)
    finally:
        (path / name).write_bytes(contents[name])
    assert read_stage(path) == {"value": 1.5, "names": ["a"]}


@pytest.mark.parametrize("text", ["[]", "3", '{"files": 3}', '{"files": {"a": 3}}', "[" * 100_000, '{"schema": 1}'])
def test_a_stage_json_of_another_form_is_damage(tmp_path, text):
    path = Store(tmp_path).get("scoring", "key", make_files).path
    damaged(path / "stage.json", lambda file: file.write_text(text))
    assert recomputed(tmp_path)[0]


def test_files_that_were_added_to_a_finished_stage_are_not_its_own(tmp_path):
    path = Store(tmp_path).get("scoring", "key", make_files).path
    (path / "notes.txt").write_text("mine")
    assert recomputed(tmp_path) == (False, [])


def test_the_checkpoints_go_when_the_stage_is_published_and_not_before(tmp_path, monkeypatch):
    def compute(folder):
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / "last.ckpt").write_text("3")
        return make_files(folder)

    class DiedError(BaseException):
        pass

    def die(*_):
        raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", die)
        with pytest.raises(DiedError):
            Store(tmp_path).get("scoring", "key", compute)
    partial = tmp_path / "scoring" / "key.partial"
    assert (partial / "checkpoints" / "last.ckpt").read_text() == "3"

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path, ignore_errors=False: die() if path.name == "checkpoints" else None)
        patch.setattr(store_module, "_clear", lambda partial: None)
        with pytest.raises(DiedError):
            Store(tmp_path).get("scoring", "key", lambda folder: {"value": 1.5, "names": ["a"]})
    final = Store(tmp_path).get("scoring", "key", refuse)
    assert final.reused
    assert not (final.path / "checkpoints").exists()


def test_a_foreign_file_in_the_folder_of_a_stage_in_progress_is_not_published(tmp_path):
    partial = tmp_path / "scoring" / "key.partial"
    (partial / "scores").mkdir(parents=True)
    for name in ("notes.txt", "scores/other.parquet", "metrics.csv"):
        (partial / name).write_text("foreign")
    path = Store(tmp_path).get("scoring", "key", make_files).path
    assert sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()) == [
        *("empty", "metrics.csv", "scores/a.parquet", "stage.json")
    ]
    assert (path / "metrics.csv").read_text().startswith("epoch")


def test_what_is_published_is_read_only_and_so_are_its_links(tmp_path):
    path = Store(tmp_path / "store").get("scoring", "key", make_files).path
    linked = link_or_copy(path / "metrics.csv", tmp_path / "run" / "metrics.csv")
    assert os.path.samefile(linked, path / "metrics.csv")
    modes = {
        stat.S_IMODE(file.stat().st_mode) for file in (path / "metrics.csv", path / "scores" / "a.parquet", linked)
    }
    assert modes == {0o444}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_and_the_next_call_goes_on(tmp_path, number):
    def fail(folder):
        (folder / "checkpoints").mkdir()
        raise OSError(number, os.strerror(number), "scores.parquet")

    with pytest.raises(StoreError, match=r"The disk is full \(scores\.parquet\): make room, and the same command"):
        Store(tmp_path).get("scoring", "key", fail)
    assert not Store(tmp_path).get("scoring", "key", make_files).reused


# -- readers of an entry that is being replaced --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "weights", "opened"])
def test_a_reader_waits_while_an_entry_is_replaced(tmp_path, kind):
    entry, away = tmp_path / "key", tmp_path / "key.discarded"
    entry.mkdir()
    write_table(entry / "scores.parquet", {"sample_id": [3, 4]}, {"kind": "scores", "fingerprint": "", "made_by": {}})
    save_file({"weight": torch.ones(2)}, entry / "model.safetensors")
    os.rename(entry, away)
    read = {
        "table": lambda: read_table(entry / "scores.parquet", "scores")[0].num_rows,
        "weights": lambda: len(load_file(entry / "model.safetensors")["weight"]),
        "opened": lambda: safe_open(entry / "model.safetensors", framework="pt").get_slice("weight").get_shape()[0],
    }[kind]
    timer = threading.Timer(0.2, os.rename, (away, entry))
    timer.start()
    assert read_stored(read) == 2
    timer.join()


def test_a_reader_does_not_wait_for_what_is_damaged_and_not_forever(tmp_path, monkeypatch):
    (tmp_path / "scores.parquet").write_text("text")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_stored(lambda: read_table(tmp_path / "scores.parquet", "scores"))
    monkeypatch.setattr(store_module, "REPLACED_SECONDS", 0.1)
    with pytest.raises(DataError, match="No scores table at"):
        read_stored(lambda: read_table(tmp_path / "away.parquet", "scores"))


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

    def resume(folder):
        return {"half": (folder / "checkpoints" / "half").read_text()}

    said = []
    found = Store(tmp_path, said.append).get("scoring", "key", resume)
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
