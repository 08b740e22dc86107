"""Errors as one line, with the closest match for what was misspelt."""

import difflib
import re
from argparse import ArgumentError
from collections.abc import Callable, Iterable

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from secateur.core.errors import SecateurError
from secateur.core.record import one_line
from secateur.runs.paths import CONF, SWEEPS

# What other programs call our keys.
SYNONYMS = {
    **dict.fromkeys(("device", "gpu", "cuda"), "trainer.accelerator"),
    **dict.fromkeys(("devices", "gpus", "num_gpus"), "strategy.devices"),
    **dict.fromkeys(("epoch", "epochs", "num_epochs"), "trainer.max_epochs"),
    **dict.fromkeys(("prune", "fraction", "prune_ratio", "pruning_rate"), "pruning_ratio"),
    **dict.fromkeys(("output", "output_dir", "out"), "paths.output_dir"),
    "learning_rate": "optim.lr",
    "dataset": "data",
}
BAD_INPUT = (SecateurError, HydraException, OmegaConfBaseException, ArgumentError)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known word, or the choices when none is close."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f" (choose from {', '.join(words)})" if words and len(words) <= 30 else ""


def like(name: str, known: Iterable[str]) -> str | None:
    """Return the key that a user probably means by one that does not exist; None where no key is like it.

    Args:
        name: what was typed, for example ``lr`` or ``trainr.max_epochs``.
        known: all keys and groups there are.
    """
    keys = sorted((key for key in known if not _last(key).startswith("_")), key=lambda key: (key.count("."), key))
    head, last = name.rpartition(".")[0], _last(name)
    if not head and name in SYNONYMS:
        return SYNONYMS[name]
    beside = {_last(key): key for key in keys if key.rpartition(".")[0] == head}
    if close := difflib.get_close_matches(last, beside, n=1, cutoff=0.6):
        return beside[close[0]]
    equal = [key for key in keys if _last(key) == last]
    containing = [key for key in keys if not head and last in _last(key).split("_")]
    return next(iter([*equal, *containing, *difflib.get_close_matches(name, keys, n=1, cutoff=0.75)]), None)


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _unknown_option(missing: str, known: Iterable[str]) -> str:
    """Return what to say of ``group/option`` that does not exist; ``known`` are the options beside it."""
    top, _, name = missing.partition("/")
    folder = SWEEPS if top == "sweeps" else CONF / top
    names = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    if top == "hydra" or not any("/" in option for option in names):
        group, _, option = missing.rpartition("/")
        if group == "hydra/launcher" and option.startswith("submitit_"):
            return f"{group}={option} needs the extra slurm: pip install 'secateur[slurm]'"
        return f"{group} has no option {option!r}{suggestion(option, known)}"
    same = sorted(option for option in names if option.rpartition("/")[2] == name.rpartition("/")[2])
    close = [*same, *difflib.get_close_matches(name, sorted(names - set(same)), n=3, cutoff=0.5)][:3]
    if close:
        return f"{top} has no option {name!r}; did you mean {' or '.join(map(repr, close))}?"
    folders = sorted({option.partition("/")[0] for option in names})
    return f"{top} has no option {name!r} (there are {len(names)}, in {', '.join(folders)})"


def message(error: BaseException, known_keys: Callable[[], Iterable[str]] = list) -> str:
    """Return one line for an error of the configuration or of a run.

    Args:
        error: what was raised.
        known_keys: returns all keys and groups of the default configuration, for suggestions.
    """
    if isinstance(error, SecateurError):
        return one_line(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        missing = str(error.missing_cfg_file)
        return _unknown_option(missing, error.options or []) if "/" in missing else f"no configuration {missing!r}"
    text = str(error)
    key = re.search(r"(?:Could not override|Could not find match for|Key) '([^']+)'", text)
    if key:
        name = key[1].split("@")[0]
        if name in (known := set(known_keys())):
            return f"{name!r} is not a key of the options chosen here"
        close = like(name, known)
        return f"unknown key {name!r}" + (f"; did you mean {close!r}?" if close else "")
    first = text.strip().splitlines()[0]
    if first.startswith("Ambiguous value"):
        return f"{first}: add -m to sweep over it"
    if first.startswith("Error parsing override"):
        return f"{first}: overrides are key=value"
    return first
