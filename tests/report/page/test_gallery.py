import io
from base64 import b64decode

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.hashing import fingerprint
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable
from secateur.data.npz import NpzData
from secateur.report.page import images as page_images
from secateur.report.page.gallery import (
    Ranked,
    chosen_runs,
    class_rows,
    gallery_data,
    read_ranked,
    shown_classes,
    spread_evenly,
    strips,
)
from secateur.report.page.images import SIDE, Pool, Thumbnails, data_uri, open_pool

NUM = 40
IDS = torch.arange(2, 2 + NUM)  # the pool does not begin with the first row
LABELS = torch.arange(2 + NUM) % 3


def archive(folder, seed=0):
    """Write a data set and return its settings and the fingerprint of the pool."""
    pixels = np.random.default_rng(seed).integers(0, 255, (2 + NUM, 6, 6), dtype=np.uint8)
    path = folder / f"set{seed}.npz"
    np.savez(path, x_train=pixels, y_train=LABELS.numpy(), x_test=pixels[:3], y_test=LABELS[:3].numpy())
    stored = (pixels[row].tobytes() for row in IDS.tolist())
    return {"_target_": "secateur.data.npz.NpzData", "name": "set", "root": str(path)}, fingerprint(
        IDS, stored, LABELS[IDS]
    )


def tables(folder, found, num_keep=10, scores=True):
    folder.mkdir(parents=True)
    score = torch.linspace(1, 0, NUM)
    Mask.from_rows(IDS, torch.arange(num_keep), fingerprint=found).save(folder / "mask.parquet")
    if scores:
        observed = torch.arange(NUM) % 2 == 0
        ScoreTable(IDS, LABELS[IDS], score, observed, fingerprint=found).save(folder / "scores.parquet")
    return folder


def ranked(score, keep):
    return Ranked(
        np.arange(len(keep)), np.array(keep, dtype=bool), None if score is None else np.array(score, dtype=float)
    )


def test_strips_are_the_ends_and_both_sides_of_the_border():
    pool = ranked([0.9, 0.1, 0.5, 0.4, 0.8, 0.2], [1, 0, 1, 0, 1, 0])
    found = {strip.title: strip.rows.tolist() for strip in strips(pool, 2)}
    assert found == {
        "Highest scores": [0, 4],
        "Kept with the lowest scores": [4, 2],
        "Pruned with the highest scores": [3, 5],
        "Lowest scores": [5, 1],
    }


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30), st.integers(1, 5))
def test_strips_agree_with_sorting_by_hand(samples, count):
    scores, keep = [score for score, _ in samples], [kept for _, kept in samples]
    order = sorted(range(len(samples)), key=lambda row: (-scores[row], row))
    highest, border, pruned, lowest = (strip.rows.tolist() for strip in strips(ranked(scores, keep), count))
    assert (highest, lowest) == (order[:count], order[-count:])
    assert border == [row for row in order if keep[row]][-count:]
    assert pruned == [row for row in order if not keep[row]][:count]


def test_without_scores_kept_and_pruned_are_spread_over_the_pool():
    kept, pruned = strips(ranked(None, [1, 0] * 50), 2)
    assert kept.rows.tolist() == [0, 24, 50, 74]
    assert pruned.rows.tolist() == [1, 25, 51, 75]


@given(st.integers(0, 50), st.integers(1, 20))
def test_spreading_takes_each_once(size, count):
    found = spread_evenly(np.arange(size), count).tolist()
    assert found == sorted(set(found))
    assert len(found) == min(size, count)


def test_a_class_shows_its_ends_or_what_there_is():
    labels = np.array([0, 1] * 10)
    pool = ranked(np.arange(20) / 20, [True] * 20)
    assert class_rows(pool, labels, 1, 2).tolist() == [19, 17, 3, 1]
    assert class_rows(pool, labels, 1, 5).tolist() == list(range(19, 0, -2))
    unscored = ranked(None, [True] * 20)
    assert len(class_rows(unscored, labels, 0, 4)) == 8
    assert class_rows(ranked(None, [True, False] * 10), labels, 0, 2).tolist() == [0, 4, 10, 14]


def test_of_many_classes_the_most_and_the_least_kept_are_shown():
    assert shown_classes([0, 5, 0], [0, 5, 4]) == [1, 2]
    assert shown_classes(list(range(100)), [100] * 100, 4) == [0, 1, 98, 99]


def test_tables_of_a_run_are_read(tmp_path):
    pool = read_ranked(tables(tmp_path / "a", "f"), "f")
    assert pool.sample_id.tolist() == IDS.tolist()
    assert pool.keep.sum() == 10
    assert pool.score[0] == 1
    assert pool.observed[:3].tolist() == [True, False, True]
    assert read_ranked(tables(tmp_path / "b", "f", scores=False), "f").score is None


def test_tables_of_another_pool_or_none_are_refused(tmp_path):
    with pytest.raises(SecateurError, match="made for other data"):
        read_ranked(tables(tmp_path / "a", "f"), "g")
    with pytest.raises(SecateurError, match="No mask table"):
        read_ranked(tmp_path, "g")
    (tmp_path / "a" / "scores.parquet").write_bytes(b"cut")
    with pytest.raises(SecateurError, match="not a readable Parquet"):
        read_ranked(tmp_path / "a", "f")
    folder = tables(tmp_path / "b", "f")
    Mask.from_rows(IDS[1:], torch.arange(3), fingerprint="f").save(folder / "mask.parquet")
    with pytest.raises(SecateurError, match="other samples"):
        read_ranked(folder, "f")


def test_a_pool_is_opened_by_what_the_record_says(tmp_path):
    settings, found = archive(tmp_path)
    pool = open_pool(settings, found, IDS.numpy(), None)
    assert pool.labels.tolist() == LABELS[IDS].tolist()
    assert pool.class_names == ("0", "1", "2")
    assert np.asarray(pool.images.image(5)).shape == (6, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": "/nowhere"}, "/nowhere"),
        ({"_target_": "os.system"}, "not one of secateur.data"),
        ({"_target_": "secateur.data.images.ArrayImages"}, "not one of secateur.data"),
        ({"_target_": "secateur.data.nothing.Nothing"}, "not one of secateur.data"),
        ({"_target_": None}, "not one of secateur.data"),
        ({"renamed": 1}, "do not fit this version"),
        ({"first": 10}, "fewer than the runs"),
    ],
    ids=["no data", "not ours", "not a recipe", "no module", "no target", "unknown key", "too short"],
)
def test_what_cannot_be_opened_says_why(tmp_path, changes, message):
    settings, found = archive(tmp_path)
    with pytest.raises(SecateurError, match=message):
        open_pool({**settings, **changes}, found, IDS.numpy(), None)


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    made = []

    class Recording(NpzData):
        def __init__(self, **arguments):
            made.append(arguments)
            raise ConfigError("enough")

    monkeypatch.setattr("secateur.data.npz.NpzData", Recording)
    with pytest.raises(ConfigError, match="enough"):
        open_pool({"_target_": "secateur.data.npz.NpzData", "download": True}, "f", IDS.numpy(), None)
    assert made == [{"download": False}]


def test_other_images_or_flipped_labels_are_not_shown(tmp_path):
    _, found = archive(tmp_path)
    other, _ = archive(tmp_path, seed=1)
    with pytest.raises(DataError, match="holds other data than the runs were made with"):
        open_pool(other, found, IDS.numpy(), LABELS[IDS].numpy())
    with pytest.raises(DataError, match="labels were flipped"):
        open_pool(other, found, IDS.numpy(), None)


def test_a_pool_too_large_for_a_report_stays_closed(tmp_path, monkeypatch):
    settings, found = archive(tmp_path)
    monkeypatch.setattr(page_images, "MAX_POOL", NUM - 1)
    with pytest.raises(ConfigError, match="at most 39"):
        open_pool(settings, found, IDS.numpy(), None)


@pytest.mark.parametrize(
    ("mode", "size", "kind", "shown"),
    [
        ("L", (8, 8), "png", (8, 8)),
        ("RGB", (32, 32), "webp", (32, 32)),
        ("RGB", (400, 200), "webp", (SIDE, SIDE // 2)),
        ("CMYK", (20, 20), "webp", (20, 20)),
    ],
    ids=["tiny", "small", "large", "converted"],
)
def test_thumbnails_are_small_and_bare(mode, size, kind, shown):
    image = Image.new(mode, size, 100 if mode == "L" else (100,) * len(mode))
    image.info["comment"] = "private"
    uri = data_uri(image)
    head, content = uri.split(",")
    assert head == f"data:image/{kind};base64"
    again = Image.open(io.BytesIO(b64decode(content)))
    assert again.size == shown
    assert "comment" not in again.info
    assert data_uri(image) == uri


def test_an_image_is_stored_once_and_the_budget_holds(tmp_path):
    settings, found = archive(tmp_path)
    pool = open_pool(settings, found, IDS.numpy(), None)
    images = Thumbnails(budget=600)
    numbers = [images.number(pool, found, sample_id) for sample_id in [2, 3, 2, *range(4, 40)]]
    assert numbers[:3] == [0, 1, 0]
    assert numbers[-1] is None
    assert images.is_full
    assert images.spent == sum(map(len, images.uris)) < 600 + 400


def test_an_image_that_cannot_be_read_is_left_out():
    class Broken:
        def image(self, row):
            raise DataError("corrupt")

    images = Thumbnails(budget=100)
    assert images.number(Pool(Broken(), LABELS.numpy(), ()), "f", 3) is None
    assert images.uris == []


def payload(folders, found, settings, **changes):
    """Return what the gallery reads of a payload: one cell per folder, of one run each."""
    runs, cells = {}, {}
    for number, folder in enumerate(folders):
        key = f"r{number}"
        artifacts = [path.name for path in sorted(folder.iterdir())] if folder.is_dir() else ["mask.parquet"]
        run = {"id": key, "path": str(folder), "seed": number, "score_seed": 0, "is_comparison": False, "score": "el2n"}
        runs[key] = {**run, "fingerprint": found, "config": "c", "artifacts": artifacts, "num_total": None, **changes}
        cell = {
            "id": f"c{number}",
            "table": "t",
            "method": f"m{number}",
            "is_full": False,
            "pruning_ratio": 0.75,
            "per_epoch": False,
        }
        cells[f"c{number}"] = {**cell, "runs": [key]}
    tables_ = [{"id": "t", "class_names": ["x", "y", "z"], "cells": list(cells)}]
    return {"runs": runs, "cells": cells, "tables": tables_, "configs": {"c": {"data": settings}}}


def test_the_gallery_shows_samples_with_class_score_and_state(tmp_path):
    settings, found = archive(tmp_path)
    data = gallery_data(payload([tables(tmp_path / "a", found)], found, settings))
    assert data["notes"] == []
    (mask,) = data["masks"]
    first = mask["strips"][0]["samples"][0]
    assert first == [0, 2, 2, 1.0, 1, 1]
    assert mask["strips"][0]["samples"][1][-1] == 0  # its score was predicted
    assert mask["names"] == ["0", "1", "2"]
    assert [(one["kept"], one["total"]) for one in mask["classes"]] == [(3, 13), (3, 13), (4, 14)]
    assert len(data["images"]) == len(
        {sample[1] for strip in mask["strips"] for sample in strip["samples"]}
        | {sample[1] for one in mask["classes"] for sample in one["samples"]}
    )


def test_without_its_data_the_gallery_says_why_and_shows_scores(tmp_path):
    settings, found = archive(tmp_path)
    folders = [tables(tmp_path / name, found) for name in "ab"]
    data = gallery_data(payload(folders, found, {**settings, "root": "/nowhere"}))
    assert data["images"] == []
    (note,) = data["notes"]
    assert note.startswith("Images of set are not shown: ")
    assert "/nowhere" in note
    assert data["masks"][0]["strips"][0]["samples"][0] == [None, 2, 2, 1.0, 1, 1]
    assert data["masks"][0]["names"] == ["x", "y", "z"]


@pytest.mark.parametrize("settings", [None, "text", {}], ids=["null", "text", "empty"])
def test_a_record_without_data_settings_does_not_stop_the_gallery(tmp_path, settings):
    data = gallery_data(payload([tables(tmp_path / "a", "f")], "f", settings))
    assert len(data["masks"]) == 1
    assert "not one of secateur.data" in data["notes"][0]


def test_masks_that_cannot_be_read_are_named(tmp_path):
    settings, found = archive(tmp_path)
    data = gallery_data(payload([tmp_path / "gone", tables(tmp_path / "a", found)], found, settings))
    assert [mask["name"] for mask in data["masks"]] == ["m1, 75 % pruned"]
    assert data["notes"] == ["m0, 75 % pruned: No mask table at mask.parquet."]


def test_masks_with_scores_come_first_into_the_budget_and_the_order_stays(tmp_path):
    settings, found = archive(tmp_path)
    folders = [tables(tmp_path / "a", found, scores=False), tables(tmp_path / "b", found)]
    assert [mask["name"] for mask in gallery_data(payload(folders, found, settings))["masks"]] == [
        "m0, 75 % pruned",
        "m1, 75 % pruned",
    ]
    data = gallery_data(payload(folders, found, settings), budget=300)
    assert [mask["name"] for mask in data["masks"]] == ["m1, 75 % pruned"]
    assert data["notes"] == ["1 of 2 masks are shown: the page has a limit of size."]


def test_a_cell_is_shown_by_its_first_run_with_a_mask_of_its_own():
    def run(key, seed, **changes):
        return {
            "id": key,
            "seed": seed,
            "score_seed": 0,
            "is_comparison": False,
            "artifacts": ["mask.parquet"],
            **changes,
        }

    runs = {"a": run("a", 2), "b": run("b", 1), "c": run("c", 0, artifacts=[]), "d": run("d", 0, is_comparison=True)}
    cells = {"x": {"is_full": False, "runs": list(runs)}, "y": {"is_full": True, "runs": ["a"]}}
    cells = {name: {**cell, "per_epoch": False} for name, cell in cells.items()}
    cells["z"] = {"is_full": False, "runs": ["a"], "per_epoch": True}
    made = {"runs": runs, "cells": cells, "tables": [{"cells": ["x", "y", "z"]}]}
    assert [(cell["is_full"], one["id"]) for cell, one in chosen_runs(made)] == [(False, "b")]
