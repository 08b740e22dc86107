"""What the runs of a sweep share, before anything is trained: which of their planned stages are one and the same."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from secateur.core.errors import SecateurError
from secateur.core.ledger import Ledger, StageCost
from secateur.core.store import StageResult, Store
from secateur.runs.config import build
from secateur.runs.context import Context
from secateur.runs.final import finish
from secateur.runs.stages.training import train_on_mask

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
        pruned = build(context.config["method"]).prune(asking)
        if pruned.trained is None and context.config["train_final"]:
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
