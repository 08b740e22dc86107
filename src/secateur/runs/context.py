"""What every stage of one run shares."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from rich.console import Console
from rich.markup import escape
from safetensors.torch import load_file

from secateur.core.ledger import Ledger, StageCost
from secateur.core.store import StageResult, Store, read_stored
from secateur.data.batch import Batch
from secateur.data.prepared import EVALUATION_BATCH, PreparedData
from secateur.models.backbone import Backbone
from secateur.runs.config import Experiment, Node
from secateur.runs.flops import flops_per_forward
from secateur.runs.nodes import shared
from secateur.runs.paradigms import passes_of
from secateur.training.recipe import Recipe
from secateur.training.settings import TrainerSettings

if TYPE_CHECKING:
    from secateur.runs.history import History


def say_warning(console: Console, message: str) -> None:
    """Show a warning on one line, its text as it is."""
    console.print(f"[yellow]warning:[/] {escape(message)}", highlight=False, soft_wrap=True)


@dataclass
class Context:
    """One run in progress.

    Attributes:
        config: the canonical configuration.
        data: the prepared data set.
        store: finished stages.
        console: where progress and messages go.
        choices: the option each group was set to, for names in the record.
        downstream: the prepared downstream set of transfer learning; None without one.
        history: told of every epoch that the run ends with; None in trainings that are not its own.
        warnings: collected for run.json.
        ledger: cost of the stages this result needs.
    """

    config: Experiment
    data: PreparedData
    store: Store
    console: Console
    choices: Mapping[str, str] = field(default_factory=dict)
    downstream: PreparedData | None = None
    history: "History | None" = None
    warnings: list[str] = field(default_factory=list)
    ledger: Ledger = field(init=False)
    _flops: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        forward, backward = passes_of(self.config.final_paradigm)
        visits = self.num_total * self.trainer.max_epochs
        self.ledger = Ledger((forward + 2.0 * backward) * visits * self.flops("retrain_model"))

    @property
    def num_total(self) -> int:
        """Size of the pool."""
        return len(self.data.pool)

    @property
    def trainer(self) -> TrainerSettings:
        """The ``trainer:`` node."""
        return self.config.trainer

    @property
    def recompute(self) -> bool:
        """Whether everything in the store is to be ignored."""
        return bool(self.config.force == "all")

    @property
    def placement(self) -> dict[str, Any]:
        """Where loaders put their batches, and in which memory order."""
        return {"device": self.trainer.device, "channels_last": self.trainer.channels_last}

    def evaluation(self, split: str) -> Callable[[], Iterable[Batch]]:
        """Return a maker of loaders over a split, with the deterministic test transform."""
        which = cast(Literal["validation", "test"], split)
        return lambda: self.data.eval_loader(which, EVALUATION_BATCH, **self.placement)

    def recipe(self, node: Node) -> Recipe:
        """Return the recipe of a node."""
        recipe: Recipe = shared(node)
        return recipe

    def model(self, node: str) -> Backbone:
        """Build the network of ``model`` or ``retrain_model`` for this data."""
        factory: Any = shared(getattr(self.config, node))
        model: Backbone = factory(num_classes=self.data.num_classes, in_channels=self.data.image_shape[0])
        return model

    def fresh_model(self, node: str, seed: int, start: Path | None = None) -> Backbone:
        """Build a network from a seed, or with the weights of a finished stage: its folder, or a file in it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.model(node)
        if start is not None:
            model.load_state_dict(
                read_stored(lambda: load_file(start / "model.safetensors" if start.is_dir() else start))
            )
        return model

    def flops(self, node: str) -> float:
        """Return the operations of one image's forward pass through ``model`` or ``retrain_model``; counted once."""
        if node not in self._flops:
            self._flops[node] = flops_per_forward(self.model(node), self.data.image_shape)
        return self._flops[node]

    def book(self, result: StageResult) -> None:
        """Add what a finished stage cost, whoever computed it, to the ledger."""
        self.ledger.add(StageCost.from_json(result.summary["cost"], reused=result.reused))

    def listener(self, training: str) -> Callable[[dict[str, Any]], None] | None:
        """Return who is to be told of a training's epochs as they end, if anybody."""
        return partial(self.history.epoch, training) if self.history else None

    def tell(self, training: str, result: StageResult) -> StageResult:
        """Tell of the epochs of a finished training that were not told, because it was reused; return it."""
        if self.history:
            self.history.complete(training, result.path / "metrics.csv")
        return result

    @property
    def unfollowed(self) -> "Context":
        """The same for trainings that are not the run's own result."""
        return replace(self, history=None) if self.history else self

    def warn(self, message: str) -> None:
        """Show a warning and keep it for the record."""
        if message not in self.warnings:
            self.warnings.append(message)
            self.console.print(f"[yellow]warning:[/] {message}", highlight=False)

    def say(self, message: str) -> None:
        """Show a warning about this execution alone, which changes no result: it is not in the record."""
        say_warning(self.console, message)
