"""What every cell cost, stage by stage, in units of one training on full data."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secateur.report.page.text import listed, name_and_settings
from secateur.report.tables.terminal import percent, ratio_text

NUM_COLORS = 8  # classes s0 .. s7 of the style sheet
TRAINING = "training"


@dataclass(frozen=True)
class Segment:
    """A part of a bar.

    Attributes:
        stage: name of the stage.
        color: number of its color.
        start: where it begins, in percent of the widest bar of its table.
        width: its length, likewise.
        reused: whether the stage was taken from the store instead of being computed.
    """

    stage: str
    color: int
    start: float
    width: float
    reused: bool


@dataclass(frozen=True)
class Bar:
    """The cost of one cell: its segments from left to right, and the same in words."""

    cell: str
    name: str
    settings: str
    ratio: str
    total: str
    amortized: str
    segments: tuple[Segment, ...]
    one: float
    words: str


def stage_colors(runs: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return a color number per stage; those that decide the mask come first, in the order in which they are run.

    The final training has the same color in every report.
    """
    stages = [stage for run in runs for stage in run["ledger"]["stages"]]
    before = list(dict.fromkeys(str(stage["stage"]) for stage in stages if stage["pruning"]))
    after = list(dict.fromkeys(str(stage["stage"]) for stage in stages if not stage["pruning"]))
    names = list(dict.fromkeys([*before, TRAINING, *after]))
    others = [name for name in names if name != TRAINING]
    return {name: 0 if name == TRAINING else 1 + others.index(name) % (NUM_COLORS - 1) for name in names}


def ledger_bars(payload: Mapping[str, Any], colors: Mapping[str, int]) -> dict[str, list[Bar]]:
    """Return the bars of every table by its id; cells without a measured cost have none.

    A cell's bar is the mean over its runs. A stage that only some of them reused has two segments.
    """
    bars = {}
    for table in payload["tables"]:
        cells = [payload["cells"][key] for key in table["cells"]]
        known = [cell for cell in cells if cell["cost_vs_full"] is not None]
        widest = max([1.0, *(cell["cost_vs_full"] for cell in known)])
        bars[table["id"]] = [
            _bar(cell, mean_stages(payload["runs"][key] for key in cell["runs"]), colors, widest) for cell in known
        ]
    return bars


def mean_stages(runs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, bool], float]:
    """Return the mean cost by ``(stage, reused)`` in full trainings; a run without stages is one training."""
    ledgers = [run["ledger"] for run in runs]
    sums: dict[tuple[str, bool], float] = defaultdict(float)
    for ledger in ledgers:
        flops = math.fsum(stage["flops"] for stage in ledger["stages"])
        cost = ledger["cost_vs_full"] or 0.0
        if not flops:
            sums[TRAINING, False] += cost
            continue
        for stage in ledger["stages"]:
            sums[str(stage["stage"]), bool(stage["reused"])] += stage["flops"] / flops * cost
    return {key: value / len(ledgers) for key, value in sums.items() if value > 0}


def _bar(
    cell: Mapping[str, Any], stages: Mapping[tuple[str, bool], float], colors: Mapping[str, int], widest: float
) -> Bar:
    segments, start = [], 0.0
    for (stage, reused), cost in sorted(stages.items(), key=lambda item: (list(colors).index(item[0][0]), item[0][1])):
        width = 100 * cost / widest
        segments.append(Segment(stage, colors[stage], round(start, 3), round(width, 3), reused))
        start += width
    said = [f"{stage} {ratio_text(cost)}{' (reused)' if reused else ''}" for (stage, reused), cost in stages.items()]
    name, settings = name_and_settings(cell["method"])
    return Bar(
        cell=cell["id"],
        name=name,
        settings=settings,
        ratio="" if cell["is_full"] else percent(cell["pruning_ratio"]),
        total=ratio_text(cell["cost_vs_full"]),
        amortized=ratio_text(cell["cost_vs_full_amortized"]),
        segments=tuple(segments),
        one=round(100 / widest, 3),
        words=f"{ratio_text(cell['cost_vs_full'])} full trainings: {listed(said)}",
    )
