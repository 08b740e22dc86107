"""What a verification ends with: what was compared, how far apart it is, and the verdict."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from secateur.core.errors import ConfigError

Kind = Literal["scores", "mask", "metrics", "weights"]
State = Literal["identical", "within tolerance", "different"]


@dataclass(frozen=True)
class Tolerances:
    """The largest difference of each kind that is still called tolerable; 0 tolerates none.

    Args:
        scores: of a column of a table, in standard deviations of the recorded column.
        mask: share of the pool that is decided otherwise.
        metrics: absolute, of any number in run.json or a CSV file (accuracies are in ``[0, 1]``); of predictions, the
            share of test samples that are predicted otherwise, and the difference of any confidence.
        weights: of a tensor of weights, in its standard deviations.

    Raises:
        ConfigError: a tolerance is negative or no number.
    """

    scores: float = 0.0
    mask: float = 0.0
    metrics: float = 0.0
    weights: float = 0.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"--tolerance {one.name}={value:g} must be a number of at least 0.")

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Tolerances":
        """Read ``["0.01", "mask=0.001"]``: a number alone is for all kinds, later ones replace earlier ones.

        Raises:
            ConfigError: a kind is unknown, or what should be a number is none.
        """
        kinds = [one.name for one in fields(cls)]
        values: dict[str, float] = {}
        for text in texts:
            kind, _, number = text.rpartition("=")
            if kind and kind not in kinds:
                raise ConfigError(
                    f"--tolerance {text}: there are {', '.join(kinds)}, or a number alone for all of them."
                )
            try:
                values.update(dict.fromkeys([kind] if kind else kinds, float(number)))
            except ValueError as error:
                raise ConfigError(f"--tolerance {text}: {number!r} is not a number.") from error
        return cls(**values)


@dataclass(frozen=True)
class Compared:
    """One file, or one block of run.json, beside its repetition.

    Attributes:
        name: file or block.
        kind: which tolerance applies.
        size: the largest difference, in the units of :class:`Tolerances`; infinite where none can be tolerated.
        first: where the first difference is and both values; empty when identical.
    """

    name: str
    kind: Kind
    size: float = 0.0
    first: str = ""

    def state(self, tolerances: Tolerances) -> State:
        """Return the verdict on this part."""
        if not self.first:
            return "identical"
        return "within tolerance" if self.size <= getattr(tolerances, self.kind) else "different"


@dataclass(frozen=True)
class Verification:
    """The outcome of one verification.

    Attributes:
        problems: where the folder contradicts itself, found before anything ran.
        compared: parts beside their repetition, in the order in which a run makes them; empty when it was not repeated.
        tolerances: what is tolerated.
        repeated: folder of the repetition; None when it was not repeated, or not kept.
    """

    problems: list[str]
    compared: list[Compared] = field(default_factory=list)
    tolerances: Tolerances = field(default_factory=Tolerances)
    repeated: Path | None = None

    @property
    def state(self) -> State:
        """Return the verdict: the worst of all parts; a folder that contradicts itself is different."""
        states = {part.state(self.tolerances) for part in self.compared}
        if self.problems or "different" in states:
            return "different"
        return "within tolerance" if "within tolerance" in states else "identical"

    def lines(self) -> Iterator[str]:
        """Yield where it differs: contradictions in the folder, then differences of the repetition, in their order."""
        yield from self.problems
        for part in self.compared:
            if part.state(self.tolerances) == "different":
                yield f"{part.name}: {part.first}"
