"""Secateur prunes the training set, not the network.

The names below are the front door for people who have their own training loop; each is imported on first use.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "IndexedDataset": "secateur.data.indexed",
    "Mask": "secateur.core.mask",
    "ScoreTable": "secateur.core.tables",
    "ScoreRecorder": "secateur.training.callbacks.recorder",
    "SecateurError": "secateur.core.errors",
    "Top": "secateur.selection.top",
}
__all__ = ["IndexedDataset", "Mask", "ScoreRecorder", "ScoreTable", "SecateurError", "Top", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'secateur' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
