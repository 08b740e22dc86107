"""What the page's scripts read: the points of the curves, and the provenance of every cell without repetitions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from secateur.report.data.statistics import cautious
from secateur.report.page.text import RelativePaths, estimate_text, points, where_text
from secateur.report.tables.terminal import percent, ratio_text

METRICS = {
    "accuracy": "test accuracy, last epoch",
    "worst_class_accuracy": "accuracy of the worst class",
    "robust_accuracy": "accuracy on attacked test images",
}
PRIVATE = ("host",)  # of no use to a reader
DESIGNS = {
    "tied": "not to be told apart: each run has a mask and a training seed of its own",
    "crossed": "every mask with every training seed",
    "nested": "several training seeds per mask",
    "training only": "one mask, several training seeds",
    "masks only": "one training seed, several masks",
    "incomplete": "too few combinations of seeds to tell it apart",
}


def script_data(payload: Mapping[str, Any], relative: RelativePaths) -> dict[str, Any]:
    """Return everything but the gallery, ready for JSON."""
    used = dict.fromkeys(run["config"] for run in payload["runs"].values())
    usual, settings, varying = factor_out({key: flatten(payload["configs"][key]) for key in used})
    commands = _numbered(run["command"] for run in payload["runs"].values())
    environments = {
        key: {name: value for name, value in flatten(found).items() if name not in PRIVATE and value is not None}
        for key, found in payload["provenance"].items()
    }
    return {
        "metrics": METRICS,
        "baseline": payload["baseline"],
        "methods": {method["label"]: method for method in payload["methods"]},
        "tables": [{"id": table["id"], "ratios": table["ratios"]} for table in payload["tables"]],
        "curves": [_curve(curve, payload["cells"]) for curve in payload["curves"]],
        "cells": {
            key: _details(cell, payload["runs"], commands, relative, payload["baseline"])
            for key, cell in payload["cells"].items()
        },
        "commands": list(commands),
        "sweeps": _sweeps(payload["runs"].values(), commands),
        "usual": usual,
        "varying": varying,
        "settings": settings,
        "environments": environments,
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as dotted keys; lists stay as they are.

    Example:
        >>> flatten({"a": {"b": 1, "c": None}, "d": [2]})
        {'a.b': 1, 'a.c': None, 'd': [2]}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def factor_out(
    configs: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], list[str]]:
    """Split flat configurations into the usual values, what each has instead, and the keys that differ at all.

    A key that is null is the same as one that is not there; null instead of a usual value takes it away.

    Example:
        >>> factor_out({"x": {"a": 1, "b": 2, "c": None}, "y": {"a": 1, "b": 3}, "z": {"a": 1, "b": 3}})
        ({'a': 1, 'b': 3}, {'x': {'b': 2}, 'y': {}, 'z': {}}, ['b'])
    """
    usual: dict[str, Any] = {}
    varying: list[str] = []
    for key in sorted({key for config in configs.values() for key in config}):
        values = [config.get(key) for config in configs.values()]
        counts = Counter(map(repr, values))
        if len(counts) > 1:
            varying.append(key)
        most = counts.most_common(1)[0][0]
        usual[key] = next(value for value in values if repr(value) == most)
    own = {
        name: {key: config.get(key) for key in usual if repr(config.get(key)) != repr(usual[key])}
        for name, config in configs.items()
    }
    return {key: value for key, value in usual.items() if value is not None}, own, varying


def _numbered(texts: Any) -> dict[str, int]:
    return {text: number for number, text in enumerate(dict.fromkeys(str(text or "not recorded") for text in texts))}


def _sweeps(runs: Iterable[Mapping[str, Any]], commands: Mapping[str, int]) -> dict[str, int]:
    """Return, by the number of a command that made several runs (a sweep), how many of this report it made."""
    made = {(run["run_key"], str(run["command"] or "")) for run in runs}
    counts = Counter(command for _, command in made)
    return {str(number): counts[command] for command, number in commands.items() if counts[command] > 1}


def _curve(curve: Mapping[str, Any], cells: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: curve[key] for key in ("table", "metric", "method")},
        "full": any(cells[point["cell"]]["is_full"] for point in curve["points"]),
        "points": [
            {
                **{"cell": point["cell"], "ratio": point["pruning_ratio"], "cost": point["cost"], "n": point["n"]},
                **{"mean": point["mean"], "low": point["low"], "high": point["high"], "front": point["pareto"]},
                "name": where_text(cells[point["cell"]]),
                "text": f"{estimate_text(point)}, cost {ratio_text(point['cost'])}",
            }
            for point in curve["points"]
        ],
    }


def _details(
    cell: Mapping[str, Any],
    runs: Mapping[str, Any],
    commands: Mapping[str, int],
    relative: RelativePaths,
    baseline: str,
) -> dict[str, Any]:
    members = sorted(
        (runs[key] for key in cell["runs"]), key=lambda run: (run["seed"], run["score_seed"] or 0, run["id"])
    )
    return {
        "title": where_text(cell),
        "table": cell["table"],
        "facts": [list(fact) for fact in cell_facts(cell, baseline)],
        "runs": [_run(run, relative) for run in members],
        "warnings": list(dict.fromkeys(warning for run in members for warning in run["warnings"])),
        "commands": list(dict.fromkeys(commands[str(run["command"] or "not recorded")] for run in members)),
        "settings": list(dict.fromkeys(run["config"] for run in members)),
        "environments": list(dict.fromkeys(run["provenance"] for run in members)),
    }


def _run(run: Mapping[str, Any], relative: RelativePaths) -> list[str]:
    """Return the seeds, the accuracy, the cost and the folder of a run, as text."""
    within = f" ({run['id'].rsplit('/', 1)[-1]}, measured within this run)" if run["is_comparison"] else ""
    return [
        str(run["seed"]),
        "–" if run["score_seed"] is None else str(run["score_seed"]),
        points(run["accuracy"], 2),
        ratio_text(run["ledger"]["cost_vs_full"]),
        relative(run["path"]) + within,
    ]


def cell_facts(cell: Mapping[str, Any], baseline: str) -> list[tuple[str, str]]:
    """Return what is known of a cell beyond its row of the table, as names and values."""
    references = {"baseline": baseline, "full": "full"}
    facts = [("accuracy", estimate_text(cell["accuracy"]))]
    for name, key in (("worst class", "worst_class_accuracy"), ("robust", "robust_accuracy")):
        if cell[key] is not None:
            facts.append((name, estimate_text(cell[key])))
    facts += [
        (f"against {name}", _comparison(cell[f"vs_{key}"], cell[f"verdict_{key}"]))
        for key, name in references.items()
        if cell[f"verdict_{key}"]
    ]
    facts += [
        ("pruning ratio", _ratio(cell)),
        ("trained on", _trained_on(cell)),
        ("seeds", f"{', '.join(map(str, cell['seeds']))}; {cell['num_masks']} different masks"),
        ("sd by source", spread_text(cell["spread"])),
        ("cost", f"{ratio_text(cell['cost_vs_full'])} full trainings"),
        ("cost if the mask is reused", f"{ratio_text(cell['cost_vs_full_amortized'])} full trainings"),
    ]
    facts += [(f"set: {name}", str(value)) for name, value in cell["settings"].items()]
    return facts


def _comparison(difference: Mapping[str, Any] | None, words: str) -> str:
    if difference is None:
        return words
    parts = [f"{100 * difference['mean']:+.2f} points"]
    if difference["low"] is not None:
        parts.append(f"95 % interval {100 * difference['low']:+.2f} to {100 * difference['high']:+.2f}")
    parts.append(f"{difference['n']} pairs")
    named = {
        **{"p_t": "p (paired t)", "p_exact": "p (sign flips)", "p_holm": "p (Holm)"},
        **{"p_equal": "p of equality (two one-sided tests)", "p_equal_holm": "p of equality (Holm)"},
    }
    parts += [f"{name} = {difference[key]:.2g}" for key, name in named.items() if difference.get(key) is not None]
    for key, name in (("margin", "margin of equality"), ("detectable", "found with 80 % power from")):
        if difference.get(key) is not None:
            parts.append(f"{name} {100 * difference[key]:.2f} points")
    shown = cautious(words, difference["survives_holm"], difference["equal_survives_holm"])
    return f"{shown}: {', '.join(parts)}"


def _ratio(cell: Mapping[str, Any]) -> str:
    """Return the ratio at which a cell stands, and the one asked for where that is another."""
    asked = cell["asked_ratio"]
    if not cell["is_realized"]:
        return percent(cell["pruning_ratio"])
    return f"{percent(cell['pruning_ratio'])} realized" + ("" if asked is None else f", {percent(asked)} asked for")


def _trained_on(cell: Mapping[str, Any]) -> str:
    """Return the kept share of the pool; of what is chosen anew in every epoch the visits and the samples seen."""
    if not cell["per_epoch"]:
        return f"{percent(cell['keep_fraction'])} of the pool"
    seen = "" if cell["num_seen"] is None else f", {cell['num_seen']:,.0f} different samples"
    return f"{percent(cell['visited_share'])} of the visits{seen}; another subset in every epoch"


def spread_text(spread: Mapping[str, Any]) -> str:
    """Return the standard deviations by source in points, and how the seeds were set.

    Example:
        >>> spread_text({"design": "masks only", "train_sd": None, "score_sd": 0.01, "residual_sd": None})
        'between masks 1.00 points (one training seed, several masks)'
    """
    sources = {"train_sd": "between training seeds", "score_sd": "between masks", "residual_sd": "unexplained"}
    said = [f"{name} {100 * spread[key]:.2f} points" for key, name in sources.items() if spread[key] is not None]
    design = DESIGNS.get(spread["design"], spread["design"])
    return f"{', '.join(said)} ({design})" if said else str(design)


def metrics_of(curves: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return name and description of the metrics that are drawn."""
    found = {curve["metric"] for curve in curves}
    return [(name, text) for name, text in METRICS.items() if name in found]
