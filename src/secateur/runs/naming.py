"""Names of a run's parts: the shipped option that each node of the configuration is."""

from collections.abc import Mapping
from copy import deepcopy

from secateur.core.names import TARGET, name_of, short_name
from secateur.runs.compose import load_yaml, option_node, targets_of
from secateur.runs.config import Config, Experiment, Node, groups, parts
from secateur.runs.paths import conf_folder

Choices = Mapping[str, str]  # the option that each group was set to


def choice(config: Experiment, key: str, choices: Choices) -> str | None:
    """Return the option that a node was set to (without Hydra: its class's short name), or None when unused."""
    node: Node | None = getattr(config, key)
    return None if node is None else choices.get(key) or short_name(name_of(node[TARGET]))


def choices_of_parts(config: Experiment, choices: Choices) -> dict[str, str | None]:
    """Return the option of every part of a run's label; None for one that the run does not have."""
    return {key: choice(config, key, choices) for key in parts()}


def model_names(config: Experiment, choices: Choices) -> dict[str, str | None]:
    """Return the ``models`` block: the scoring network (None when nothing is scored) and the final one."""
    scoring = _model_name(config.model, choices.get("model"))
    same = config.retrain_model == config.model
    final = scoring if same else _model_name(config.retrain_model, choices.get("model@retrain_model"))
    scores = config.scoring is not None or "optim" in config.method  # a score, or joint pruning
    return {"scoring": scoring if scores else None, "final": final}


def _model_name(node: Node, option: str | None) -> str:
    return str(node.get("architecture") or option or short_name(name_of(node[TARGET])))


def exact_choices(config: Experiment, choices: Choices) -> dict[str, str]:
    """Return the options of a run, each called what its node is, however it was asked for.

    A node that equals another shipped option of its class, and not the one that was typed, is called by the other
    name: both ways of asking for it are one run with one key. Options of the user's own keep their name.

    Args:
        config: the canonical configuration.
        choices: the option each group was set to.
    """
    renamed = {}
    for key, group in groups().items():
        if group.part or group.folder == "model":
            renamed[group.name] = _name(group.folder, choices.get(group.name), getattr(config, key), config.variant)
    return {**choices, **{key: name for key, name in renamed.items() if name}}


def _name(group: str, typed: str | None, node: Node | None, variant: str | None) -> str | None:
    if not typed or not node or not is_shipped(group, typed):
        return typed
    options = options_of(group, node[TARGET])
    if len(options) < 2 or composed(group, typed, variant) == node:
        return typed  # nearly every run: it costs no look at the other options
    exact = exact_options(group, node, variant)
    return exact[0] if exact else typed


def is_shipped(group: str, name: str) -> bool:
    """Whether a group has an option of a name that comes with Secateur."""
    return (conf_folder() / group / f"{name}.yaml").is_file()


def options_of(group: str, target: str) -> list[str]:
    """Return the shipped options of a class."""
    return [name for name, of in targets_of(conf_folder(), group) if of == target]


def exact_options(group: str, node: Node, variant: str | None) -> list[str]:
    """Return the shipped options that a node equals in every key."""
    return [name for name in options_of(group, node[TARGET]) if composed(group, name, variant) == node]


def composed(group: str, name: str, variant: str | None) -> Config:
    """Return a shipped option's node with the preset of its variant; empty where it cannot be composed."""
    node = deepcopy(option_node(conf_folder(), group, name))
    preset = conf_folder() / "preset" / group / f"{name}_{variant}.yaml"
    return {**node, **load_yaml(preset)} if preset.is_file() else node
