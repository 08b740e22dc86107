"""Keys of runs and stages: what of a configuration can change a result."""

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from secateur.core.hashing import content_key
from secateur.core.names import named
from secateur.runs.config import Config, DataKeys, Experiment, Node, groups, inner_keys_with, keys_with, plain
from secateur.runs.nodes import class_of, method_class, shared, targets
from secateur.runs.paths import conf_folder
from secateur.training.settings import TrainerSettings


def canonical(config: Experiment) -> Experiment:
    """Return the configuration with what its method does not read set to null (the ratio to 0)."""
    reads = method_class(config).reads
    unused: dict[str, Any] = {key: None for key in keys_with(read_by="method") if key not in reads}
    if "pruning_ratio" in unused:
        unused["pruning_ratio"] = 0.0
    if unused.get("extrapolation", config.extrapolation) is None:
        unused.update(dict.fromkeys(("extrapolation", *keys_with(read_by="extrapolation"))))
    return config.changed(**unused)


def without_idle_variant(config: Experiment, choices: Mapping[str, str]) -> Experiment:
    """Return the configuration with ``variant: reference`` where no preset of the asked variant exists.

    Such a variant changes nothing, so the run must be the reference's own.
    """
    conf, variant = conf_folder(), config.variant
    with_presets = [group.name for group in groups().values() if group.preset and group.name != "variant"]
    presets = [conf / "preset" / group / f"{choices.get(group)}_{variant}.yaml" for group in with_presets]
    shipped = all((conf / group / f"{choices.get(group)}.yaml").is_file() for group in with_presets)
    if variant in (None, "reference") or not shipped or any(path.is_file() for path in presets):
        return config
    return config.changed(variant="reference")


def run_key(config: Experiment, fingerprint: str, versions: Mapping[str, int]) -> str:
    """Return the key of a run, 12 hex digits.

    Args:
        config: a :func:`canonical` configuration.
        fingerprint: the pool's fingerprint.
        versions: ``VERSION`` of every stage.
    """
    left_out = keys_with(key="never")
    kept = {key: value for key, value in config.to_json().items() if key not in left_out}
    for node in ("data", "downstream"):
        kept[node] = kept[node] and data_key(kept[node])
    kept["trainer"] = {**kept["trainer"], **normalizing(config)}
    parts = {"config": named(kept), "pool": fingerprint, "versions": dict(versions), **foreign_code(kept)}
    return content_key(parts, 12)


def foreign_code(node: Any) -> dict[str, dict[str, str]]:
    """Return ``{"code": {module: hash of its source}}`` of what a node's targets take from outside Secateur.

    Empty when there is nothing of the kind. An edited scorer of the user's own thus never finds its old results.
    """
    modules = {sys.modules[class_of(found).__module__] for _, found in targets(node)}
    own = {module.__name__: module for module in modules if module.__name__.split(".")[0] != "secateur"}
    return {"code": {name: content_key(inspect.getsource(module), 16) for name, module in own.items()}} if own else {}


def stage_reads(config: Experiment, **nodes: Any) -> Config:
    """Return what a stage that trains reads, for its key.

    Args:
        config: the canonical configuration: data and numerics are read by every training.
        **nodes: what else this one reads; the source of the user's own classes in it enters too.
    """
    return {**nodes, "data": data_key(config.data), "numerics": numerics_key(config), **foreign_code(nodes)}


def data_key(node: Node) -> Config:
    """Return the part of a ``data:`` or ``downstream:`` node that can change a result."""
    off = {key for key in inner_keys_with(DataKeys, key="if set") if node.get(key) is None}
    return {key: value for key, value in node.items() if key not in {*inner_keys_with(DataKeys, key="never"), *off}}


def numerics_key(config: Experiment) -> Config:
    """Return the part of the ``trainer:`` node that every training reads."""
    values = plain(config.trainer)
    read = inner_keys_with(TrainerSettings, numerics=True)
    return {**{key: values[key] for key in read}, **normalizing(config)}


def normalizing(config: Experiment) -> Config:
    """Return over how many slices of a batch its normalization is divided, where it is.

    The number of processes changes nothing else about a result than rounding, so it enters no key.
    """
    if config.strategy is None:  # recorded before there was a choice
        return {}
    strategy = shared(config.strategy)
    divided = strategy.num_processes > 1 and not strategy.sync_batchnorm
    return {"batchnorm_slices": strategy.num_processes} if divided else {}
