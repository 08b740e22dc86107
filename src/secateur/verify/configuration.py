"""The recorded configuration, made ready to run again elsewhere; and what is not as it was then."""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from secateur.core.errors import ConfigError, FingerprintError
from secateur.core.names import TARGET
from secateur.core.record import RunRecord
from secateur.runs.baselines import BASELINES
from secateur.runs.compose import read_value
from secateur.runs.config import Config, DataKeys, Experiment, Fidelity, Paths, inner_keys_with, keys_with
from secateur.runs.keys import canonical, normalizing
from secateur.runs.pools import forget_pools, pools
from secateur.runs.run import VERSIONS
from secateur.tracking.provenance import provenance
from secateur.training.settings import TrainerSettings


def experiment_of(record: RunRecord, defaults: Experiment) -> Experiment:
    """Return a record's configuration as an experiment; keys that the record's code did not have take their default."""
    return Experiment.of(_filled(deepcopy(record.config), defaults.to_json()), recorded=True)


def repeatable(
    record: RunRecord,
    config: Experiment,
    defaults: Experiment,
    output_dir: Path,
    moved: Iterable[str],
    comparison: bool,
) -> Experiment:
    """Return a record's configuration for a repetition in another folder.

    Args:
        record: the record.
        config: its configuration.
        defaults: today's default configuration; it says how a run is logged and started.
        output_dir: where the repetition goes.
        moved: ``KEY=VALUE`` of what lies elsewhere now.
        comparison: whether to repeat what the run was compared with: baselines, full scorings.

    Raises:
        ConfigError: something is set anew that is a part of the run itself, or one process cannot repeat it.
    """
    if slices := normalizing(config).get("batchnorm_slices"):
        raise ConfigError(
            f"The run normalized each of {slices} slices of a batch by itself (strategy.sync_batchnorm=false), which "
            "one process cannot repeat; --quick checks the folder alone."
        )
    against = _full_scorings(record, config.fidelity) if comparison else []
    repeated = config.changed(
        **{key: getattr(defaults, key) for key in keys_with(key="never")}
        | {
            "name": record.name,
            "paths": Paths(output_dir=str(output_dir)),
            "compare_with": _baselines(record) if comparison else [],
            "fidelity": Fidelity(against=against, ratios=config.fidelity.ratios),
        }
    )
    for override in moved:
        repeated = _moved(repeated, override)
    return canonical(repeated)


def _baselines(record: RunRecord) -> list[str]:
    """Return what was asked for, and what a later call of the finished run added."""
    asked = record.config.get("compare_with") or []
    return [name for name in dict.fromkeys([*asked, *record.comparison]) if name in BASELINES]


def _full_scorings(record: RunRecord, fidelity: Fidelity) -> list[int]:
    added = [entry.score_seed for entry in record.extrapolation.fidelity]
    return list(dict.fromkeys([*fidelity.against, *added]))


def _filled(config: Config, defaults: Config) -> Config:
    """Return a configuration with keys it lacks; nodes with a target are left alone, they have their own defaults."""
    for key, value in defaults.items():
        if key not in config:
            config[key] = deepcopy(value)
        elif isinstance(config[key], dict) and isinstance(value, dict) and TARGET not in config[key]:
            config[key] = _filled(config[key], {k: v for k, v in value.items() if k != TARGET})
    return config


def _movable() -> re.Pattern[str]:
    """Return the pattern of keys that may be set anew: where things lie, and what computes."""
    located = "|".join(inner_keys_with(DataKeys, movable=True))
    computing = "|".join(inner_keys_with(TrainerSettings, movable=True))
    return re.compile(rf"(data|downstream|method\.further\.\w+)\.({located})|method\.path|trainer\.({computing})")


def check_moved(overrides: Iterable[str]) -> None:
    """Raise :class:`ConfigError` where something else is to be set anew than where things lie and what computes."""
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not _movable().fullmatch(key):
            raise ConfigError(
                f"{override!r}: only where things lie and what computes can be set anew (data.root=, downstream.root=, "
                "data.extra=, method.path=, trainer.accelerator=, ...); the rest is what is verified."
            )


def _moved(config: Experiment, override: str) -> Experiment:
    """Return a configuration with one key set anew."""
    check_moved([override])
    key, _, text = override.partition("=")
    *path, last = key.split(".")
    values = deepcopy(config.to_json())
    node: Any = values
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise ConfigError(f"{override!r}: the run has no key {key}.")
    try:
        node[last] = read_value(text)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{override!r} cannot be read: {error}") from error
    return Experiment.of(values, recorded=True)


def check_pools(record: RunRecord, config: Experiment) -> None:
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
                f"{node}.root={getattr(config, node).get('root')} does not hold what the run was made of: its "
                "fingerprint is "
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


def circumstances(record: RunRecord, config: Experiment) -> Iterator[str]:
    """Yield what is not as it was when the run was made: stage versions, code, libraries, device."""
    then, now = record.provenance, provenance(config.trainer.device)
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
