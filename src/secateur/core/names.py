"""Stable names of shipped classes, which keys and records hold in place of import paths.

A shipped class that a configuration can make states its name once, as the class attribute ``NAME``: ``"score/el2n"`` is
the group and the class. Its module may move; keys and records stay. A class of the user's own is called by its import
path. In a configuration in memory the class of a node is Hydra's ``_target_``, an import path; in a key and in a record
it is ``_class_``, a name.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secateur.core.errors import ConfigError

TARGET, CLASS = "_target_", "_class_"
PACKAGE = "secateur"
_FOLDER = Path(__file__).resolve().parents[1]
_STATEMENT = re.compile(r'^class (\w+)|^    NAME: ClassVar\[str\] = "([\w/]+)"$', re.MULTILINE)


@lru_cache(maxsize=1)
def shipped_classes() -> Mapping[str, str]:
    """Return the import path of every shipped class that states a name, by its name.

    The names are read from the source files, so that nothing is imported.
    """
    found: dict[str, str] = {}
    for path in sorted(_FOLDER.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "    NAME: ClassVar" not in source:
            continue
        module = ".".join((PACKAGE, *path.relative_to(_FOLDER).with_suffix("").parts))
        owner = ""
        for class_name, stated in _STATEMENT.findall(source):
            owner = class_name or owner
            if stated:
                found[stated] = f"{module}.{owner}"
    return MappingProxyType(found)


@lru_cache(maxsize=256)
def name_of(path: str) -> str:
    """Return the name of the class at an import path: the one it states if it is shipped, else the path itself."""
    by_path = _by_path()
    if path in by_path or not path.startswith(f"{PACKAGE}."):
        return by_path.get(path, path)
    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)  # imported there from another module of Secateur
    except (ImportError, AttributeError):
        return path
    own = f"{getattr(found, '__module__', module)}.{getattr(found, '__qualname__', attribute)}"
    return by_path.get(own, path)


def short_name(name: str) -> str:
    """Return what a part of a run is called where no option is known: the name without its group, or a path's module.

    Example:
        >>> short_name("score/el2n"), short_name("my_lab.hardness.Hardness")
        ('el2n', 'hardness')
    """
    if "/" in name:
        return name.rpartition("/")[2]
    return name.split(".")[-2] if "." in name else name


def path_of(name: str) -> str:
    """Return the import path of the class of a name, or a path as it is.

    A path that records of version 0.1 have for a class whose module has moved since gives the class's new path.

    Raises:
        ConfigError: it has the form of a shipped class's name, and there is no such class.
    """
    if "/" in name:
        if name not in shipped_classes():
            raise ConfigError(
                f"{name!r} is not the name of a class of Secateur; was the record made by a later version?"
            )
        return shipped_classes()[name]
    if name.startswith(f"{PACKAGE}.") and name not in _by_path():
        return _by_class_name().get(name.rpartition(".")[2], name)
    return name


def named(node: Any) -> Any:
    """Return a configuration, or a part of one, with ``_class_: NAME`` in place of every ``_target_: PATH``."""
    if isinstance(node, Mapping):
        return {
            CLASS if key == TARGET else key: name_of(value) if key == TARGET else named(value)
            for key, value in node.items()
        }
    return [named(value) for value in node] if isinstance(node, list | tuple) else node


def targeted(node: Any) -> Any:
    """Return a recorded configuration, or a part of one, as Hydra makes it: the opposite of :func:`named`.

    Raises:
        ConfigError: a name is not one of a shipped class.
    """
    if isinstance(node, Mapping):
        return {
            TARGET if key == CLASS else key: path_of(value)
            if key in (CLASS, TARGET) and isinstance(value, str)
            else targeted(value)
            for key, value in node.items()
        }
    return [targeted(value) for value in node] if isinstance(node, list | tuple) else node


@lru_cache(maxsize=1)
def _by_path() -> Mapping[str, str]:
    return {path: name for name, path in shipped_classes().items()}


@lru_cache(maxsize=1)
def _by_class_name() -> Mapping[str, str]:
    return {path.rpartition(".")[2]: path for path in shipped_classes().values()}
