"""A mask that exists already: imported, or made by another run."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from secateur.core.errors import ConfigError, DataError
from secateur.core.ledger import StageCost
from secateur.core.mask import Mask, keep_count
from secateur.runs.context import Context
from secateur.runs.methods.base import Method, Pruned
from secateur.runs.plan import final_plan, if_trained


@dataclass(frozen=True)
class MaskFile(Method):
    """Keeps what a ``mask.parquet`` keeps; what it took to make the file is not in this run's cost.

    Args:
        path: the file.

    Raises:
        DataError: there is no such file; when run: it was made for another pool.
    """

    NAME: ClassVar[str] = "method/mask"
    reads: ClassVar[frozenset[str]] = frozenset()
    given: ClassVar[bool] = True
    has_ratio: ClassVar[bool] = True
    path: str

    def __post_init__(self) -> None:
        if not Path(self.path).is_file():
            raise DataError(f"method.path={self.path} is not a file.")

    def prune(self, context: Context) -> Pruned:
        """Read the mask."""
        _warn(context)
        mask = self._load(context)
        return Pruned(mask, facts={"pruning_ratio": 1 - mask.num_kept / len(mask), "reads_ratio": False})

    def plan(self, context: Context) -> list[StageCost]:
        """Plan the training on what the file keeps."""
        _warn(context)
        return if_trained(context, final_plan(context, self._load(context).num_kept))

    def check(self, context: Context) -> None:
        """Raise :class:`DataError` where the file is no mask, or was made for another pool."""
        self._load(context)

    def is_current(self, context: Context, run_dir: Path) -> bool:
        """Whether a finished run kept what the file keeps now."""
        return Mask.load(run_dir / "mask.parquet").sha256 == self._load(context).sha256

    def check_ratio(self, pruning_ratio: float) -> None:
        """Raise :class:`ConfigError` where the mask leaves out another share, by more than one sample."""
        mask = Mask.load(self.path)
        if abs(mask.num_kept - keep_count(len(mask), pruning_ratio)) > 1:
            raise ConfigError(
                f"pruning_ratio={pruning_ratio:g}, but {self.path} keeps {mask.num_kept} of {len(mask)} samples "
                f"(pruning_ratio={1 - mask.num_kept / len(mask):.4g}): leave pruning_ratio out, or give another mask."
            )

    def _load(self, context: Context) -> Mask:
        return Mask.load(self.path, context.data.fingerprint)


def _warn(context: Context) -> None:
    context.warn("The cost of making the mask file is not known and not counted.")
