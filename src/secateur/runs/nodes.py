"""Make objects from the nodes of a configuration: classes named by ``_target_``, with their arguments."""

import copy
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from secateur.core.errors import SecateurError
from secateur.core.names import PACKAGE, TARGET
from secateur.runs.config import Experiment, Node


def class_of(node: Node) -> Any:
    """Return the class that a node names."""
    return get_object(node[TARGET])


def method_class(config: Experiment) -> Any:
    """Return the class that ``method=`` names."""
    return class_of(config.method)


def build(node: Node | None) -> Any:
    """Make a node's object; plain lists and dicts are passed as they are.

    Raises:
        SecateurError: what the class itself raised, without Hydra's wrapping.
    """
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, SecateurError):
            raise error.__cause__ from None
        raise


def shared(node: Node | None) -> Any:
    """Return the object that :func:`build` makes, made once per process for equal nodes of Secateur's own classes.

    For objects without a state that changes: factories of networks and modules, recipes, strategies, settings. A class
    of the user's own is made anew, as its code may have changed.
    """
    own = all(str(found[TARGET]).startswith(f"{PACKAGE}.") for _, found in targets(node))
    return _shared(json.dumps(node)) if own else build(node)


@lru_cache(maxsize=256)
def _shared(node: str) -> Any:
    return build(json.loads(node))


def scorer(node: Node) -> Any:
    """Return a scorer without measurements: a copy of one that is made once per process for equal nodes."""
    return copy.deepcopy(shared(node))


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Node]]:
    """Yield the dotted path and the node of everything below a value that has a ``_target_``, itself included."""
    if isinstance(node, dict) and TARGET in node:
        yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from targets(child, f"{path}.{key}" if path else str(key))
