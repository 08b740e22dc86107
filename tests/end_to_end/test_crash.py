"""A process that dies between writing the scores and the mask leaves a store that can be used."""

import json
import subprocess
import sys

import pytest

from secateur.core.mask import Mask

pytestmark = pytest.mark.slow
OVERRIDES = ["data.first=200", "score=el2n", "trainer.max_epochs=2", "compare_with=[]"]

# The stage that is being published, and the run's mask: each dies there once, without any clean-up.
CRASHES = {
    "scores": """
from secateur.core import store
store.Store._publish = lambda *_: os._exit(9)
""",
    "mask": """
from secateur.core.mask import Mask
Mask.save = lambda *_: os._exit(9)
""",
}


def run(outputs, crash=""):
    code = f"import os, sys\n{crash}\nfrom secateur.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "run", *OVERRIDES, f"paths.output_dir={outputs}"]
    return subprocess.run(words, capture_output=True, text=True, timeout=240)


def record_of(outputs):
    (path,) = outputs.glob("runs/*/*/run.json")
    return path.parent, json.loads(path.read_text())


def test_the_next_run_goes_on_from_what_was_written(tmp_path):
    undisturbed, outputs = tmp_path / "undisturbed", tmp_path / "crashed"
    assert run(undisturbed).returncode == 0

    assert run(outputs, CRASHES["scores"]).returncode == 9
    (partial,) = outputs.glob("store/scoring/*.partial")
    assert (partial / "scores" / "el2n.parquet").is_file()
    assert run(outputs, CRASHES["mask"]).returncode == 9
    folder, record = record_of(outputs)
    assert record["status"] == "running"
    assert not (folder / "mask.parquet").exists()
    assert len(list(outputs.glob("store/scoring/*/stage.json"))) == 1

    assert run(outputs).returncode == 0
    folder, record = record_of(outputs)
    expected_folder, expected = record_of(undisturbed)
    assert record["status"] == "finished"
    assert record["artifacts"] == expected["artifacts"]
    assert {stage["stage"]: stage["reused"] for stage in record["ledger"]["stages"]} == {
        "scoring": True,
        "training": True,
    }
    assert Mask.load(folder / "mask.parquet").sha256 == Mask.load(expected_folder / "mask.parquet").sha256
    assert not list(outputs.glob("store/*/*.partial"))
