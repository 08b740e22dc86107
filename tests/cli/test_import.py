"""`secateur import` and training on what it made."""

import pytest
import torch

from secateur.cli.main import main
from secateur.core.mask import Mask

NUM_TRAIN = 1437
HELD_OUT = "data.validation_fraction=0.1"  # leaves a pool of 1293


@pytest.fixture
def published(tmp_path):
    keep = (torch.arange(NUM_TRAIN) % 4 != 0).float()
    path = tmp_path / "mask.pt"
    torch.save({"epoch": 7, "acc": 93.1, "selected_data": keep}, path)
    return path


def run_import(path, output, *more):
    return main(["import", str(path), "--format", "adapruner", "--data", "digits", "--output", str(output), *more])


def test_rows_outside_the_pool_are_dropped_and_counted(published, tmp_path, capsys):
    assert run_import(published, tmp_path / "mask.parquet", HELD_OUT) == 0
    mask = Mask.load(tmp_path / "mask.parquet")
    assert len(mask) == 1293
    assert bool((mask.kept_ids % 4 != 0).all())
    printed = capsys.readouterr().out
    assert f"keeps {mask.num_kept} of 1293" in printed
    assert f"{1077 - mask.num_kept} kept rows of the file are not in the pool" in printed
    assert mask.metadata["epoch"] == 7


def test_another_length_is_refused(tmp_path, capsys):
    torch.save({"selected_data": torch.ones(50_000)}, tmp_path / "mask.pt")
    assert run_import(tmp_path / "mask.pt", tmp_path / "mask.parquet") == 2
    assert "50000 rows, but the training split of digits has 1437" in capsys.readouterr().err
    assert not (tmp_path / "mask.parquet").exists()


@pytest.mark.parametrize("content", [{"acc": 1.0}, {"selected_data": torch.rand(NUM_TRAIN)}, [1, 2]])
def test_what_is_no_mask_is_refused(tmp_path, capsys, content):
    torch.save(content, tmp_path / "mask.pt")
    assert run_import(tmp_path / "mask.pt", tmp_path / "mask.parquet") == 2
    assert capsys.readouterr().err.count("\n") == 1


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_file_with_code_is_not_executed(tmp_path, capsys):
    torch.save({"selected_data": Malicious()}, tmp_path / "mask.pt")
    assert run_import(tmp_path / "mask.pt", tmp_path / "mask.parquet") == 2
    assert "executed" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_network_can_be_trained_on_it(published, tmp_path, program):
    run_import(published, tmp_path / "mask.parquet")
    program.quick = program.quick[:1]
    assert program.run("method=mask", f"method.path={tmp_path / 'mask.parquet'}") == 0
    assert "random" in program.out
    record = program.record()
    assert record["pruning"]["mask_sha256"] == Mask.load(tmp_path / "mask.parquet").sha256
    assert record["pruning"]["pruning_ratio"] == record["pruning"]["realized_pruning_ratio"]
    assert record["pruning"]["realized_pruning_ratio"] == pytest.approx(1 - record["pruning"]["keep_fraction"])


def test_a_mask_for_another_pool_is_refused(published, tmp_path, program):
    run_import(published, tmp_path / "mask.parquet")
    arguments = ("method=mask", f"method.path={tmp_path / 'mask.parquet'}", "data.validation_fraction=0.2")
    assert program.run(*arguments) == 2
    assert "was made for other data" in program.err
    assert not program.records()


def test_a_missing_mask_file_is_found_before_anything_starts(program):
    assert program.run("method=mask", "method.path=nosuch.parquet") == 2
    assert not program.folder.exists()
    assert program.run("method=mask") == 2
    assert "method.path must be given" in program.err


# -- directions of masks ---------------------------------------------------------------------------------------------


def importing(path, file_format, output, *more):
    return main(["import", str(path), "--format", file_format, "--data", "digits", "--output", str(output), *more])


def digits_labels():
    from secateur.data.digits import DigitsData

    return DigitsData(name="digits", root=".").load("train").labels


@pytest.mark.parametrize(("flag", "kept"), [((), 3), (("--higher-is-pruned",), 7)], ids=["kept", "pruned"])
def test_whole_classes_tell_a_list_of_the_kept_from_one_of_the_removed(tmp_path, capsys, flag, kept):
    rows = (digits_labels() < 3).nonzero().flatten()
    torch.save(rows, tmp_path / f"pets_lm_train_top{kept}.indices")
    assert importing(tmp_path / f"pets_lm_train_top{kept}.indices", "dp4tl", tmp_path / "mask.parquet", *flag) == 0
    assert f"keeps {kept} whole classes, as its name says" in (out := capsys.readouterr().out)
    assert "WARNING" not in out
    assert Mask.load(tmp_path / "mask.parquet").metadata["direction_checked"] is True
    torch.save(rows, tmp_path / f"x_top{10 - kept}.indices")
    assert importing(tmp_path / f"x_top{10 - kept}.indices", "dp4tl", tmp_path / "other.parquet", *flag) == 2
    assert "it lists what was removed" in capsys.readouterr().err.replace("  ", " ")
    assert not (tmp_path / "other.parquet").exists()


@pytest.mark.parametrize("flag", [(), ("--higher-is-pruned",)], ids=["kept", "pruned"])
def test_half_of_the_classes_tell_no_direction(tmp_path, capsys, flag):
    path, output = tmp_path / "pets_lm_train_top5.indices", tmp_path / "mask.parquet"
    torch.save((digits_labels() < 5).nonzero().flatten(), path)
    assert importing(path, "dp4tl", output, *flag) == 0
    taken = "as given" if flag else "by the format"
    assert f"WARNING: the direction could not be checked, the opposite one would fit as well; it was taken {taken}" in (
        " ".join(capsys.readouterr().out.split())
    )
    assert Mask.load(output).metadata["direction_checked"] is False


@pytest.mark.parametrize(
    ("every", "ratio", "checked"),
    [
        pytest.param(2, "0.5", False, id="half"),
        pytest.param(2, "0.48", False, id="near_half"),
        pytest.param(4, "0.75", True, id="quarter"),
        pytest.param(4, None, False, id="nothing_to_check"),
    ],
)
def test_a_share_tells_a_direction_where_its_opposite_is_another(tmp_path, capsys, every, ratio, checked):
    path, output = tmp_path / "mask.pt", tmp_path / "mask.parquet"
    torch.save({"selected_data": (torch.arange(NUM_TRAIN) % every == 0).float()}, path)
    assert run_import(path, output, *(("--pruning-ratio", ratio) if ratio else ())) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert ("direction could not be checked" in out) == (ratio is not None and not checked)
    assert ("direction was not checked" in out and "--pruning-ratio R" in out) == (ratio is None)
    assert Mask.load(output).metadata["direction_checked"] is checked


def test_the_share_that_a_file_is_said_to_prune_is_checked(published, tmp_path, capsys):
    assert run_import(published, tmp_path / "mask.parquet", "--pruning-ratio", "0.25") == 0
    assert "as expected (0.750)" in capsys.readouterr().out
    assert run_import(published, tmp_path / "mask.parquet", "--pruning-ratio", "0.75") == 2
    assert "--higher-is-pruned" in capsys.readouterr().err
    assert run_import(published, tmp_path / "mask.parquet", "--pruning-ratio", "0.75", "--higher-is-pruned") == 0
    assert run_import(published, tmp_path / "mask.parquet", "--pruning-ratio", "0.5") == 2
    assert "0.500 is expected" in capsys.readouterr().err


def test_a_file_list_is_matched_by_name_and_label(tmp_path, capsys):
    names = [f"/c{label}/{row}.png {label}\n" for row, label in enumerate(digits_labels().tolist())]
    (tmp_path / "all.txt").write_text("".join(names))
    (tmp_path / "D_50_file_list.txt").write_text("".join(names[::2]))
    path = tmp_path / "D_50_file_list.txt"
    assert importing(path, "dyn-unc", tmp_path / "mask.parquet", "--file-list", str(tmp_path / "all.txt")) == 0
    assert "as expected (0.500)" in capsys.readouterr().out
    assert bool((Mask.load(tmp_path / "mask.parquet").kept_ids % 2 == 0).all())
    assert importing(path, "dyn-unc", tmp_path / "mask.parquet") == 2
    assert "--file-list" in capsys.readouterr().err
    (tmp_path / "all.txt").write_text("".join(names[:100]))
    (tmp_path / "D_50_file_list.txt").write_text("".join(names[:50]))
    assert importing(path, "dyn-unc", tmp_path / "mask.parquet", "--file-list", str(tmp_path / "all.txt")) == 2
    assert "all.txt lists 100 files, but the training split of digits has 1437" in capsys.readouterr().err


# -- scores ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    """Difficulty of every training digit, by its distance to the class means: a stand-in for a published score."""
    from secateur.data.digits import DigitsData
    from secateur.interop.align import difficulty

    images = DigitsData(name="digits", root=".").load("train")
    return difficulty(lambda: [(images.pixels.float(), images.labels)], 10).double()


def write_json(path, score):
    import json

    path.write_text(json.dumps({str(row): value for row, value in enumerate(score.tolist())}))
    return path


@pytest.mark.parametrize("sign", [1, -1])
def test_a_direction_that_the_file_does_not_say_has_to_be_given(measured, tmp_path, capsys, sign):
    from secateur.core.tables import ScoreTable

    path, output = write_json(tmp_path / "s.json", sign * measured), tmp_path / "scores.parquet"
    assert importing(path, "extrapolation", output) == 2
    err = capsys.readouterr().err
    assert "--higher-is-kept or --higher-is-pruned" in err
    assert f"how hard the images look: {sign:+.2f}" in err
    assert not output.exists()
    assert importing(path, "extrapolation", output, "--higher-is-pruned", HELD_OUT) == 0
    assert "144 rows of the file are not in the pool" in capsys.readouterr().out
    table = ScoreTable.load(output)
    torch.testing.assert_close(table.score, -sign * measured[table.sample_id].float())
    assert table.metadata["higher_was"] == "pruned"
    assert len(table.fingerprint) == 64
    assert importing(path, "extrapolation", output, "--higher-is-kept", HELD_OUT) == 0
    torch.testing.assert_close(ScoreTable.load(output).score, -table.score)


def test_sorted_scores_come_back_to_their_samples(measured, tmp_path):
    import numpy as np

    from secateur.core.tables import ScoreTable

    np.save(tmp_path / "data_mask.npy", measured.numpy().argsort())
    np.save(tmp_path / "score.npy", np.sort(measured.numpy()))
    output = tmp_path / "scores.parquet"
    assert importing(tmp_path / "data_mask.npy", "tdds", output, "--score-file", str(tmp_path / "score.npy")) == 0
    table = ScoreTable.load(output)
    torch.testing.assert_close(table.score, measured[table.sample_id].float())


def test_a_pickle_with_other_labels_or_against_its_own_measures_is_said(measured, tmp_path, capsys):
    import pickle  # noqa: TID251 - a foreign file

    content = {"targets": digits_labels().int(), "el2n": -measured, "accumulated_margin": -measured}
    (tmp_path / "s.pickle").write_bytes(pickle.dumps(content))
    output = tmp_path / "scores.parquet"
    assert importing(tmp_path / "s.pickle", "ccs", output, "--column", "el2n") == 2
    err = capsys.readouterr().err
    assert "the opposite of what is harder in the file: accumulated_margin -1.00" in err
    assert "--higher-is-kept or --higher-is-pruned" in err
    assert not output.exists()
    assert importing(tmp_path / "s.pickle", "ccs", output, "--column", "el2n", "--higher-is-kept") == 0
    assert "WARNING: that is against accumulated_margin -1.00" in capsys.readouterr().out
    assert importing(tmp_path / "s.pickle", "ccs", output, "--column", "el2n", "--higher-is-pruned") == 0
    assert "WARNING" not in capsys.readouterr().out
    content["targets"] = content["targets"].roll(1)
    (tmp_path / "s.pickle").write_bytes(pickle.dumps(content))
    assert importing(tmp_path / "s.pickle", "ccs", output, "--column", "el2n") == 2
    assert "made for other data, or in another order" in capsys.readouterr().err


def test_scores_of_a_part_of_the_pool_are_refused(tmp_path, capsys):
    path = write_json(tmp_path / "s.json", torch.rand(100))
    assert importing(path, "extrapolation", tmp_path / "s.parquet", "--higher-is-kept") == 2
    assert "no score for" in capsys.readouterr().err
    path = write_json(tmp_path / "s.json", torch.rand(2000))
    assert importing(path, "extrapolation", tmp_path / "s.parquet", "--higher-is-kept") == 2
    assert "has row 1999, but the training split of digits has 1437" in capsys.readouterr().err


def test_options_of_other_formats_are_refused(published, tmp_path, capsys):
    assert run_import(published, tmp_path / "m.parquet", "--column", "el2n") == 2
    assert "--column is for --format ccs" in capsys.readouterr().err


@pytest.mark.slow
def test_any_selection_can_be_applied_to_imported_scores(measured, tmp_path, program):
    from secateur.core.tables import ScoreTable

    path = write_json(tmp_path / "s.json", measured)
    importing(path, "extrapolation", tmp_path / "scores.parquet", "--higher-is-kept")
    arguments = ("method=imported_scores", f"method.path={tmp_path / 'scores.parquet'}", "pruning_ratio=0.5")
    assert program.run(*arguments) == 0
    assert program.run(*arguments, "selection=class_balanced") == 0
    top, balanced = sorted(program.records(), key=lambda record: len(record["label"]))
    assert (top["label"], balanced["label"]) == ("imported_scores", "imported_scores + class_balanced")
    table = ScoreTable.load(tmp_path / "scores.parquet")
    best = table.sample_id[table.score.argsort(descending=True)[:718]].sort().values
    mask = Mask.load(program.run_dir(top) / "mask.parquet")
    assert torch.equal(mask.kept_ids, best)
    assert top["pruning"]["num_kept"] == 718
    assert max(balanced["pruning"]["class_counts"]) - min(balanced["pruning"]["class_counts"]) < 10
    assert any("not known and not counted" in line for line in top["warnings"])
    assert top["ledger"]["cost_vs_full"] == pytest.approx(718 / 1437)
    assert program.run("method=imported_scores", "method.path=nosuch.parquet") == 2


def test_imported_scores_are_planned_by_the_ratio(measured, tmp_path, capsys):
    importing(
        write_json(tmp_path / "s.json", measured), "extrapolation", tmp_path / "scores.parquet", "--higher-is-kept"
    )
    capsys.readouterr()
    arguments = ("method=imported_scores", f"method.path={tmp_path / 'scores.parquet'}", "pruning_ratio=0.5")
    assert main(["cost", *arguments]) == 0
    assert "0.50" in capsys.readouterr().out
