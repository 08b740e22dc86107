"""A real Slurm of one node, in a temporary folder, with its own munge and its own ports."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from secateur.core.manifest import SETTLED
from secateur.launch.slurm import queue
from secateur.launch.status import refresh

REPOSITORY = Path(__file__).parents[2]
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
START_SECONDS = 60


def wait_for(found: Callable[[], object], seconds: float, what: str):
    """Return the first true value of a function, which is called until it gives one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := found():
            return value
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {seconds} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


class Slurm:
    """The daemons, for as long as the object is open; they also end when this process dies."""

    wait_for = staticmethod(wait_for)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        host = socket.gethostname().split(".")[0]
        values = {
            "HOST": host,
            "FOLDER": str(self.folder),
            "CPUS": str(os.cpu_count()),
            "CONTROLLER_PORT": str(free_port()),
            "WORKER_PORT": str(free_port()),
        }
        text = (Path(__file__).parent / "slurm.conf").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        conf = self.folder / "slurm.conf"
        conf.write_text(text)
        os.environ["SLURM_CONF"] = str(conf)
        self._start_munge()
        self._daemon("slurmctld", "-D", "-f", str(conf))
        self._daemon("slurmd", "-D", "-N", host, "-f", str(conf))
        wait_for(lambda: self._state() in ("idle", "mixed", "allocated"), START_SECONDS, "an idle node")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        names = {"socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log", "seed-file": "seed"}
        options = [f"--{option}={self.folder / name}" for option, name in names.items()]
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", *options)
        wait_for((self.folder / "munge.socket").exists, START_SECONDS, "munge")

    def _daemon(self, *command: str) -> None:
        program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
        with (self.folder / f"{command[0]}.out").open("wb") as log:
            self.daemons.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", program, *command[1:]], stdout=log, stderr=subprocess.STDOUT
                )
            )

    def _state(self) -> str:
        done = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True)
        return done.stdout.strip()

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Return ``{id as shown: (plain id, state)}`` of all jobs in the queue."""
        lines = ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%A|%T").splitlines()
        return {shown: (plain, state) for shown, plain, state in (line.split("|") for line in lines)}

    def empty(self) -> None:
        """Cancel every job and wait until none is left: their steps would outlive the daemons."""
        subprocess.run(["scancel", f"--user={os.geteuid()}"], capture_output=True, timeout=30)
        ended = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL")
        wait_for(lambda: all(state in ended for _, state in self.jobs().values()), 30, "an empty queue")

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """Start Slurm; skip where it is not installed, but fail where it has to be."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    reason = f"no {missing[0]}" if missing else "" if os.geteuid() == 0 else "the daemons of this test run as root"
    if reason and (os.environ.get("CI") or os.environ.get("SECATEUR_REQUIRE_SLURM")):
        pytest.fail(f"Slurm is needed here, and there is {reason}")
    if reason:
        pytest.skip(reason)
    before = os.environ.get("SLURM_CONF")
    slurm = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        slurm.start()
        yield slurm
        slurm.empty()
    finally:
        slurm.stop()
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


@dataclass
class Lab:
    """A copy of the repository that a test may edit, and a folder of results."""

    folder: Path
    out: str = ""
    err: str = ""

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    def secateur(self, *arguments: str) -> int:
        """Run the program in a process of its own, by the copy's code."""
        environment = {**os.environ, "PYTHONPATH": str(self.repository / "src"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "secateur", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        self.out, self.err = done.stdout, done.stderr
        return done.returncode

    def sweep_dir(self) -> Path:
        (path,) = self.outputs.glob("sweeps/*/*/sweep.json")
        return path.parent

    def cells(self) -> list[dict]:
        """Return every job's state, as ``sweep status`` finds it."""
        return [asdict(cell) for cell in refresh(self.sweep_dir(), queue()).cells]

    def settled(self, seconds: float) -> list[dict]:
        """Wait until the queue is empty of this sweep's jobs; return their states."""

        def over():
            cells = self.cells()
            return cells if all(cell["status"] in SETTLED for cell in cells) else None

        return wait_for(over, seconds, "an end of all jobs")

    def records(self) -> list[dict]:
        paths = self.outputs.glob("runs/*/*/run.json")
        return sorted((json.loads(path.read_text()) for path in paths), key=lambda record: record["run_key"])


@pytest.fixture
def lab(tmp_path) -> Lab:
    for name in ("src", "conf", "sweeps"):
        shutil.copytree(REPOSITORY / name, tmp_path / "repository" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return Lab(tmp_path)
