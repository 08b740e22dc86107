"""What a ``paradigm:`` node says of the LightningModule that it makes: passes per step, classes, views."""

from typing import Any

from secateur.runs.config import Node
from secateur.runs.nodes import shared
from secateur.training.modules.classifier import ONE_PASS, Passes

FORWARD_ONLY = Passes(forward=1, backward=0)


def is_trainable(node: Node) -> bool:
    """Whether a ``paradigm:`` node can train a network (and not only measure, as the unsupervised one)."""
    return callable(shared(node))


def classifies(paradigm: Any) -> bool:
    """Whether a module, or its node, trains a head on the classes, so that there are accuracies and logits."""
    factory = shared(paradigm) if isinstance(paradigm, dict) else paradigm
    return bool(getattr(getattr(factory, "func", factory), "classifies", True))


def makes_views(module: Any) -> bool:
    """Whether a module augments by itself, so that its loader must not."""
    return bool(getattr(module, "makes_views", False))


def passes_of(paradigm: Any) -> Passes:
    """Return how often a training step passes each of its samples.

    Args:
        paradigm: a module, or the ``paradigm:`` node it will be made from. Who says nothing passes them once: a
            module says it by ``passes``, its class for a node by ``planned_passes(**settings)``.

    Raises:
        ConfigError: a setting of the node cannot work.
    """
    return _said(paradigm, "passes", ONE_PASS)


def recording_passes_of(paradigm: Any) -> Passes:
    """Return how often a pass that only records passes each of its samples, likewise: forward once, if nothing else.

    Args:
        paradigm: a module, which may have ``recording_passes``, or its node, whose class may have
            ``planned_recording_passes(**settings)``.
    """
    return _said(paradigm, "recording_passes", FORWARD_ONLY)


def _said(paradigm: Any, name: str, otherwise: Passes) -> Passes:
    if isinstance(paradigm, dict):
        factory = shared(paradigm)
        planned = getattr(getattr(factory, "func", None), f"planned_{name}", None)
        return otherwise if planned is None else planned(**factory.keywords)
    passes: Passes = getattr(paradigm, name, otherwise)
    return passes
