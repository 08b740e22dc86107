"""`secateur cost`: the plan on the terminal, and the errors of `secateur run`."""

import re

import pytest
from hydra.core.global_hydra import GlobalHydra

from secateur.cli.cost import size, small_share
from secateur.cli.main import USAGE, main

EXAMPLE = ("score=dynamic_uncertainty", "extrapolation=knn", "subset_fraction=0.1", "pruning_ratio=0.5")


@pytest.fixture
def cost(tmp_path, capsys, monkeypatch):
    """The command, in an empty folder that it leaves empty."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        GlobalHydra.instance().clear()
        code = main(["cost", *arguments])
        assert list(tmp_path.iterdir()) == []
        return code, *capsys.readouterr()

    return run


def test_the_documented_example(cost):
    code, out, err = cost(*EXAMPLE)
    assert (code, err) == (0, "")
    rows = dict(re.findall(r"^ *(scoring|embeddings|extrapolation|training) +([\d,]+ +[\d,]+) ", out, re.MULTILINE))
    assert {name: row.split() for name, row in rows.items()} == {
        "scoring": ["5,472", "2,736"],
        "embeddings": ["1,437", "0"],
        "extrapolation": ["0", "0"],
        "training": ["14,360", "14,360"],
    }
    assert "this run costs 0.64 of one full training; it pays from the first run" in out
    assert "cost_vs_full 0.64, cost_vs_full_amortized 0.50" in out
    assert "scoring every sample instead would cost 1.77: predicting saves 1.12 of one full training" in out
    assert "equal total cost: method=rs2 pruning_ratio=0.356" in out
    assert "full (1.00) and random (0.50) unless in the store" in out
    assert "without activations" in out


def test_scoring_all_samples_pays_when_the_mask_is_shared(cost):
    _, out, _ = cost("score=aum", "pruning_ratio=0.4", "compare_with=[]")
    assert "this run costs 1.60 of one full training; it pays only if at least 3 final trainings share the mask" in out
    assert "one training on everything (method=full) costs no more" in out
    assert "note:" not in out


def test_the_mask_alone_has_no_verdict(cost):
    _, out, _ = cost("score=aum", "pruning_ratio=0.5", "train_final=false")
    assert "choosing the mask costs 1.00 of one full training; nothing is trained (train_final=false)" in out
    assert "pays" not in out


def test_infobatch_is_a_bound(cost):
    _, out, _ = cost("method=infobatch")
    assert "this run costs at most 1.00 of one full training; whether it pays is known only afterwards" in out
    assert "equal total cost" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        "pruning_ratio=30",
        "scor=tdds",
        "score=tds",
        "seed=1.5",
        "pruning_ratio=0.3,0.5",
        "data=parquet data.root=/no/such/folder",
        "extrapolation=knn subset_fraction=0.0008",
        "--no-such-flag",
    ],
)
def test_bad_input_is_the_same_line_as_of_run(cost, capsys, tmp_path, arguments):
    code, out, err = cost(*arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    GlobalHydra.instance().clear()
    assert main(["run", *arguments.split(), f"paths.output_dir={tmp_path / 'runs'}"]) == 2
    assert capsys.readouterr().err == err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("-m ratio=r30,r5", "ratio has no option 'r5'"),
        ("sweeps=demo/digit", "did you mean 'demo/digits'"),
        ("--cfg job", "secateur run --cfg job"),
        ("method=mask method.path=nowhere", "not a file"),
    ],
)
def test_what_it_cannot_plan(cost, arguments, expected):
    code, out, err = cost(*arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err


def test_help(cost):
    code, out, _ = cost("--help")
    assert code == 0
    assert out.startswith("usage: secateur cost")
    assert "cost [OVERRIDES]" in USAGE


def test_numbers_stay_readable():
    assert [size(n) for n in (0, 1023, 1024, 1536, 3 * 2**30)] == ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "3.0 GiB"]
    assert [small_share(x) for x in (0, 0.5, 0.0049, 0.0005)] == ["0.00", "0.50", "5e-03", "5e-04"]
