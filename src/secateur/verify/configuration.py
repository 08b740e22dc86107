"""The recorded configuration, made ready to run again elsewhere; and what is not as it was then."""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from secateur.core.errors import ConfigError, FingerprintError
from secateur.core.record import RunRecord
from secateur.runs.baselines import BASELINES
from secateur.runs.config import DATA_NOT_IN_KEY, NOT_IN_KEY, Config, canonical, normalizing
from secateur.runs.pools import forget_pools, pools
from secateur.runs.run import VERSIONS
from secateur.tracking.provenance import provenance
from secateur.training.fit import TrainerSettings

# What may be set anew: where things lie, and what computes.
_MOVABLE = re.compile(
    rf"(data|downstream|method\.further\.\w+)\.({'|'.join(DATA_NOT_IN_KEY)})|method\.path|trainer\.(accelerator|num_threads)"
)


def repeatable(record: RunRecord, defaults: Config, output_dir: Path, moved: Iterable[str], comparison: bool) -> Config:
    """Return a record's configuration for a repetition in another folder.

    Args:
        record: the record.
        defaults: today's default configuration; it fills in keys that the record's code did not have, and says how a
            run is logged and started.
        output_dir: where the repetition goes.
        moved: ``KEY=VALUE`` of what lies elsewhere now.
        comparison: whether to repeat what the run was compared with: baselines, full scorings.

    Raises:
        ConfigError: something is set anew that is a part of the run itself, or one process cannot repeat it.
    """
    if slices := normalizing(record.config).get("batchnorm_slices"):
        raise ConfigError(
            f"The run normalized each of {slices} slices of a batch by itself (strategy.sync_batchnorm=false), which "
            "one process cannot repeat; --quick checks the folder alone."
        )
    config = _filled(deepcopy(record.config), defaults)
    config.update({key: deepcopy(defaults[key]) for key in NOT_IN_KEY if key in defaults})
    config["paths"]["output_dir"] = str(output_dir)
    config["name"] = record.name
    config["compare_with"] = _baselines(record) if comparison else []
    fidelity = record.config.get("fidelity") or defaults["fidelity"]
    config["fidelity"] = {**fidelity, "against": _full_scorings(record, fidelity) if comparison else []}
    for override in moved:
        _move(config, override)
    return canonical(config)


def _baselines(record: RunRecord) -> list[str]:
    """Return what was asked for, and what a later call of the finished run added."""
    asked = record.config.get("compare_with") or []
    return [name for name in dict.fromkeys([*asked, *record.comparison]) if name in BASELINES]


def _full_scorings(record: RunRecord, fidelity: Mapping[str, Any]) -> list[int]:
    added = [entry.score_seed for entry in record.extrapolation.fidelity]
    return list(dict.fromkeys([*fidelity["against"], *added]))


def _filled(config: Config, defaults: Config) -> Config:
    """Return a configuration with keys it lacks; nodes with a target are left alone, they have their own defaults."""
    for key, value in defaults.items():
        if key not in config:
            config[key] = deepcopy(value)
        elif isinstance(config[key], dict) and isinstance(value, dict) and "_target_" not in config[key]:
            config[key] = _filled(config[key], {k: v for k, v in value.items() if k != "_target_"})
    return config


def check_moved(overrides: Iterable[str]) -> None:
    """Raise :class:`ConfigError` where something else is to be set anew than where things lie and what computes."""
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not _MOVABLE.fullmatch(key):
            raise ConfigError(
                f"{override!r}: only where things lie and what computes can be set anew (data.root=, downstream.root=, "
                "data.extra=, method.path=, trainer.accelerator=, ...); the rest is what is verified."
            )


def _move(config: Config, override: str) -> None:
    """Set one key anew."""
    check_moved([override])
    key = override.partition("=")[0]
    *path, last = key.split(".")
    node: Any = config
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise ConfigError(f"{override!r}: the run has no key {key}.")
    try:
        value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={override.split('=', 1)[1]}"]))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{override!r} cannot be read: {error}") from error
    node[last] = value["value"]  # type: ignore[index, call-overload]


def check_pools(record: RunRecord, config: Config) -> None:
    """Prepare the data and check that it is what the run was made of.

    Raises:
        FingerprintError: it is not.
        DataError: it is not there.
    """
    forget_pools()
    data, downstream = pools(config)
    recorded = {"data": record.data.fingerprint}
    found = {"data": data.fingerprint}
    if downstream is not None:
        recorded["downstream"], found["downstream"] = record.transfer.fingerprint, downstream.fingerprint
    for node, fingerprint in found.items():
        if fingerprint != recorded[node]:
            raise FingerprintError(
                f"{node}.root={config[node].get('root')} does not hold what the run was made of: its fingerprint is "
                f"{fingerprint[:12]}, recorded is {str(recorded[node])[:12]}. Give the right folder with "
                f"--data-root or {node}.root=DIR."
            )


# What decides the last bits of a result, beside the versions: key of the record, and the words for it.
MACHINE = {
    "device": "device",
    "processor": "processor (numbers may differ in the last bits, and trainings then go apart)",
    "cpu_capability": "vector instructions",
    "platform": "platform",
}


def circumstances(record: RunRecord, config: Config) -> Iterator[str]:
    """Yield what is not as it was when the run was made: stage versions, code, libraries, device."""
    then, now = record.provenance, provenance(TrainerSettings(**config["trainer"]).device)
    for stage, version in (then.get("stage_versions") or {}).items():
        if VERSIONS.get(stage) != version:
            yield f"stage {stage} was version {version}, is {VERSIONS.get(stage)} now: its results changed on purpose"
    if known := then.get("code"):
        if known != now["code"]:
            yield f"the code's sha256 was {known[:12]}, is {now['code'][:12]} now"
    elif then.get("git") and now["git"] and then["git"] != now["git"]:  # an older record
        yield f"the code was {_commit(then['git'])}, is {_commit(now['git'])} now"
    old, new = ({"Python": block.get("python"), **(block.get("packages") or {})} for block in (then, now))
    changed = [
        f"{name} {version} then, {new.get(name)} now" for name, version in old.items() if version != new.get(name)
    ]
    if changed:
        yield f"other versions: {'; '.join(changed)}"
    if (num_processes := then.get("num_processes") or 1) != now["num_processes"]:
        yield (
            f"{num_processes} processes made it, {now['num_processes']} repeats it: trainings agree up to rounding, "
            "and --tolerance says how much of it is allowed"
        )
    for key, name in MACHINE.items():
        if then.get(key) not in (None, now[key]):
            yield f"other {name}: {then[key]} then, {now[key]} now"


def _commit(git: Mapping[str, Any]) -> str:
    return f"{str(git['commit'])[:10]}{' with uncommitted changes' if git['dirty'] else ''}"
