"""From a composed configuration to the resolved one that is recorded, hashed and run."""

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from secateur.core.errors import ConfigError, SecateurError
from secateur.core.hashing import content_key
from secateur.core.names import named
from secateur.runs.paths import conf_folder
from secateur.training.distributed.strategy import Strategy

Config = dict[str, Any]

# What only some methods read. For the others it is set to null, so that it changes neither record nor run_key.
OPTIONAL = ("score", "selection", "variant", "scoring", "score_seed", "extrapolation", "mapping")
# What only an extrapolation reads.
OF_EXTRAPOLATION = ("subset_fraction", "subset_epochs_factor", "subset_stratified", "subset_include", "merge")
# What never changes a result.
NOT_IN_KEY = (
    *("strategy", "paths", "logger", "name", "force", "check"),
    *("compare_with", "fidelity", "experiment", "sweeps"),
)
# Keys of ``data:`` that came later: off, they leave results and keys as they were.
DATA_IF_SET = ("first", "per_class")
DATA_NOT_IN_KEY = ("root", "extra", "num_workers", "download", "resident_limit_gib")


def resolve(cfg: DictConfig) -> Config:
    """Return the configuration as plain values: interpolations resolved, defaults by omission filled in.

    Raises:
        ConfigError: a mandatory value is missing.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"{missing[0]} must be given: add {missing[0]}=... to the command.")
    config: Config = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    for key, source in (("retrain_model", "model"), ("final_paradigm", "paradigm")):
        config[key] = config[key] or config[source]
    config["scoring"]["optim"] = config["scoring"].get("optim") or config["optim"]
    return config


def canonical(config: Config) -> Config:
    """Return the configuration with what its method does not read set to null (the ratio to 0)."""
    reads = method_class(config).reads
    unused: Config = {key: None for key in OPTIONAL if key not in reads}
    if "pruning_ratio" not in reads:
        unused["pruning_ratio"] = 0.0
    if unused.get("extrapolation", config["extrapolation"]) is None:
        unused.update(dict.fromkeys(("extrapolation", *OF_EXTRAPOLATION)))
    return {**config, **unused}


def without_idle_variant(config: Config, choices: Mapping[str, str]) -> Config:
    """Return the configuration with ``variant: reference`` where no preset of the asked variant exists.

    Such a variant changes nothing, so the run must be the reference's own.
    """
    variant = config["variant"]
    nodes = ("score", "method", "extrapolation")
    conf = conf_folder()
    presets = [conf / "preset" / node / f"{choices.get(node)}_{variant}.yaml" for node in nodes]
    shipped = all((conf / node / f"{choices.get(node)}.yaml").is_file() for node in nodes)
    if variant in (None, "reference") or not shipped or any(path.is_file() for path in presets):
        return config
    return {**config, "variant": "reference"}


def method_class(config: Config) -> Any:
    """Return the class that ``method=`` names."""
    return get_object(config["method"]["_target_"])


def run_key(config: Config, fingerprint: str, versions: Mapping[str, int]) -> str:
    """Return the key of a run, 12 hex digits.

    Args:
        config: a :func:`canonical` configuration.
        fingerprint: the pool's fingerprint.
        versions: ``VERSION`` of every stage.
    """
    kept = {key: value for key, value in config.items() if key not in NOT_IN_KEY}
    for node in ("data", "downstream"):
        kept[node] = kept[node] and data_key(kept[node])
    kept["trainer"] = {**kept["trainer"], **normalizing(config)}
    parts = {"config": named(kept), "pool": fingerprint, "versions": dict(versions), **foreign_code(kept)}
    return content_key(parts, 12)


def foreign_code(node: Any) -> dict[str, dict[str, str]]:
    """Return ``{"code": {module: hash of its source}}`` of what a node's targets take from outside Secateur.

    Empty when there is nothing of the kind. An edited scorer of the user's own thus never finds its old results.
    """
    modules = {sys.modules[get_object(found["_target_"]).__module__] for _, found in targets(node)}
    own = {module.__name__: module for module in modules if module.__name__.split(".")[0] != "secateur"}
    return {"code": {name: content_key(inspect.getsource(module), 16) for name, module in own.items()}} if own else {}


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Config]]:
    """Yield the dotted path and the node of everything below a node that has a ``_target_``, itself included."""
    if isinstance(node, dict) and "_target_" in node:
        yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from targets(child, f"{path}.{key}" if path else str(key))


def stage_reads(config: Config, **nodes: Any) -> Config:
    """Return what a stage that trains reads, for its key.

    Args:
        config: the canonical configuration: data and numerics are read by every training.
        **nodes: what else this one reads; the source of the user's own classes in it enters too.
    """
    return {**nodes, "data": data_key(config["data"]), "numerics": numerics_key(config), **foreign_code(nodes)}


def data_key(node: Config) -> Config:
    """Return the part of a ``data:`` or ``downstream:`` node that can change a result."""
    off = {key for key in DATA_IF_SET if node.get(key) is None}
    return {key: value for key, value in node.items() if key not in {*DATA_NOT_IN_KEY, *off}}


def numerics_key(config: Config) -> Config:
    """Return the part of the ``trainer:`` node that every training reads."""
    read = ("precision", "channels_last", "deterministic", "num_threads")
    return {**{key: config["trainer"][key] for key in read}, **normalizing(config)}


def normalizing(config: Config) -> Config:
    """Return over how many slices of a batch its normalization is divided, where it is.

    The number of processes changes nothing else about a result than rounding, so it enters no key.
    """
    if config.get("strategy") is None:  # recorded before there was a choice
        return {}
    strategy: Strategy = build(config["strategy"])
    divided = strategy.num_processes > 1 and not strategy.sync_batchnorm
    return {"batchnorm_slices": strategy.num_processes} if divided else {}


def build(node: Config) -> Any:
    """Instantiate a node's ``_target_``; plain lists and dicts are passed as they are.

    Raises:
        SecateurError: what the target itself raised, without Hydra's wrapping.
    """
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, SecateurError):
            raise error.__cause__ from None
        raise
