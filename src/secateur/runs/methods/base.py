"""Base class of methods: from a run's context to a mask, and to a trained network where choosing trains it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

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


class Method(ABC):
    """A method: decides which samples are kept (``method=``).

    A method of one's own is a subclass that sets :attr:`reads` and defines :meth:`prune` and :meth:`plan`; everything
    else has a default. Its arguments are the keys of the ``method:`` node.

    Attributes:
        reads: the keys of the configuration that the method depends on, of those that not every method reads:
            ``pruning_ratio``, ``score_seed``, ``score``, ``scoring``, ``extrapolation`` (and all that says how),
            ``selection``, ``variant``, ``mapping``. The others are null in its record and do not enter its key.
        given: the mask, or the scores that it is selected from, come from a file: one mask, or one scoring, for all
            seeds. The record says so (``pruning.given``), and a report's verdicts hold for this mask only.
        drawn_by: the seeds that decide the mask, of ``seed`` and ``score_seed``. Runs that share all of these have one
            draw of the mask, also where it came out a little different on another machine. The record says so
            (``pruning.drawn_by``).
        needs_downstream: the method needs a downstream set (``downstream=`` and ``finetune=``).
        needs_classes: the method reads the head of a network that was trained on classes.
        has_ratio: the method has a ratio of its own, which :meth:`check_ratio` compares with one that is given.
    """

    reads: ClassVar[frozenset[str]]
    given: ClassVar[bool] = False
    drawn_by: ClassVar[tuple[str, ...]] = ("score_seed",)
    needs_downstream: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = False
    has_ratio: ClassVar[bool] = False

    @abstractmethod
    def prune(self, context: Context) -> Pruned:
        """Decide which samples are kept, computing or reusing the stages this takes."""

    @abstractmethod
    def plan(self, context: Context) -> list[StageCost]:
        """Return what the ledger of the whole run will hold, final training included, in its order.

        Computes nothing. What cannot be known before is planned at its upper bound, with a warning that says so;
        :meth:`plans_at_most` is then true.
        """

    def plans_at_most(self, context: Context) -> bool:
        """Whether :meth:`plan` is an upper bound. Defaults to false: the plan is exact."""
        return False

    def check(self, context: Context) -> None:
        """Raise what the data says against the configuration. Defaults to no check.

        Called before a record is written. Trains nothing and warns of nothing.

        Raises:
            ConfigError: the configuration cannot work on this data.
            DataError: a file that the method reads cannot be used.
        """

    def check_ratio(self, pruning_ratio: float) -> None:
        """Raise :class:`ConfigError` where :attr:`has_ratio` and a given pruning ratio contradicts the method's own."""

    def is_current(self, context: Context, run_dir: Path) -> bool:
        """Whether a finished run had what the method reads now.

        For methods that read a file: the key of a run holds its path, not its content. Defaults to true.
        """
        return True
