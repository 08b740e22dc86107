"""What every method is: from a run's context to a mask, and to a trained network when choosing trains it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from secateur.core.ledger import StageCost
from secateur.core.mask import Mask
from secateur.core.ranking import GroupRanking
from secateur.core.tables import ScoreTable
from secateur.runs.context import Context
from secateur.runs.stages.training import Trained
from secateur.training.sampling import Visits


@dataclass(frozen=True)
class Pruned:
    """What a method ends with.

    Attributes:
        mask: the kept samples; None for a method that chooses anew in every epoch and has ``trained`` and ``visits``.
        scores: the table the mask was selected from, if there is one.
        trained: the final training, when the method prunes while training; None: train on the mask.
        visits: what was trained on, for methods that choose anew in every epoch; None for all others.
        static_mask: a mask that such a method can export. Nothing was trained on it.
        files: further files for the run's folder.
        extrapolation: the record's ``extrapolation`` block, when scores were predicted.
        ranking: the ranking of groups the mask keeps a part of, if there is one.
        facts: further keys for the record's ``pruning`` block, or better values for those it has.
    """

    mask: Mask | None
    scores: ScoreTable | None = None
    trained: Trained | None = None
    visits: Visits | None = None
    static_mask: Mask | None = None
    files: tuple[Path, ...] = ()
    extrapolation: Mapping[str, Any] = field(default_factory=dict)
    ranking: GroupRanking | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """A method; ``reads`` names the optional parts of the configuration it depends on.

    They are ``pruning_ratio``, ``score_seed``, ``score``, ``extrapolation`` (and all that says how), ``selection``,
    ``variant`` and ``scoring``: a part that a
    method does not read is set to null in its record and does not enter its key.

    A method may have ``check(context)``, called before a record is written: it raises what the data alone says of the
    configuration, trains nothing and warns of nothing.

    Attributes:
        reads: see above.
        given: whether the mask, or the scores that it is selected from, come from outside of the run (a file): one
            mask, or one scoring, for all seeds, whatever the seeds are. The record says so (``pruning.given``), and a
            report's verdicts hold for this mask only. False where a method does not set it.
        drawn_by: the seeds that decide the mask, of ``seed`` and ``score_seed``. Runs that share all of these have one
            draw of the mask, also where it came out a little different on another machine. The record says so
            (``pruning.drawn_by``). The score seed alone where a method does not set it.
    """

    reads: ClassVar[frozenset[str]]
    given: ClassVar[bool] = False
    drawn_by: ClassVar[tuple[str, ...]] = ("score_seed",)

    def prune(self, context: Context) -> Pruned:
        """Decide which samples are kept, computing or reusing the stages this takes."""
        ...

    def plan(self, context: Context) -> list[StageCost]:
        """Return what the ledger of the whole run will hold, final training included, in its order.

        Computes nothing. What cannot be known before is planned at its upper bound, with a warning that says so; the
        method then has an attribute ``plans_exactly`` that is false.
        """
        ...


def is_given(method: Any) -> bool:
    """Whether a method, or its class, takes its mask or scores from outside of the run; see :class:`Method`."""
    return bool(getattr(method, "given", Method.given))


def drawn_by(method: Any) -> list[str]:
    """Return the names of the seeds that decide the mask of a method, or of its class; see :class:`Method`."""
    return list(getattr(method, "drawn_by", Method.drawn_by))
