"""Every file of conf/ composes, and agrees with the code it configures. The folder is walked: a new group is found.

The files of sweeps/ are tested in test_sweeps.py.
"""

import inspect
import re
from collections import Counter
from functools import cache

import pytest
from hydra.errors import ConfigCompositionException
from hydra.utils import get_object
from omegaconf import OmegaConf

from secateur.core.errors import ConfigError
from secateur.runs.compose import resolve
from secateur.runs.nodes import targets
from secateur.runs.paths import CONF
from secateur.runs.validate import check_node

FILES = sorted(path for path in CONF.rglob("*.yaml") if path.parent != CONF)
PRESETS = [path for path in FILES if path.is_relative_to(CONF / "preset")]  # chosen by variant=, not by themselves
OPTIONS = [path for path in FILES if path not in PRESETS]


def group_of(path):
    """Return the group of a file: ``experiment`` of conf/experiment/demo/tdds.yaml, ``hydra/launcher``."""
    first, *rest = path.relative_to(CONF).parts
    return f"{first}/{rest[0]}" if first == "hydra" else first


def option_of(path):
    """Return the override that selects a file: ``experiment=demo/tdds``."""
    return f"{group_of(path)}={path.relative_to(CONF / group_of(path)).with_suffix('').as_posix()}"


def name_of(path):
    return path.relative_to(CONF.parent).as_posix()


@cache
def written(path):
    """Return a file's own keys."""
    return OmegaConf.load(path)


NONE = [path for path in OPTIONS if path.stem == "none"]  # the option that turns a group off
SETTINGS = [path for path in OPTIONS if path not in NONE]
TARGETED = {group_of(path) for path in SETTINGS if "_target_" in written(path)}  # groups that build an object
LEAVES = [path for path in SETTINGS if group_of(path) in TARGETED]
OURS = {"data", "model", "method", "score", "selection", "paradigm", "optim", "extrapolation", "finetune"}
PLAIN = {"experiment", "ratio", "variant", "trainer", "downstream"}  # keys merged into the root or into another group


# -- what is there -------------------------------------------------------------------------------------------------


def test_every_folder_was_seen():
    folders = {path for path in CONF.rglob("*") if path.is_dir()}
    seen = {parent for path in FILES for parent in path.parents}
    assert folders <= seen, f"no options in {sorted(map(str, folders - seen))}"


def test_every_group_has_options_and_stands_in_the_root(composed):
    options = Counter(map(group_of, OPTIONS))
    assert len(OPTIONS) > 150
    assert min(options.values()) > 0
    chosen = {key.split("@")[0] for key in composed(whole=True).hydra.runtime.choices}
    assert set(options) <= chosen, "a folder of conf/ that no defaults list of conf/config.yaml names"
    assert PRESETS


def test_a_group_builds_objects_or_does_not():
    assert OURS <= TARGETED
    assert not PLAIN & TARGETED
    mixed = [name_of(path) for path in LEAVES if not {"_target_", "defaults"} & set(written(path))]
    assert mixed == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_begins_with_a_comment(path):
    lines = [line for line in path.read_text().splitlines() if line != "# @package _global_"]
    assert re.match(r"# \w", lines[0]) or group_of(path) == "ratio"


@pytest.mark.parametrize("path", [path for path in LEAVES if "/" not in group_of(path)], ids=name_of)
def test_a_leaf_has_exactly_one_target(path):
    assert written(path)["_target_"].startswith("secateur.")
    assert len(re.findall(r"^_target_:", path.read_text(), re.MULTILINE)) == 1


@pytest.mark.parametrize("path", [path for path in FILES if path not in LEAVES], ids=name_of)
def test_the_others_have_none(path):
    assert "_target_" not in path.read_text()


def test_every_data_set_can_be_the_downstream_one():
    names = {path.stem for path in FILES if group_of(path) == "data"}
    assert {path.stem for path in FILES if group_of(path) == "downstream"} == names | {"none"}


# -- that it composes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPTIONS, ids=name_of)
def test_every_option_composes(path, composed):
    cfg = composed(option_of(path), whole="/" in group_of(path))
    if "/" in group_of(path):  # a launcher, which Hydra itself builds
        return check_hydra_node(cfg, group_of(path))
    for key in OmegaConf.missing_keys(cfg):
        OmegaConf.update(cfg, key, "given")
    config = resolve(cfg).to_json()
    if path in NONE:
        assert config[group_of(path)] is None
    elif group_of(path) == "downstream":
        data = written(CONF / "data" / path.name)
        assert config["downstream"] == OmegaConf.to_container(data, resolve=True)
    checked = [where for where, node in targets(config) if check_node(where, node) is None]
    assert {"data", "model", "method", "score", "selection", "optim", "scoring.optim", "retrain_model"} <= set(checked)
    if path in LEAVES:
        assert group_of(path) in checked
        keys, there = set(written(path)), set(config[group_of(path)])
        assert keys - {"defaults"} <= there
        assert "defaults" in keys or keys == there
    return None


def check_hydra_node(cfg, group):
    """Check that a node of Hydra's own has a target that exists and takes its keys."""
    node = OmegaConf.to_container(OmegaConf.select(cfg, group.replace("/", ".")), resolve=True)
    keys = {key: value for key, value in node.items() if not key.startswith("_")}
    inspect.signature(get_object(node["_target_"])).bind(**keys)


@pytest.mark.parametrize("path", PRESETS, ids=name_of)
def test_a_preset_names_an_option_a_variant_and_keys_that_exist(path, composed):
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
def test_a_ratio_is_named_after_its_percentage_and_wins(path, composed):
    assert composed(option_of(path)).pruning_ratio == pytest.approx(int(path.stem[1:]) / 100)


def test_the_root_comes_first_and_the_command_line_last(composed):
    assert composed().pruning_ratio == 0.3
    assert composed("ratio=r50").pruning_ratio == 0.5
    assert composed("ratio=r50", "pruning_ratio=0.7").pruning_ratio == 0.7


def test_the_final_model_and_recipe_default_to_the_measuring_ones(composed):
    config = resolve(composed("model=resnet8", "optim=sgd")).to_json()
    assert config["retrain_model"] == config["model"]
    assert config["scoring"]["optim"] == config["optim"]
    assert config["final_paradigm"] == config["paradigm"]


def test_they_can_be_chosen_apart(composed):
    config = resolve(composed("model=resnet8", "model@retrain_model=resnet20", "optim@scoring.optim=sgd")).to_json()
    assert config["retrain_model"]["layers"] == [3, 3, 3]
    assert config["model"]["layers"] == [1, 1, 1]
    assert config["scoring"]["optim"]["batch_size"] != config["optim"]["batch_size"]


# -- that mistakes are refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("override", ["sead=1", "trainer.max_epoch=3", "optim.lrr=0.1", "score.windo=3", "data.rot=x"])
def test_a_misspelt_key_is_refused(override, composed):
    with pytest.raises(ConfigCompositionException, match="Could not override"):
        composed(override)


def test_a_key_added_by_force_fits_no_signature(composed):
    config = resolve(composed("+score.windo=3")).to_json()
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
def test_a_wrong_value_is_refused(override, complaint, composed):
    node = resolve(composed(override)).score
    if complaint is None:  # what is left out takes the signature's default
        check_node("score", node)
    else:
        with pytest.raises(ConfigError, match=complaint):
            check_node("score", node)


def test_a_missing_argument_is_refused_unless_the_pipeline_gives_it(composed):
    node = resolve(composed()).model
    check_node("model", node)
    with pytest.raises(ConfigError, match="lacks width"):
        check_node("model", {key: value for key, value in node.items() if key != "width"})
    with pytest.raises(ConfigError, match="lacks in_channels, num_classes"):
        check_node("model", {**node, "_partial_": False})


# -- launchers -----------------------------------------------------------------------------------------------------

LAUNCHERS = [path for path in FILES if group_of(path) == "hydra/launcher"]


@pytest.mark.parametrize("path", LAUNCHERS, ids=name_of)
def test_a_launcher_s_keys_are_those_of_the_plugin(path, composed):
    from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf

    node = composed(option_of(path), whole=True).hydra.launcher
    assert set(node) - {"python"} == set(OmegaConf.structured(SlurmQueueConf))
    assert node.timeout_min >= 30  # below, submitit takes every preemption for a time-out
    assert node.max_num_timeout > 0


def test_where_a_run_is_launched_is_no_part_of_its_configuration(composed):
    plain, slurm = composed(), composed("hydra/launcher=slurm", "hydra.launcher.partition=gpu")
    assert resolve(plain) == resolve(slurm)
