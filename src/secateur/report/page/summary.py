"""The head of the page: verdicts, what was run, and what is wrong with it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from secateur.report.data.load import MASK_ONLY
from secateur.report.page.text import RelativePaths, counted, listed, name_and_settings, unbroken
from secateur.report.tables.terminal import percent

ANSWER = re.compile(
    r"^(?P<where>.*?pruned): (?P<word>yes|no verdict|no|undecided|cost not measured)\b:? ?(?P<rest>.*)$"
)
WORDS: Final = ("yes", "no", "undecided", "cost not measured", "no verdict")
TONES: Final = {"yes": "good", "no": "bad"}
MANY: Final = 4  # of more tables the answers stand in blocks
HARMLESS: Final = (MASK_ONLY, "superseded")


@dataclass(frozen=True)
class Answer:
    """One verdict: where, the word, how it is colored, and the sentence."""

    where: str
    word: str
    tone: str
    rest: str


@dataclass(frozen=True)
class Block:
    """The verdicts of one table, and how often each word is among them."""

    table: str
    counts: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Group:
    """Problems of one kind: how many, and of each its name, its folder and the reason."""

    kind: str
    harmless: bool
    count: int
    entries: tuple[tuple[str, str, str], ...]


def answers(lines: Iterable[str]) -> list[Answer]:
    """Return the verdicts in parts; a line of another form is one sentence."""
    found = []
    for line in lines:
        match = ANSWER.match(line)
        if match is None:
            found.append(Answer("", "", "open", line))
        else:
            found.append(
                Answer(match["where"], match["word"], TONES.get(match["word"], "open"), unbroken(match["rest"]))
            )
    return found


def blocks(found: Sequence[Answer], tables: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return the verdicts table by table; nothing where there are few tables, whose verdicts stand one by one."""
    if len(tables) <= MANY:
        return []
    made = []
    for name in (table["id"] for table in tables):
        own = [replace(one, where=one.where[len(name) + 2 :]) for one in found if one.where.startswith(f"{name}, ")]
        if own:
            made.append(Block(name, _counts(own), tuple(_merged(own))))
    return made


def count_sentence(found: Sequence[Answer], tables: Sequence[Mapping[str, Any]]) -> str:
    """Return how often each word is among the verdicts of all tables."""
    return f"{len(tables)} data sets and models, {counted(len(found), 'answer')}: {_counts(found)}."


def _counts(found: Sequence[Answer]) -> str:
    counts = Counter(one.word or "other" for one in found)
    return ", ".join(f"{word} {counts[word]}" for word in (*WORDS, "other") if counts[word])


def _merged(found: Sequence[Answer]) -> list[Answer]:
    """Return the verdicts of a table with those that are equal but for the ratio as one."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        places.setdefault((one.word, one.tone, one.rest), []).append(one.where.removesuffix(" pruned"))
    return [Answer(f"{listed(where)} pruned", *rest) for rest, where in places.items()]


def what_was_run(payload: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return ``where`` and ``what``: how many runs of which methods at which ratios, with how many seeds.

    Tables of which the same is to be said share a sentence.
    """
    places: dict[str, list[str]] = {}
    for table in payload["tables"]:
        places.setdefault(_sentence(table, payload), []).append(table["id"])
    return [
        {"where": where[0] if len(where) == 1 else f"each of {len(where)} ({listed(where, MANY)})", "what": what}
        for what, where in places.items()
    ]


def _sentence(table: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    cells = [payload["cells"][key] for key in table["cells"]]
    keys = {name for cell in cells for name in cell["runs"]}
    num_runs = len({payload["runs"][name]["run_key"] for name in keys})
    methods = list(dict.fromkeys(cell["method"] for cell in cells if not cell["is_full"]))
    names = dict.fromkeys(name_and_settings(method)[0] for method in methods)
    ratios = listed(percent(ratio) for ratio in table["ratios"])
    full = "full data and " if any(cell["is_full"] for cell in cells) else ""
    what = f"{full}{counted(len(methods), 'method')} ({listed(names, 8)})" if methods else "full data"
    at = f" at {ratios} pruned" if ratios and methods else ""
    return unbroken(f"{counted(num_runs, 'run')} of {what}{at}, {_seeds(cells)}.")


def _seeds(cells: list[Mapping[str, Any]]) -> str:
    numbers = sorted({cell["n"] for cell in cells})
    if len(numbers) == 1:
        return f"n = {counted(numbers[0], 'seed')} each"
    return f"n = {numbers[0]} to {numbers[-1]} seeds"


def tiles(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the counts that head the page."""
    cells = list(payload["cells"].values())
    runs = {run["run_key"] for run in payload["runs"].values()}
    methods = {cell["method"] for cell in cells if not cell["is_full"]}
    seeds = sorted({cell["n"] for cell in cells})
    problems = sum(1 for problem in payload["problems"] if problem["kind"] not in HARMLESS)
    span = "–" if not seeds else f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"
    return [
        (str(len(runs)), "finished runs"),
        (str(len(methods)), "methods"),
        (str(len(cells)), "cells"),
        (span, "seeds per cell"),
        (str(problems), "problems"),
    ]


def problem_groups(payload: Mapping[str, Any], relative: RelativePaths) -> list[Group]:
    """Return the problems by kind, those that may distort the result first."""
    kinds = Counter(problem["kind"] for problem in payload["problems"])
    return [
        Group(kind, kind in HARMLESS, kinds[kind], _entries(payload, kind, relative))
        for kind in sorted(kinds, key=lambda kind: (kind in HARMLESS, kind))
    ]


def _entries(payload: Mapping[str, Any], kind: str, relative: RelativePaths) -> tuple[tuple[str, str, str], ...]:
    """Return name, folder and reason of each problem of a kind; runs that were to make a mask only share an entry."""
    found = [problem for problem in payload["problems"] if problem["kind"] == kind]
    if kind == MASK_ONLY:
        return tuple((counted(n, "run"), "", reason) for reason, n in Counter(one["reason"] for one in found).items())
    return tuple((one["name"], relative(one["path"]) if one["path"] else "", one["reason"]) for one in found)


def problem_sentence(groups: Iterable[Group]) -> str:
    """Return what is wrong in one sentence, or that nothing is."""
    bad = [f"{group.count} {group.kind}" for group in groups if not group.harmless]
    if not bad:
        return "No run is missing, failed, damaged or stale."
    return f"To be looked at: {listed(bad)}."
