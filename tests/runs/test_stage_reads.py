"""The source of a user's own classes is part of the key of every stage that reads them."""

import pytest

from secateur.runs.compose import default_experiment
from secateur.runs.keys import stage_reads

CONFIG = default_experiment()
OURS = {"_target_": "secateur.models.small_cnn.SmallCNN", "width": 16}


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    (tmp_path / "their_models.py").write_text("class Net:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    return {"_target_": "their_models.Net"}


def test_shipped_classes_add_nothing():
    assert set(stage_reads(CONFIG, model=OURS)) == {"model", "data", "numerics"}
    assert "root" not in stage_reads(CONFIG)["data"]


@pytest.mark.parametrize("wrap", [lambda node: node, lambda node: {"net": node}, lambda node: [OURS, {"deep": node}]])
def test_their_code_is_found_wherever_it_stands(theirs, wrap):
    assert list(stage_reads(CONFIG, model=wrap(theirs))["code"]) == ["their_models"]
