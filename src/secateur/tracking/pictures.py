"""The images at the ends of a score, among what was kept and among what was pruned."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.data.prepared import PreparedData

THUMBNAIL = 96  # pixels of the longer side


@dataclass(frozen=True)
class Picture:
    """One image of a table: where its score stands among the kept, or among the pruned."""

    kept: bool
    place: str
    sample_id: int
    class_name: str
    score: float
    image: Image.Image


def ends(score: Tensor, sample_id: Tensor, num_images: int) -> dict[str, Tensor]:
    """Return rows of the highest and of the lowest scores, in descending order; no row is in both.

    Args:
        score: ``[n]``.
        sample_id: int64 ``[n]``, increasing: the lower id of two equal scores comes first.
        num_images: how many of either.

    Example:
        >>> import torch
        >>> {place: rows.tolist() for place, rows in ends(torch.tensor([3., 1., 2.]), torch.arange(3), 2).items()}
        {'highest': [0, 2], 'lowest': [1]}
    """
    order = score.argsort(descending=True, stable=True)
    return {"highest": order[:num_images], "lowest": order[num_images:][-num_images:] if num_images else order[:0]}


def pictures(run_dir: Path, data: PreparedData, num_images: int) -> Iterator[Picture]:
    """Yield thumbnails of a finished run's kept and pruned samples; none where nothing was scored or kept for good.

    Args:
        run_dir: the run's folder, with mask.parquet and scores.parquet.
        data: the data set it was made on.
        num_images: how many with the highest and how many with the lowest scores, of the kept and of the pruned.
    """
    if not num_images or not all((run_dir / name).is_file() for name in ("scores.parquet", "mask.parquet")):
        return
    mask = Mask.load(run_dir / "mask.parquet", data.fingerprint)
    table = ScoreTable.load(run_dir / "scores.parquet", data.fingerprint)
    for kept in (True, False):
        rows = (mask.keep == kept).nonzero().flatten()
        for place, found in ends(table.score[rows], mask.sample_id[rows], num_images).items():
            for row in rows[found].tolist():
                yield _picture(data, kept, place, int(mask.sample_id[row]), float(table.score[row]))


def _picture(data: PreparedData, kept: bool, place: str, sample_id: int, score: float) -> Picture:
    image = data.train.image(sample_id)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return Picture(kept, place, sample_id, data.class_names[int(data.labels[sample_id])], score, image)
