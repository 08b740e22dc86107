"""What a report reads from one run.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from secateur.core.ratio import keep_count
from secateur.core.record import label_of

# Settings that do not change what a run measures, or that a report tells apart by itself.
IGNORED = {
    *("name", "force", "pruning_ratio", "compare_with", "experiment", "sweeps", "hydra", "logger", "paths"),
    *("train_final", "fidelity", "strategy"),
    *("data.root", "data.extra", "data.download", "data.num_workers", "data.resident", "data.resident_limit_gib"),
    *("trainer.accelerator", "trainer.num_threads", "trainer.evaluate_every", "trainer.checkpoint_every"),
}
# Keys that came later, at the value that leaves results as they were before.
NEUTRAL = {"budget": "epochs", "relabel": False}
# Settings of the final training: the only ones that matter for full data and random subsets.
RECIPE_ROOTS = ("optim", "trainer", "data", "retrain_model", "final_paradigm", "downstream", "finetune", "budget")
FULL, RANDOM = "full", "random"
# Of those settings what training on all data does not read: as many epochs are as many steps.
NOT_OF_FULL = ("budget",)


@dataclass(frozen=True)
class Run:
    """A finished run, as far as a report is concerned.

    Attributes:
        path: folder of the record.
        run_key: key of the run.
        seed: seed of the final training.
        score_seed: seed of all that decides the mask; None when nothing does.
        data: name of the data set (``source -> downstream`` for transfer learning).
        fingerprint: fingerprint of the pool.
        model: the finally trained model.
        label: the method in words, see :func:`secateur.core.record.label_of`.
        pruning_ratio: the ratio asked for; 0 for full data.
        keep_fraction: share of the pool that was kept.
        accuracy: test accuracy after the last epoch, in ``[0, 1]``.
        cost_vs_full: cost of everything the result needs, in units of one full training; None: not measured.
        cost_vs_full_amortized: the same without what only decides the mask.
        finished: when it ended (ISO 8601).
        num_test: size of the test set.
        selected_on_test: the mask was chosen on the test set (parity only, gets no verdict).
        settings: its configuration, flat, without seeds and without what cannot change the result.
        comparison: accuracy of full data and of a random subset of the same size, trained with the same seeds,
            as far as the run measured them.
        robust_accuracy: accuracy on the attacked test set; None without adversarial training.
        worst_class_accuracy: accuracy of the class that is worst; None: not measured.
        name: what groups runs: a sweep's, or an experiment's.
        is_comparison: a baseline that another run trained to be compared with; no folder of its own.
        record: run.json as it was read (of a comparison: the other run's), for what is shown and not compared.
    """

    path: Path
    run_key: str
    seed: int
    score_seed: int | None
    data: str
    fingerprint: str
    model: str
    label: str
    pruning_ratio: float
    keep_fraction: float | None
    accuracy: float
    cost_vs_full: float | None
    cost_vs_full_amortized: float | None
    finished: str
    num_test: int | None = None
    selected_on_test: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    comparison: Mapping[str, float] = field(default_factory=dict)
    robust_accuracy: float | None = None
    worst_class_accuracy: float | None = None
    name: str = ""
    is_comparison: bool = False
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def recipe(self) -> dict[str, Any]:
        """Settings of the final training: runs are compared only where these are equal."""
        return {key: value for key, value in self.settings.items() if key.split(".")[0] in RECIPE_ROOTS}


def runs_of(path: Path, record: Mapping[str, Any]) -> list[Run]:
    """Return a finished record's run, and its comparison runs (full data, random subset) as runs of their own.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: the record lacks something, or it is not what it should be.
    """
    pruning, ledger = record["pruning"], record["ledger"]
    method = pruning["method"]
    settings = flat_settings(_config(record))
    run = Run(
        path=path,
        run_key=str(record["run_key"]),
        seed=integer(record["seed"], "seed"),
        score_seed=None if record["score_seed"] is None else integer(record["score_seed"], "score_seed"),
        data=data_name(record),
        fingerprint=str(record["data"]["fingerprint"]),
        model=str(record["models"]["final"]),
        label=label_of(record),
        pruning_ratio=0.0 if method == FULL else number(pruning["pruning_ratio"], "pruning.pruning_ratio"),
        keep_fraction=optional(pruning["keep_fraction"], "pruning.keep_fraction"),
        accuracy=_accuracy(record["metrics"]["test_accuracy"], "metrics.test_accuracy"),
        cost_vs_full=optional(ledger["cost_vs_full"], "ledger.cost_vs_full"),
        cost_vs_full_amortized=optional(ledger["cost_vs_full_amortized"], "ledger.cost_vs_full_amortized"),
        finished=str(record["finished"] or ""),
        num_test=None if (size := record["data"].get("num_test")) is None else integer(size, "data.num_test"),
        selected_on_test=record["select_on"] == "test",
        settings=settings,
        robust_accuracy=_further(record["metrics"], "metrics", "robust_accuracy"),
        worst_class_accuracy=_further(record["metrics"], "metrics", "worst_class_accuracy"),
        name=str(record.get("name") or ""),
        record=record,
    )
    if method in (FULL, RANDOM):
        return [replace(run, settings=_read_by(method, run), score_seed=None if method == FULL else run.score_seed)]
    return _with_comparisons(run, record)


def _config(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration; without one nothing says what the run is comparable with."""
    config = record["config"]
    if not isinstance(config, Mapping):
        raise ValueError(f"config is {config!r:.40}, not a mapping of settings")
    return config


def recipe_for(name: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a recipe a reference must share: for full data without what training on it does not read."""
    return {key: value for key, value in recipe.items() if name != FULL or key not in NOT_OF_FULL}


def _read_by(name: str, run: Run) -> dict[str, Any]:
    """Return what full data or a random subset read of a run's settings."""
    return recipe_for(name, run.recipe)


def _with_comparisons(run: Run, record: Mapping[str, Any]) -> list[Run]:
    """Add what the run was compared with; a random subset only where it is the one its ratio asks for."""
    measured = record.get("comparison") or {}
    accuracies = {
        name: _accuracy(measured[name]["test_accuracy"], f"comparison.{name}.test_accuracy")
        for name in (FULL, RANDOM)
        if name in measured
    }
    runs = [replace(run, comparison=accuracies)]
    for name, accuracy in accuracies.items():
        if name == RANDOM and not _keeps_what_was_asked(run, record):
            continue
        cost = optional(measured[name].get("cost_vs_full"), f"comparison.{name}.cost_vs_full")
        changes: dict[str, Any] = {"score_seed": None, "pruning_ratio": 0.0, "keep_fraction": 1.0}
        runs.append(
            replace(
                run,
                run_key=f"{run.run_key}/{name}",
                label=name,
                accuracy=accuracy,
                robust_accuracy=_further(measured[name], f"comparison.{name}", "robust_accuracy"),
                worst_class_accuracy=_further(measured[name], f"comparison.{name}", "worst_class_accuracy"),
                is_comparison=True,
                cost_vs_full=cost,
                cost_vs_full_amortized=cost,
                selected_on_test=False,
                settings=_read_by(name, run),
                **(changes if name == FULL else {}),
            )
        )
    return runs


def _keeps_what_was_asked(run: Run, record: Mapping[str, Any]) -> bool:
    num_total, num_kept = record["pruning"]["num_total"], record["pruning"]["num_kept"]
    return num_total is not None and num_kept == keep_count(num_total, run.pruning_ratio)


def is_mask_only(record: Mapping[str, Any]) -> bool:
    """Whether a finished run was to make the mask and train nothing on it (``train_final=false``)."""
    if record["metrics"]["test_accuracy"] is not None:
        return False
    config = record["config"]
    asked = isinstance(config, Mapping) and config.get("train_final") is False
    return asked or record["ledger"]["cost_vs_full"] is None


def flat_settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration as dotted keys, without seeds and without what cannot change a result.

    A key that is null, or neutral, is left out: it is the same as one that did not exist yet when the run was made.
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key in IGNORED or key == "seed" or key.endswith((".seed", "_seed")):
            continue
        if isinstance(value, Mapping):
            flat.update(flat_settings(value, f"{key}."))
        elif value is not None and NEUTRAL.get(key) != value:
            flat[key] = value
    return flat


def data_name(record: Mapping[str, Any]) -> str:
    """Return the name of the data set, for transfer learning ``source -> downstream``."""
    downstream = (record.get("transfer") or {}).get("downstream")
    name = str(record["data"]["name"])
    return f"{name} -> {downstream}" if downstream else name


def _accuracy(value: Any, name: str) -> float:
    accuracy = number(value, name)
    if not 0 <= accuracy <= 1:
        raise ValueError(f"{name} is {accuracy}, not in [0, 1]")
    return accuracy


def _further(metrics: Mapping[str, Any], block: str, name: str) -> float | None:
    value = metrics.get(name)
    return None if value is None else _accuracy(value, f"{block}.{name}")


def number(value: Any, name: str) -> float:
    """Return a finite number of a record as float.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)


def integer(value: Any, name: str) -> int:
    """Return an integer of a record.

    Raises:
        ValueError: it is none; the message has its name.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is {value!r}, not an integer")
    return value


def optional(value: Any, name: str) -> float | None:
    """Return a number of a record, or None where it is null: not measured.

    Raises:
        ValueError: it is neither; the message has its name.
    """
    return None if value is None else number(value, name)
