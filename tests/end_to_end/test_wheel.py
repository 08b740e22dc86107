"""The wheel carries conf/ and sweeps/, and runs from another folder than the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_runs_on_its_own(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    assert (site / "secateur/conf/config.yaml").is_file()
    assert (site / "secateur/sweeps/demo/digits.yaml").is_file()
    assert (site / "secateur/py.typed").is_file()
    code = "import sys, secateur; assert 'site' in secateur.__file__; from secateur.cli.main import main; main()"
    run = [sys.executable, "-c", code, "run", "method=random", "trainer.max_epochs=1", "compare_with=[]"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("outputs/runs/default/*/run.json"))
