"""Everything a configuration can tell before anything starts."""

import inspect
import os
from pathlib import Path
from typing import Any, Literal, get_type_hints

import torch
from hydra.utils import get_object
from omegaconf import DictConfig
from pydantic import ConfigDict, TypeAdapter, ValidationError

from secateur.core.errors import ConfigError
from secateur.core.mask import check_pruning_ratio
from secateur.core.tables import BASE_COLUMNS
from secateur.pipeline.comparison import check_baselines
from secateur.pipeline.config import Config, build, method_class, resolve, targets
from secateur.scores.base import Score
from secateur.training.fit import TrainerSettings

DYNAMICS_COLUMNS = ("mean_probability", "std_probability", "aum")
# Given by the pipeline when it builds a partial.
SUPPLIED = {"model", "recipe", "num_epochs", "seed", "sampling", "num_classes", "in_channels"}
ROOT_TYPES: dict[str, Any] = {
    "name": str,
    "pruning_ratio": float,
    "seed": int,
    "score_seed": int,
    "force": bool | Literal["all"] | None,
    "compare_with": list[str],
    "scoring.max_epochs": int,
    "scoring.record": Literal["train_forward", "eval_pass"],
    "paths.output_dir": str,
}
ROOT_KEYS = {
    *("data", "model", "retrain_model", "method", "score", "variant", "selection", "paradigm", "final_paradigm"),
    *("optim", "trainer", "logger", "name", "pruning_ratio", "seed", "score_seed", "force", "compare_with"),
    *("scoring", "paths"),
}


def validate(cfg: DictConfig) -> Config:
    """Check a composed configuration and return it resolved.

    Raises:
        ConfigError: it cannot work; one line that says what, what was got, what is allowed.
        DataError: the data set cannot be there.
    """
    config = resolve(cfg)
    _check_trainer(config["trainer"])
    _check_root(config)
    for path, node in targets(config):
        check_node(path, node)
    build(config["data"]).check()
    build(config["optim"]).check_epochs(config["trainer"]["max_epochs"])
    build(config["method"])
    if "score" in method_class(config).reads:
        _check_scoring(config)
    return config


def check_node(path: str, node: Config) -> None:
    """Check that a node's keys and values fit its ``_target_``'s signature.

    Raises:
        ConfigError: the target does not exist, a key is unknown or missing, or a value has the wrong type.
    """
    try:
        target = get_object(node["_target_"])
    except Exception as error:
        raise ConfigError(f"{path}._target_={node['_target_']} cannot be imported: {error}") from error
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    given = {key: value for key, value in node.items() if not key.startswith("_")}
    for key, value in given.items():
        if key not in parameters:
            raise ConfigError(f"{path}.{key} is not an argument of {node['_target_']}; it has {', '.join(parameters)}.")
        if not (isinstance(value, dict) and "_target_" in value):  # a nested node is checked by itself
            check_type(f"{path}.{key}", value, hints.get(key, Any))
    required = {
        name
        for name, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    missing = sorted(required - set(given) - (SUPPLIED if node.get("_partial_") else set()))
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(missing)}, needed by {node['_target_']}.")


def check_type(key: str, value: Any, annotation: Any) -> None:
    """Check a value against a type annotation; text is never taken for a number.

    Raises:
        ConfigError: the value has another type; the message names the key.
    """
    try:
        TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value, strict=True)
    except ValidationError as error:
        detail = error.errors()[0]
        raise ConfigError(f"{key}={value!r}: {detail['msg'].lower()}.") from error


def _check_root(config: Config) -> None:
    for key, annotation in ROOT_TYPES.items():
        check_type(key, _get(config, key), annotation)
    for key in ("seed", "score_seed"):
        if config[key] < 0:
            raise ConfigError(f"{key} must not be negative, got {config[key]}.")
    if not config["name"] or "/" in config["name"] or config["name"].startswith("."):
        raise ConfigError(f"name is a folder name and may not be empty, hidden or contain '/': got {config['name']!r}.")
    unknown = sorted(set(config) - ROOT_KEYS)
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a key of the configuration; nothing would read it.")
    _check_output_dir(config["paths"]["output_dir"])
    check_pruning_ratio(config["pruning_ratio"])
    check_baselines(config["compare_with"])


def _check_output_dir(output_dir: str) -> None:
    """Check that results can be written; makes nothing."""
    if not output_dir.strip():
        raise ConfigError("paths.output_dir is empty; give a folder.")
    folder = Path(output_dir).absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"paths.output_dir={output_dir} cannot be used: {nearest} is not a writable folder.")


def _check_trainer(node: Config) -> None:
    hints, parameters = get_type_hints(TrainerSettings), inspect.signature(TrainerSettings).parameters
    for key, value in node.items():
        if key not in parameters:
            raise ConfigError(f"trainer.{key} is not a setting; there are {', '.join(parameters)}.")
        check_type(f"trainer.{key}", value, hints[key])
    settings = TrainerSettings(**node)
    if settings.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError(
            "trainer.accelerator=gpu, but this machine has no GPU that PyTorch can use; take auto or cpu."
        )


def _check_scoring(config: Config) -> None:
    """Check the scorer against the length of its training, and the selection against the scorer's columns."""
    if config["scoring"]["max_epochs"] < 1:
        raise ConfigError(f"scoring.max_epochs must be at least 1, got {config['scoring']['max_epochs']}.")
    build(config["scoring"]["optim"]).check_epochs(config["scoring"]["max_epochs"])
    score = build(config["score"])
    if not isinstance(score, Score):
        raise ConfigError(f"{config['score']['_target_']} is not a secateur.scores.base.Score.")
    score.setup(1, config["scoring"]["max_epochs"])
    selection = build(config["selection"])
    if hasattr(selection, "check"):
        selection.check(config["pruning_ratio"], score.signed)
    there = {*BASE_COLUMNS, *DYNAMICS_COLUMNS}
    lacking = [column for column in selection.needs if column not in there]
    if lacking:
        raise ConfigError(
            f"selection needs the column {lacking[0]!r}, but scores come with {', '.join(sorted(there))}."
        )


def _get(config: Config, path: str) -> Any:
    for part in path.split("."):
        config = config[part]
    return config
