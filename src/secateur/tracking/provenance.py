"""Where a result comes from: versions, code, machine."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from secateur.core.code import package_sha256
from secateur.core.group import current

PACKAGES = (
    *(
        "secateur",
        "torch",
        "torchvision",
        "pytorch-lightning",
        "hydra-core",
        "omegaconf",
        "numpy",
        "scikit-learn",
    ),
    *("pyarrow", "torch-geometric", "timm"),
)


def provenance(device: torch.device) -> dict[str, Any]:
    """Return the record's ``provenance`` block: versions, the code's hash, git state, machine, threads and device."""
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "code": _code(),
        "git": _git(),
        "platform": platform.platform(),
        "host": platform.node(),
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "num_processes": current().size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }


@cache
def _code() -> str:
    """Return the hash of the package's Python files, as they were when this process first asked."""
    return package_sha256()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return commit and dirtiness of the repository the package is run from; None for an installed wheel."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        commit = _run("git", "rev-parse", "HEAD", cwd=root)
        dirty = bool(_run("git", "status", "--porcelain", "--untracked-files=no", cwd=root))
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": dirty}


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


@cache
def processor() -> str:
    """Return the processor's name as the operating system gives it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names[0] if names else "") or platform.processor() or platform.machine()
