"""The schema of the configuration: types, roles, and what derives from them."""

import subprocess
import sys
from dataclasses import fields, replace

import pytest

from secateur.core.errors import ConfigError
from secateur.core.names import named, targeted
from secateur.core.roles import Role, roles_of
from secateur.data.recipe import DataRecipe
from secateur.data.torchvision_sets import TorchvisionData
from secateur.runs.compose import default_experiment
from secateur.runs.config import (
    DataKeys,
    Experiment,
    MissingKeyError,
    compared_settings,
    default_of,
    groups,
    inner_keys_with,
    is_of_recipe,
    is_of_scores,
    keys_with,
)
from secateur.runs.keys import canonical, data_key, run_key, stage_reads
from secateur.runs.paths import CONF
from secateur.training.settings import TrainerSettings

DEFAULT = default_experiment()
VALUES = DEFAULT.to_json()
# Another value of every key, which is of the right type.
OTHERS = {
    **{"name": "other", "pruning_ratio": 0.7, "seed": 5, "score_seed": 5, "force": "all", "check": True},
    **{"subset_fraction": 0.5, "subset_epochs_factor": 2.0, "subset_stratified": True, "subset_include": "original"},
    **{"merge": "raw", "budget": "steps", "relabel": True, "train_final": False, "compare_with": []},
    **{"mapping": {"_target_": "secateur.mapping.keep.Keep", "keep_by": "samples"}, "variant": "released"},
    "fidelity": DEFAULT.fidelity.model_copy(update={"against": [3]}),
    "scoring": DEFAULT.scoring.model_copy(update={"max_epochs": 3}),
    "paths": DEFAULT.paths.model_copy(update={"output_dir": "elsewhere"}),
    "trainer": replace(DEFAULT.trainer, max_epochs=3),
    "finetune": {"_target_": "secateur.training.finetune.FineTuning", "modes": ["full"]},
    "downstream": DEFAULT.data,
    "extrapolation": {"_target_": "secateur.extrapolation.knn.KNN", "k": 3},
    "strategy": {"_target_": "secateur.training.distributed.strategy.DataParallel", "devices": 2},
}
NODES = (
    "retrain_model",
    "final_paradigm",
    "data",
    "model",
    "method",
    "score",
    "selection",
    "paradigm",
    "optim",
    "logger",
)


def other(key):
    return OTHERS[key] if key in OTHERS else {**getattr(DEFAULT, key), "more": 1}


def test_every_key_has_another_value():
    assert {*OTHERS, *NODES} == set(Experiment.model_fields)
    assert all(other(key) != getattr(DEFAULT, key) for key in Experiment.model_fields)


@pytest.mark.parametrize("key", list(Experiment.model_fields))
def test_a_key_enters_the_run_s_key_by_its_role(key):
    changed = run_key(DEFAULT.changed(**{key: other(key)}), "pool", {}) != run_key(DEFAULT, "pool", {})
    assert changed == (roles_of(Experiment)[key].key == "always")


@pytest.mark.parametrize("key", sorted(roles_of(TrainerSettings)))
def test_numerics_enter_the_key_of_every_training(key):
    values = {"max_epochs": 3, "precision": "bf16-mixed", "accelerator": "cpu", "num_threads": 2}
    value = values.get(key, 7 if key.endswith("_every") else not getattr(DEFAULT.trainer, key))
    config = DEFAULT.changed(trainer=replace(DEFAULT.trainer, **{key: value}))
    assert (stage_reads(config) != stage_reads(DEFAULT)) == roles_of(TrainerSettings)[key].numerics


@pytest.mark.parametrize("key", sorted(roles_of(DataKeys)))
def test_keys_of_a_data_set_enter_by_their_role(key):
    node = {**DEFAULT.data, key: None}
    with_value = {**node, key: 3}
    role = roles_of(DataKeys)[key].key
    assert (data_key(node) != data_key(with_value)) == (role != "never")
    assert (key in data_key(node)) == (role == "always")


def test_keys_of_a_data_set_are_arguments_of_one():
    known = {field.name for owner in (DataRecipe, TorchvisionData) for field in fields(owner)}
    assert set(roles_of(DataKeys)) <= known


def test_what_the_method_does_not_read_is_null():
    config = canonical(DEFAULT.changed(method={"_target_": "secateur.runs.methods.random.RandomSubset"}))
    assert config.pruning_ratio == 0.3
    unread = set(keys_with(read_by="method")) - {"pruning_ratio", "score_seed"}
    assert all(getattr(config, key) is None for key in (*unread, *keys_with(read_by="extrapolation")))
    full = canonical(DEFAULT.changed(method={"_target_": "secateur.runs.methods.full.FullData"}))
    assert (full.pruning_ratio, full.score_seed) == (0.0, None)


def test_a_record_s_configuration_comes_back():
    for config in (DEFAULT, canonical(DEFAULT), canonical(DEFAULT.changed(extrapolation=OTHERS["extrapolation"]))):
        assert Experiment.of(targeted(named(config.to_json())), recorded=True) == config


def test_keys_that_came_later_take_their_default_and_leave_the_key_as_it_was():
    later = [key for key in Experiment.model_fields if default_of(key) is not None]
    assert {"budget", "relabel", "check"} <= set(later)
    old = Experiment.of({key: value for key, value in VALUES.items() if key != "budget"}, recorded=True)
    assert old.budget == "epochs"
    assert "budget" not in old.to_json()
    assert run_key(old, "pool", {}) != run_key(DEFAULT, "pool", {})  # it was computed without it then


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", "3", "seed='3': input should be a valid integer."),
        ("seed", True, "seed=True: input should be a valid integer."),
        ("seed", 1.5, "seed=1.5: input should be a valid integer."),
        ("pruning_ratio", "0.3", "pruning_ratio='0.3': input should be a valid number."),
        ("score_seed", None, "score_seed=None: input should be a valid integer."),
        ("subset_fraction", None, "subset_fraction=None: input should be a valid number."),
        ("budget", "hours", "budget='hours': input should be 'epochs' or 'steps'."),
        ("force", "some", "force='some': input should be a valid boolean."),
        ("compare_with", "full", "compare_with='full': input should be a valid list."),
        ("fidelity", {"against": ["a"], "ratios": []}, "fidelity.against.0='a': input should be a valid integer."),
        ("scoring", {"max_epochs": 2.5, "optim": {}}, "scoring.max_epochs=2.5: input should be a valid integer."),
        ("scoring", {}, "scoring.max_epochs is missing."),
        ("trainer", {"max_epochs": "3"}, "trainer.max_epochs='3': input should be a valid integer."),
        ("trainer", {"epochs": 3}, "trainer.epochs is not a setting; there are max_epochs, precision"),
        ("trainer", {"max_epochs": 0}, "trainer.max_epochs must be at least 1, got 0."),
        ("data", None, "data=None: input should be a valid dictionary."),
        ("pruning_rato", 0.3, "pruning_rato is not a key of the configuration; nothing would read it."),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(key, value, message):
    with pytest.raises(ConfigError) as error:
        Experiment.of({**VALUES, key: value})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_null_is_for_what_a_recorded_method_does_not_read():
    values = {**VALUES, "score_seed": None, "score": None}
    assert Experiment.of(values, recorded=True).score is None
    with pytest.raises(ConfigError, match="score_seed=None"):
        Experiment.of(values)
    with pytest.raises(ConfigError, match="seed=None"):
        Experiment.of({**values, "seed": None}, recorded=True)


def test_a_key_that_every_configuration_has_is_missed():
    with pytest.raises(MissingKeyError, match="the configuration has no 'downstream'") as error:
        Experiment.of({key: value for key, value in VALUES.items() if key != "downstream"}, recorded=True)
    assert error.value.key == "downstream"


def test_the_recipe_of_the_final_training_and_what_decides_scores():
    final = {key for key in Experiment.model_fields if is_of_recipe(key)}
    assert {key for key in final if not is_of_recipe(key, full=True)} == {"budget"}
    assert final == {
        *("optim", "trainer", "data", "retrain_model", "final_paradigm", "downstream", "finetune", "budget"),
    }
    assert is_of_scores("trainer.precision")
    assert not is_of_scores("trainer.max_epochs")
    assert not any(map(is_of_scores, ("selection", "optim.lr", "merge", "subset_fraction", "downstream.name")))
    assert all(map(is_of_scores, ("score.window", "scoring.optim.lr", "extrapolation.k", "model.width")))


def test_settings_that_are_compared():
    config = {
        **VALUES,
        "data": {**DEFAULT.data, "root": "there", "crop_padding": 4, "split_seed": 3},
        "downstream": {"num_workers": 3, "name": "digits"},
        "budget": "epochs",
        "relabel": True,
    }
    flat = compared_settings(config)
    assert flat["data.crop_padding"] == 4
    assert flat["relabel"] is True
    assert flat["downstream.name"] == "digits"
    left_out = ("name", "seed", "score_seed", "pruning_ratio", "budget", "data.root", "data.split_seed", "force")
    assert not {*left_out, "downstream.num_workers", "trainer.accelerator", "trainer.num_threads"} & set(flat)
    assert not [key for key in flat if key.startswith(("paths", "logger", "strategy", "fidelity", "compare_with"))]


def test_what_lies_elsewhere_or_computes_may_be_set_anew():
    assert set(inner_keys_with(DataKeys, movable=True)) >= {"root", "extra", "num_workers"}
    assert set(inner_keys_with(TrainerSettings, movable=True)) == {"accelerator", "num_threads"}


def test_groups_are_folders_of_options():
    assert all((CONF / group.folder).is_dir() for group in groups().values())
    assert [key for key, group in groups().items() if group.part] == ["method", "score", "extrapolation", "selection"]
    presets = {path.parent.name for path in (CONF / "preset").rglob("*.yaml")}
    assert presets < {key for key, group in groups().items() if group.preset}


def test_a_role_says_what_is_special():
    assert roles_of(Experiment)["model"] == Role()


def test_the_schema_needs_neither_torch_nor_hydra():
    code = "import sys, secateur.runs.config; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "hydra", "omegaconf", "pytorch_lightning"} & set(loaded)
