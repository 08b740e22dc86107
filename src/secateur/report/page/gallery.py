"""The gallery of kept and pruned images: which samples it shows, and its data for the page's scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from secateur.core.errors import DataError, SecateurError
from secateur.report.data.arrays import MASK, SCORES, Array, Keep, Rows, read_mask, read_scores
from secateur.report.page.images import Pool, Thumbnails, open_pool, why_not
from secateur.report.page.text import listed, where_text

NUM_STRIP: Final = 12
NUM_CLASS: Final = 4
NUM_CLASSES: Final = 40


@dataclass(frozen=True)
class Ranked:
    """The pool of one run: which samples are kept, and by which score.

    Attributes:
        sample_id: int64 ``[N]``, increasing.
        keep: bool ``[N]``.
        score: float64 ``[N]``, higher is kept first; None when the method has none.
        label: int64 ``[N]`` as trained on; None where no table has it.
        observed: bool ``[N]``, whether the score was measured and not predicted; None without scores.
    """

    sample_id: Rows
    keep: Keep
    score: Array | None = None
    label: Rows | None = None
    observed: Keep | None = None


@dataclass(frozen=True)
class Strip:
    """Samples that are shown in a row: a title, and pool rows in the order in which they are shown."""

    title: str
    rows: Rows


def read_ranked(folder: Path, fingerprint: str, num_rows: int | None = None) -> Ranked:
    """Read the mask of a run, and its scores where they cover the same samples.

    Args:
        folder: of the run.
        fingerprint: of the pool that both must belong to.
        num_rows: how many samples they must have; None takes any number.

    Raises:
        SecateurError: there is no mask, it is damaged, or it is of another pool.
    """
    sample_id, keep = read_mask(folder, fingerprint, num_rows)
    if not (folder / SCORES).is_file():
        return Ranked(sample_id, keep)
    scores = read_scores(folder, fingerprint, num_rows)
    if not np.array_equal(scores.sample_id, sample_id):
        raise DataError(f"{SCORES} is of other samples than {MASK}.")
    return Ranked(sample_id, keep, scores.score, scores.label, scores.observed)


def strips(ranked: Ranked, count: int = NUM_STRIP) -> list[Strip]:
    """Return the highest and the lowest scores, and both sides of the border; ties by ``sample_id``.

    Without scores: some kept and some pruned samples, spread evenly over the pool.

    Example:
        >>> import numpy as np
        >>> pool = Ranked(np.arange(4), np.array([True, False, True, False]), np.array([0.4, 0.1, 0.9, 0.2]))
        >>> [strip.rows.tolist() for strip in strips(pool, 1)]
        [[2], [0], [3], [1]]
    """
    kept, pruned = np.flatnonzero(ranked.keep), np.flatnonzero(~ranked.keep)
    if ranked.score is None:
        return [
            Strip("Some kept samples", spread_evenly(kept, 2 * count)),
            Strip("Some pruned samples", spread_evenly(pruned, 2 * count)),
        ]
    order = by_score(ranked.score)
    return [
        Strip("Highest scores", order[:count]),
        Strip("Kept with the lowest scores", order[ranked.keep[order]][-count:]),
        Strip("Pruned with the highest scores", order[~ranked.keep[order]][:count]),
        Strip("Lowest scores", order[-count:]),
    ]


def class_rows(ranked: Ranked, labels: Rows, target: int, count: int = NUM_CLASS) -> Rows:
    """Return samples of one class: those of the highest and the lowest scores, or some kept and some pruned ones.

    Args:
        ranked: the pool.
        labels: int64 ``[N]``.
        target: the class.
        count: how many from either end.
    """
    members = np.flatnonzero(labels == target)
    if ranked.score is None:
        kept, pruned = members[ranked.keep[members]], members[~ranked.keep[members]]
        num_kept = 2 * count - min(count, len(pruned))
        return np.concatenate([spread_evenly(kept, num_kept), spread_evenly(pruned, 2 * count - min(count, len(kept)))])
    order = members[by_score(ranked.score[members])]
    return order if len(order) <= 2 * count else np.concatenate([order[:count], order[-count:]])


def shown_classes(kept: Sequence[int], totals: Sequence[int], limit: int = NUM_CLASSES) -> list[int]:
    """Return the classes to show: all, or of many those of which the smallest and the largest part is kept.

    Example:
        >>> shown_classes([5, 0, 10, 4], [10, 10, 10, 10], limit=2)
        [1, 2]
    """
    present = [number for number, total in enumerate(totals) if total]
    ordered = sorted(present, key=lambda number: (kept[number] / totals[number], number))
    if len(ordered) <= limit:
        return present
    return sorted([*ordered[: limit // 2], *ordered[-(limit - limit // 2) :]])


def by_score(score: Array) -> Rows:
    """Return positions by falling score; of equal scores the first comes first."""
    return np.argsort(-score, kind="stable")


def spread_evenly(rows: Rows, count: int) -> Rows:
    """Return ``count`` of some rows at equal distances, or all when there are no more."""
    if len(rows) <= count:
        return rows
    return rows[(np.arange(count) * len(rows)) // count]


def chosen_runs(payload: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return one ``(cell, run)`` per cell that has a mask of its own: the run of the smallest seeds."""
    pairs = []
    for table in payload["tables"]:
        for key in table["cells"]:
            cell = payload["cells"][key]
            members = [payload["runs"][name] for name in cell["runs"]]
            masked = [run for run in members if not run["is_comparison"] and "mask.parquet" in run["artifacts"]]
            if masked and not cell["is_full"] and not cell["per_epoch"]:
                pairs.append((cell, min(masked, key=lambda run: (run["seed"], run["score_seed"] or 0, run["id"]))))
    return pairs


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
