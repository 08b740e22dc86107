"""Where the configuration lies (the repository's conf/, or the copy in the wheel) and where results go."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    candidates = (_PACKAGE / name, _PACKAGE.parents[1] / name)
    return next(path for path in candidates if path.is_dir())


CONF = _shipped("conf")
SWEEPS = _shipped("sweeps")


def runs_folder(output_dir: str, name: str) -> Path:
    """Return the folder of all runs of one name."""
    return Path(output_dir) / "runs" / name


def store_folder(output_dir: str) -> Path:
    """Return the folder of finished stages."""
    return Path(output_dir) / "store"
