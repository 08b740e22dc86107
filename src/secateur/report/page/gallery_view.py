"""The gallery of kept and pruned images, ready for the page's scripts."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from secateur.core.errors import DataError, SecateurError
from secateur.report.data.arrays import MASK, Rows
from secateur.report.page.gallery import Ranked, chosen_runs, class_rows, read_ranked, shown_classes, strips
from secateur.report.page.images import Pool, Thumbnails, open_pool, why_not
from secateur.report.page.text import listed, where_text

BUDGET: Final = 3_000_000
MAX_RUNS: Final = 120


def gallery_data(payload: Mapping[str, Any], budget: int = BUDGET) -> dict[str, Any]:
    """Return ``{"masks": [...], "images": [data URIs], "notes": [...]}``; each image is in it once.

    Args:
        payload: of the report.
        budget: the largest length of all images, in characters.
    """
    pairs = chosen_runs(payload)
    pools, images = _Pools(payload["configs"]), Thumbnails(budget)
    masks: dict[int, dict[str, Any]] = {}
    notes: list[str] = []
    for position in _scored_first(pairs)[:MAX_RUNS]:
        cell, run = pairs[position]
        if images.is_full:
            break
        try:
            ranked = read_ranked(Path(run["path"]), run["fingerprint"], run["num_total"])
            pool = pools.of(run, ranked)
        except SecateurError as error:
            notes.append(f"{where_text(cell)}: {why_not(error).replace(run['path'] + '/', '')}")
            continue
        masks[position] = _Mask(payload, cell, run, ranked, pool, images).entry()
    if len(masks) + len(notes) < len(pairs):
        notes.append(f"{len(masks) + len(notes)} of {len(pairs)} masks are shown: the page has a limit of size.")
    return {
        "masks": [masks[key] for key in sorted(masks)],
        "images": images.uris,
        "notes": [*pools.notes(), *_few(notes)],
    }


def _scored_first(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[int]:
    """Return positions: masks with scores come first, as their tables know the labels and their images say more."""
    return sorted(range(len(pairs)), key=lambda position: "scores.parquet" not in pairs[position][1]["artifacts"])


class _Pools:
    """The data sets behind the runs, each opened once."""

    def __init__(self, configs: Mapping[str, Any]) -> None:
        self._configs = configs
        self._opened: dict[str, tuple[Rows, Pool]] = {}
        self._closed: set[tuple[str, bytes]] = set()
        self._notes: list[str] = []

    def of(self, run: Mapping[str, Any], ranked: Ranked) -> Pool | None:
        """Return the images of a run's pool, or None when they cannot be had; :meth:`notes` says why.

        Raises:
            DataError: the run's mask has other samples than the pool with its fingerprint.
        """
        key = run["fingerprint"]
        if key not in self._opened:
            self._open(run, ranked)
        if key not in self._opened:
            return None
        sample_id, pool = self._opened[key]
        if not np.array_equal(sample_id, ranked.sample_id):
            raise DataError(f"{MASK} has other samples than the pool with its fingerprint.")
        return pool

    def _open(self, run: Mapping[str, Any], ranked: Ranked) -> None:
        """Open a pool, once per fingerprint and ids: a damaged mask does not keep the others' images away."""
        attempt = (run["fingerprint"], sha256(ranked.sample_id.tobytes()).digest())
        if attempt in self._closed:
            return
        settings = self._configs[run["config"]].get("data")
        settings = settings if isinstance(settings, Mapping) else {}
        try:
            pool = open_pool(settings, run["fingerprint"], ranked.sample_id, ranked.label)
        except Exception as error:  # settings of any kind reach the data set's own code, which raises what it likes
            self._closed.add(attempt)
            name = settings.get("name") or "unknown data"
            self._notes.append(f"Images of {name} are not shown: {why_not(error)}")
        else:
            self._opened[run["fingerprint"]] = (ranked.sample_id, pool)

    def notes(self) -> list[str]:
        """Return one line per data set that could not be opened."""
        return list(dict.fromkeys(self._notes))


class _Mask:
    """What the gallery shows of one mask."""

    def __init__(
        self,
        payload: Mapping[str, Any],
        cell: Mapping[str, Any],
        run: Mapping[str, Any],
        ranked: Ranked,
        pool: Pool | None,
        images: Thumbnails,
    ) -> None:
        self._cell, self._run, self._ranked, self._pool, self._images = cell, run, ranked, pool, images
        self._table = next(table for table in payload["tables"] if table["id"] == cell["table"])
        self._labels = ranked.label if pool is None else pool.labels

    def entry(self) -> dict[str, Any]:
        """Return the mask's strips and classes; samples are ``[image, sample_id, class, score, kept, observed]``."""
        seeds = f"seed {self._run['seed']}, score seed {self._run['score_seed']}"
        return {
            "cell": self._cell["id"],
            "table": self._cell["table"],
            "name": where_text(self._cell),
            "seeds": seeds,
            "scored": self._ranked.score is not None,
            "score": self._run["score"],
            "names": self._names(),
            "strips": [{"title": strip.title, "samples": self._samples(strip.rows)} for strip in strips(self._ranked)],
            "classes": self._classes(),
        }

    def _names(self) -> list[str]:
        names = self._table["class_names"] if self._pool is None else self._pool.class_names
        return [str(name) for name in names or []]

    def _classes(self) -> list[dict[str, Any]]:
        if self._labels is None:
            return []
        totals = np.bincount(self._labels).tolist()
        kept = np.bincount(self._labels[self._ranked.keep], minlength=len(totals)).tolist()
        return [
            {
                **{"label": target, "kept": kept[target], "total": totals[target]},
                "samples": self._samples(class_rows(self._ranked, self._labels, target)),
            }
            for target in shown_classes(kept, totals)
        ]

    def _samples(self, rows: Rows) -> list[list[Any]]:
        return [self._sample(int(row)) for row in rows]

    def _sample(self, row: int) -> list[Any]:
        ranked = self._ranked
        sample_id = int(ranked.sample_id[row])
        image = None if self._pool is None else self._images.number(self._pool, self._run["fingerprint"], sample_id)
        return [
            image,
            sample_id,
            None if self._labels is None else int(self._labels[row]),
            None if ranked.score is None else float(f"{ranked.score[row]:.4g}"),
            int(ranked.keep[row]),
            1 if ranked.observed is None else int(ranked.observed[row]),
        ]


def _few(notes: list[str], limit: int = 5) -> list[str]:
    return notes if len(notes) <= limit else [f"{len(notes)} masks cannot be read: {listed(notes, limit)}"]
