"""Composing configurations as the program does, and pretending that all data is there."""

import copy
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

import secateur.data
from secateur.data.recipe import DataRecipe
from secateur.runs.methods.mask import MaskFile
from secateur.runs.paths import CONF, SWEEPS


@pytest.fixture(scope="module")
def hydra() -> Iterator[None]:
    """Hydra on conf/, once per test file; every YAML file is read once, which is a quarter of composing."""
    read = FileConfigSource.load_config
    seen: dict[tuple[str, str], ConfigResult] = {}

    def load_config(self: FileConfigSource, config_path: str) -> ConfigResult:
        where = (self.path, config_path)
        if where not in seen:
            seen[where] = read(self, config_path)
        return copy.deepcopy(seen[where])

    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        patch.setattr(FileConfigSource, "load_config", load_config)
        yield
    GlobalHydra.instance().clear()


@pytest.fixture
def composed(hydra) -> Callable[..., DictConfig]:
    """Compose overrides; with ``whole=True`` Hydra's own node is there too."""

    def composed(*overrides: str, whole: bool = False) -> DictConfig:
        search = f"hydra.searchpath=[file://{SWEEPS.parent}]"
        return compose("config", [search, *overrides], return_hydra_config=whole)

    return composed


@pytest.fixture
def data_is_there(monkeypatch, tmp_path) -> Path:
    """Let every data set and every mask file be found; return an empty working folder."""
    for module in pkgutil.iter_modules(secateur.data.__path__):  # a subclass is known when its module is
        importlib.import_module(f"secateur.data.{module.name}")
    for recipe in subclasses(DataRecipe):
        monkeypatch.setattr(recipe, "check", lambda self: None)
    monkeypatch.setattr(MaskFile, "__post_init__", lambda self: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def subclasses(base: type) -> Iterator[type]:
    for child in base.__subclasses__():
        yield child
        yield from subclasses(child)
