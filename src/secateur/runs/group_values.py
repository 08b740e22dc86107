"""Checking what the command line says of groups of options, such as ``score=``: Hydra words little of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString

from secateur.core.errors import ConfigError
from secateur.runs.paths import CONF, SWEEPS

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
        wrong = [value for value in _values(one) if not _names_an_option(group, value)]
        if wrong and group == "ratio" and isinstance(wrong[0], float):
            raise ConfigError(f"{one.input_line}: a number is pruning_ratio={wrong[0]}; ratio= names an option, r30")
        if wrong or (one.is_delete() and group in ONE_WORD):
            listed = _options(group, folders)
            raise ConfigError(f"{one.input_line}: {group}= must name one option{listed}; leave it out for the default")


def _values(override: Override) -> Iterator[Any]:
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
