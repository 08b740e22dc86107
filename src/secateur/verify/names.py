"""What a record calls its parts, told from its configuration alone: options, networks, label, data sets."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from secateur.core.errors import DataError
from secateur.core.names import TARGET, name_of, short_name
from secateur.core.record import RunRecord, label_of
from secateur.runs.compose import compose_node, search_path
from secateur.runs.config import Experiment, Node, parts
from secateur.runs.naming import choices_of_parts, exact_options, is_shipped, model_names, options_of
from secateur.runs.paths import CONF


def names_from_config(record: RunRecord, config: Experiment, user_conf: Path | None = None) -> dict[str, str]:
    """Return the option that each group of a record's configuration was set to, as far as the configuration tells.

    A recorded name is believed only where it is an option of the node's ``_target_``, and no other option is exactly
    this node. Where no option has the target, a class of the user's own, the recorded name stands unless it is that of
    a shipped option.

    Args:
        record: the record.
        config: its configuration.
        user_conf: folder of the user's own options, as ``--config-dir``.
    """
    recorded, models = record.pruning, record.models
    found = {
        key: _option(key, getattr(config, key), getattr(recorded, key), config.variant, user_conf) for key in parts()
    }
    scoring = models.scoring or (models.final if config.retrain_model == config.model else None)
    found["model"] = _option("model", config.model, scoring, config.variant, user_conf)
    found["model@retrain_model"] = _option("model", config.retrain_model, models.final, config.variant, user_conf)
    return {key: name for key, name in found.items() if name}


def name_problems(record: RunRecord, config: Experiment, names: Mapping[str, str]) -> Iterator[str]:
    """Yield every name in run.json that its configuration contradicts.

    Args:
        record: the record.
        config: its configuration.
        names: what :func:`names_from_config` returned.
    """
    pruning = choices_of_parts(config, names)
    said = {f"pruning.{key}": (getattr(record.pruning, key), name) for key, name in pruning.items()}
    networks = model_names(config, names)
    said |= {f"models.{key}": (getattr(record.models, key), name) for key, name in networks.items()}
    said["select_on"] = (record.select_on, config.select_on)
    if named := config.data.get("name"):
        said["data.name"] = (record.data.name, named)
    for key, (recorded, expected) in said.items():
        if recorded != expected:
            yield f"run.json: {key} is {recorded}, but its config says {expected}{_hint(key, recorded)}"
    try:
        label = label_of(record.pruning, record.select_on)
    except DataError:  # it names no method, which was said above
        return
    if record.label != label:
        yield f"run.json: label is {record.label}, but its names give {label}"


def _hint(key: str, recorded: str | None) -> str:
    group = "model" if key.startswith("models.") else key.removeprefix("pruning.")
    unknown = key.startswith(("models.", "pruning.")) and recorded and not is_shipped(group, recorded)
    return " (an option of your own? then add --config-dir)" if unknown else ""


def _option(
    group: str, node: Node | None, recorded: str | None, variant: str | None, user_conf: Path | None
) -> str | None:
    """Return the option that a node is; the recorded one wherever it may be true."""
    if not node:
        return None
    target = node[TARGET]
    if recorded == node.get("architecture") and recorded:
        return recorded  # such networks are called by it
    options = options_of(group, target)
    if recorded and recorded not in options and _is_users(group, recorded, target, user_conf):
        return recorded
    if not options:  # a class of the user's own
        return recorded if recorded and not is_shipped(group, recorded) else short_name(name_of(target))
    if len(options) == 1:
        return options[0]
    exact = exact_options(group, node, variant)
    if recorded in options and (not exact or recorded in exact):
        return recorded
    return exact[0] if exact else options[0]


def _is_users(group: str, name: str, target: str, user_conf: Path | None) -> bool:
    """Whether the user has an option of this name and class; a shipped one of that name comes first."""
    if user_conf is None or is_shipped(group, name) or not (user_conf / group / f"{name}.yaml").is_file():
        return False
    found = compose_node(CONF, group, "config", [f"{group}={name}", search_path([user_conf.resolve()])])
    return bool(found.get(TARGET) == target)
