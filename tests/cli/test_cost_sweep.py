"""`secateur cost` of a sweep: a row per configuration, and a total that counts once what several runs share."""

import re

import pytest
from hydra.core.global_hydra import GlobalHydra

from secateur.cli.main import main


@pytest.fixture
def cost(tmp_path, capsys, monkeypatch):
    """The command, in an empty folder that it leaves empty; returns rows by name, and the other lines."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        GlobalHydra.instance().clear()
        assert main(["cost", *arguments]) == 0
        assert list(tmp_path.iterdir()) == []
        out = capsys.readouterr().out
        rows = re.findall(r"^ (\S.*?) +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) $", out, re.MULTILINE)
        return {name: (int(runs), *map(float, costs)) for name, runs, *costs in rows}, out

    return run


def totals(out):
    """Return what all runs cost one by one, and together."""
    return tuple(float(re.search(rf"^{word}: ([\d.]+)", out, re.MULTILINE)[1]) for word in ("one by one", "together"))


def test_the_demo(cost):
    rows, out = cost("sweeps=demo/digits")
    assert out.startswith("45 jobs, 39 distinct runs\n")
    assert len(rows) == 13
    assert rows["experiment=demo/full pruning_ratio=0.3"] == (3, 0.0, 1.0, 1.0)
    assert rows["experiment=demo/tdds pruning_ratio=0.8"] == (3, 0.5, 0.2, 0.7)
    # Of 20 epochs TDDS reads 10, EL2N 2 and a pass, Dynamic Uncertainty 19 with a pass after each: one training of 19.
    scoring = {"tdds": 10 / 20, "el2n": (2 + 1 / 3) / 20, "dynamic_uncertainty": 19 * (4 / 3) / 20}
    alone = sum(3 * cost + 1.4 for cost in scoring.values())
    assert totals(out)[0] == pytest.approx(3 * (1 + 1.4 + alone), abs=0.02)
    assert totals(out)[1] == pytest.approx(3 * (1 + 1.4 + scoring["dynamic_uncertainty"] + 3 * 1.4), abs=0.02)


def test_what_only_the_seed_of_the_training_differs_in_shares_the_choice(cost):
    _, out = cost("-m", "score=tdds", "pruning_ratio=0.5", "seed=0,1,2", "score_seed=0")
    assert totals(out) == (pytest.approx(3.0, abs=0.01), pytest.approx(2.0, abs=0.01))
    for seeds in ("seed=0,1,2", "score_seed=0,1,2"):  # by default the choice is drawn anew with the seed
        _, out = cost("-m", "score=tdds", "pruning_ratio=0.5", seeds)
        assert totals(out) == (pytest.approx(3.0, abs=0.01), pytest.approx(3.0, abs=0.01))


def test_a_scorer_with_other_settings_needs_a_training_of_its_own(cost):
    _, out = cost("-m", "score=tdds", "score.window=5,10", "pruning_ratio=0.5")
    assert totals(out)[1] == pytest.approx(0.25 + 0.5 + 1.0, abs=0.01)
    _, out = cost("-m", "score=tdds,el2n", "pruning_ratio=0.5")
    assert totals(out)[1] == pytest.approx(0.5 + 1.0, abs=0.01)


def test_one_value_of_everything_is_one_configuration(cost):
    _, out = cost("-m", "method=random", "pruning_ratio=0.5")
    assert "cost_vs_full 0.50" in out


def test_networks_of_other_sizes_are_their_own_units(cost):
    _, out = cost("-m", "method=random", "model=small_cnn,resnet8")
    assert "every run counts in its own" in out


SWEEPS = {
    "scores": ("score=el2n,forgetting", "pruning_ratio=0.3,0.5"),
    "arms": ("method=full,random,score", "score=el2n", "pruning_ratio=0.3,0.5"),
    "extrapolation": ("score=el2n", "extrapolation=none,constant,ridge", "subset_fraction=0.5", "ratio=r30,r50"),
    "adapruner": ("method=adapruner", "optim@method.optim=adapruner_small", "pruning_ratio=0.5", "seed=0,1"),
    "policies": ("method=rs2,full", "pruning_ratio=0.3,0.5"),
}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", SWEEPS.values(), ids=SWEEPS)
def test_together_is_what_a_sweep_then_computes(program, capsys, arguments):
    """The oracle: run it, and add up the stages that were not found in the store."""
    program.quick = ("trainer.max_epochs=2", "compare_with=[]")
    settings = [*arguments, *program.quick]
    GlobalHydra.instance().clear()
    assert main(["cost", "-m", *settings, f"paths.output_dir={program.folder}"]) == 0
    planned = totals(capsys.readouterr().out)[1]
    assert program.run("-m", *arguments) == 0
    computed, scorings = 0.0, {}
    for record in program.records():
        full = sum(stage["flops"] for stage in record["ledger"]["stages"]) / record["ledger"]["cost_vs_full"]
        for stage in record["ledger"]["stages"]:
            if stage["stage"] == "scoring":  # one entry, which is extended to what the last scorer reads
                of = record["score_seed"], record["pruning"]["extrapolation"] is None
                scorings[of] = max(scorings.get(of, 0.0), stage["flops"] / full)
            elif not stage["reused"]:
                computed += stage["flops"] / full
    computed += sum(scorings.values())
    assert planned == pytest.approx(computed, abs=0.01)
