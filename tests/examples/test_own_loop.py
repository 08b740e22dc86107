"""What README tells of somebody's own training loop runs as it stands."""

import runpy
from pathlib import Path

import pytest

from secateur import Mask

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec"),
]


def test_from_scores_to_a_mask_and_a_second_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mask = runpy.run_path(str(ROOT / "examples" / "own_loop.py"))["main"](epochs=6)
    assert (mask.num_kept, len(mask)) == (700, 1400)
    assert Mask.load("mask.parquet").sha256 == mask.sha256
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("trained on")]
    assert [line.split(":")[0] for line in lines] == ["trained on all", "trained on 700 of 1400"]


def test_readme_says_what_the_example_does():
    readme, example = ((ROOT / name).read_text() for name in ("README.md", "examples/own_loop.py"))
    block = readme.split("## In your own training loop")[1].split("```python\n")[1].split("```")[0]
    code = [line.split("  #")[0].strip() for line in block.splitlines()]
    shared = [line for line in code if line.startswith(("from secateur", "table =", "mask ="))]
    assert len(shared) == 4
    assert all(line in example for line in shared)
