"""What a command says and nothing reads: told, because it looks as if it had been done."""

from collections.abc import Mapping, Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from secateur.core.errors import ConfigError
from secateur.runs.config import OF_EXTRAPOLATION, OPTIONAL, Config, build, method_class
from secateur.runs.naming import choice

SAYS_NOTHING = ("none", "null", "reference", "[]")
RATIO_KEYS = ("ratio", "pruning_ratio")


def typed_overrides(choices: Mapping[str, str]) -> tuple[str, ...]:
    """Return the overrides of the job that Hydra runs with these choices; none where it runs no such job."""
    if not HydraConfig.initialized() or dict(HydraConfig.get().runtime.choices) != dict(choices):
        return ()
    return tuple(HydraConfig.get().overrides.task)


def is_sweep() -> bool:
    """Whether the job is one of many: what is set for all of them need not be read by each."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def check_ratio(asked: Config, overrides: Sequence[str]) -> None:
    """Check a pruning ratio that was given against the one that a mask file has.

    Args:
        asked: the resolved configuration, as it was asked for.
        overrides: what the command sets.

    Raises:
        ConfigError: the file leaves out another share.
    """
    if "pruning_ratio" not in method_class(asked).reads and any(_key(text) in RATIO_KEYS for text in overrides):
        method = build(asked["method"])
        if hasattr(method, "check_ratio"):
            method.check_ratio(asked["pruning_ratio"])


def idle_settings(
    asked: Config, config: Config, choices: Mapping[str, str], overrides: Sequence[str]
) -> tuple[str, ...]:
    """Return a line for each override that has no effect.

    Args:
        asked: the resolved configuration, as it was asked for.
        config: the same without what its method does not read, and without an idle variant.
        choices: the option each group was set to.
        overrides: what the command sets, ``key=value`` each.
    """
    lines = ((text, _why(text, asked, config, choices)) for text in overrides if not text.startswith("~"))
    return tuple(f"{text.lstrip('+')} has no effect: {why}." for text, why in lines if why)


def check_one_ratio(overrides: Sequence[str]) -> None:
    """Raise :class:`ConfigError` where ``ratio=`` and ``pruning_ratio=`` are both given and differ."""
    given = {_key(text): text.partition("=")[2] for text in overrides}
    option, value = given.get("ratio", "null"), given.get("pruning_ratio")
    if value is None or option == "null" or _option(value) == option:
        return
    raise ConfigError(f"ratio={option} and pruning_ratio={value} contradict each other: give one of them.")


def _option(value: str) -> str | None:
    """Return the option of ``ratio=`` that says the same as a pruning ratio."""
    try:
        return f"r{100 * float(value):g}"
    except ValueError:
        return None


def _why(text: str, asked: Config, config: Config, choices: Mapping[str, str]) -> str | None:
    """Return why an override has no effect; None where it may have one."""
    key, value = _key(text), text.partition("=")[2]
    if value in SAYS_NOTHING:
        return None
    root, method = key.split("@")[-1].split(".")[0], choice(config, "method", choices)
    root = "pruning_ratio" if root == "ratio" else root
    reads = method_class(config).reads
    if root in (*OPTIONAL, "pruning_ratio") and root not in reads:
        checked = root == "pruning_ratio" and (not asked[root] or hasattr(method_class(config), "check_ratio"))
        return None if checked else f"method={method} does not read it"
    if root in (*OF_EXTRAPOLATION, "fidelity") and config["extrapolation"] is None:
        known = "extrapolation" in reads
        return "extrapolation=none scores every sample" if known else f"method={method} predicts no scores"
    if root == "variant" and config["variant"] != asked["variant"]:
        nodes = [node for node in ("method", "score", "extrapolation") if config[node] is not None]
        named = ", ".join(f"{node}={choice(config, node, choices)}" for node in nodes)
        return f"nothing of {named} has such a variant"
    return None


def _key(text: str) -> str:
    return text.lstrip("+").partition("=")[0]
