"""A user's own dynamic policy, control and keep rule: the report treats them by what their records say of them."""

import csv
import sys

import pytest

from secateur.cli.main import main
from secateur.core.mask import keep_count

PACKAGE = '''
from dataclasses import dataclass
from typing import ClassVar

import torch

from secateur.dynamic.base import DynamicPolicy
from secateur.extrapolation.base import Extrapolator
from secateur.mapping.keep import Keep
from secateur.runs.methods.base import Method
from secateur.runs.methods.dynamic import train_and_prune
from secateur.runs.plan import final_plan


class Halves(DynamicPolicy):
    """Everything in the first epoch, then the first and the second half of the pool by turns."""

    def __init__(self, num_samples, num_epochs):
        self.num_samples, self.num_epochs = num_samples, num_epochs

    def num_rows(self, epoch):
        return len(self.rows(epoch))

    def rows(self, epoch):
        half = self.num_samples // 2
        return torch.arange(self.num_samples) if epoch == 0 else torch.arange(half) + half * (epoch % 2)

    def weights(self, rows):
        return None

    def observe(self, rows, losses):
        pass

    def end_epoch(self, epoch):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Alternating(Method):
    reads: ClassVar[frozenset] = frozenset({"pruning_ratio", "score_seed"})

    def prune(self, context):
        policy = Halves(context.num_total, context.trainer.max_epochs)
        return train_and_prune(context, policy, context.num_total // 2)

    def plan(self, context):
        return [final_plan(context, context.num_total)]


class Mean(Extrapolator):
    """Predicts one score for all others."""

    is_control: ClassVar[bool] = True
    needs: ClassVar[frozenset] = frozenset()

    def predict(self, inputs):
        drawn = torch.randn(len(inputs.queries), generator=torch.Generator().manual_seed(inputs.seed % 1000))
        return inputs.filled(drawn)


@dataclass(frozen=True)
class Third(Keep):
    """Keeps a third of the groups, whatever the ratio is."""

    name: ClassVar[str] = "third"
    reads_ratio: ClassVar[bool] = False

    def count(self, ranking, order, pruning_ratio):
        return len(order) // 3
'''
NODES = {
    "method/alternating": "_target_: own_methods.Alternating\n",
    "extrapolation/mean": "_target_: own_methods.Mean\n",
}


@pytest.fixture
def own(program, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds folders to it
    monkeypatch.delitem(sys.modules, "own_methods", raising=False)
    (tmp_path / "own_methods.py").write_text(PACKAGE)
    for name, node in NODES.items():
        path = tmp_path / "my_conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(node)
    return program


def report_of(own, tmp_path, capsys):
    """Build the report of all runs; return the rows of results.csv by method."""
    assert main(["report", str(own.folder / "runs"), "--output", str(tmp_path / "report"), "--figure-format="]) == 0
    own.out, own.err = capsys.readouterr()
    path = tmp_path / "report" / "results.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []
    return {row["method"]: row for row in rows}


def test_a_policy_of_ones_own_stands_at_what_it_realized(own, tmp_path, capsys):
    own.quick = ("trainer.max_epochs=3", "trainer.evaluate_every=3", "optim.batch_size=256")
    arguments = ("-m", "method=alternating,random", "pruning_ratio=0.8", "seed=0,1", "compare_with=[full,random]")
    assert own.run("--config-dir", "my_conf", *arguments) == 0, own.err
    records = [record for record in own.records() if record["label"] == "alternating"]
    for record in records:
        pruning = record["pruning"]
        half = pruning["num_total"] // 2
        assert pruning["per_epoch"] is True
        assert pruning["visited_share"] == pytest.approx((pruning["num_total"] + 2 * half) / (3 * pruning["num_total"]))
        assert pruning["realized_pruning_ratio"] == 1 - pruning["visited_share"]
        assert (pruning["num_kept"], pruning["keep_fraction"], pruning["mask_sha256"]) == (None, None, None)
        assert pruning["num_seen"] == pruning["num_total"]
        assert not {"mask.parquet", "static_mask.parquet"} & set(record["artifacts"])
        beside = record["comparison"]["random"]
        assert beside["num_kept"] == keep_count(pruning["num_total"], pruning["realized_pruning_ratio"])
    assert "alternating left out 33.4 % of the visits, all 1437 samples seen: test accuracy" in own.out
    rows = report_of(own, tmp_path, capsys)
    assert set(rows) == {"full", "random", "alternating", "random [as many as alternating]"}
    row = rows["alternating"]
    assert (row["pruning_ratio"], row["asked_ratio"], row["keep_fraction"]) == ("0.33", "0.8", "")
    assert (row["per_epoch"], row["num_seen"], row["vs_baseline_n"]) == ("True", "1437.0", "2")
    assert rows["random [as many as alternating]"]["pruning_ratio"] == "0.33"
    assert rows["random [as many as alternating]"]["compare_with"] == "True"
    assert rows["random"]["pruning_ratio"] == "0.8"
    assert "33 % (asked 80 %)" in own.out
    assert "66.6 % of visits" in own.out


def test_a_control_of_ones_own_is_one(own, tmp_path, capsys):
    common = ("train_final=false", "fidelity.against=[7]", "subset_fraction=0.5", "score=aum", "seed=0,1")
    assert own.run("--config-dir", "my_conf", "-m", "extrapolation=mean,knn,constant", *common) == 0, own.err
    found = {record["pruning"]["extrapolation"]: record["extrapolation"]["control"] for record in own.records()}
    assert found == {"mean": True, "knn": False, "constant": True}
    report_of(own, tmp_path, capsys)
    assert "knn was compared with no control" not in own.out
    fidelity = list(csv.DictReader((tmp_path / "report" / "fidelity.csv").read_text().splitlines()))
    assert {row["label"]: row["is_control"] for row in fidelity} == {"mean": "True", "knn": "False", "constant": "True"}
    assert {row["control"] for row in fidelity if row["label"] == "knn"} == {"mean"}  # the constant has no order


def test_a_keep_rule_of_ones_own_stands_at_what_it_kept(own, tmp_path, capsys):
    arguments = ("-m", "method=random_groups", "seed=0,1", "mapping._target_=own_methods.Third")
    assert own.run("--config-dir", "my_conf", *arguments) == 0, own.err
    for record in own.records():
        assert (record["pruning"]["follows_ratio"], record["pruning"]["reads_ratio"]) == (False, False)
        assert record["pruning"]["num_groups_kept"] == 3
    row = report_of(own, tmp_path, capsys)["random_groups"]
    assert float(row["pruning_ratio"]) == pytest.approx(0.7, abs=0.02)
    assert row["asked_ratio"] == ""


def test_shipped_methods_that_choose_anew_export_their_static_mask_apart(program, tmp_path, capsys):
    program.quick = ("trainer.max_epochs=4", "trainer.evaluate_every=4", "compare_with=[]", "optim.batch_size=256")
    assert program.run("-m", "method=rs2,infobatch", "pruning_ratio=0.5", "seed=0,1", "score_seed=0") == 0
    for record in program.records():
        pruning = record["pruning"]
        assert (pruning["per_epoch"], pruning["num_kept"], pruning["class_counts"]) == (True, None, None)
        assert "static_mask.parquet" in record["artifacts"]
        assert "mask.parquet" not in record["artifacts"]
        visits = sum(stage["samples_backward"] for stage in record["ledger"]["stages"])
        assert pruning["visited_share"] == pytest.approx(visits / (4 * pruning["num_total"]))
    rows = report_of(program, tmp_path, capsys)
    assert (rows["rs2"]["pruning_ratio"], rows["rs2"]["one_mask"]) == ("0.5", "True")  # one order of subsets for both
    assert 0 < float(rows["infobatch"]["pruning_ratio"]) < 0.3
    assert (
        rows["infobatch"]["one_mask"] == "True"
    )  # one score seed draws for both, however the visits follow the losses
    run_dir = program.run_dir(program.records()[0])
    assert main(["verify", str(run_dir), "--quick"]) == 0, capsys.readouterr()
