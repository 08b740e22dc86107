"""The shipped configuration of the predictors and their presets agrees with the code."""

import importlib
import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf"
PREDICTORS = ["class_mean", "constant", "knn", "mlp", "proxy_direct", "ridge", "uniform"]
PRESETS = sorted((CONF / "preset" / "extrapolation").glob("knn_*.yaml"))


def settings_of(name):
    settings = OmegaConf.to_container(OmegaConf.load(CONF / "extrapolation" / f"{name}.yaml"))
    module, _, cls = settings.pop("_target_").rpartition(".")
    return module, getattr(importlib.import_module(module), cls), settings


@pytest.mark.parametrize("name", PREDICTORS)
def test_keys_and_values_are_those_of_the_constructor(name):
    module, cls, settings = settings_of(name)
    assert module == f"secateur.extrapolation.{name}"
    parameters = inspect.signature(cls).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items()}
    assert settings == {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    assert callable(cls(**settings).predict)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_hold_only_what_differs(path):
    _, cls, settings = settings_of("knn")
    preset = OmegaConf.to_container(OmegaConf.load(path))
    assert all(settings[key] != value for key, value in preset.items())
    released = cls(**{**settings, **preset})
    assert (released.k, released.weighting, released.weight_distance) == (20, "exp", "euclidean")


def test_both_names_of_the_release_mean_the_same():
    assert [path.stem for path in PRESETS] == ["knn_released", "knn_released_extrapolation"]
    assert PRESETS[0].read_text() == PRESETS[1].read_text()
