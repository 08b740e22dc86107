"""Names of a run's parts: the shipped option that each node of the configuration is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from secateur.core.names import name_of, short_name
from secateur.runs.config import Config
from secateur.runs.paths import conf_folder

Choices = Mapping[str, str]  # the option that each group was set to
PARTS = ("method", "score", "extrapolation", "selection")
# The option that was chosen, beside the group it is of and the node it made.
NAMED = {
    **{key: (key, key) for key in PARTS},
    "model": ("model", "model"),
    "model@retrain_model": ("model", "retrain_model"),
}


def choice(config: Config, node: str, choices: Choices) -> str | None:
    """Return the option a group was set to (without Hydra: its ``_target_``'s module), or None when unused."""
    if (value := config.get(node)) is None:
        return None
    return choices.get(node) or short_name(name_of(value["_target_"]))


def model_names(config: Config, choices: Choices) -> dict[str, str | None]:
    """Return the ``models`` block: the measuring network (None when nothing is measured) and the final one."""
    measuring = _model_name(config["model"], choices.get("model"))
    same = config["retrain_model"] == config["model"]
    final = measuring if same else _model_name(config["retrain_model"], choices.get("model@retrain_model"))
    measures = config["scoring"] is not None or "optim" in config["method"]  # a score, or joint pruning
    return {"scoring": measuring if measures else None, "final": final}


def _model_name(node: Config, option: str | None) -> str:
    return str(node.get("architecture") or option or short_name(name_of(node["_target_"])))


def exact_choices(config: Config, choices: Mapping[str, str]) -> dict[str, str]:
    """Return the options of a run, each called what its node is, however it was asked for.

    A node that equals another shipped option of its class, and not the one that was typed, is called by the other
    name: both ways of asking for it are one run with one key. Options of the user's own keep their name.

    Args:
        config: the canonical configuration.
        choices: the option each group was set to.
    """
    renamed = {key: _name(group, choices.get(key), config.get(node), config) for key, (group, node) in NAMED.items()}
    return {**choices, **{key: name for key, name in renamed.items() if name}}


def _name(group: str, typed: str | None, node: Any, config: Config) -> str | None:
    if not typed or not node or not is_shipped(group, typed):
        return typed
    options = options_of(group, node["_target_"])
    if len(options) < 2 or composed(group, typed, config.get("variant")) == node:
        return typed  # nearly every run: it costs no look at the other options
    exact = exact_options(group, node, config.get("variant"))
    return exact[0] if exact else typed


def is_shipped(group: str, name: str) -> bool:
    """Whether a group has an option of a name that comes with Secateur."""
    return (conf_folder() / group / f"{name}.yaml").is_file()


def options_of(group: str, target: str) -> list[str]:
    """Return the shipped options of a class."""
    return [name for name, of in _targets(conf_folder(), group) if of == target]


def exact_options(group: str, node: Config, variant: str | None) -> list[str]:
    """Return the shipped options that a node equals in every key."""
    return [name for name in options_of(group, node["_target_"]) if composed(group, name, variant) == node]


def composed(group: str, name: str, variant: str | None) -> Config:
    """Return a shipped option's node with the preset of its variant; empty where it cannot be composed."""
    node = deepcopy(_composed(conf_folder(), group, name))
    preset = conf_folder() / "preset" / group / f"{name}_{variant}.yaml"
    return {**node, **plain(OmegaConf.load(preset))} if preset.is_file() else node


def compose_node(conf: Path, group: str, config_name: str, overrides: list[str] | None = None) -> Config:
    """Return a group's node in a configuration, defaults filled in; empty where it cannot be composed.

    Args:
        conf: folder of the configuration.
        group: the group.
        config_name: what to compose.
        overrides: as on the command line.
    """
    try:
        with _own_hydra(), initialize_config_dir(version_base="1.3", config_dir=str(conf)):
            return plain(compose(config_name, overrides or []).get(group))
    except (HydraException, OmegaConfBaseException):
        return {}


def plain(config: Any) -> Config:
    """Return a configuration as plain values, interpolations as they are; empty where it is not a mapping."""
    found: Any = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else None
    return found if isinstance(found, dict) else {}


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Leave the Hydra that runs this job as it is: there is one for the whole process."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = before


@lru_cache(maxsize=64)
def _targets(conf: Path, group: str) -> tuple[tuple[str, str | None], ...]:
    paths = sorted((conf / group).glob("*.yaml"))
    return tuple((path.stem, plain(OmegaConf.load(path)).get("_target_")) for path in paths)


@lru_cache(maxsize=256)
def _composed(conf: Path, group: str, name: str) -> Config:
    """Compose an option; one without a list of defaults is its own file, which takes no composing."""
    node = plain(OmegaConf.load(conf / group / f"{name}.yaml"))
    return compose_node(conf, group, f"{group}/{name}") if "defaults" in node else node
