"""`secateur export`: what is written is read again by `secateur import` as the same mask or scores."""

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from secateur.cli.main import main
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    GlobalHydra.instance().clear()
    overrides = ("score=el2n", "trainer.max_epochs=2", "train_final=false", "data.label_noise=0.1")
    assert main(["run", *overrides, f"paths.output_dir={folder}"]) == 0
    (path,) = folder.glob("runs/*/*/run.json")
    return path.parent


def export(run_dir, file_format, output, *more):
    return main(["export", str(run_dir), "--format", file_format, "--output", str(output), *more])


def import_again(path, file_format, output, *more):
    data = ("--data", "digits", "data.label_noise=0.1")
    return main(["import", str(path), "--format", file_format, *data, "--output", str(output), *more])


@pytest.mark.parametrize("file_format", ["adapruner", "dp4tl"])
@pytest.mark.parametrize("ratio", [(), ("--pruning-ratio", "0.3")], ids=["unchecked", "checked"])
def test_masks_come_back(run_dir, tmp_path, file_format, ratio):
    """Also held against the run's own ratio, which is a share of the pool."""
    assert export(run_dir, file_format, tmp_path / "file") == 0
    assert import_again(tmp_path / "file", file_format, tmp_path / "mask.parquet", *ratio) == 0
    before, after = Mask.load(run_dir / "mask.parquet"), Mask.load(tmp_path / "mask.parquet")
    assert torch.equal(before.keep, after.keep)
    assert (before.sha256, before.fingerprint) == (after.sha256, after.fingerprint)


@pytest.mark.parametrize("file_format", ["extrapolation", "tdds"])
def test_scores_come_back(run_dir, tmp_path, file_format):
    assert export(run_dir, file_format, tmp_path / "data_mask_x.npy") == 0
    more = ("--score-file", str(tmp_path / "score_x.npy")) if file_format == "tdds" else ("--higher-is-kept",)
    assert import_again(tmp_path / "data_mask_x.npy", file_format, tmp_path / "scores.parquet", *more) == 0
    before, after = ScoreTable.load(run_dir / "scores.parquet"), ScoreTable.load(tmp_path / "scores.parquet")
    assert torch.equal(before.score, after.score)
    assert torch.equal(before.label, after.label)
    assert before.fingerprint == after.fingerprint


def test_a_file_list_needs_files(run_dir, tmp_path, capsys):
    assert export(run_dir, "dyn-unc", tmp_path / "list.txt") == 2
    assert "does not consist of image files" in capsys.readouterr().err


def test_a_folder_of_images_comes_back_as_a_file_list(tmp_path, capsys):
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for split, number in (("train", 12), ("test", 3)):
        for label in ("cat", "dog"):
            (tmp_path / "data" / split / label).mkdir(parents=True)
            for image in range(number):
                pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / split / label / f"{image:02d}.png")
    data = ("data=image_folder", f"data.root={tmp_path / 'data'}", "data.validation_fraction=0.2")
    GlobalHydra.instance().clear()
    quick = ("trainer.max_epochs=1", "compare_with=[]", "train_final=false", f"paths.output_dir={tmp_path / 'out'}")
    assert main(["run", "method=random", "pruning_ratio=0.5", *data, *quick]) == 0
    (path,) = (tmp_path / "out").glob("runs/*/*/run.json")
    listed = tmp_path / "half.txt"
    assert export(path.parent, "dyn-unc", listed) == 0
    lines = listed.read_text().splitlines()
    assert lines[0].startswith("/cat/")
    assert lines[-1].endswith(" 1")
    again = ("import", str(listed), "--format", "dyn-unc", "--data", "image_folder", *data[1:])
    assert main([*again, "--output", str(tmp_path / "mask.parquet")]) == 0
    assert torch.equal(Mask.load(path.parent / "mask.parquet").keep, Mask.load(tmp_path / "mask.parquet").keep)


def test_what_cannot_be_exported_is_one_line(tmp_path, run_dir, capsys):
    assert export(tmp_path, "dp4tl", tmp_path / "x") == 2
    assert "No run record" in capsys.readouterr().err
    (tmp_path / "run.json").write_text((run_dir / "run.json").read_text())
    assert export(tmp_path, "tdds", tmp_path / "x") == 2
    assert "has no scores.parquet" in capsys.readouterr().err
