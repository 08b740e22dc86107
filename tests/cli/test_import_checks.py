"""`secateur import`: what a file is held against, what is said where nothing is, and where nothing can be written."""

import json
import pickle  # noqa: TID251 - foreign files

import numpy as np
import pytest
import torch

from secateur.cli.main import main
from secateur.core.mask import Mask

NUM_TRAIN = 1437
HELD_OUT = "data.validation_fraction=0.1"  # leaves a pool of 1293


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Ids of the pool of the digits: 1293 of the 1437 rows."""
    folder = tmp_path_factory.mktemp("pool")
    torch.save({"selected_data": torch.ones(NUM_TRAIN)}, folder / "all.pt")
    arguments = ("--format", "adapruner", "--data", "digits", "--output", str(folder / "mask.parquet"), HELD_OUT)
    assert main(["import", str(folder / "all.pt"), *arguments]) == 0
    return Mask.load(folder / "mask.parquet").sample_id


def importing(path, file_format, output, *more):
    return main(["import", str(path), "--format", file_format, "--data", "digits", "--output", str(output), *more])


def labels():
    from secateur.data.digits import DigitsData

    return DigitsData(name="digits", root=".").load("train").labels


# -- masks -----------------------------------------------------------------------------------------------------------


def write_kept(path, file_format, kept):
    """Write kept rows as our export does: everything outside of the pool is not kept."""
    if file_format == "dp4tl":
        torch.save(kept, path)
        return ()
    if file_format == "adapruner":
        torch.save({"selected_data": torch.zeros(NUM_TRAIN).index_fill(0, kept, 1)}, path)
        return ()
    names = [f"/c{label}/{row}.png {label}\n" for row, label in enumerate(labels().tolist())]
    (path.parent / "all.txt").write_text("".join(names))
    path.write_text("".join(names[row] for row in kept.tolist()))
    return ("--file-list", str(path.parent / "all.txt"))


@pytest.mark.parametrize("file_format", ["adapruner", "dp4tl", "dyn-unc"])
def test_a_share_of_the_pool_is_as_good_as_one_of_the_split(pool, tmp_path, capsys, file_format):
    """Validation rows are never kept by a run, so its masks keep less of the split than they were asked for."""
    kept = pool[torch.arange(len(pool)) % 10 < 7][:905]
    more = write_kept(tmp_path / "file", file_format, kept)
    output = tmp_path / "mask.parquet"
    assert importing(tmp_path / "file", file_format, output, *more, HELD_OUT, "--pruning-ratio", "0.3") == 0
    out = capsys.readouterr().out
    assert "keeps 0.700 of the pool, as expected (0.700)" in " ".join(out.split())
    assert "WARNING" not in out
    assert Mask.load(output).kept_ids.tolist() == kept.tolist()
    assert Mask.load(output).metadata["direction_checked"] is True
    assert importing(tmp_path / "file", file_format, output, *more, HELD_OUT, "--pruning-ratio", "0.7") == 2
    assert "--higher-is-pruned" in capsys.readouterr().err
    assert importing(tmp_path / "file", file_format, output, *more, HELD_OUT, "--pruning-ratio", "0.5") == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "keeps 0.630 of the training split and 0.700 of the pool, but 0.500 is expected" in err
    assert "--higher-is-pruned" not in err


def test_nobody_is_told_to_invert_a_mask_that_fits(pool, tmp_path, capsys):
    """0.53 of the pool is 0.477 of the split: the opposite, 0.523, would fit as well, and says nothing."""
    kept = pool[torch.arange(len(pool)) % 100 < 53]
    write_kept(tmp_path / "file", "adapruner", kept)
    assert (
        importing(tmp_path / "file", "adapruner", tmp_path / "mask.parquet", HELD_OUT, "--pruning-ratio", "0.47") == 0
    )
    assert "the direction could not be checked" in " ".join(capsys.readouterr().out.split())
    assert Mask.load(tmp_path / "mask.parquet").kept_ids.tolist() == kept.tolist()


def test_the_percentage_in_a_name_may_be_of_the_pool(pool, tmp_path, capsys):
    kept = pool[torch.arange(len(pool)) % 10 < 7][:905]
    more = write_kept(tmp_path / "D_70_file_list.txt", "dyn-unc", kept)
    assert importing(tmp_path / "D_70_file_list.txt", "dyn-unc", tmp_path / "mask.parquet", *more, HELD_OUT) == 0
    assert "keeps 0.700 of the pool" in capsys.readouterr().out


def test_whole_classes_of_the_pool_are_whole(pool, tmp_path, capsys):
    torch.save(pool[labels()[pool] < 3], tmp_path / "x_top3.indices")
    assert importing(tmp_path / "x_top3.indices", "dp4tl", tmp_path / "mask.parquet", HELD_OUT) == 0
    assert "keeps 3 whole classes, as its name says" in capsys.readouterr().out


@pytest.mark.parametrize("file_format", ["adapruner", "dp4tl", "dyn-unc"])
@pytest.mark.parametrize("flag", [(), ("--higher-is-kept",)], ids=["by_format", "given"])
def test_where_nothing_is_checked_that_is_said(pool, tmp_path, capsys, file_format, flag):
    more = write_kept(tmp_path / "file", file_format, pool[::4])
    assert importing(tmp_path / "file", file_format, tmp_path / "mask.parquet", *more, *flag) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "WARNING: the direction was not checked" in out
    assert f"it was taken {'as given' if flag else 'by the format'}. --pruning-ratio R" in out


# -- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_scores", [True, False], ids=["pair", "ids_alone"])
def test_ids_that_ascend_with_sorted_scores_have_to_be_insisted_on(tmp_path, capsys, with_scores):
    np.save(tmp_path / "ids.npy", np.arange(NUM_TRAIN))
    np.save(tmp_path / "s.npy", np.sort(np.random.default_rng(0).normal(size=NUM_TRAIN)))
    more = ("--score-file", str(tmp_path / "s.npy")) if with_scores else ("--higher-is-kept",)
    assert importing(tmp_path / "ids.npy", "tdds", tmp_path / "scores.parquet", *more) == 2
    assert "they belong to the ids of its own data_mask_*.npy" in (err := " ".join(capsys.readouterr().err.split()))
    assert "--insist" in err
    assert importing(tmp_path / "ids.npy", "tdds", tmp_path / "scores.parquet", *more, "--insist") == 0
    assert importing(tmp_path / "ids.npy", "ccs", tmp_path / "scores.parquet", "--insist") == 2
    assert "--insist is for --format tdds" in capsys.readouterr().err


def test_equal_scores_have_no_order_to_lose(tmp_path):
    np.save(tmp_path / "ids.npy", np.arange(NUM_TRAIN))
    np.save(tmp_path / "s.npy", np.zeros(NUM_TRAIN))
    more = ("--score-file", str(tmp_path / "s.npy"))
    assert importing(tmp_path / "ids.npy", "tdds", tmp_path / "scores.parquet", *more) == 0


def mixed_with(score, weight):
    generator = torch.Generator().manual_seed(1)
    return weight * score + (1 - abs(weight)) * torch.randn(len(score), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("weight", "code", "warns"),
    [
        pytest.param(0.0, 0, False, id="chance"),
        pytest.param(-0.2, 0, True, id="against"),
        pytest.param(-0.9, 2, None, id="opposite"),
        pytest.param(0.9, 0, False, id="agrees"),
    ],
)
def test_only_more_than_chance_is_against_a_score(tmp_path, capsys, weight, code, warns):
    score = torch.randn(NUM_TRAIN, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    content = {"el2n": score, "forgetting": mixed_with(score, weight) if weight else score.roll(7)}
    (tmp_path / "s.pickle").write_bytes(pickle.dumps(content))
    assert importing(tmp_path / "s.pickle", "ccs", tmp_path / "scores.parquet", "--column", "el2n") == code
    captured = capsys.readouterr()
    if code == 0:
        assert ("WARNING: that is against forgetting" in captured.out) == warns
    else:
        assert "the opposite of what is harder in the file: forgetting -0.9" in captured.err


def test_labels_that_are_no_numbers_are_wrong_ones(tmp_path, capsys):
    content = {"el2n": torch.rand(NUM_TRAIN), "targets": labels().double()}
    content["targets"][5] = float("nan")
    (tmp_path / "s.pickle").write_bytes(pickle.dumps(content))
    assert importing(tmp_path / "s.pickle", "ccs", tmp_path / "scores.parquet", "--column", "el2n") == 2
    assert "row 5 is of class nan" in capsys.readouterr().err


# -- paths that cannot be written ------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["below_a_file", "a_folder"])
def test_an_output_that_cannot_be_written_is_one_line(tmp_path, capsys, where):
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "x.parquet" if where == "below_a_file" else tmp_path
    torch.save({"selected_data": torch.ones(NUM_TRAIN)}, tmp_path / "mask.pt")
    (tmp_path / "s.json").write_text(json.dumps({str(row): row / 7 for row in range(NUM_TRAIN)}))
    for name, file_format, more in (("mask.pt", "adapruner", ()), ("s.json", "extrapolation", ("--higher-is-kept",))):
        assert importing(tmp_path / name, file_format, output, *more) == 2
        err = capsys.readouterr().err
        assert f"{output} cannot be written" in err
        assert err.count("\n") == 1
