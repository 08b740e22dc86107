"""All processes of a job start together and end together, whatever ends one of them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from secateur.launch.ranks import launch

SHOW = "import os; open(os.environ['RANK'], 'w').write(' '.join(os.environ[k] for k in {keys!r}))"
KEYS = ("LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def python(code):
    return [sys.executable, "-c", code]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("secateur.launch.ranks.NOTICE_SECONDS", 0.3)
    return tmp_path


def test_every_process_knows_its_place(folder):
    assert launch(python(SHOW.format(keys=KEYS)), 3) == 0
    told = [(folder / str(rank)).read_text().split() for rank in range(3)]
    assert [words[:4] for words in told] == [[str(rank), "3", "3", "127.0.0.1"] for rank in range(3)]
    assert len({words[4] for words in told}) == 1


@pytest.mark.parametrize(
    ("what", "code"),
    [("sys.exit(2)", 2), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", 1), ("os.kill(os.getpid(), 2)", 130)],
    ids=["bad input", "a defect", "killed", "interrupted"],
)
def test_one_that_fails_ends_all_and_its_code_is_the_answer(folder, what, code):
    body = f"""
        import os, sys, time, signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if os.environ["RANK"] == "1":
            {what}
        open("pid", "w").write(str(os.getpid()))
        time.sleep(60)
    """
    started = time.monotonic()
    assert launch(python("\n".join(line[8:] for line in body.splitlines())), 2) == code
    assert time.monotonic() - started < 20
    if (folder / "pid").exists():
        assert not is_alive(int((folder / "pid").read_text()))


def test_one_that_ignores_sigterm_is_killed(folder, monkeypatch):
    monkeypatch.setattr("secateur.launch.ranks.KILL_SECONDS", 0.3)
    code = "import os, signal, time; signal.signal(15, signal.SIG_IGN); os.environ['RANK'] == '0' and exit(3); "
    started = time.monotonic()
    assert launch(python(code + "time.sleep(60)"), 2) == 3
    assert time.monotonic() - started < 20


def test_the_others_may_notice_by_themselves_and_end_well(folder, monkeypatch):
    monkeypatch.setattr("secateur.launch.ranks.NOTICE_SECONDS", 30.0)
    code = "import os, time; os.environ['RANK'] == '0' and exit(2); time.sleep(0.5); open('noticed', 'w')"
    assert launch(python(code), 2) == 2
    assert (folder / "noticed").exists()


LAUNCHER = """
import sys
from secateur.launch import ranks as launch
launch.NOTICE_SECONDS = 0.3
code = '''
import os, signal, sys, time
from secateur.launch.ranks import die_with_launcher
die_with_launcher()
def end(number, frame):
    open("got" + os.environ["RANK"], "w").write(str(number))
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
open("pid" + os.environ["RANK"], "w").write(str(os.getpid()))
time.sleep(60)
'''
sys.exit(launch.launch([sys.executable, "-c", code], 2))
"""


@pytest.fixture
def launcher(folder):
    process = subprocess.Popen(python(LAUNCHER))
    pids = [wait_for_number(folder / f"pid{rank}") for rank in range(2)]
    yield process, pids
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signals_are_handed_on(launcher, folder, number):
    process, pids = launcher
    process.send_signal(number)
    assert process.wait(20) == 0
    assert [(folder / f"got{rank}").read_text() for rank in range(2)] == [str(int(number))] * 2
    assert not any(map(is_alive, pids))


def test_none_outlives_a_launcher_that_is_killed(launcher, folder):
    process, pids = launcher
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, pids))
    assert not list(folder.glob("got*"))


def wait_for_number(path):
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def is_alive(pid):
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"
