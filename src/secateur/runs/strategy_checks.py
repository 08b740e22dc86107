"""What cannot be divided among processes, found before anything starts."""

from typing import Any

from secateur.core.errors import ConfigError
from secateur.runs.config import Config, build, targets
from secateur.training.distributed.strategy import Strategy


def check_strategy(config: Config) -> Strategy:
    """Check the ``strategy:`` node against the rest of a configuration, and return it built.

    Raises:
        ConfigError: it cannot work with what else was asked for.
    """
    strategy: Strategy = build(config["strategy"])
    if strategy.num_processes == 1:
        return strategy
    if getattr(strategy, "accelerator", None) == "cpu" and config["trainer"]["accelerator"] == "gpu":
        raise ConfigError("strategy.accelerator=cpu computes on CPUs, but trainer.accelerator=gpu: take strategy=ddp.")
    if any(node.get("method") == "moco" for _, node in targets(_paradigms(config))):
        raise ConfigError(
            "paradigm.method=moco keeps its queue of keys in one process: take paradigm.method=simsiam, or "
            "strategy=single."
        )
    if getattr(strategy, "sharded", False):
        _check_sharded(config)
    return strategy


def _check_sharded(config: Config) -> None:
    """Check what reads a network from outside its training step, or its weights one by one."""
    if "optim" in config["method"]:
        raise ConfigError("strategy=fsdp cannot divide AdaPruner's mask, one number per sample: take strategy=ddp.")
    for key, node in _paradigms(config).items():
        if not node["_target_"].endswith(".Classifier"):
            raise ConfigError(f"strategy=fsdp trains {key}=supervised only, got {node['_target_']}: take strategy=ddp.")
    for path, node in targets(config):
        if node.get("grad_clip_norm") is not None:
            raise ConfigError(f"strategy=fsdp cannot clip by {path}.grad_clip_norm: set it to null.")
        if node.get("decay_norm_and_bias") is False:
            raise ConfigError(
                f"strategy=fsdp cannot tell biases from other weights, which {path}.decay_norm_and_bias=false needs."
            )


def _paradigms(config: Config) -> dict[str, Any]:
    return {key: config[key] for key in ("paradigm", "final_paradigm")}
