"""The shipped configuration of scores and presets agrees with the code."""

import importlib
import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from secateur.scores.base import Score

CONF = Path(__file__).parents[2] / "conf"
SCORES = sorted(path.stem for path in (CONF / "score").glob("*.yaml"))
PRESETS = sorted((CONF / "preset" / "score").glob("*.yaml"))


def settings_of(name):
    settings = OmegaConf.to_container(OmegaConf.load(CONF / "score" / f"{name}.yaml"))
    module, _, cls = settings.pop("_target_").rpartition(".")
    return module, getattr(importlib.import_module(module), cls), settings


def test_all_scorers_are_there():
    assert len(SCORES) >= 11
    assert len(PRESETS) >= 9


@pytest.mark.parametrize("name", SCORES)
def test_keys_and_values_are_those_of_the_constructor(name):
    module, cls, settings = settings_of(name)
    assert module == f"secateur.scores.{name}"
    parameters = {} if cls.__init__ is Score.__init__ else dict(inspect.signature(cls).parameters)
    assert settings == {key: parameter.default for key, parameter in parameters.items()}
    assert isinstance(cls(**settings), Score)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_hold_only_what_differs(path):
    name = max((score for score in SCORES if path.stem.startswith(f"{score}_")), key=len)
    variant = path.stem.removeprefix(f"{name}_")
    assert (CONF / "variant" / f"{variant}.yaml").is_file()
    _, cls, settings = settings_of(name)
    preset = OmegaConf.to_container(OmegaConf.load(path))
    assert preset
    assert all(settings[key] != value for key, value in preset.items())
    cls(**{**settings, **preset})


ROOT = """
defaults:
  - _self_
  - score: dynamic_uncertainty
  - optional preset/score@score: ${score}_${variant}
variant: reference
hydra:
  searchpath: [file://%s]
"""


@pytest.mark.parametrize(
    ("score", "variant", "key", "value"),
    [
        ("tdds", "released_extrapolation", "trajectory", "last"),
        ("tdds", "released", "trajectory_epochs", 30),
        ("tdds", "reference", "trajectory_epochs", None),
        ("dynamic_uncertainty", "released_extrapolation", "skip_first", 2),
        ("dynamic_uncertainty", "released", "skip_last", 1),
        ("dynamic_uncertainty", "released", "record", "before_step"),
        ("dynamic_uncertainty", "reference", "record", "eval_pass"),
        ("el2n", "paper", "num_networks", 10),
        ("el2n", "paper", "record", "eval_pass"),
        ("forgetting", "released_extrapolation", "unlearned", "count"),
    ],
)
def test_hydra_merges_presets_over_the_score(tmp_path, score, variant, key, value):
    (tmp_path / "variant").mkdir()
    (tmp_path / "variant" / f"{variant}.yaml").write_text(f"# @package _global_\nvariant: {variant}\n")
    root = ROOT.replace("variant: reference\n", "").replace("  - optional", "  - variant: reference\n  - optional")
    (tmp_path / "root.yaml").write_text(root % CONF)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("root", [f"score={score}", f"variant={variant}"])
    assert config.score[key] == value
    assert config.score._target_.startswith(f"secateur.scores.{score}.")
