"""`secateur import` and training on what it made."""

import pytest
import torch

from secateur.cli.main import main
from secateur.core.mask import Mask

NUM_TRAIN = 1437


@pytest.fixture
def published(tmp_path):
    keep = (torch.arange(NUM_TRAIN) % 4 != 0).float()
    path = tmp_path / "mask.pt"
    torch.save({"epoch": 7, "acc": 93.1, "selected_data": keep}, path)
    return path


def run_import(path, output, *more):
    return main(["import", str(path), "--format", "adapruner", "--data", "digits", "--output", str(output), *more])


def test_rows_outside_the_pool_are_dropped_and_counted(published, tmp_path, capsys):
    assert run_import(published, tmp_path / "mask.parquet") == 0
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
    arguments = ("method=mask", f"method.path={tmp_path / 'mask.parquet'}", "data.split_seed=1")
    assert program.run(*arguments) == 2
    assert "was made for other data" in program.err
    assert program.record()["status"] == "failed"


def test_a_missing_mask_file_is_found_before_anything_starts(program):
    assert program.run("method=mask", "method.path=nosuch.parquet") == 2
    assert not program.folder.exists()
    assert program.run("method=mask") == 2
    assert "method.path must be given" in program.err
