"""The gallery made by a second process, and that a report itself needs no torch."""

import subprocess
import sys

import torch

from secateur.core.mask import Mask
from secateur.data.digits import DigitsData
from secateur.data.prepared import prepare
from secateur.report.page import gallery_process
from secateur.report.page.gallery import gallery_data
from secateur.report.page.gallery_process import _in_a_process, begin_gallery


def digits_payload(folder):
    """Return a payload with one mask over digits, whose images the program finds."""
    data = prepare(DigitsData(name="digits"))
    folder.mkdir()
    mask = Mask.from_rows(data.pool, torch.arange(40), fingerprint=data.fingerprint)
    mask.save(folder / "mask.parquet")
    run = {"id": "r", "path": str(folder), "seed": 0, "score_seed": 0, "is_comparison": False, "score": None}
    run |= {"fingerprint": data.fingerprint, "config": "c", "artifacts": ["mask.parquet"], "num_total": None}
    settings = {"_target_": "secateur.data.digits.DigitsData", "name": "digits"}
    cell = {
        "id": "c0",
        "table": "t",
        "method": "random",
        "is_full": False,
        "per_epoch": False,
        "pruning_ratio": 0.5,
        "runs": ["r"],
        "dynamic": False,
    }
    tables = [{"id": "t", "class_names": None, "cells": ["c0"]}]
    return {"runs": {"r": run}, "cells": {"c0": cell}, "tables": tables, "configs": {"c": {"data": settings}}}


def test_a_process_makes_the_same_gallery(tmp_path, monkeypatch):
    payload = digits_payload(tmp_path / "run")
    here = gallery_data(payload)
    assert len(here["images"]) > 20
    monkeypatch.delitem(sys.modules, "torch")
    finish = begin_gallery(payload)
    monkeypatch.undo()
    assert finish() == here


def test_what_a_process_cannot_make_is_made_here(tmp_path, monkeypatch):
    payload = digits_payload(tmp_path / "run")
    monkeypatch.setattr(gallery_process, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    assert _in_a_process("{}") is None
    monkeypatch.setattr(gallery_process, "COMMAND", ("/nowhere/python",))
    assert _in_a_process("{}") is None
    monkeypatch.setattr(gallery_process, "COMMAND", (sys.executable, "-c", "print('no JSON')"))
    monkeypatch.delitem(sys.modules, "torch")
    finish = begin_gallery(payload)
    monkeypatch.undo()
    assert finish()["masks"][0]["name"] == "random, 50 % pruned"


def test_reports_need_neither_torch_nor_scikit_learn():
    code = "import sys, secateur.cli.report, secateur.report.build; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "secateur.report.page.gallery_process" in loaded
    assert loaded & {"torch", "sklearn", "pytorch_lightning", "hydra", "wandb"} == set()
