"""Composing and checking every configuration a command asks for, before Hydra creates a folder or starts a job."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from secateur import __version__
from secateur.core.errors import ConfigError
from secateur.runs.config import Config
from secateur.runs.overrides import check_one_ratio
from secateur.runs.paths import CONF, SWEEPS
from secateur.runs.validate import validate

NO_PARAMS = "hydra.sweeper.params=null"  # last of a sweep's overrides: all swept keys are among them


def parse(arguments: Sequence[str], program: str = "secateur run") -> argparse.Namespace:
    """Parse Hydra's own flags, wherever they stand; the rest are overrides.

    Raises:
        ConfigError: an unknown flag, or one that would do nothing.
    """
    parser: argparse.ArgumentParser = get_args_parser()
    parser.prog, parser.exit_on_error = program, False
    for action in parser._actions:
        if isinstance(action, argparse._VersionAction):
            action.version = f"secateur {__version__}"  # not Hydra's
    parsed, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        raise ConfigError(f"unknown flag {unknown[0]!r}; overrides are key=value")
    if parsed.resolve and not (parsed.cfg or parsed.help):
        raise ConfigError("--resolve is for looking at a configuration, and nothing is shown here: add --cfg job")
    return parsed


def _search_path(parsed: argparse.Namespace) -> str:
    """Return the override that makes sweeps/ (and the user's ``--config-dir``) visible as groups."""
    return search_path([SWEEPS.parent, *([Path(parsed.config_dir).resolve()] if parsed.config_dir else [])])


def search_path(folders: Sequence[Path]) -> str:
    """Return the override that adds folders to Hydra's search path."""
    return f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"


def preflight(parsed: argparse.Namespace, seen: list[Config] | None = None) -> list[str]:
    """Check every configuration of the command; each value of a sweep is composed once, not every combination.

    Args:
        parsed: the command.
        seen: every configuration that was checked is appended to it.

    Returns:
        The overrides for Hydra. For a sweep they hold every swept key once: what the command line says of a key
        replaces what a sweep file says.

    Raises:
        ConfigError: a configuration cannot work.
    """
    if parsed.config_dir and not Path(parsed.config_dir).is_dir():
        raise ConfigError(f"--config-dir {parsed.config_dir} is not a folder.")
    check_groups(parsed.overrides, parsed.config_dir)
    check_one_ratio(parsed.overrides)
    overrides = [_search_path(parsed), *parsed.overrides]
    with initialize_config_dir(version_base="1.3", config_dir=str(_config_dir(parsed))):
        late = _late(parsed, overrides)
        swept = _swept(parsed, overrides, late)
        plain = [text for text in overrides if _key(text) not in swept]
        combinations = list(_combinations({key: _values(text) for key, text in swept.items()}))
        for combination in combinations:
            _check_late(parsed, [text for text in plain if text not in late], late, combination, combinations)
            config = validate(compose(_config_name(parsed), [*plain, *combination]))
            if seen is not None:
                seen.append(config)
    GlobalHydra.instance().clear()
    if not swept:
        return overrides
    return [
        *(_for_jobs(text) if text in late else text for text in plain),
        *swept.values(),
        NO_PARAMS,
    ]


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
    with initialize_config_dir(version_base="1.3", config_dir=str(_config_dir(parsed))):
        plain = [text for text in overrides if not _is_sweep(text)]
        cfg = compose(_config_name(parsed), plain, return_hydra_config=True)
    GlobalHydra.instance().clear()
    if parsed.multirun or cfg.hydra.mode == RunMode.MULTIRUN:
        return cfg
    for text in parsed.overrides:
        if _key(text) == "hydra/launcher" and text != "hydra/launcher=basic":  # basic is how a single run is run
            raise ConfigError(f"{text} launches sweeps: add -m, or use secateur sweep submit")
    return None


@dataclass(frozen=True)
class Job:
    """One configuration that a command asks for.

    Attributes:
        cfg: the configuration, without Hydra's node.
        choices: the option that each group was set to.
        overrides: the values it has of the keys that a sweep varies.
    """

    cfg: DictConfig
    choices: dict[str, str]
    overrides: tuple[str, ...]


def compose_jobs(parsed: argparse.Namespace, overrides: Sequence[str]) -> Iterator[Job]:
    """Yield every job that a command would launch; one, where it is no sweep.

    Args:
        parsed: the command.
        overrides: what :func:`preflight` returned.
    """
    given = [text for text in overrides if text != NO_PARAMS]
    plain, swept = ([text for text in given if _is_sweep(text) == which] for which in (False, True))
    values = {_key(text): _values(text) for text in swept}
    with initialize_config_dir(version_base="1.3", config_dir=str(_config_dir(parsed))):
        for combination in product(*values.values()):
            cfg = compose(_config_name(parsed), [*plain, *combination], return_hydra_config=True)
            choices = dict(cfg.hydra.runtime.choices)
            with open_dict(cfg):
                del cfg["hydra"]
            yield Job(cfg, choices, tuple(text for text in combination if len(values[_key(text)]) > 1))
    GlobalHydra.instance().clear()


def known_keys() -> list[str]:
    """Return all keys and groups of the default configuration, for suggestions."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        cfg = compose("config", [f"hydra.searchpath=[file://{SWEEPS.parent}]"])
    groups = [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]
    launcher = [f"hydra.launcher.{key!s}" for key in OmegaConf.load(CONF / "hydra" / "launcher" / "slurm.yaml")]
    return sorted({*groups, "sweeps", "hydra/launcher", *launcher, *_flat(cfg)})


def _config_dir(parsed: argparse.Namespace) -> Path:
    return Path(parsed.config_path).resolve() if parsed.config_path else CONF


def _config_name(parsed: argparse.Namespace) -> str:
    return parsed.config_name or "config"


def _key(override: str) -> str:
    return override.split("=", 1)[0]


def _late(parsed: argparse.Namespace, overrides: list[str]) -> list[str]:
    """Return the overrides that nothing takes until the swept options are chosen: keys that only these bring."""
    fixed = [text for text in overrides if not _is_sweep(text)]
    if _composes(parsed, fixed):
        return []
    early: list[str] = []
    for text in sorted(fixed, key=_is_value):  # options before their keys
        if _composes(parsed, [*early, text]):
            early.append(text)
    return [text for text in fixed if text not in early]


def _composes(parsed: argparse.Namespace, overrides: list[str]) -> bool:
    try:
        compose(_config_name(parsed), overrides)
    except ConfigCompositionException:
        return False
    return True


def _is_value(text: str) -> bool:
    """Whether an override sets a value; what chooses an option, and Hydra's own settings, come before."""
    key = _key(text).split("@")[0]
    return "." in key and not key.startswith("hydra.")


def _check_late(
    parsed: argparse.Namespace, early: list[str], late: list[str], combination: list[str], others: list[list[str]]
) -> None:
    """Check that a combination of a sweep's values brings the keys that the command line sets.

    Raises:
        ConfigError: it does not, and others do; a key that none of them brings is left to composing, which words it.
    """
    for text in late:
        if not _composes(parsed, [*early, *combination, text]) and any(
            _composes(parsed, [*early, *other, text]) for other in others
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


def _swept(parsed: argparse.Namespace, overrides: list[str], late: list[str]) -> dict[str, str]:
    """Return the override of every swept key, from ``hydra.sweeper.params`` and the command line."""
    fixed_early = [text for text in overrides if not _is_sweep(text) and text not in late]
    cfg = compose(_config_name(parsed), fixed_early, return_hydra_config=True)
    if not (parsed.multirun or cfg.hydra.mode == RunMode.MULTIRUN):
        compose(_config_name(parsed), overrides)  # a comma list without -m is an error that Hydra words well
        return {}
    given = {_key(text): text for text in overrides if _is_sweep(text)}
    fixed = {_key(text) for text in overrides} - set(given)
    params = cfg.hydra.sweeper.params or {}
    in_file = {str(key): f"{key}={value}" for key, value in params.items() if key not in fixed}
    return {**in_file, **given}


def _values(text: str) -> list[str]:
    """Return ``["a=1", "a=2"]`` for ``"a=1,2"``."""
    batches = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides([text]), None)
    return [override for combination in batches[0] for override in combination]


def _is_sweep(text: str) -> bool:
    override = OverridesParser.create().parse_overrides([text])[0]
    return bool(override.is_sweep_override())


def _combinations(swept: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield the first value of every key, then each further value with the first of all others."""
    first = {key: values[0] for key, values in swept.items()}
    yield list(first.values())
    for key, value in chain.from_iterable(((key, v) for v in values[1:]) for key, values in swept.items()):
        yield list({**first, key: value}.values())


def _flat(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, cfg):
        yield f"{prefix}{key}"
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            yield from _flat(node, f"{prefix}{key}.")


# The names of presets are made of these, so they are one word each, and never absent.
ONE_WORD = ("score", "method", "extrapolation", "variant")
SHOWN = 30


def check_groups(overrides: Sequence[str], config_dir: str | None) -> None:
    """Check that every group that is set is set to the name of an option.

    Args:
        overrides: of the command line.
        config_dir: the user's own folder of options, if there is one.

    Raises:
        ConfigError: a group is set to null, to a number or the like; or to several options, or taken away, where
            others are named after it.
    """
    folders = [CONF, SWEEPS.parent, *([Path(config_dir)] if config_dir else [])]
    for one in OverridesParser.create().parse_overrides(list(overrides)):
        group = str(one.key_or_group)
        if not any((folder / group).is_dir() for folder in folders):
            continue
        wrong = [value for value in _values_in_group(one) if not _names_an_option(group, value)]
        if wrong and group == "ratio" and isinstance(wrong[0], float):
            raise ConfigError(f"{one.input_line}: a number is pruning_ratio={wrong[0]}; ratio= names an option, r30")
        if wrong or (one.is_delete() and group in ONE_WORD):
            listed = _options(group, folders)
            raise ConfigError(f"{one.input_line}: {group}= must name one option{listed}; leave it out for the default")


def _values_in_group(override: Override) -> Iterator[Any]:
    """Yield what a group is set to; of a sweep each of its values."""
    if override.is_delete():
        return
    value = override.value()
    if isinstance(value, ChoiceSweep):
        yield from value.list
    elif not override.is_sweep_override():
        yield value


def _names_an_option(group: str, value: Any) -> bool:
    # A dict is not for the group but for the node of its name; a list is several options, merged.
    return isinstance(value, str | QuotedString | dict) or (isinstance(value, list) and group not in ONE_WORD)


def _options(group: str, folders: Sequence[Path]) -> str:
    """Return ``: aum, dual`` for ``score``; nothing where that would be long."""
    found = [folder / group for folder in folders]
    names = {path.relative_to(top).with_suffix("").as_posix() for top in found for path in top.rglob("*.yaml")}
    return f": {', '.join(sorted(names))}" if 0 < len(names) <= SHOWN else ""
