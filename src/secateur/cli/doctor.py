"""``secateur doctor``: what works on this machine, what is missing, and what to do about it."""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.cli.console import make_console

PYTHONS = ((3, 11), (3, 14))  # from, and below
GIB = 2**30
DISK_NEEDED_GIB, DISK_WANTED_GIB = 1, 10


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: what was looked at.
        state: ``ok``, ``missing`` (optional, and not there) or ``problem``.
        found: what was found.
        advice: what to do; empty when nothing needs doing.
        required: without it Secateur does not work.
    """

    name: str
    state: Literal["ok", "missing", "problem"]
    found: str
    advice: str = ""
    required: bool = False


def doctor(argv: list[str]) -> int:
    """Look at the machine and print what was found; 1 if something required is broken, else 0."""
    parser = argparse.ArgumentParser(prog="secateur doctor", description="Say what works on this machine.")
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs"), help="where runs go (default: outputs)")
    arguments = parser.parse_args(argv)
    checks = list(examine(arguments.output_dir))
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(check) for check in checks], indent=2) + "\n")
    else:
        _show(checks, make_console())
    return 1 if any(check.required and check.state == "problem" for check in checks) else 0


def examine(output_dir: Path) -> Iterator[Check]:
    """Yield every check.

    Args:
        output_dir: the folder that runs and the store go to.
    """
    yield _python()
    yield from _packages()
    yield _guarded("torch + torchvision", _torch)
    yield _guarded("GPU", _gpus)
    yield _guarded("file locks", lambda: _locks(output_dir))
    yield _guarded("disk", lambda: _disk(output_dir))
    yield _guarded("data sets", _data)
    yield from _loggers()
    yield _slurm()


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    """Run a check that imports what may be broken; whatever it raises is the finding."""
    try:
        return look()
    except Exception as error:  # a broken installation raises anything
        return Check(name, "problem", f"{type(error).__name__}: {_one_line(error)}", required=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]:
        return Check("python", "ok", found, required=True)
    low, high = (".".join(map(str, version)) for version in PYTHONS)
    return Check("python", "problem", found, f"use Python >= {low}, < {high}", required=True)


def _packages() -> Iterator[Check]:
    """Check every requirement that the installed package declares."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    try:
        lines = requires("secateur") or []
    except PackageNotFoundError:
        yield Check("secateur", "problem", "not installed", "pip install -e . in the repository", required=True)
        return
    for requirement in map(Requirement, lines):
        extra = _extra(str(requirement.marker or ""))
        if extra != "dev":
            yield _package(requirement.name, requirement.specifier.contains, str(requirement.specifier), extra)


def _extra(marker: str) -> str | None:
    """Return ``faiss`` for the marker ``extra == 'faiss'``."""
    _, separator, quoted = marker.partition("extra == ")
    return quoted.strip("'\"") if separator else None


def _package(name: str, fits: Callable[..., bool], wanted: str, extra: str | None) -> Check:
    version = _version(name)
    source = f"pip install 'secateur[{extra}]'" if extra else f"pip install '{name}{wanted}'"
    if version is None:
        return Check(name, "missing" if extra else "problem", "not installed", source, required=not extra)
    if not fits(version, prereleases=True):
        return Check(name, "problem", f"{version}, but {wanted} is needed", source, required=not extra)
    return Check(name, "ok", version, required=not extra)


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _torch() -> Check:
    """Check that torch and torchvision fit together: builds from two places import with an error."""
    import torch

    try:
        import torchvision
    except Exception as error:  # a broken build raises anything
        advice = "install torch and torchvision from the same place"
        return Check("torch + torchvision", "problem", _one_line(error), advice, required=True)
    threads = f"{torch.get_num_threads()} threads, {os.cpu_count()} CPUs"
    return Check(
        "torch + torchvision", "ok", f"{torch.__version__} + {torchvision.__version__}, {threads}", required=True
    )


def _gpus() -> Check:
    import torch

    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        return Check("GPU", "ok", ", ".join(f"{d.name} ({d.total_memory / GIB:.0f} GiB)" for d in devices))
    if torch.backends.mps.is_available():
        return Check("GPU", "ok", "Apple MPS")
    return Check("GPU", "missing", "none", "fine for digits and small subsets; CIFAR and larger want one")


def _locks(output_dir: Path) -> Check:
    """Take a lock twice: the second attempt must fail, or two jobs would compute the same stage at once."""
    from filelock import FileLock, Timeout

    name = f"file locks in {output_dir}"
    advice = "set paths.output_dir to a file system with flock (Lustre: mount with -o flock)"
    probe = _nearest(output_dir) / f".doctor-{os.getpid()}.lock"
    works = "flock works" if output_dir.exists() else f"{output_dir} does not exist, would be created; flock works"
    try:
        with FileLock(probe, timeout=5, fallback_to_soft=False):
            try:
                FileLock(probe, fallback_to_soft=False).acquire(timeout=0)
            except Timeout:
                return Check(name, "ok", works, required=True)
        return Check(name, "problem", "a lock can be taken twice", advice, required=True)
    except (OSError, NotImplementedError) as error:
        return Check(name, "problem", _one_line(error), advice, required=True)
    finally:
        with suppress(OSError):
            probe.unlink()


def _nearest(output_dir: Path) -> Path:
    """Return the folder itself, or the first of its parents that is there: a check makes no folders."""
    path = output_dir.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _disk(output_dir: Path) -> Check:
    free = shutil.disk_usage(_nearest(output_dir)).free / GIB
    found = f"{free:.1f} GiB free"
    if free >= DISK_WANTED_GIB:
        return Check("disk", "ok", found)
    advice = f"less than {DISK_WANTED_GIB} GiB: free some, or set paths.output_dir to another disk"
    return Check("disk", "problem", found, advice, required=free < DISK_NEEDED_GIB)


def _data() -> Check:
    """Look under data.root for every data set of conf/data that says what it needs."""
    given = os.environ.get("SECATEUR_DATA")
    root = Path(given or "data").expanduser()
    where = f"SECATEUR_DATA={given}" if given else "SECATEUR_DATA is not set; ./data"
    advice = "set SECATEUR_DATA to the folder of your data sets; digits needs none"
    if not root.is_dir():
        state: Literal["missing", "problem"] = "problem" if given else "missing"
        return Check("data sets", state, f"{where} does not exist", advice)
    names = sorted(find_data(root))
    return Check(
        "data sets", "ok" if names else "missing", f"{where}: {', '.join(names) or 'none'}", "" if names else advice
    )


def find_data(root: Path) -> Iterator[str]:
    """Yield the data options that can be used with ``data.root`` at or below a folder."""
    from omegaconf import OmegaConf

    from secateur.runs.paths import CONF

    for path in (CONF / "data").glob("*.yaml"):
        node: Any = OmegaConf.to_container(OmegaConf.load(path))
        folder = node.get("folder") or ""
        needed = node.get("needs") or ([""] if folder else [])
        if needed and all((root / folder / name).exists() for name in needed):
            yield path.stem
    for place in (root, *sorted(entry for entry in root.iterdir() if entry.is_dir())):
        if any(place.glob("train*.parquet")) or any(place.glob("data/train*.parquet")):
            yield f"parquet ({place.name})"


def _loggers() -> Iterator[Check]:
    """Check every option of ``logger=``."""
    from secateur.runs.paths import CONF

    for path in sorted((CONF / "logger").glob("*.yaml")):
        yield _guarded(f"logger={path.stem}", partial(_logger, path))


def _logger(path: Path) -> Check:
    from omegaconf import OmegaConf

    from secateur.core.errors import ConfigError
    from secateur.runs.nodes import build

    node: Any = OmegaConf.to_container(OmegaConf.load(path))
    name, tracker = f"logger={path.stem}", build(node)
    try:
        tracker.check()
    except ConfigError:
        return Check(name, "missing", "not installed", f"pip install 'secateur[{tracker.extra}]'")
    return Check(name, "ok", tracker.state())


def _slurm() -> Check:
    sbatch = shutil.which("sbatch")
    if sbatch:
        return Check("Slurm", "ok", sbatch)
    return Check("Slurm", "missing", "no sbatch", "only for sweeps on a cluster: log in to a node that submits jobs")


def _show(checks: list[Check], console: Console) -> None:
    styles = {"ok": "green", "missing": "yellow", "problem": "red"}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        text = Text(check.found).append(f": {check.advice}" if check.advice else "", style=styles[check.state])
        table.add_row(Text(check.state, style=styles[check.state]), Text(check.name), text)
    console.print(table)
    broken = [check.name for check in checks if check.required and check.state == "problem"]
    console.print(
        f"broken: {', '.join(broken)}" if broken else "everything required works; what is missing is optional",
        markup=False,
    )
