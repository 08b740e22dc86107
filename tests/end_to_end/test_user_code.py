"""A user's own scorer, in the user's own file and --config-dir, without touching the package."""

import importlib
import linecache
import sys

import pytest

SCORER = '''
import torch
from secateur.scores.base import Score, ScoreResult


class LogitNorm(Score):
    """Mean length of the logits over the training."""

    def __init__(self, power=1.0, broken=False):
        super().__init__()
        self.power, self.broken = power, broken

    def update(self, batch):
        self.rows_like("sum", batch.logits)[batch.rows] += batch.logits.norm(dim=1) ** self.power

    def compute(self):
        score = self.state["sum"] / self.num_epochs
        return ScoreResult(score * float("nan") if self.broken else score)
'''


@pytest.fixture
def own(program, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command adds folders to it
    monkeypatch.delitem(sys.modules, "my_scores", raising=False)
    (tmp_path / "my_scores.py").write_text(SCORER)
    (tmp_path / "my_conf" / "score").mkdir(parents=True)
    node = "_target_: my_scores.LogitNorm\npower: 2.0\nbroken: false\n"
    (tmp_path / "my_conf" / "score" / "logit_norm.yaml").write_text(node)
    return program


@pytest.mark.slow
def test_it_runs_and_has_its_name(own):
    assert own.run("--config-dir", "my_conf", "score=logit_norm", "score.power=1.5") == 0
    record = own.record()
    assert record["label"] == "logit_norm"
    assert record["config"]["score"]["power"] == 1.5


@pytest.mark.slow
def test_it_can_be_swept_beside_shipped_ones(own):
    assert own.run("--config-dir=my_conf", "-m", "score=logit_norm,el2n") == 0
    assert {record["label"] for record in own.records()} == {"logit_norm", "el2n"}


@pytest.mark.slow
def test_an_edited_scorer_does_not_find_its_old_results(own, tmp_path):
    arguments = ("--config-dir", "my_conf", "score=logit_norm")
    own.run(*arguments)
    source = tmp_path / "my_scores.py"
    source.write_text(source.read_text().replace('self.state["sum"] /', '-self.state["sum"] /'))
    sys.modules.pop("my_scores")
    importlib.invalidate_caches()
    linecache.clearcache()
    assert own.run(*arguments) == 0
    first, second = own.records()
    assert first["pruning"]["mask_sha256"] != second["pruning"]["mask_sha256"]


def test_scores_that_are_not_finite_fail_the_run(own):
    assert own.run("--config-dir", "my_conf", "score=logit_norm", "score.broken=true") == 2
    assert "scores are not finite" in own.err
    assert own.record()["status"] == "failed"


def test_a_class_that_is_no_scorer_is_refused(own, tmp_path):
    (tmp_path / "my_conf" / "score" / "wrong.yaml").write_text(
        "_target_: my_scores.ScoreResult\nscore: 1\ncolumns: {}\n"
    )
    assert own.run("--config-dir", "my_conf", "score=wrong") == 2
    assert not own.folder.exists()
