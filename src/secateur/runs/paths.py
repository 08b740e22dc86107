"""Where the configuration lies (the repository's conf/, or the copy in the wheel) and where results go."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    candidates = (_PACKAGE / name, _PACKAGE.parents[1] / name)
    return next(path for path in candidates if path.is_dir())


CONF = _shipped("conf")
SWEEPS = _shipped("sweeps")
_FROZEN: ContextVar[Path | None] = ContextVar("frozen_conf", default=None)


def conf_folder() -> Path:
    """Return the configuration that holds here: in a job of a sweep the copy made at its launch, else ``CONF``."""
    return _FROZEN.get() or CONF


@contextmanager
def frozen_conf(folder: Path) -> Iterator[None]:
    """Let :func:`conf_folder` be a sweep's copy inside the block."""
    token = _FROZEN.set(folder)
    try:
        yield
    finally:
        _FROZEN.reset(token)


def runs_folder(output_dir: str, name: str) -> Path:
    """Return the folder of all runs of one name."""
    return Path(output_dir) / "runs" / name


def store_folder(output_dir: str) -> Path:
    """Return the folder of finished stages."""
    return Path(output_dir) / "store"
