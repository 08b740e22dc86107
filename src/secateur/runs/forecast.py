"""What a run will cost, before anything is trained, and whether pruning will pay."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Any

from secateur.core.errors import SecateurError
from secateur.core.ledger import Ledger, StageCost
from secateur.core.mask import keep_count
from secateur.core.store import StageResult, Store
from secateur.runs.check_on_data import warn_of_empty_classes
from secateur.runs.context import Context
from secateur.runs.final import finish
from secateur.runs.naming import choice
from secateur.runs.nodes import build, method_class, shared
from secateur.runs.plan import choosing_flops, final_plan, full_scoring_flops
from secateur.runs.stages.training import train_on_mask


@dataclass(frozen=True)
class Forecast:
    """A planned run; all shares are in units of one full training.

    Attributes:
        ledger: the stages in their order.
        training: share of the final training; None when the run ends with the mask.
        full_scoring: share of the same run if it scored every sample; None when it does, or scores none.
        at_most: the stages are upper bounds.
        remarks: what is an upper bound, what is left out, what is done beside and not counted.
    """

    ledger: Ledger
    training: float | None
    full_scoring: float | None
    at_most: bool
    remarks: tuple[str, ...]

    @property
    def choosing(self) -> float:
        """Share of all that only decides the mask."""
        return choosing_flops(self.ledger.stages) / self.ledger.full_flops


def forecast(context: Context) -> Forecast:
    """Return what a run will cost; nothing is computed.

    Args:
        context: a run that has not started; its ledger stays empty.

    Raises:
        ConfigError: the configuration cannot work on this data.
        DataError: the data, or a mask file, is not what it should be.
    """
    warn_of_empty_classes(context)
    method = shared(context.config.method)
    planned = Ledger(context.ledger.full_flops, method.plan(context))
    trained = any(not stage.pruning for stage in planned.stages)
    training = planned.cost_vs_full_amortized if trained else None
    remarks = (*context.warnings, *_beside(context, planned))
    return Forecast(
        ledger=planned,
        training=training,
        full_scoring=_full_scoring(context, training or 0.0),
        at_most=method.plans_at_most(context),
        remarks=remarks,
    )


def _full_scoring(context: Context, training: float) -> float | None:
    """Return what the run would cost without extrapolation."""
    if context.config.extrapolation is None:
        return None
    share = _scoring_share(context)
    return None if share is None else share + training


def _scoring_share(context: Context) -> float | None:
    flops = full_scoring_flops(context)
    return None if flops is None else flops / context.ledger.full_flops


def _num_kept(context: Context, planned: Ledger) -> int:
    """Return how many samples the mask keeps: by the ratio, or as many as the final training visits per epoch."""
    if "pruning_ratio" in method_class(context.config).reads:
        return keep_count(context.num_total, context.config.pruning_ratio)
    return round(context.num_total * planned.cost_vs_full_amortized)


def _beside(context: Context, planned: Ledger) -> list[str]:
    """Return what the run computes beside its result: baselines, full scorings to compare predictions with."""
    config, remarks = context.config, []
    own = choice(config, "method", context.choices)
    baselines = [name for name in config.compare_with if name != own]
    num_keep = _num_kept(context, planned)
    if baselines and config.train_final and num_keep < context.num_total:
        random = final_plan(context, num_keep).flops / planned.full_flops
        costs = [f"{name} ({1 if name == 'full' else random:.2f})" for name in baselines]
        remarks.append(f"compare_with also trains {' and '.join(costs)} unless in the store; this is not counted.")
    if config.extrapolation and (count := len(set(config.fidelity.against))):
        each = _scoring_share(context) or 0.0
        remarks.append(f"fidelity.against also takes {count} full scorings of {each:.2f} each; this is not counted.")
    return remarks


def runs_to_pay(choosing: float, training: float) -> int | None:
    """Return how many final trainings must share a mask until each is cheaper than one on all data.

    Worthwhile for R of them is ``choosing / R + training < 1``; the smallest such R is returned.

    Args:
        choosing: cost of choosing the mask, in full trainings, at least 0.
        training: cost of one training on it.

    Returns:
        R, at least 1; None when training on what is kept is no cheaper than on everything.

    Example:
        >>> runs_to_pay(0.2, 0.5), runs_to_pay(0.7, 0.5), runs_to_pay(1.0, 0.5), runs_to_pay(0.0, 1.0)
        (1, 2, 3, None)
    """
    if training >= 1:
        return None
    runs = floor(choosing / (1 - training)) + 1
    while choosing / runs + training >= 1:  # the quotient above may have been rounded
        runs += 1
    while runs > 1 and choosing / (runs - 1) + training < 1:
        runs -= 1
    return runs


def verdict(choosing: float, training: float, at_most: bool = False) -> str:
    """Return what a run costs and whether it pays.

    Args:
        choosing: cost of choosing the mask, in full trainings.
        training: cost of one training on it.
        at_most: the costs are upper bounds.

    Example:
        >>> verdict(0.24, 0.5)
        'this run costs 0.74 of one full training; it pays from the first run'
    """
    cost = f"this run costs {'at most ' if at_most else ''}{share(choosing + training)} of one full training"
    runs = runs_to_pay(choosing, training)
    if runs is None and at_most:
        return f"{cost}; whether it pays is known only afterwards"
    if runs is None:
        if not choosing:
            return f"{cost}: nothing is saved"
        return f"{cost}; it never pays: training on what is kept alone costs {share(training)} of a full training"
    if runs == 1:
        return f"{cost}; it pays from the first run"
    if at_most:
        return f"{cost}; it pays for sure if at least {runs} final trainings share the mask"
    return f"{cost}; it pays only if at least {runs} final trainings share the mask"


def equal_cost(total: float) -> str:
    """Return what costs the same and needs no score at all."""
    if total >= 1:
        return "equal total cost: one training on everything (method=full) costs no more"
    ratio = f"{1 - total:.3f}".rstrip("0").rstrip(".")
    return f"equal total cost: method=rs2 pruning_ratio={ratio}, a new random subset per epoch and no score"


def share(value: float) -> str:
    """Return two digits, and more where they would round to 1 what is not 1.

    Example:
        >>> share(0.5), share(0.9999), share(1.0)
        ('0.50', '0.9999', '1.00')
    """
    texts = [f"{value:.{digits}f}" for digits in (2, 3, 4, 5)]
    return next((text for text in texts if float(text) != 1), texts[0])


NOTHING = StageCost("", 0, 0, flops=0.0, seconds=0.0).to_json()


class AskedStore(Store):
    """A store that has nothing and computes nothing: it writes down what it is asked for.

    A run on it gets as far as the first file it wants to read; what it has asked for until then is exact.
    """

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.asked: list[tuple[str, str]] = []

    def get(self, stage: str, key: str, compute: Callable[[Path], dict[str, Any]], **options: Any) -> StageResult:
        """Return a stage whose folder does not exist."""
        self.asked.append((stage, key))
        return StageResult(self.root / stage / key, reused=False, summary={"cost": NOTHING})


def asked_stages(context: Context) -> list[tuple[str, str]]:
    """Return the stages ``(name, key)`` that a run asks its store for, as far as nothing has to be there for that."""
    store = AskedStore()
    asking = replace(context, store=store, warnings=[])
    try:
        pruned = build(context.config.method).prune(asking)
        if pruned.trained is None and context.config.train_final:
            finish(asking, train_on_mask(asking, pruned.mask))
    except (SecateurError, OSError, LookupError):  # it wanted to read what a stage would have left
        pass
    return store.asked


class SharedStages:
    """The stages of many planned runs, each counted once, at the most that one of the runs reads of it.

    Two stages are the same when the store would find the second by the key of the first. A stage that only chooses and
    whose key is not known beforehand (embeddings, a prediction) is the same where what it builds on and its cost are;
    a final training on a mask that is not known beforehand is its run's own.
    """

    def __init__(self) -> None:
        self.shares: dict[Hashable, tuple[str, float]] = {}

    def add(self, context: Context, run: str, planned: Ledger) -> None:
        """Add a run: its context, its key, and its planned ledger."""
        for identity, stage in zip(self._identities(context, run, planned), planned.stages, strict=True):
            share = stage.flops / planned.full_flops
            _, known = self.shares.get(identity, (stage.stage, 0.0))
            self.shares[identity] = (stage.stage, max(known, share))  # a scoring is extended to the longest reading

    @property
    def by_stage(self) -> dict[str, float]:
        """Full trainings by name of the stage, in the order of their first appearance."""
        sums: dict[str, float] = {}
        for name, share in self.shares.values():
            sums[name] = sums.get(name, 0.0) + share
        return sums

    def _identities(self, context: Context, run: str, planned: Ledger) -> Iterator[Hashable]:
        keys: defaultdict[str, deque[str]] = defaultdict(deque)
        upstream = []
        for name, key in asked_stages(context):
            keys[name].append(key)
            upstream.append(key)
        seen: Counter[Hashable] = Counter()
        for stage in planned.stages:
            if keys[stage.stage]:
                yield stage.stage, keys[stage.stage].popleft()
                continue
            chooses = stage.pruning and upstream
            cost = (stage.samples_forward, stage.samples_backward, stage.flops)
            identity = (stage.stage, *cost, *(upstream if chooses else [run]))
            yield *identity, seen[identity]
            seen[identity] += 1
