"""What a result cost: every stage it needs, reused ones included, against one training on all the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict

from secateur.core.block import Cost, Count, Flag, Text


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage, in a run and in the ``ledger`` block of its record; keys that came later are kept.

    Attributes:
        stage: name of the stage (``scoring``, ``training``, ...).
        samples_forward: samples passed through a network, each counted once per pass.
        samples_backward: samples of which a gradient was taken.
        flops: ``(samples_forward + 2 * samples_backward) * flops_per_forward`` of the stage's network.
        seconds: wall-clock seconds of all of the stage, the sum over interrupted and resumed parts. For ``scoring`` and
            ``scoring_final_pass`` those of the epochs and passes that the run's own scorer reads alone: set-up,
            recording and saving, which all scorers of one entry share, are left out. Where labels were found without
            a scoring network (TURTLE) it is all of ``scoring`` again.
        device_seconds: device seconds of the same, summed over processes: on GPUs wall-clock seconds, with the device
            synchronized, on CPUs processor seconds; None when not measured.
        train_seconds: wall-clock seconds of training steps alone, with loading their batches; None when not measured.
        train_device_seconds: device seconds of the same.
        evaluation_seconds: wall-clock seconds of evaluating on validation and test samples and of monitors.
        evaluation_device_seconds: device seconds of the same.
        energy_joules: electric energy of all of the stage; None: nothing measures it yet.
        energy_source: what measured it; None as well.
        peak_memory_bytes: peak device memory; None when not measured (CPU).
        reused: the stage was found finished in the store.
        pruning: the stage exists only to decide which samples are kept (false for the final training).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    stage: Text
    samples_forward: Count
    samples_backward: Count
    flops: Cost
    seconds: Cost
    device_seconds: Cost | None = None
    train_seconds: Cost | None = None
    train_device_seconds: Cost | None = None
    evaluation_seconds: Cost | None = None
    evaluation_device_seconds: Cost | None = None
    energy_joules: Cost | None = None
    energy_source: str | None = None
    peak_memory_bytes: Count | None = None
    reused: Flag = False
    pruning: Flag = True

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, reused: bool) -> "StageCost":
        """Restore what :meth:`to_json` gave."""
        return cls(**{**values, "reused": reused})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dict(vars(self))


@dataclass
class Ledger:
    """All stages of one result.

    Args:
        full_flops: what one training of the final model on all N samples with the final recipe takes.
    """

    full_flops: float
    stages: list[StageCost] = field(default_factory=list)

    def add(self, cost: StageCost) -> None:
        """Book one stage."""
        self.stages.append(cost)

    @property
    def cost_vs_full(self) -> float:
        """Cost of everything this result needs in units of one full training; below 1, pruning paid at once."""
        return sum(stage.flops for stage in self.stages) / self.full_flops

    @property
    def cost_vs_full_amortized(self) -> float:
        """The same without the stages that only decide the mask: the limit of reusing the mask without end."""
        return sum(stage.flops for stage in self.stages if not stage.pruning) / self.full_flops

    def to_json(self) -> dict[str, Any]:
        """Return the ``ledger`` block of run.json."""
        return {
            "stages": [stage.to_json() for stage in self.stages],
            "total_seconds": sum(stage.seconds for stage in self.stages),
            "cost_vs_full": self.cost_vs_full,
            "cost_vs_full_amortized": self.cost_vs_full_amortized,
        }
