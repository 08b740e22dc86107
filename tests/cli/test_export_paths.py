"""`secateur export`: what it writes over, and what it never does."""

import json

import pytest
import torch

from secateur.cli.main import main
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable


@pytest.fixture
def run_dir(tmp_path):
    """A run as far as export reads one."""
    folder = tmp_path / "run"
    ids, ones = torch.arange(6), torch.ones(6)
    Mask(ids, ids < 4, "f" * 64, {}).save(folder / "mask.parquet")
    ScoreTable(ids, ones, ids.float(), ones, fingerprint="f" * 64).save(folder / "scores.parquet")
    (folder / "config.yaml").write_text("seed: 0\n")
    files = {"mask.parquet": "", "scores.parquet": ""}
    (folder / "run.json").write_text(json.dumps({"schema": 1, "artifacts": files}))
    return folder


def export(run_dir, output, *more, file_format="dp4tl"):
    return main(["export", str(run_dir), "--format", file_format, "--output", str(output), *more])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["mask.parquet", "scores.parquet", "run.json", "config.yaml"])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_the_files_of_the_run_are_never_written_over(run_dir, tmp_path, capsys, name, force):
    before = contents(run_dir)
    (tmp_path / "link").symlink_to(run_dir)
    for output in (run_dir / name, tmp_path / "link" / name, run_dir / ".." / "run" / name):
        assert export(run_dir, output, *force) == 2
        assert "is a file of the run itself" in capsys.readouterr().err
    assert contents(run_dir) == before


def test_other_files_are_written_over_by_force_alone(run_dir, tmp_path, capsys):
    assert export(run_dir, tmp_path / "kept.pt") == 0
    (tmp_path / "kept.pt").write_text("mine")
    assert export(run_dir, tmp_path / "kept.pt") == 2
    assert "kept.pt exists already; add --force" in capsys.readouterr().err
    assert (tmp_path / "kept.pt").read_text() == "mine"
    assert export(run_dir, tmp_path / "kept.pt", "--force") == 0
    assert torch.load(tmp_path / "kept.pt").tolist() == [0, 1, 2, 3]


def test_the_second_file_of_a_pair_is_not_written_over_either(run_dir, tmp_path, capsys):
    (tmp_path / "score_x.npy").write_text("mine")
    assert export(run_dir, tmp_path / "data_mask_x.npy", file_format="tdds") == 2
    assert "score_x.npy exists already" in capsys.readouterr().err
    assert not (tmp_path / "data_mask_x.npy").exists()
    assert export(run_dir, tmp_path / "data_mask_x.npy", "--force", file_format="tdds") == 0


@pytest.mark.parametrize("file_format", ["dp4tl", "extrapolation", "tdds"])
def test_an_output_that_cannot_be_written_is_one_line(run_dir, tmp_path, capsys, file_format):
    (tmp_path / "file").write_text("")
    for output, says in ((tmp_path / "file" / "x", "cannot be written"), (tmp_path, "is a folder")):
        assert export(run_dir, output, file_format=file_format) == 2
        err = capsys.readouterr().err
        assert f"{output} {says}" in err
        assert err.count("\n") == 1


def test_the_help_says_what_is_written_over(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "--force" in capsys.readouterr().out
