"""sweep.json: what is written is read, by many writers at once, and nothing else is taken for one."""

import json
import multiprocessing

import pytest

from secateur.core.errors import DataError
from secateur.core.manifest import Cell, Manifest, editing, load_manifest, save_manifest

CELL = '{"schema": 1, "name": "n", "cells": [{"num": 0, "overrides": [], %s}]}'


def make(num_cells=3):
    cells = [Cell(num, [f"seed={num}"]) for num in range(num_cells)]
    return Manifest("n", "secateur run", "2026", "/here", "config", None, [], "basic", "abc", {"/a.py": "def"}, cells)


def count_up(folder, num):
    for _ in range(10):
        with editing(folder) as manifest:
            manifest.cells[num].attempts += 1


def test_what_is_saved_is_loaded(tmp_path):
    manifest = make()
    manifest.cells[1] = Cell(1, ["a=[1,2]", "b='x y'"], "failed", "../r", "why", "7_1", 2, "2026-01", "2026-02")
    save_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest


def test_keys_of_a_later_version_are_passed_over(tmp_path):
    save_manifest(tmp_path, make(1))
    values = json.loads((tmp_path / "sweep.json").read_text())
    values["later"] = values["cells"][0]["later"] = 1
    (tmp_path / "sweep.json").write_text(json.dumps(values))
    assert load_manifest(tmp_path) == make(1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *((None, "has no sweep.json"), ("{", "truncated"), ("[]", "schema 1"), ('{"schema": 2}', "schema 1")),
        *(('{"schema": 1}', "no key 'cells'"), ('{"schema": 1, "name": "n", "cells": [3]}', "int")),
        ('{"schema": 1, "name": "n", "cells": [{"num": "0", "overrides": []}]}', "a cell is {'num': '0'"),
        ('{"schema": 1, "name": 3, "cells": []}', "name is 3"),
        ("[" * 100_000, "truncated"),
        ('{"schema": 1, "name": "n", "cells": ' + "[" * 900 + "]" * 900 + "}", "nested more than 100 deep"),
        (CELL % r'"run": "a\u0000b"', "a cell is"),
        (CELL % '"status": ["failed"]', "a cell is"),
        (CELL % r'"error": "\ud800"', "half a character"),
        (CELL % f'"attempts": {10**400}', "more than 63 bits"),
    ],
    ids=[
        *("absent", "truncated", "no object", "another schema", "no cells", "no cell", "no number", "no name"),
        *("too deep to read", "too deep", "no path", "no status", "no text", "no int64"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, text, says):
    if text is not None:
        (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(DataError, match=says):
        load_manifest(tmp_path)


def test_many_writers_lose_nothing(tmp_path):
    save_manifest(tmp_path, make())
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=count_up, args=(tmp_path, num)) for num in (0, 1, 2, 0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [cell.attempts for cell in load_manifest(tmp_path).cells] == [20, 10, 10]


def test_an_error_while_editing_saves_nothing(tmp_path):
    save_manifest(tmp_path, make())

    def edit():
        with editing(tmp_path) as manifest:
            manifest.name = "half"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        edit()
    assert load_manifest(tmp_path) == make()


def test_counts_are_of_every_status_in_one_order():
    manifest = make()
    manifest.cells[2].status = "interrupted"
    assert list(manifest.counts().items()) == [
        *(("finished", 0), ("running", 0), ("pending", 2)),
        *(("failed", 0), ("interrupted", 1), ("not started", 0)),
    ]


def test_what_all_jobs_have_in_common():
    manifest = make()
    assert manifest.common() == []
    for cell in manifest.cells:
        cell.overrides = ["score=el2n", *cell.overrides, "b=1"]
    assert manifest.common() == ["score=el2n", "b=1"]
