"""Check every configuration that a command asks for, before Hydra creates a folder or starts a job."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import chain, product

from omegaconf import DictConfig

from secateur.core.errors import ConfigError
from secateur.runs.compose import (
    NO_PARAMS,
    Command,
    Job,
    check_groups,
    check_ratio_option,
    composing,
    is_sweep,
    job_of,
    key_of,
    values_of,
)
from secateur.runs.config import Experiment
from secateur.runs.validate import validate


def preflight(parsed: argparse.Namespace, seen: list[Experiment] | None = None) -> list[str]:
    """Check every configuration of a command; each value of a sweep is composed once, not every combination.

    Args:
        parsed: the command.
        seen: every configuration that was checked is appended to it.

    Returns:
        The overrides for Hydra. For a sweep they hold every swept key once: what the command line says of a key
        replaces what a sweep file says.

    Raises:
        ConfigError: a configuration cannot work.
    """
    command = Command(parsed)
    overrides = command.overrides
    check_groups(overrides[1:], command.folders)
    with composing(command.conf):
        late = _late(command, overrides)
        swept = _swept(command, overrides, late)
        plain = [text for text in overrides if key_of(text) not in swept]
        combinations = list(_combinations({key: values_of(text) for key, text in swept.items()}))
        for combination in combinations:
            _check_late(command, [text for text in plain if text not in late], late, combination, combinations)
            cfg = command.compose([*plain, *combination], with_hydra=True)
            _check_hydra(cfg)
            config = job_of(cfg).config
            validate(config)
            if seen is not None:
                seen.append(config)
    if not swept:
        return overrides
    return [*(_for_jobs(text) if text in late else text for text in plain), *swept.values(), NO_PARAMS]


def sweep_node(parsed: argparse.Namespace, overrides: Sequence[str]) -> DictConfig | None:
    """Return the whole configuration of a sweep, Hydra's node included, with every swept key at its default.

    Args:
        parsed: the command.
        overrides: what :func:`preflight` returned.

    Returns:
        None for a command that runs one configuration.

    Raises:
        ConfigError: the command chooses a launcher and has nothing to launch: it would run here.
    """
    command = Command(parsed)
    with composing(command.conf):
        cfg = command.compose([text for text in overrides if not is_sweep(text)], with_hydra=True)
    if command.is_sweep(cfg):
        return cfg
    for text in parsed.overrides:
        if key_of(text) == "hydra/launcher" and text != "hydra/launcher=basic":  # basic is how a single run is run
            raise ConfigError(f"{text} launches sweeps: add -m, or use secateur sweep submit")
    return None


def compose_jobs(parsed: argparse.Namespace, overrides: Sequence[str]) -> Iterator[Job]:
    """Yield every job that a command would launch; one, where it is no sweep.

    Args:
        parsed: the command.
        overrides: what :func:`preflight` returned.
    """
    command = Command(parsed)
    given = [text for text in overrides if text != NO_PARAMS]
    plain, swept = ([text for text in given if is_sweep(text) == which] for which in (False, True))
    values = {key_of(text): values_of(text) for text in swept}
    with composing(command.conf):
        for combination in product(*values.values()):
            cfg = command.compose([*plain, *combination], with_hydra=True)
            yield job_of(cfg, [text for text in combination if len(values[key_of(text)]) > 1])


def _check_hydra(cfg: DictConfig) -> None:
    """Check what a configuration says to Hydra itself, and ``ratio=`` against the pruning ratio.

    Raises:
        ConfigError: it would change what relative paths mean, or the two ratios differ.
    """
    if cfg.hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true moves every job into a folder of its own, where relative paths (paths.output_dir, "
            "data.root) would mean other folders: leave it false."
        )
    check_ratio_option(cfg)


def _late(command: Command, overrides: list[str]) -> list[str]:
    """Return the overrides that nothing takes until the swept options are chosen: keys that only these bring."""
    fixed = [text for text in overrides if not is_sweep(text)]
    if command.composes(fixed):
        return []
    early: list[str] = []
    for text in sorted(fixed, key=_is_value):  # options before their keys
        if command.composes([*early, text]):
            early.append(text)
    return [text for text in fixed if text not in early]


def _is_value(text: str) -> bool:
    """Whether an override sets a value; what chooses an option, and Hydra's own settings, come before."""
    key = text.partition("=")[0].split("@")[0]
    return "." in key and not key.startswith("hydra.")


def _check_late(
    command: Command, early: list[str], late: list[str], combination: list[str], others: list[list[str]]
) -> None:
    """Check that a combination of a sweep's values brings the keys that the command line sets.

    Raises:
        ConfigError: it does not, and others do; a key that none of them brings is left to composing, which words it.
    """
    for text in late:
        if not command.composes([*early, *combination, text]) and any(
            command.composes([*early, *other, text]) for other in others
        ):
            raise ConfigError(
                f"{text}: not a key with {' '.join(combination)}; what is set for a whole sweep must be a key of every "
                "value that is swept over."
            )


def _for_jobs(text: str) -> str:
    """Return an override as a sweep over its one value: Hydra then sets it in the jobs only."""
    key, _, value = text.partition("=")
    words = {"": "''", "null": "${oc.decode:null}"}  # choice() takes neither as it is
    return f"{key}=choice({words.get(value, value)})"


def _swept(command: Command, overrides: list[str], late: list[str]) -> dict[str, str]:
    """Return the override of every swept key, from ``hydra.sweeper.params`` and the command line."""
    fixed_early = [text for text in overrides if not is_sweep(text) and text not in late]
    cfg = command.compose(fixed_early, with_hydra=True)
    if not command.is_sweep(cfg):
        command.compose(overrides)  # a comma list without -m is an error that Hydra words well
        return {}
    given = {key_of(text): text for text in overrides if is_sweep(text)}
    fixed = {key_of(text) for text in overrides} - set(given)
    params = cfg.hydra.sweeper.params or {}
    in_file = {str(key): f"{key}={value}" for key, value in params.items() if key not in fixed}
    return {**in_file, **given}


def _combinations(swept: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield the first value of every key, then each further value with the first of all others."""
    first = {key: values[0] for key, values in swept.items()}
    yield list(first.values())
    for key, value in chain.from_iterable(((key, v) for v in values[1:]) for key, values in swept.items()):
        yield list({**first, key: value}.values())
