"""The rows of the page's table: what each shows, and what it is sorted and filtered by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.report.data.statistics import cautious, is_limited, short
from secateur.report.page.text import DASH, interval, name_and_settings, points
from secateur.report.tables.terminal import percent, ratio_text

ONE_SEED, STALE, ON_TEST, MISSING, WARNED = "one seed", "stale", "selected on test", "seeds missing", "warnings"
PER_EPOCH, THIS_MASK, COMPARISON = "new subset every epoch", "this mask", "from compare_with"
ROUNDED = 0.005
Place = tuple[str | None, str | None, float | None]


@dataclass(frozen=True)
class Entry:
    """One cell of the table.

    Attributes:
        text: what it shows first.
        more: what stands beside it, smaller.
        sort: what it is sorted by: a number, or text in lower case; empty comes last in either direction.
        tone: ``good``, ``bad``, ``open`` or empty: how a verdict is colored.
        verdict: the verdict in a word or two.
    """

    text: str
    more: str = ""
    sort: str = ""
    tone: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its header, a longer explanation, whether it is a number, and what it shows of a cell."""

    header: str
    title: str
    number: bool
    entry: Callable[[Mapping[str, Any]], Entry]


@dataclass(frozen=True)
class Line:
    """A row of the table: the cell it shows, what it is filtered by, and its entries."""

    cell: str
    method: str
    name: str
    settings: str
    ratio: str
    table: str
    verdict: str
    states: tuple[str, ...]
    search: str
    entries: tuple[Entry, ...]


def columns(payload: Mapping[str, Any]) -> list[Column]:
    """Return the columns; those that would be empty, or the same everywhere, are left out."""
    cells = list(payload["cells"].values())
    baseline = payload["baseline"]
    wanted = [
        (len(payload["tables"]) > 1, Column("data, model", "data set and final model", False, _data)),
        (True, Column("pruned", "share of the pool that was removed", True, _ratio)),
        (True, Column("accuracy", "test accuracy after the last epoch in %: mean, 95 % interval, n", True, _accuracy)),
        (
            any(map(_kept_otherwise, cells)),
            Column("kept", "share of the pool that was kept, or of the visits, mean over runs", True, _kept),
        ),
        (
            _any(cells, "worst_class_accuracy"),
            _metric("worst class", "accuracy of the worst class in %", "worst_class"),
        ),
        (_any(cells, "robust_accuracy"), _metric("robust", "accuracy on attacked test images in %", "robust")),
        (True, _against(f"vs {baseline}", baseline, "baseline")),
        (True, _against("vs full", "full", "full")),
        (
            any(_detectable(cell) is not None for cell in cells),
            Column(
                "finds",
                f"smallest difference to full (without it to {baseline}) found with 80 % power, in points",
                True,
                _finds,
            ),
        ),
        (True, Column("cost", "everything the result needs, in trainings on full data", True, _cost)),
        (True, Column("if reused", "the same when the mask is reused without end", True, _amortized)),
        (_any(cells, "rank"), Column("rank", "rank of the mean accuracy among the methods at this ratio", True, _rank)),
    ]
    return [column for shown, column in wanted if shown]


def lines(payload: Mapping[str, Any], shown: Sequence[Column]) -> list[Line]:
    """Return one line per cell, in the order of the payload's tables."""
    missing = {_place(problem) for problem in _of_kind(payload, "missing")}
    ordered = [payload["cells"][key] for table in payload["tables"] for key in table["cells"]]
    return [_line(cell, shown, _states(cell, payload["runs"], missing)) for cell in ordered]


def _line(cell: Mapping[str, Any], shown: Sequence[Column], states: tuple[str, ...]) -> Line:
    entries = tuple(column.entry(cell) for column in shown)
    seen = [cell["method"], cell["table"], *states, *(f"{entry.text} {entry.verdict}" for entry in entries)]
    name, settings = name_and_settings(cell["method"])
    return Line(
        cell=cell["id"],
        method=cell["method"],
        name=name,
        settings=settings,
        ratio="" if cell["is_full"] else percent(cell["pruning_ratio"]),
        table=cell["table"],
        verdict=_word(_shown(cell, "full")),
        states=states,
        search=" ".join(seen).lower(),
        entries=entries,
    )


def _place(entry: Mapping[str, Any]) -> Place:
    """Return table, method and ratio of a cell or a problem; the table of a run that never began is not known."""
    return entry["table"], entry["method"], entry["pruning_ratio"]


def _of_kind(payload: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [problem for problem in payload["problems"] if problem["kind"] == kind]


def _states(cell: Mapping[str, Any], runs: Mapping[str, Any], missing: set[Place]) -> tuple[str, ...]:
    found = {
        ONE_SEED: cell["n"] == 1,
        STALE: cell["stale"],
        ON_TEST: cell["selected_on_test"],
        MISSING: not missing.isdisjoint({_place(cell), (None, *_place(cell)[1:])}),
        PER_EPOCH: cell["per_epoch"],
        THIS_MASK: cell["one_mask"],
        COMPARISON: cell["is_comparison"] and not cell["is_full"],
        WARNED: any(runs[key]["warnings"] for key in cell["runs"]),
    }
    return tuple(name for name, is_so in found.items() if is_so)


def _any(cells: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(cell.get(key) is not None for cell in cells)


def _kept_otherwise(cell: Mapping[str, Any]) -> bool:
    """Whether a method kept another share than its ratio asks for (whole classes, say)."""
    if cell["per_epoch"]:
        return True
    return cell["keep_fraction"] is not None and abs(cell["keep_fraction"] - (1 - cell["pruning_ratio"])) > ROUNDED


def _data(cell: Mapping[str, Any]) -> Entry:
    return Entry(cell["table"], sort=cell["table"].lower())


def _ratio(cell: Mapping[str, Any]) -> Entry:
    if cell["is_full"]:
        return Entry(DASH, sort="0")
    asked = cell["asked_ratio"] if cell["is_realized"] and not cell["is_comparison"] else None
    more = "" if asked is None else f"asked {percent(asked)}"
    return Entry(percent(cell["pruning_ratio"]), more, sort=repr(cell["pruning_ratio"]))


def _kept(cell: Mapping[str, Any]) -> Entry:
    if cell["per_epoch"]:
        return Entry(percent(cell["visited_share"]), "of visits", _sortable(cell["visited_share"]))
    return Entry(percent(cell["keep_fraction"]), sort=_sortable(cell["keep_fraction"]))


def _accuracy(cell: Mapping[str, Any]) -> Entry:
    return _estimate(cell["accuracy"])


def _metric(header: str, title: str, key: str) -> Column:
    def entry(cell: Mapping[str, Any]) -> Entry:
        estimate = cell[f"{key}_accuracy"]
        return Entry(DASH) if estimate is None else _estimate(estimate)

    return Column(header, title, True, entry)


def _estimate(estimate: Mapping[str, Any]) -> Entry:
    return Entry(points(estimate["mean"]), f"{interval(estimate)}, n = {estimate['n']}", repr(estimate["mean"]))


def _against(header: str, reference: str, key: str) -> Column:
    def entry(cell: Mapping[str, Any]) -> Entry:
        difference, words = cell[f"vs_{key}"], _shown(cell, key)
        tone, word = _tone(words), short(words, reference)
        if difference is None:
            return Entry("", verdict=word, tone=tone)
        mean = f"{round(100 * difference['mean'], 1) + 0.0:+.1f}"
        half = "" if difference["high"] is None else f" ± {100 * (difference['high'] - difference['mean']):.1f}"
        return Entry(mean + half, f"n = {difference['n']}", repr(difference["mean"]), tone, word)

    title = f"difference to {reference} in points, paired by seed: mean, half of the 95 % interval, pairs, verdict"
    return Column(header, title, True, entry)


def _shown(cell: Mapping[str, Any], key: str) -> str:
    difference = cell[f"vs_{key}"]
    if difference is None:
        return str(cell[f"verdict_{key}"])
    survives = (difference["survives_holm"], difference["equal_survives_holm"])
    return cautious(cell[f"verdict_{key}"], *survives)


def _detectable(cell: Mapping[str, Any]) -> float | None:
    """Return the smallest difference that a cell's seeds find, to full data or without it to the baseline."""
    difference = cell["vs_baseline"] if cell["vs_full"] is None else cell["vs_full"]
    value: float | None = None if difference is None else difference.get("detectable")
    return value


def _finds(cell: Mapping[str, Any]) -> Entry:
    value = _detectable(cell)
    return Entry(DASH) if value is None else Entry(points(value), sort=repr(value))


def _word(words: str) -> str:
    return words.split(":")[0]


def _tone(words: str) -> str:
    first = "" if is_limited(words) else words.split(" ")[0]
    return {"above": "good", "matches": "good", "ties": "good", "below": "bad"}.get(first, "open" if words else "")


def _cost(cell: Mapping[str, Any]) -> Entry:
    return Entry(ratio_text(cell["cost_vs_full"]).replace("-", DASH), sort=_sortable(cell["cost_vs_full"]))


def _amortized(cell: Mapping[str, Any]) -> Entry:
    value = cell["cost_vs_full_amortized"]
    return Entry(ratio_text(value).replace("-", DASH), sort=_sortable(value))


def _rank(cell: Mapping[str, Any]) -> Entry:
    if cell["rank"] is None:
        return Entry(DASH)
    return Entry(f"{cell['rank']:g}", f"of {cell['num_ranked']}", repr(cell["rank"]))


def _sortable(value: float | None) -> str:
    return "" if value is None else repr(value)
