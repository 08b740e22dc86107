"""Compose configurations: the only file that uses Hydra's internals and hands on plain values.

Overrides are texts ``KEY=VALUE`` as on the command line.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import filter as matching
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from secateur import __version__
from secateur.core.errors import ConfigError
from secateur.core.names import TARGET
from secateur.runs.config import Config, Experiment, groups
from secateur.runs.paths import CONF, SWEEPS, conf_folder

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

NO_PARAMS = "hydra.sweeper.params=null"  # last of a sweep's overrides: all swept keys are among them


def resolve(cfg: DictConfig) -> Experiment:
    """Return a composed configuration as an experiment: interpolations resolved, defaults by omission filled in.

    Raises:
        ConfigError: a mandatory value is missing, a key is unknown, or a value has another type.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"{missing[0]} must be given: add {missing[0]}=... to the command.")
    config: Config = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    config.pop("hydra", None)
    for key, source in (("retrain_model", "model"), ("final_paradigm", "paradigm")):
        config[key] = config.get(key) or config[source]
    config["scoring"] = {**config["scoring"], "optim": config["scoring"].get("optim") or config["optim"]}
    return Experiment.of(config)


@contextmanager
def composing(conf: Path) -> Iterator[None]:
    """Compose from a folder of configuration inside the block; the Hydra that runs this job is left as it is."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf), job_name="secateur"):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def composed(overrides: Sequence[str] = (), config_name: str = "config") -> DictConfig:
    """Return the configuration of some overrides, inside :func:`composing`."""
    return compose(config_name, list(overrides))


def default_experiment(*overrides: str) -> Experiment:
    """Return the shipped default configuration with some overrides."""
    with composing(CONF):
        return resolve(composed(overrides))


def compose_node(conf: Path, group: str, config_name: str, overrides: Sequence[str] = ()) -> Config:
    """Return a group's node in a configuration, defaults filled in; empty where it cannot be composed.

    Args:
        conf: folder of the configuration.
        group: the group.
        config_name: what to compose.
        overrides: as on the command line.
    """
    try:
        with composing(conf):
            return _plain(composed(overrides, config_name).get(group))
    except (HydraException, OmegaConfBaseException):
        return {}


@lru_cache(maxsize=256)
def option_node(conf: Path, group: str, name: str) -> Config:
    """Return the node of an option; one without a list of defaults is its own file, which takes no composing."""
    node = load_yaml(conf / group / f"{name}.yaml")
    return compose_node(conf, group, f"{group}/{name}") if "defaults" in node else node


def load_yaml(path: Path) -> Config:
    """Return a file of the configuration as plain values, interpolations as they are; empty for no mapping."""
    return _plain(OmegaConf.load(path))


def _plain(config: Any) -> Config:
    found: Any = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else None
    return found if isinstance(found, dict) else {}


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


class Command:
    """A command's configuration: what it composes from, and what it sets.

    Args:
        parsed: the command, as :func:`parse` returned it.

    Attributes:
        overrides: what the command sets, with the search path first; ``glob()`` replaced by the options it matches.
    """

    def __init__(self, parsed: argparse.Namespace) -> None:
        if parsed.config_dir and not Path(parsed.config_dir).is_dir():
            raise ConfigError(f"--config-dir {parsed.config_dir} is not a folder.")
        self.conf = Path(parsed.config_path).resolve() if parsed.config_path else CONF
        self.config_name: str = parsed.config_name or "config"
        self.multirun = bool(parsed.multirun)
        own = [Path(parsed.config_dir).resolve()] if parsed.config_dir else []
        self.folders = [CONF, SWEEPS.parent, *own]
        given = [expand_glob(text, self.folders) for text in parsed.overrides]
        self.overrides = [search_path([SWEEPS.parent, *own]), *given]

    def compose(self, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
        """Return a configuration; with Hydra's own node on demand."""
        return compose(self.config_name, list(overrides), return_hydra_config=with_hydra)

    def composes(self, overrides: Sequence[str]) -> bool:
        """Whether every key that is set exists."""
        try:
            self.compose(overrides)
        except ConfigCompositionException:
            return False
        return True

    def is_sweep(self, cfg: DictConfig) -> bool:
        """Whether the command launches a sweep; takes a configuration with Hydra's node."""
        return self.multirun or cfg.hydra.mode == RunMode.MULTIRUN


def search_path(folders: Sequence[Path]) -> str:
    """Return the override that adds folders to Hydra's search path."""
    return f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders)}]"


@dataclass(frozen=True)
class Job:
    """One configuration that a command asks for.

    Attributes:
        config: the configuration.
        choices: the option that each group was set to.
        overrides: the values it has of the keys that a sweep varies.
    """

    config: Experiment
    choices: dict[str, str]
    overrides: tuple[str, ...]


def job_of(cfg: DictConfig, overrides: Sequence[str] = ()) -> Job:
    """Return the job of a configuration that was composed with Hydra's node."""
    choices = dict(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return Job(resolve(cfg), choices, tuple(overrides))


@dataclass(frozen=True)
class RunningJob:
    """The job that Hydra runs in this process.

    Attributes:
        overrides: what the command, and in a sweep the job, sets.
        choices: the option that each group was set to.
        sweep: folder of the sweep it is one of; None for a run of its own.
        place: path of its own folder in that; its last part is the job's number in a sweep that Secateur launched.
    """

    overrides: tuple[str, ...]
    choices: dict[str, str]
    sweep: Path | None
    place: str


def running_job() -> RunningJob:
    """Return the job that Hydra runs in this process."""
    hydra = HydraConfig.get()
    swept = hydra.mode == RunMode.MULTIRUN
    return RunningJob(
        overrides=tuple(hydra.overrides.task),
        choices=dict(hydra.runtime.choices),
        sweep=Path(str(hydra.sweep.dir)) if swept else None,
        place=str(hydra.sweep.subdir) if swept else "",
    )


def known_keys() -> list[str]:
    """Return all keys and groups of the default configuration, for suggestions."""
    with composing(CONF):
        cfg = composed([search_path([SWEEPS.parent])])
    folders = [path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]
    launcher = [f"hydra.launcher.{key}" for key in load_yaml(CONF / "hydra" / "launcher" / "slurm.yaml")]
    return sorted({*folders, "sweeps", "hydra/launcher", *launcher, *_flat(cfg)})


def _flat(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, cfg):
        yield f"{prefix}{key}"
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            yield from _flat(node, f"{prefix}{key}.")


# Overrides, one by one.


def key_of(override: str) -> str:
    """Return the key that an override sets."""
    return override.lstrip("+").partition("=")[0]


def is_sweep(override: str) -> bool:
    """Whether an override gives several values."""
    return bool(_parsed(override).is_sweep_override())


def values_of(override: str) -> list[str]:
    """Return ``["a=1", "a=2"]`` for ``"a=1,2"``."""
    batches = BasicSweeper.split_arguments([_parsed(override)], None)
    return [text for combination in batches[0] for text in combination]


def grid(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of every combination, in the order of Hydra's own sweeper."""
    (batch,) = BasicSweeper.split_arguments([_parsed(text) for text in overrides], None)
    return [list(texts) for texts in batch]


def is_of_hydra(override: str) -> bool:
    """Whether an override sets something of Hydra's own node."""
    return bool(_parsed(override).is_hydra_override())


def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def expand_glob(override: str, folders: Sequence[Path]) -> str:
    """Return an override with the options that a ``glob()`` matches in its place; any other as it is.

    Raises:
        ConfigError: its key is no group of options, or no option matches.
    """
    if "glob(" not in override or not isinstance(value := _parsed(override).value(), Glob):
        return override
    group = str(_parsed(override).key_or_group)
    names = option_names(group, folders)
    found = [
        name
        for name in names
        if any(matching([name], pattern) for pattern in value.include)
        and not any(matching([name], pattern) for pattern in value.exclude)
    ]
    if not found:
        listed = f"it has {', '.join(names)}" if names else "there is no such group"
        raise ConfigError(f"{override}: no option of {group} matches; {listed}")
    return f"{override.partition('=')[0]}={','.join(found)}"


def option_names(group: str, folders: Sequence[Path]) -> list[str]:
    """Return the names of a group's options."""
    tops = [folder / group for folder in folders]
    return sorted({path.relative_to(top).with_suffix("").as_posix() for top in tops for path in top.rglob("*.yaml")})


SHOWN = 30  # options named in a message


def check_groups(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    """Check that every group that is set is set to the name of an option.

    Args:
        overrides: of the command line.
        folders: where options are.

    Raises:
        ConfigError: a group is set to null, to a number or the like; or to several options, or taken away, where
            presets are named after it.
    """
    presets = {group.name for group in groups().values() if group.preset}
    for one in map(_parsed, overrides):
        group = str(one.key_or_group)
        if not any((folder / group).is_dir() for folder in folders):
            continue
        wrong = [value for value in _values_in_group(one) if not _names_an_option(value, one_word=group in presets)]
        if wrong and group == "ratio" and isinstance(wrong[0], float):
            raise ConfigError(f"{one.input_line}: a number is pruning_ratio={wrong[0]}; ratio= names an option, r30")
        if wrong or (one.is_delete() and group in presets):
            names = option_names(group, folders)
            listed = f": {', '.join(names)}" if 0 < len(names) <= SHOWN else ""
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


def _names_an_option(value: Any, *, one_word: bool) -> bool:
    # A dict is not for the group but for the node of its name; a list is several options, merged.
    return isinstance(value, str | QuotedString | dict) or (isinstance(value, list) and not one_word)


def check_ratio_option(cfg: DictConfig) -> None:
    """Check ``ratio=`` against the pruning ratio that was composed, the only key that anything reads.

    Args:
        cfg: a configuration with Hydra's node.

    Raises:
        ConfigError: the option says another ratio: ``pruning_ratio=`` or an experiment sets it as well.
    """
    option = cfg.hydra.runtime.choices.get("ratio")
    said = load_yaml(conf_folder() / "ratio" / f"{option}.yaml") if option else {}
    if said and said.get("pruning_ratio") != cfg.pruning_ratio:
        raise ConfigError(
            f"ratio={option} and pruning_ratio={cfg.pruning_ratio} contradict each other: give one of them."
        )


# Launchers.


def launcher_of(config_name: str, overrides: Sequence[str], task: TaskFunction) -> "tuple[DictConfig, Launcher]":
    """Compose a sweep's configuration inside :func:`composing`, and set up the launcher it names.

    Args:
        config_name: what to compose.
        overrides: Hydra's own and those of one job.
        task: what every job calls.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    cfg = hydra.compose_config(config_name, list(overrides), RunMode.MULTIRUN, with_log_configuration=True)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(cfg))
    return cfg, Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=cfg)


def hydra_state() -> Any:
    """Return Hydra's global state, which jobs that run in other processes restore."""
    return Singleton.get_state()


def targets_of(conf: Path, group: str) -> tuple[tuple[str, str | None], ...]:
    """Return the name and the class of every option of a group."""
    return _targets(conf, group)


@lru_cache(maxsize=64)
def _targets(conf: Path, group: str) -> tuple[tuple[str, str | None], ...]:
    paths = sorted((conf / group).glob("*.yaml"))
    return tuple((path.stem, load_yaml(path).get(TARGET)) for path in paths)


def read_value(text: str) -> Any:
    """Return the value of ``VALUE`` in ``KEY=VALUE`` as plain values.

    Raises:
        OmegaConfBaseException: it is no value.
    """
    found: Mapping[str, Any] = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))  # type: ignore[assignment]
    return found["value"]
