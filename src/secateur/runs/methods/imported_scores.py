"""Scores that exist already: imported from a release, or made by another run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from secateur.core.errors import DataError
from secateur.core.ledger import StageCost
from secateur.core.mask import Mask, keep_count
from secateur.core.tables import BASE_COLUMNS, ScoreTable
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.naming import choice
from secateur.runs.nodes import build
from secateur.runs.plan import final_plan, if_trained

SELECTION_DEFAULT = "top"


@dataclass(frozen=True)
class ImportedScores(Method):
    """Selects from a ``scores.parquet``; what it took to make the file is not in this run's cost.

    Args:
        path: the file.

    Raises:
        DataError: there is no such file; when run: it was made for another pool, or lacks what ``selection=`` reads.
    """

    NAME: ClassVar[str] = "method/imported_scores"
    reads: ClassVar[frozenset[str]] = frozenset({"pruning_ratio", "score_seed", "selection"})
    given: ClassVar[bool] = True
    path: str

    def __post_init__(self) -> None:
        if not Path(self.path).is_file():
            raise DataError(f"method.path={self.path} is not a file.")

    def prune(self, context: Context) -> Pruned:
        """Read the scores and select."""
        self._warn(context)
        config = context.config
        table, mask = self._select(context)
        made_by = {"method": "imported_scores", "scores": dict(table.metadata)}
        made_by |= config.pick("pruning_ratio", "score_seed")
        selection = choice(config, "selection", context.choices)
        return Pruned(
            replace(mask, metadata={**mask.metadata, **made_by}),
            scores=table,
            facts={"modifiers": [selection] if selection != SELECTION_DEFAULT else []},
        )

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the training on what is kept."""
        self._warn(context)
        return if_trained(context, final_plan(context, self._num_keep(context)))

    def check(self, context: Context) -> None:
        """Select without keeping it.

        Raises:
            ConfigError: the selection cannot work on these scores.
            DataError: the file holds no scores, or those of another pool, or lacks what ``selection=`` reads.
        """
        self._select(context)

    def is_current(self, context: Context, run_dir: Path) -> bool:
        """Whether a finished run had the scores that the file has now."""
        before, now = ScoreTable.load(run_dir / "scores.parquet"), ScoreTable.load(self.path, context.data.fingerprint)
        names = {*BASE_COLUMNS, *before.columns}
        same = names == {*BASE_COLUMNS, *now.columns}
        return same and all(torch.equal(before.column(name), now.column(name)) for name in names)

    def _select(self, context: Context) -> tuple[ScoreTable, Mask]:
        table = ScoreTable.load(self.path, context.data.fingerprint)
        select, num_keep = build(context.config.selection), self._num_keep(context)
        return table, select(table, num_keep, context.config.score_seed)

    def _num_keep(self, context: Context) -> int:
        return keep_count(context.num_total, context.config.pruning_ratio)

    def _warn(self, context: Context) -> None:
        context.warn("The cost of making the scores is not known and not counted.")
