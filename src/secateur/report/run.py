"""What a report reads from one run.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from secateur.core.ratio import keep_count
from secateur.core.record import label_of
from secateur.report.values import as_object, at, block, cost, integer, number_in, optional_integer, text

# Settings that do not change what a run measures, or that a report tells apart by itself.
IGNORED = {
    *("name", "force", "check", "pruning_ratio", "compare_with", "experiment", "sweeps", "hydra", "logger", "paths"),
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
        KeyError, ValueError: the record lacks something, or it is not what it should be; the message has its key.
    """
    pruning, metrics = block(record, "pruning"), block(record, "metrics")
    method = at(record, "pruning.method")
    score_seed, finished = at(record, "score_seed"), at(record, "finished")
    keep_fraction = at(record, "pruning.keep_fraction")
    for name in ("num_total", "num_kept"):  # read by what compares masks
        optional_integer(pruning.get(name), f"pruning.{name}", 1)
    run = Run(
        path=path,
        run_key=text(at(record, "run_key"), "run_key"),
        seed=integer(at(record, "seed"), "seed"),
        score_seed=None if score_seed is None else integer(score_seed, "score_seed"),
        data=data_name(record),
        fingerprint=str(at(record, "data.fingerprint")),
        model=str(at(record, "models.final")),
        label=label_of(record),
        pruning_ratio=0.0 if method == FULL else pruning_ratio(at(record, "pruning.pruning_ratio")),
        keep_fraction=None if keep_fraction is None else number_in(keep_fraction, "pruning.keep_fraction", 0, 1),
        accuracy=_accuracy(at(record, "metrics.test_accuracy"), "metrics.test_accuracy"),
        cost_vs_full=cost(at(record, "ledger.cost_vs_full"), "ledger.cost_vs_full"),
        cost_vs_full_amortized=cost(at(record, "ledger.cost_vs_full_amortized"), "ledger.cost_vs_full_amortized"),
        finished=str(finished or ""),
        num_test=optional_integer(block(record, "data").get("num_test"), "data.num_test", 1),
        selected_on_test=at(record, "select_on") == "test",
        settings=flat_settings(_config(record)),
        robust_accuracy=_further(metrics, "metrics", "robust_accuracy"),
        worst_class_accuracy=_further(metrics, "metrics", "worst_class_accuracy"),
        name=str(record.get("name") or ""),
        record=record,
    )
    if method in (FULL, RANDOM):
        return [replace(run, settings=_read_by(method, run), score_seed=None if method == FULL else run.score_seed)]
    return _with_comparisons(run, record)


def _config(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration; without one nothing says what the run is comparable with."""
    config = at(record, "config")
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
    found = as_object(record.get("comparison") or {}, "comparison")
    measured = {name: as_object(found[name], f"comparison.{name}") for name in (FULL, RANDOM) if name in found}
    accuracies = {
        name: _accuracy(at(record, f"comparison.{name}.test_accuracy"), f"comparison.{name}.test_accuracy")
        for name in measured
    }
    runs = [replace(run, comparison=accuracies)]
    for name, accuracy in accuracies.items():
        if name == RANDOM and not _keeps_what_was_asked(run, record):
            continue
        spent = cost(measured[name].get("cost_vs_full"), f"comparison.{name}.cost_vs_full")
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
                cost_vs_full=spent,
                cost_vs_full_amortized=spent,
                selected_on_test=False,
                settings=_read_by(name, run),
                **(changes if name == FULL else {}),
            )
        )
    return runs


def _keeps_what_was_asked(run: Run, record: Mapping[str, Any]) -> bool:
    num_total, num_kept = at(record, "pruning.num_total"), at(record, "pruning.num_kept")
    return num_total is not None and num_kept == keep_count(num_total, run.pruning_ratio)


def is_mask_only(record: Mapping[str, Any]) -> bool:
    """Whether a finished run was to make the mask and train nothing on it (``train_final=false``).

    Raises:
        ValueError: the record lacks what says so; the message has its key.
    """
    if at(record, "metrics.test_accuracy") is not None:
        return False
    config = at(record, "config")
    asked = isinstance(config, Mapping) and config.get("train_final") is False
    return asked or at(record, "ledger.cost_vs_full") is None


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
    """Return the name of the data set, for transfer learning ``source -> downstream``.

    Raises:
        ValueError: the record has none; the message has its key.
    """
    downstream = as_object(record.get("transfer") or {}, "transfer").get("downstream")
    name = str(at(record, "data.name"))
    return f"{name} -> {downstream}" if downstream else name


def pruning_ratio(value: Any, name: str = "pruning.pruning_ratio") -> float:
    """Return a pruning ratio, in ``[0, 1)``.

    Raises:
        ValueError: it is none; the message has its name.
    """
    return number_in(value, name, 0, 1, below=True)


def _accuracy(value: Any, name: str) -> float:
    return number_in(value, name, 0, 1)


def _further(metrics: Mapping[str, Any], block: str, name: str) -> float | None:
    value = metrics.get(name)
    return None if value is None else _accuracy(value, f"{block}.{name}")
