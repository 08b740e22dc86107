"""Import path for user modules that are named in ``_target_``."""

import sys
from pathlib import Path


def code_folders(config_dir: str | None) -> list[Path]:
    """Return the working folder, and the folder beside the user's ``--config-dir`` and that folder itself."""
    return [Path.cwd(), *([Path(config_dir).resolve().parent, Path(config_dir).resolve()] if config_dir else [])]


def make_importable(config_dir: str | None) -> None:
    """Let ``_target_`` name modules in :func:`code_folders`."""
    for folder in code_folders(config_dir):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
