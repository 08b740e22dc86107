"""What may be made from a configuration that was recorded elsewhere: Secateur's own classes, and nothing else."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from secateur.core.errors import ConfigError
from secateur.runs.nodes import targets

PACKAGE = "secateur"


def check_targets(node: Any, path: str) -> None:
    """Make sure that a recorded node names no code but Secateur's own classes, before anything is made from it.

    A record may come from anybody, and Hydra calls whatever a ``_target_`` names.

    Args:
        node: the configuration of a record, or a part of it.
        path: where it lies, for messages.

    Raises:
        ConfigError: a ``_target_`` is not a class of Secateur's, or a text would be replaced by what it refers to:
            a record holds resolved values, and a reference could bring a ``_target_`` in.
    """
    for where, text in _texts(node, path):
        if "${" in text:
            raise ConfigError(f"The record's {where} is {text!r}, but what a run records refers to nothing else.")
    for where, found in targets(node, path):
        if not _is_own(found["_target_"]):
            raise ConfigError(
                f"The record's {where}._target_ is {found['_target_']!r}, not a class of Secateur, and a record's "
                "other code is not run: if it is your own, add --config-dir with its folder."
            )


def _is_own(target: Any) -> bool:
    """Whether a target is a class that Secateur defines, not merely something that a module of it imports."""
    module, _, name = str(target).rpartition(".")
    if module.partition(".")[0] != PACKAGE:
        return False
    try:
        found = getattr(import_module(module), name, None)
    except (ImportError, ValueError):  # no such module, or no name of one
        return False
    return inspect.isclass(found) and found.__module__.partition(".")[0] == PACKAGE


def _texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted path and the text of every string in a node."""
    if isinstance(node, str):
        yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from _texts(child, f"{path}.{key}")
