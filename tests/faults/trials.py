"""Kill runs, fill disks and damage files, and count what that costs.

    python tests/faults/trials.py --kills 40 --flips 3 --disks 12

Every trial starts the same small run of the digits, disturbs it, gives the same command again, and compares all that
comes out with an undisturbed run, byte by byte. Output folder and temporary folder should be on two file systems
(``--outputs``, ``--temporary``): a library that moves files from one to the other copies them then. Filling a disk
mounts a small tmpfs, which only root may do; without that right the size of files is limited instead.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

RUN = (
    *("data.first=200", "score=aum", "pruning_ratio=0.4", "trainer.max_epochs=4", "scoring.max_epochs=5"),
    "compare_with=[]",
)
TIMEOUT = 300.0
ATTEMPTS = 3  # how often the command is given again before a run counts as ended for good
COUNTED = ("stage", "samples_forward", "samples_backward", "flops")
# Where a kill is aimed at: parts of writing a checkpoint, and of publishing a stage and removing its checkpoints.
AIMS = ("half written", "written", "moved aside", "renamed", "before publication", "after publication")
STORE_FILES = {
    "scoring": ("scores/el2n.parquet", "scores/aum.parquet", "weights/5.safetensors", "metrics.csv", "stage.json"),
    "training": ("model.safetensors", "metrics.csv", "predictions.parquet", "stage.json"),
}
RUN_FILES = (
    *("mask.parquet", "scores.parquet", "metrics.csv", "predictions.parquet", "checkpoints/last.safetensors"),
    "config.yaml",
)


def die() -> None:
    """End this process as an operator or a scheduler would, without a chance to clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


def aim(where: str, number: int) -> None:
    """Let this process be killed at the given moment, when it comes for the n-th time, from 0."""
    left = Counter(dict.fromkeys((*AIMS, "copied"), number))

    def now(moment: str) -> bool:
        if moment not in (where, "copied"):
            return False
        left[moment] -= 1
        return left[moment] < 0

    real = {"fsync": os.fsync, "replace": os.replace, "rename": os.rename, "copyfile": shutil.copyfile}

    def fsync(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".ckpt.tmp"):
            if now("half written"):
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
                die()
            if now("written"):
                die()
        real["fsync"](handle)

    def replace(source, target, **options) -> None:
        real["replace"](source, target, **options)
        if str(target).endswith("previous.ckpt") and now("moved aside"):
            die()
        if str(target).endswith("last.ckpt") and now("renamed"):
            die()

    def rename(source, target, **options) -> None:
        publishes = str(source).endswith(".partial")
        if publishes and now("before publication"):
            die()
        real["rename"](source, target, **options)
        if publishes and now("after publication"):
            die()

    def copyfile(source, target, **options):
        if str(target).endswith(".ckpt") and now("copied"):  # a library that moves it to another file system
            content = Path(source).read_bytes()
            Path(target).write_bytes(content[: len(content) // 2])
            die()
        return real["copyfile"](source, target, **options)

    os.fsync, os.replace, os.rename, shutil.copyfile = fsync, replace, rename, copyfile


@dataclass
class Child:
    """One call of ``secateur run`` in a process of its own, forked from this one, which has everything imported."""

    pid: int
    log: Path
    code: int | None = None

    def wait(self, timeout: float = TIMEOUT) -> int | None:
        """Return the exit code, negative for a signal; None when it has not ended by then."""
        deadline = time.monotonic() + timeout
        while self.code is None and time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.005)
        return self.code

    def kill(self) -> int:
        """Kill it, wait for it, and return its exit code."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
        code = self.wait()
        assert code is not None
        return code


@dataclass
class Lab:
    """Where trials run, and what an undisturbed run gave.

    Attributes:
        outputs: folder of all output folders.
        temporary: the temporary folder of the runs, on another file system if possible.
        epochs: of the final training.
    """

    outputs: Path
    temporary: Path
    seconds: float = 0.0
    config: dict = field(default_factory=dict)
    reference: dict = field(default_factory=dict)
    _number: int = 0

    def prepare(self) -> None:
        """Run undisturbed, twice the same, and remember what came out."""
        for path in (self.outputs, self.temporary):
            path.mkdir(parents=True, exist_ok=True)
        self.warm_up()
        folder = self.folder()
        started = time.monotonic()
        assert self.start(folder).wait() == 0, "the undisturbed run failed"
        self.seconds = time.monotonic() - started
        self.reference = outcome(folder)

    def warm_up(self) -> None:
        """Run once in this process, so that the children forked from it have everything imported and configured."""
        from secateur.cli.main import main
        from secateur.core.names import targeted

        folder = self.outputs / "warm-up"
        with (self.outputs / "warm-up.log").open("w") as log, contextlib.redirect_stdout(log):
            assert main(["run", *RUN, f"paths.output_dir={folder}"]) == 0
        (path,) = folder.glob("runs/*/*/run.json")
        self.config = targeted(json.loads(path.read_text())["config"])
        shutil.rmtree(folder)

    def folder(self) -> Path:
        """Return a new output folder."""
        self._number += 1
        return self.outputs / f"trial{self._number}"

    def start(self, folder: Path, *, name: str = "default", before: Callable[[], None] = lambda: None) -> Child:
        """Start the run.

        Args:
            folder: its output folder.
            name: name of the run.
            before: called in its process before anything else.
        """
        log = self.outputs / f"{folder.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return Child(pid, log)
        try:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            os.environ["TMPDIR"], tempfile.tempdir = str(self.temporary), None
            from rich.console import Console

            from secateur.runs.config import Experiment
            from secateur.runs.run import execute_resolved

            config = {**self.config, "name": name, "paths": {**self.config["paths"], "output_dir": str(folder)}}
            before()
            execute_resolved(Experiment.of(config, recorded=True), Console(), {})
            sys.stdout.flush()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)

    def finishes(self, folder: Path) -> str:
        """Give the same command again; return how it ended: equal, different, or lost (it never finishes)."""
        for _ in range(ATTEMPTS):
            child = self.start(folder)
            if (code := child.wait()) == 0:
                break
            if code is None:
                child.kill()
        else:
            return "lost"
        left = [path.name for path in self.temporary.iterdir()] + [path.name for path in folder.rglob("*.partial")]
        if left:
            return f"left over: {left[0]}"
        return "equal" if outcome(folder) == self.reference else "different"


def outcome(folder: Path) -> dict:
    """Return all that a run leaves behind but times: files, the record without clocks, the store."""
    (path,) = folder.glob("runs/default/*/run.json")
    record = json.loads(path.read_text())
    stages = {path.parent.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in stage_jsons(folder)}
    return {
        "status": record["status"],
        "files": {name: (path.parent / name).read_bytes() for name in record["artifacts"]},
        "record": {key: record[key] for key in ("run_key", "data", "models", "pruning", "metrics", "warnings")},
        "artifacts": [record["artifacts"], record["artifact_bytes"]],
        "ledger": [[stage[key] for key in COUNTED] for stage in record["ledger"]["stages"]],
        "store": {name: stage["files"] for name, stage in stages.items()},
    }


def stage_jsons(folder: Path) -> list[Path]:
    """Return the stage.json of every finished stage."""
    return sorted(folder.glob("store/*/*/stage.json"))


# -- kills ---------------------------------------------------------------------------------------------------------


def kill_aimed(lab: Lab, draw: random.Random, where: str) -> tuple[str, str]:
    """Kill a run at a moment of its checkpoints; return the moment and how the run ended."""
    folder = lab.folder()
    number = draw.randrange(2) if "publication" in where else draw.randrange(9)
    child = lab.start(folder, before=lambda: aim(where, number))
    code = child.wait()
    hit = code == -signal.SIGKILL
    result = lab.finishes(folder) if hit else f"missed (exit {code})"
    clean(folder, result)
    return where, result


def kill_anywhere(lab: Lab, draw: random.Random) -> tuple[str, str]:
    """Kill a run after a random time, once or twice; return how it ended."""
    folder, hit = lab.folder(), False
    for _ in range(draw.choice((1, 1, 2))):
        child = lab.start(folder)
        child.wait(draw.uniform(0.02, lab.seconds))
        hit = child.kill() == -signal.SIGKILL or hit
    result = lab.finishes(folder)
    clean(folder, result)
    return "anywhere", result if hit else "missed"


# -- disks ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int):
    """Mount a disk of so many KB; yields what makes it large, or None where this may not mount."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, f"size={kilobytes}k", "none", folder], capture_output=True).returncode:
        yield None
        return
    try:
        yield lambda: subprocess.run([*mount[:-1], "-o", "remount,size=200m", "none", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(lab: Lab, kilobytes: int) -> tuple[str, str]:
    """Run on a disk that fills, make room, and give the command again; return how it ended."""
    folder = lab.folder()
    with small_disk(folder, kilobytes) as make_room:
        if make_room is None:
            limit = kilobytes * 100  # bytes of one file; checkpoints and weights are the largest
            child = lab.start(folder, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        else:
            child = lab.start(folder)
        code = child.wait()
        if code != 0 and make_room is not None:
            make_room()
        result = lab.finishes(folder) if code != 0 else "missed (it had room)"
        if "lost" in result or "different" in result:
            print(child.log.read_text()[-2000:])
        if make_room is not None:
            return f"disk of {kilobytes} KB", result
    clean(folder, result)
    return f"files of {kilobytes * 100} bytes", result


# -- damage --------------------------------------------------------------------------------------------------------


def flip(path: Path, draw: random.Random) -> None:
    """Change one bit of a file, in place."""
    place = draw.randrange(8 * path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(place // 8)
        byte = file.read(1)[0]
        file.seek(place // 8)
        file.write(bytes([byte ^ 1 << place % 8]))


DAMAGE = {
    "one bit": flip,
    "emptied": lambda path, draw: os.truncate(path, 0),
    "deleted": lambda path, draw: path.unlink(),
}


def damage(lab: Lab, folder: Path, draw: random.Random, kind: str, place: str, name: str) -> tuple[str, str]:
    """Damage one file of a finished run or of the store, run again, and return whether that was noticed.

    Of a file in the store a run of another name reuses the stage. The folder is as before afterwards, or a failure.
    """
    (path,) = folder.glob(f"runs/default/*/{name}" if place == "run" else f"store/{place}/*/{name}")
    path.chmod(0o644)
    DAMAGE[kind](path, draw)
    name_again = "default" if place == "run" else f"again{draw.randrange(10**9)}"
    child = lab.start(folder, name=name_again)
    code = child.wait()
    label = f"{place}/{name} {kind}"
    if code != 0:
        return label, f"exit {code}"
    if place != "run":
        (again,) = folder.glob(f"runs/{name_again}/*")
        made = {name: (again / name).read_bytes() for name in lab.reference["files"]}
        shutil.rmtree(again.parent)
        if made != lab.reference["files"]:
            return label, "accepted"
        assert lab.start(folder).wait() == 0  # files of the run are links to those of the store
    (config,) = folder.glob("runs/default/*/config.yaml")
    expected = (lab.outputs / "trial1").glob("runs/default/*/config.yaml")
    if config.read_text().replace(folder.name, "trial1") != next(expected).read_text():
        return label, "accepted"
    return label, "noticed" if outcome(folder) == lab.reference else "accepted"


def clean(folder: Path, result: str) -> None:
    """Remove what a trial left, unless something was lost."""
    if result == "equal" or result.startswith("missed"):
        shutil.rmtree(folder, ignore_errors=True)


# -- the long form -------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """How many trials of each kind ended how."""

    title: str
    good: str
    counts: dict[str, Counter] = field(default_factory=dict)

    def add(self, kind: str, result: str) -> None:
        """Count one trial."""
        self.counts.setdefault(kind, Counter())[result] += 1
        print(f"  {self.title}: {kind}: {result}", flush=True)

    @property
    def tried(self) -> int:
        """Trials that hit."""
        results = (item for counter in self.counts.values() for item in counter.items())
        return sum(count for result, count in results if not result.startswith("missed"))

    @property
    def survived(self) -> int:
        """Trials that ended as if nothing had happened."""
        return sum(counter[self.good] for counter in self.counts.values())

    def show(self) -> None:
        """Print the table."""
        print(f"\n{self.title}: tried {self.tried}, {self.good} {self.survived}, not {self.tried - self.survived}")
        for kind, counter in self.counts.items():
            print(f"    {kind:45}", ", ".join(f"{result} {count}" for result, count in counter.items()))


def kills(lab: Lab, draw: random.Random, number: int) -> Tally:
    """Kill so many runs, half of them at their checkpoints."""
    tally = Tally("kills", "equal")
    aimed = 0
    while aimed < number // 2:
        kind, result = kill_aimed(lab, draw, AIMS[aimed % len(AIMS)])
        aimed += not result.startswith("missed")
        tally.add(kind, result)
    while tally.tried < number:
        tally.add(*kill_anywhere(lab, draw))
    return tally


def disks(lab: Lab, sizes: list[int]) -> Tally:
    """Run on disks of so many KB."""
    tally = Tally("full disks", "equal")
    for size in sizes:
        tally.add(*fill(lab, size))
    return tally


def damages(lab: Lab, draw: random.Random, flips: int) -> Tally:
    """Flip bits of every kind of file, so many of each, empty it and delete it."""
    tally = Tally("damage", "noticed")
    folder = lab.folder()
    assert lab.start(folder).wait() == 0
    places = {**STORE_FILES, "run": RUN_FILES}
    for place, name in ((place, name) for place, names in places.items() for name in names):
        for kind in (*["one bit"] * flips, "emptied", "deleted"):
            tally.add(*damage(lab, folder, draw, kind, place, name))
    return tally


def main() -> int:
    """Run the long form; return 0 when nothing was lost and nothing damaged was accepted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, help="kills, half of them aimed at checkpoints")
    parser.add_argument("--flips", type=int, default=3, help="flipped bits of each kind of file")
    parser.add_argument("--disks", type=int, default=12, help="sizes of disks that fill")
    parser.add_argument("--outputs", type=Path, default=Path("/dev/shm/secateur-faults"), help="folder of the runs")
    parser.add_argument("--temporary", type=Path, default=Path("/tmp/secateur-faults"), help="their temporary folder")
    parser.add_argument("--only", nargs="+", choices=("kills", "disks", "damage"), default=("kills", "disks", "damage"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shutil.rmtree(given.outputs, ignore_errors=True)
    shutil.rmtree(given.temporary, ignore_errors=True)
    lab, draw = Lab(given.outputs, given.temporary), random.Random(given.seed)
    lab.prepare()
    two = given.outputs.stat().st_dev != given.temporary.stat().st_dev
    print(f"an undisturbed run takes {lab.seconds:.1f} s; outputs and temporary folder are on {1 + two} file system(s)")
    smallest, largest = 40, 560  # KB; the run needs a little more
    sizes = [smallest + (largest - smallest) * step // max(given.disks - 1, 1) for step in range(given.disks)]
    trials = {
        "kills": lambda: kills(lab, draw, given.kills),
        "disks": lambda: disks(lab, sizes),
        "damage": lambda: damages(lab, draw, given.flips),
    }
    tallies = [trials[name]() for name in given.only]
    for tally in tallies:
        tally.show()
    return int(any(tally.tried != tally.survived for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
