"""A sweep's own copy of the configuration: what is edited after the launch does not reach jobs that start later."""

import os
import shutil
from argparse import Namespace
from pathlib import Path

from secateur.runs.compose import search_path
from secateur.runs.paths import CONF, SWEEPS


class Frozen:
    """The folder ``frozen/`` of a sweep.

    Args:
        sweep: the sweep's folder.
    """

    def __init__(self, sweep: Path) -> None:
        self.folder = sweep.resolve() / "frozen"

    @property
    def conf(self) -> Path:
        """Copy of the shipped conf/."""
        return self.folder / "conf"

    @property
    def primary(self) -> Path:
        """The folder that Hydra composes from: the copy of ``--config-path``, else of the shipped conf/."""
        own = self.folder / "config_path"
        return own if own.is_dir() else self.conf

    @property
    def search_path(self) -> str:
        """The override that makes the copies of sweeps/ and of ``--config-dir`` visible."""
        own = self.folder / "config_dir"
        return search_path([self.folder, *([own] if own.is_dir() else [])])

    def fill(self, parsed: Namespace) -> None:
        """Copy what a command composes from."""
        _copy(CONF, self.conf)
        _copy(SWEEPS, self.folder / "sweeps")
        for name in ("config_path", "config_dir"):
            if given := getattr(parsed, name):
                _copy(Path(given).resolve(), self.folder / name)


def _copy(source: Path, target: Path) -> None:
    """Copy the YAML files below a folder; not what is hidden, nor what runs wrote."""
    target.mkdir(parents=True)
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("outputs", "frozen")]
        for name in files:
            if name.endswith(".yaml"):
                path = Path(folder, name)
                copy = target / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
