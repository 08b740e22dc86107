"""From a composed configuration to the resolved one that is recorded, hashed and run."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from secateur.core.errors import ConfigError, SecateurError
from secateur.core.hashing import content_key

Config = dict[str, Any]

# What only some methods read. For the others it is set to null, so that it changes neither record nor run_key.
OPTIONAL = ("score", "selection", "variant", "scoring", "score_seed")
# What never changes a result.
NOT_IN_KEY = ("paths", "logger", "name", "force", "compare_with", "experiment", "sweeps")
DATA_NOT_IN_KEY = ("root", "num_workers", "download", "resident_limit_gib")


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
    return {**config, **unused}


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
    kept["data"] = data_key(config)
    return content_key({"config": kept, "pool": fingerprint, "versions": dict(versions)}, 12)


def data_key(config: Config) -> Config:
    """Return the part of the ``data:`` node that can change a result."""
    return {key: value for key, value in config["data"].items() if key not in DATA_NOT_IN_KEY}


def numerics_key(config: Config) -> Config:
    """Return the part of the ``trainer:`` node that every training reads."""
    return {key: config["trainer"][key] for key in ("precision", "channels_last", "deterministic", "num_threads")}


def build(node: Config, **extra: Any) -> Any:
    """Instantiate a node's ``_target_``; plain lists and dicts are passed as they are.

    Raises:
        SecateurError: what the target itself raised, without Hydra's wrapping.
    """
    try:
        return instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        if isinstance(error.__cause__, SecateurError):
            raise error.__cause__ from None
        raise
