"""A few trials of each kind; the long form is ``python tests/faults/trials.py``."""

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
import trials

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Outputs and temporary folder, on two file systems where there are two; and an undisturbed run."""
    temporary = tmp_path_factory.mktemp("temporary")
    two = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK)
    outputs = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if two else tmp_path_factory.mktemp("outputs")))
    lab = trials.Lab(outputs, temporary)
    lab.prepare()
    yield lab
    shutil.rmtree(outputs, ignore_errors=True)


@pytest.mark.parametrize("where", trials.AIMS)
def test_a_run_killed_at_a_checkpoint_ends_like_an_undisturbed_one(lab, where):
    draw = random.Random(where)
    results = (trials.kill_aimed(lab, draw, where)[1] for _ in range(5))
    assert next(result for result in results if not result.startswith("missed")) == "equal"


def test_a_run_killed_anywhere_ends_like_an_undisturbed_one(lab):
    draw = random.Random(1)
    results = (trials.kill_anywhere(lab, draw)[1] for _ in range(5))
    assert next(result for result in results if result != "missed") == "equal"


@pytest.mark.parametrize("kilobytes", [150, 400])
def test_after_a_disk_was_full_the_run_goes_on(lab, kilobytes):
    assert trials.fill(lab, kilobytes)[1] == "equal"


def test_no_damage_is_accepted(lab):
    draw, folder = random.Random(2), lab.folder()
    assert lab.start(folder).wait() == 0
    places = [
        *(("one bit", "scoring", "scores/el2n.parquet"), ("one bit", "training", "model.safetensors")),
        *(("emptied", "training", "model.safetensors"), ("one bit", "scoring", "stage.json")),
        *(("deleted", "training", "metrics.csv"), ("one bit", "run", "predictions.parquet")),
        *(("one bit", "run", "mask.parquet"), ("emptied", "run", "config.yaml")),
    ]
    results = {place: trials.damage(lab, folder, draw, *place)[1] for place in places}
    assert set(results.values()) == {"noticed"}, results
