"""The shape of a page's data: what stands under which key."""

from typing import Any, TypedDict


class EstimateEntry(TypedDict):
    """A mean over seeds: ``low`` and ``high`` are its 95 % t interval; null with one seed."""

    mean: float
    n: int
    sd: float | None
    low: float | None
    high: float | None


class ComparisonEntry(EstimateEntry):
    """A paired difference with its tests."""

    p_t: float | None
    p_exact: float | None
    p_holm: float | None
    survives_holm: bool | None
    margin: float | None
    p_equal: float | None
    p_equal_holm: float | None
    equal_survives_holm: bool | None
    detectable: float | None


class SpreadEntry(TypedDict):
    """Standard deviations by source; null where they cannot be told apart."""

    design: str
    train_sd: float | None
    score_sd: float | None
    residual_sd: float | None


class CellEntry(TypedDict):
    """One method at one ratio on one data set with one model."""

    id: str
    table: str
    method: str
    is_full: bool
    is_baseline: bool
    pruning_ratio: float
    asked_ratio: float | None
    is_realized: bool
    keep_fraction: float | None
    per_epoch: bool
    visited_share: float | None
    num_seen: float | None
    n: int
    seeds: list[int]
    num_masks: int
    one_mask: bool
    counts: bool
    is_comparison: bool
    accuracy: EstimateEntry
    worst_class_accuracy: EstimateEntry | None
    robust_accuracy: EstimateEntry | None
    vs_baseline: ComparisonEntry | None
    vs_full: ComparisonEntry | None
    verdict_baseline: str
    verdict_full: str
    rank: float | None
    num_ranked: int
    best: bool
    spread: SpreadEntry
    cost_vs_full: float | None
    cost_vs_full_amortized: float | None
    selected_on_test: bool
    stale: bool
    class_counts: list[float] | None
    class_totals: list[float] | None
    settings: dict[str, str]
    runs: list[str]


class ProblemEntry(TypedDict):
    """A run that is not in the statistics, or is and should be looked at."""

    kind: str
    name: str
    path: str | None
    reason: str
    method: str | None
    pruning_ratio: float | None
    seed: int | None
    score_seed: int | None
    table: str | None


class FigureEntry(TypedDict):
    """A drawn figure; ``files`` maps a format to a path relative to the report's folder."""

    id: str
    kind: str
    table: str | None
    title: str
    caption: str
    files: dict[str, str]


class MarginEntry(TypedDict):
    """How the margin of equality was set: in points, or null for the default; and the same in words."""

    points: float | None
    words: str


class Payload(TypedDict):
    """The whole report."""

    schema: int
    title: str
    paths: list[str]
    baseline: str
    confidence: float
    margin: MarginEntry
    answers: list[str]
    notes: list[str]
    legend: list[str]
    methods: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    cells: dict[str, CellEntry]
    runs: dict[str, dict[str, Any]]
    configs: dict[str, Any]
    provenance: dict[str, Any]
    problems: list[ProblemEntry]
    curves: list[dict[str, Any]]
    figures: list[FigureEntry]
    fidelity: dict[str, Any] | None
