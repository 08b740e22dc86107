"""Which processor computes: results of the last bit depend on it."""

import platform
from functools import cache
from pathlib import Path


@cache
def processor() -> str:
    """Return the processor's name as the operating system gives it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names[0] if names else "") or platform.processor() or platform.machine()
