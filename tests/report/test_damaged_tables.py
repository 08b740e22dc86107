"""Masks and scores that are not what they should be: refused in one line, and the report is built without them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from secateur.core.errors import DataError, SecateurError
from secateur.core.mask import Mask
from secateur.core.parquet import METADATA_KEY, read_table
from secateur.core.tables import ScoreTable
from secateur.report.build import build_report
from secateur.report.data.arrays import read_mask, read_scores
from secateur.report.page.gallery import gallery_data, read_ranked

NUM = 40
IDS = torch.arange(2, 2 + NUM)


@pytest.fixture
def folder(tmp_path):
    """A run's folder with a mask and scores of 40 samples of four classes."""
    return leave(tmp_path / "run")


def leave(folder):
    folder.mkdir(parents=True, exist_ok=True)
    Mask.from_rows(IDS, torch.arange(NUM // 2), fingerprint="f" * 64).save(folder / "mask.parquet")
    labels, observed = torch.arange(NUM) % 4, torch.ones(NUM, dtype=torch.bool)
    columns = {"mean_probability": torch.rand(NUM), "std_probability": torch.rand(NUM)}
    table = ScoreTable(IDS, labels, torch.linspace(1, 0, NUM), observed, columns, fingerprint="f" * 64)
    table.save(folder / "scores.parquet")
    return folder


def change(folder, file, column, make):
    """Replace a column of a file by what ``make`` returns of its values; None drops it."""
    table = pq.read_table(folder / file)
    values = make(table[column].to_pylist())
    place = table.column_names.index(column)
    rest = table.drop_columns([column])
    made = rest if values is None else rest.add_column(place, column, pa.array(values))
    pq.write_table(made.replace_schema_metadata(table.schema.metadata), folder / file)


def cut(folder, file, num_rows):
    table = pq.read_table(folder / file)
    pq.write_table(table.slice(0, num_rows), folder / file)


def with_header(folder, file, header):
    table = pq.read_table(folder / file)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: header}), folder / file)


MASK = [
    ("sample_id", lambda values: None, "no column 'sample_id'"),
    ("keep", lambda values: None, "no column 'keep'"),
    ("keep", lambda values: [None, *values[1:]], "'keep' holds bool or nulls"),
    ("keep", lambda values: ["x"] * NUM, "'keep' holds string"),
    ("keep", lambda values: [[1]] * NUM, "'keep' holds list"),
    ("keep", lambda values: [{"a": 1}] * NUM, "'keep' holds struct"),
    ("sample_id", lambda values: [None, *values[1:]], "'sample_id' holds int64 or nulls"),
    ("sample_id", lambda values: [str(value) for value in values], "'sample_id' holds string"),
    ("sample_id", lambda values: [-5, *values[1:]], "sample_id is negative"),
    ("sample_id", lambda values: values[::-1], "does not increase"),
    ("sample_id", lambda values: np.array([*values[:-1], 2**64 - 1], dtype=np.uint64), "does not increase"),
]
SCORES = [
    ("observed", lambda values: None, "no column 'observed'"),
    ("label", lambda values: [-3, *values[1:]], "labels outside 0 to 999999, the first is -3"),
    ("label", lambda values: [10**13, *values[1:]], "labels outside 0 to 999999, the first is 10000000000000"),
    ("label", lambda values: [float(value) for value in values], "'label' holds double"),
    ("score", lambda values: [float("nan"), *values[1:]], "'score' that are not finite"),
    ("score", lambda values: [1e300, *values[1:]], "'score' that are not finite"),
    ("mean_probability", lambda values: [float("inf"), *values[1:]], "'mean_probability' that are not finite"),
    ("mean_probability", lambda values: ["x"] * NUM, "'mean_probability' holds string"),
]


@pytest.mark.parametrize(("column", "make", "says"), MASK)
def test_a_damaged_mask_says_how(folder, column, make, says):
    change(folder, "mask.parquet", column, make)
    with pytest.raises(DataError, match=says):
        read_mask(folder, None)


@pytest.mark.parametrize(("column", "make", "says"), SCORES)
def test_damaged_scores_say_how(folder, column, make, says):
    change(folder, "scores.parquet", column, make)
    with pytest.raises(SecateurError, match=says):
        read_scores(folder, None)


@pytest.mark.parametrize("num_rows", [0, 30])
@pytest.mark.parametrize("read", [read_mask, read_scores])
def test_the_number_of_rows_is_that_of_the_record(folder, read, num_rows):
    read(folder, None, NUM)
    for file in ("mask.parquet", "scores.parquet"):
        cut(folder, file, num_rows)
    with pytest.raises(DataError, match=f"it has {num_rows} rows, its record says 40"):
        read(folder, None, NUM)


@pytest.mark.parametrize("header", [b"{not json", b"[]", b"\xff", b"[" * 100_000], ids=["cut", "list", "bytes", "deep"])
def test_a_damaged_header_says_so(folder, header):
    with_header(folder, "mask.parquet", header)
    with pytest.raises(DataError, match="damaged header"):
        read_table(folder / "mask.parquet", "mask")


def run_of(folder, number, **changes):
    run = {"id": f"r{number}", "path": str(folder), "seed": number, "score_seed": 0, "is_comparison": False}
    shown = {"score": "el2n", "fingerprint": "f" * 64, "config": "c", "num_total": None}
    return {**run, **shown, "artifacts": ["mask.parquet", "scores.parquet"], **changes}


def payload_of(runs):
    cells = {
        run["id"]: {
            "id": run["id"],
            "table": "t",
            "method": run["id"],
            "is_full": False,
            "per_epoch": False,
            "pruning_ratio": 0.5,
            "dynamic": False,
        }
        for run in runs
    }
    cells = {key: {**cell, "runs": [key]} for key, cell in cells.items()}
    tables = [{"id": "t", "class_names": None, "cells": list(cells)}]
    return {"runs": {run["id"]: run for run in runs}, "cells": cells, "tables": tables, "configs": {"c": {"data": {}}}}


class Opened:
    """A pool of gray images."""

    labels = np.arange(NUM) % 4
    class_names = ("a", "b", "c", "d")


def test_a_mask_of_fewer_rows_never_meets_the_labels_of_the_whole_pool(tmp_path, monkeypatch):
    folders = [leave(tmp_path / name) for name in "abc"]
    for file in ("mask.parquet", "scores.parquet"):
        cut(folders[0], file, 30)
        cut(folders[2], file, 30)

    def open_pool(settings, fingerprint, sample_id, labels):
        if len(sample_id) != NUM:
            raise DataError("holds other data.")
        return Opened()

    monkeypatch.setattr("secateur.report.page.gallery.open_pool", open_pool)
    monkeypatch.setattr("secateur.report.page.gallery.Thumbnails.number", lambda *args: None)
    known = gallery_data(payload_of([run_of(folder, i, num_total=NUM) for i, folder in enumerate(folders)]))
    assert [mask["cell"] for mask in known["masks"]] == ["r1"]
    assert [note.split(": ")[0] for note in known["notes"]] == ["r0, 50 % pruned", "r2, 50 % pruned"]
    assert all("it has 30 rows, its record says 40" in note for note in known["notes"])
    unknown = gallery_data(payload_of([run_of(folder, i) for i, folder in enumerate(folders)]))
    assert [(mask["cell"], mask["names"]) for mask in unknown["masks"]] == [("r0", []), ("r1", ["a", "b", "c", "d"])]
    assert [note.split(": ")[0] for note in unknown["notes"]] == [
        "Images of unknown data are not shown",
        "r2, 50 % pruned",
    ]


def test_whatever_a_data_set_raises_is_a_note(folder, monkeypatch):
    def open_pool(settings, fingerprint, sample_id, labels):
        raise TypeError("unsupported operand")

    monkeypatch.setattr("secateur.report.page.gallery.open_pool", open_pool)
    found = gallery_data(payload_of([run_of(folder, 0)]))
    assert found["notes"] == ["Images of unknown data are not shown: TypeError: unsupported operand"]
    assert len(found["masks"]) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: change(folder, "mask.parquet", "keep", lambda values: None),
        lambda folder: change(folder, "scores.parquet", "label", lambda values: [10**13, *values[1:]]),
        lambda folder: [cut(folder, file, 0) for file in ("mask.parquet", "scores.parquet")],
        lambda folder: [cut(folder, file, 30) for file in ("mask.parquet", "scores.parquet")],
        lambda folder: with_header(folder, "mask.parquet", b"[]"),
    ],
    ids=["column", "label", "empty", "cut", "header"],
)
def test_a_report_is_built_around_damaged_tables(tmp_path, write, record, damage):
    artifacts = dict.fromkeys(("mask.parquet", "scores.parquet"), "0")
    common = {"artifacts": artifacts, "pruning__num_total": NUM}
    root = write([record("full"), record(**common), *(record("score", name, **common) for name in ("el2n", "tdds"))])
    for number in (1, 2, 3):
        leave(root / f"0000{number}")
    damage(root / "00003")
    with pytest.raises(SecateurError):
        read_ranked(root / "00003", "f" * 64, NUM)
    result = build_report([root], tmp_path / "out")
    assert len(result.rows) == 4
    assert "tdds, 50 % pruned: " in (tmp_path / "out" / "report.html").read_text()
