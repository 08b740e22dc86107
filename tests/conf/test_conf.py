"""Every file of conf/ and sweeps/ composes, and agrees with the code it configures."""

import re

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.pipeline.config import resolve
from secateur.pipeline.paths import CONF, SWEEPS
from secateur.pipeline.validate import check_node

# groups whose files hold plain keys, merged into the root or into another group
PLAIN = {"ratio", "experiment", "variant", "preset", "trainer", "logger", "sweeps", "downstream", "hydra/launcher"}
GROUPS = {
    "data",
    "model",
    "method",
    "score",
    "selection",
    "paradigm",
    "optim",
    "extrapolation",
    "finetune",
    *PLAIN - {"sweeps"},
}
FILES = sorted(CONF.rglob("*.yaml"))
SWEEP_FILES = sorted(SWEEPS.rglob("*.yaml"))


def group_of(path):
    """Return the top-level group of a file: ``experiment`` for conf/experiment/demo/tdds.yaml."""
    parts = path.relative_to(CONF).parts if path.is_relative_to(CONF) else ("sweeps",)
    return "hydra/launcher" if parts[0] == "hydra" else parts[0]


def option_of(path):
    """Return the override that selects a file: ``experiment=demo/tdds``."""
    option = path.relative_to(CONF / group_of(path) if path.is_relative_to(CONF) else SWEEPS)
    return f"{group_of(path)}={option.with_suffix('').as_posix()}"


def name_of(path):
    return path.relative_to((CONF if path.is_relative_to(CONF) else SWEEPS).parent).as_posix()


OPTIONS = [path for path in FILES if path.parent != CONF and group_of(path) != "preset"] + SWEEP_FILES
NONE = [path for path in OPTIONS if path.stem == "none"]  # the option that turns a group off
LEAVES = [path for path in OPTIONS if group_of(path) not in PLAIN and path not in NONE]
PRESETS = [path for path in FILES if group_of(path) == "preset"]


@pytest.fixture(autouse=True)
def hydra():
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield
    GlobalHydra.instance().clear()


def composed(*overrides):
    return compose("config", [f"hydra.searchpath=[file://{SWEEPS.parent}]", *overrides])


def nodes(config, path=""):
    """Yield every part of a configuration with a ``_target_``, and where it stands."""
    for key, value in config.items() if isinstance(config, dict) else ():
        if isinstance(value, dict):
            if "_target_" in value:
                yield f"{path}{key}", value
            yield from nodes(value, f"{path}{key}.")


# -- what is there -------------------------------------------------------------------------------------------------


def test_every_group_was_seen():
    folders = {path.name for path in CONF.iterdir() if any(path.rglob("*.yaml"))}
    groups = {group_of(path) for path in FILES if path.parent != CONF}
    assert groups >= GROUPS
    assert {group.split("/")[0] for group in groups} == folders
    deep = {path.relative_to(CONF).parts[:2] for path in FILES if len(path.relative_to(CONF).parts) > 2}
    assert {("experiment", "demo"), ("preset", "score")} <= deep
    assert len(OPTIONS) > 80
    assert len(SWEEP_FILES) > 0
    assert len(PRESETS) > 0


@pytest.mark.parametrize("path", FILES + SWEEP_FILES, ids=name_of)
def test_every_file_begins_with_a_comment(path):
    lines = [line for line in path.read_text().splitlines() if line != "# @package _global_"]
    assert re.match(r"# \w", lines[0]) or group_of(path) == "ratio"


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_a_leaf_has_exactly_one_target(path):
    assert OmegaConf.load(path)["_target_"].startswith("secateur.")
    assert len(re.findall(r"^_target_:", path.read_text(), re.MULTILINE)) == 1


def test_every_data_set_can_be_the_downstream_one():
    names = {path.stem for path in FILES if group_of(path) == "data"}
    assert {path.stem for path in FILES if group_of(path) == "downstream"} == names | {"none"}
    for name in names:
        config = composed(f"downstream={name}", f"data={name}", "finetune=both")
        assert config.downstream == config.data


@pytest.mark.parametrize("path", NONE, ids=name_of)
def test_none_turns_a_group_off(path):
    assert composed(option_of(path))[group_of(path)] is None


@pytest.mark.parametrize("path", [p for p in FILES if group_of(p) in PLAIN - {"hydra/launcher"}], ids=name_of)
def test_the_other_groups_have_none(path):
    assert "_target_" not in path.read_text()


# -- that it composes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_every_option_composes(path):
    mandatory = [f"{key}=given" for key in OmegaConf.missing_keys(composed(option_of(path)))]
    config = resolve(composed(option_of(path), *mandatory))
    checked = [where for where, node in nodes(config) if check_node(where, node) is None]
    assert {"data", "model", "method", "score", "selection", "optim", "scoring.optim", "retrain_model"} <= set(checked)
    if path in LEAVES:
        written, there = OmegaConf.load(path), set(config[group_of(path)])
        assert set(written) - {"defaults"} <= there
        assert "defaults" in written or set(written) == there


@pytest.mark.parametrize("path", PRESETS, ids=name_of)
def test_a_preset_names_an_option_a_variant_and_keys_that_exist(path):
    group = path.parent.name
    names = [file.stem for file in (CONF / group).glob("*.yaml") if path.stem.startswith(f"{file.stem}_")]
    name = max(names, key=len)
    variant = path.stem.removeprefix(f"{name}_")
    assert (CONF / "variant" / f"{variant}.yaml").is_file()
    preset = OmegaConf.load(path)
    assert set(preset) <= set(OmegaConf.load(CONF / group / f"{name}.yaml")) - {"_target_"}
    config = composed(f"{group}={name}", f"variant={variant}")
    assert {key: config[group][key] for key in preset} == preset


@pytest.mark.parametrize("path", [p for p in FILES if group_of(p) == "ratio"], ids=name_of)
def test_a_ratio_is_named_after_its_percentage_and_wins(path):
    assert composed(option_of(path)).pruning_ratio == pytest.approx(int(path.stem[1:]) / 100)


def test_the_root_comes_first_and_the_command_line_last():
    assert composed().pruning_ratio == 0.3
    assert composed("ratio=r50").pruning_ratio == 0.5
    assert composed("ratio=r50", "pruning_ratio=0.7").pruning_ratio == 0.7


def test_the_final_model_and_recipe_default_to_the_measuring_ones():
    config = resolve(composed("model=resnet8", "optim=sgd"))
    assert config["retrain_model"] == config["model"]
    assert config["scoring"]["optim"] == config["optim"]
    assert config["final_paradigm"] == config["paradigm"]


def test_they_can_be_chosen_apart():
    config = resolve(composed("model=resnet8", "model@retrain_model=resnet20", "optim@scoring.optim=sgd"))
    assert config["retrain_model"]["layers"] == [3, 3, 3]
    assert config["model"]["layers"] == [1, 1, 1]
    assert config["scoring"]["optim"]["batch_size"] != config["optim"]["batch_size"]


# -- that mistakes are refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("override", ["sead=1", "trainer.max_epoch=3", "optim.lrr=0.1", "score.windo=3", "data.rot=x"])
def test_a_misspelt_key_is_refused(override):
    with pytest.raises(ConfigCompositionException, match="Could not override"):
        composed(override)


def test_a_key_added_by_force_fits_no_signature():
    config = resolve(composed("+score.windo=3"))
    with pytest.raises(ConfigError, match=r"score\.windo is not an argument of secateur\.scores"):
        check_node("score", config["score"])


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("score.window=ten", r"score\.window='ten': input should be a valid integer"),
        ("score.window=2.5", r"score\.window=2\.5"),
        ("~score.window", None),
        ("score._target_=secateur.scores.nothing.Nothing", "cannot be imported"),
    ],
)
def test_a_wrong_value_is_refused(override, complaint):
    node = resolve(composed(override))["score"]
    if complaint is None:  # what is left out takes the signature's default
        check_node("score", node)
    else:
        with pytest.raises(ConfigError, match=complaint):
            check_node("score", node)


def test_a_missing_argument_is_refused_unless_the_pipeline_gives_it():
    node = resolve(composed())["model"]
    check_node("model", node)
    with pytest.raises(ConfigError, match="lacks width"):
        check_node("model", {key: value for key, value in node.items() if key != "width"})
    with pytest.raises(ConfigError, match="lacks in_channels, num_classes"):
        check_node("model", {**node, "_partial_": False})


# -- launchers -----------------------------------------------------------------------------------------------------

LAUNCHERS = [path for path in FILES if group_of(path) == "hydra/launcher"]


@pytest.mark.parametrize("path", LAUNCHERS, ids=name_of)
def test_a_launcher_s_keys_are_those_of_the_plugin(path):
    from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

    node = compose("config", [option_of(path)], return_hydra_config=True).hydra.launcher
    assert set(node) - {"python"} == set(OmegaConf.structured(SlurmQueueConf))
    assert node.timeout_min >= 30  # below, submitit takes every preemption for a time-out
    assert node.max_num_timeout > 0


def test_where_a_run_is_launched_is_no_part_of_its_configuration():
    plain, slurm = composed(), composed("hydra/launcher=slurm", "hydra.launcher.partition=gpu")
    assert resolve(plain) == resolve(slurm)
