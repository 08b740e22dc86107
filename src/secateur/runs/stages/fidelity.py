"""How good predicted scores are: a comparison with full scorings, which enters neither the mask nor the cost."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.mask import keep_count
from secateur.core.record import Extrapolation
from secateur.core.tables import ScoreTable
from secateur.extrapolation.fidelity import Fidelity, fidelity, seed_level
from secateur.runs.context import Context
from secateur.runs.nodes import scorer
from secateur.runs.stages.scoring import measure


def check_wanted(context: Context) -> None:
    """Check before anything is trained that the full scorings asked for, and the comparison with them, can be made.

    Raises:
        ConfigError: a score seed is negative, a ratio would keep nothing, or ``scoring.max_epochs`` are too few.
    """
    config, wanted = context.config, context.config.fidelity
    if not wanted.against:
        return
    if min(wanted.against) < 0:
        raise ConfigError(f"fidelity.against holds score seeds, which are not negative; got {min(wanted.against)}.")
    for ratio in wanted.ratios:
        keep_count(context.num_total, ratio)
    scorer(config.score).setup(1, config.scoring.max_epochs)


def missing(context: Context, block: Extrapolation) -> bool:
    """Whether ``fidelity.against`` or ``fidelity.ratios`` ask for more than a record's ``extrapolation`` block has."""
    wanted = context.config.fidelity
    ratios = {entry.score_seed: [line.pruning_ratio for line in entry.by_ratio] for entry in block.fidelity}
    return not block.is_empty and any(ratios.get(seed) != wanted.ratios for seed in wanted.against)


def assess(context: Context, table: ScoreTable, before: Sequence[int] = ()) -> tuple[dict[str, Any], ScoreTable]:
    """Compare merged scores with full scorings by the score seeds ``fidelity.against``, scoring where none is stored.

    Args:
        context: the run.
        table: the merged scores.
        before: score seeds that the run was compared with already.

    Returns:
        Keys for the record's ``extrapolation`` block (``fidelity``, one entry per full scoring, and ``seed_level``,
        the mean over the pairs of full scorings, on the same samples; None for a single one), and the table of the
        first full scoring.
    """
    check_wanted(context)
    wanted = context.config.fidelity
    full = {seed: _full_scoring(context, seed) for seed in dict.fromkeys([*before, *wanted.against])}
    entries = [
        {"score_seed": seed, **_entry(fidelity(table.score, true.score, table.observed, wanted.ratios))}
        for seed, true in full.items()
    ]
    rows = (~table.observed).nonzero().flatten()
    pairs = [_entry(seed_level(a.score, b.score, rows, wanted.ratios)) for a, b in combinations(full.values(), 2)]
    level = _mean(pairs) if pairs else None
    return {"fidelity": entries, "seed_level": level}, next(iter(full.values()))


def _full_scoring(context: Context, score_seed: int) -> ScoreTable:
    """Score the whole pool by another seed; booked on a ledger of its own."""
    config = context.config.changed(score_seed=score_seed, force=None)
    return measure(Context(config, context.data, context.store, context.console, context.choices)).table


def _entry(result: Fidelity) -> dict[str, Any]:
    """Return a comparison as the record has it."""
    values = result.to_json()
    names = {"recall": "recall", "chance_recall": "chance", "jaccard": "jaccard", "chance_jaccard": "jaccard_chance"}
    names |= {"pruning_ratio": "pruning_ratio", "observed_share": "observed_share"}
    by_ratio = [{new: kept[old] for old, new in names.items()} for kept in values.pop("kept")]
    tail = {"tail_recall": values.pop("top_recall"), "tail_chance": values.pop("chance_tail_recall")}
    return {**values, **tail, "by_ratio": by_ratio}


def _mean(values: Sequence[Any]) -> Any:
    """Return the mean of equally built blocks, number by number; None where one is not a number."""
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _mean([value[key] for value in values]) for key in first}
    if isinstance(first, list):
        return [_mean(items) for items in zip(*values, strict=True)]
    return fmean(values) if all(isinstance(value, int | float) for value in values) else None
