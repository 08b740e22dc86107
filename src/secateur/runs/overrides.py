"""Overrides that a command sets and its run does not read."""

from collections.abc import Mapping, Sequence

from secateur.runs.compose import key_of
from secateur.runs.config import Experiment, groups, keys_with
from secateur.runs.naming import choice
from secateur.runs.nodes import method_class, shared

NOTHING = ("none", "null", "reference", "[]")  # values that ask for nothing


def check_ratio(asked: Experiment, overrides: Sequence[str]) -> None:
    """Check a pruning ratio that was given against the one that a mask file has.

    Args:
        asked: the configuration as it was asked for.
        overrides: what the command sets.

    Raises:
        ConfigError: the file leaves out another share.
    """
    if "pruning_ratio" not in method_class(asked).reads and "pruning_ratio" in map(_root, overrides):
        shared(asked.method).check_ratio(asked.pruning_ratio)


def idle_settings(
    asked: Experiment, config: Experiment, choices: Mapping[str, str], overrides: Sequence[str]
) -> tuple[str, ...]:
    """Return a line for each override that has no effect.

    Args:
        asked: the configuration as it was asked for.
        config: the same without what its method does not read, and without an idle variant.
        choices: the option each group was set to.
        overrides: what the command sets, ``key=value`` each.
    """
    lines = ((text, _why(text, asked, config, choices)) for text in overrides if not text.startswith("~"))
    return tuple(f"{text.lstrip('+')} has no effect: {why}." for text, why in lines if why)


def _why(text: str, asked: Experiment, config: Experiment, choices: Mapping[str, str]) -> str | None:
    """Return why an override has no effect; None where it may have one."""
    if text.partition("=")[2] in NOTHING:
        return None
    root, method = _root(text), method_class(config)
    name = choice(config, "method", choices)
    if root in keys_with(read_by="method") and root not in method.reads:
        checked = root == "pruning_ratio" and (not asked.pruning_ratio or method.has_ratio)
        return None if checked else f"method={name} does not read it"
    if root in (*keys_with(read_by="extrapolation"), "fidelity") and config.extrapolation is None:
        known = "extrapolation" in method.reads
        return "extrapolation=none scores every sample" if known else f"method={name} predicts no scores"
    if root == "variant" and config.variant != asked.variant:
        keys = [key for key, group in groups().items() if group.preset and key != "variant"]
        named = ", ".join(f"{key}={option}" for key in keys if (option := choice(config, key, choices)))
        return f"nothing of {named} has such a variant"
    return None


def _root(text: str) -> str:
    """Return the root key that an override sets; ``ratio=`` is an option that sets ``pruning_ratio``."""
    root = key_of(text).split("@")[-1].split(".")[0]
    return "pruning_ratio" if root == "ratio" else root
