import pytest
import torch

from secateur.core.errors import ConfigError, DataError
from secateur.scores.aum import AUM
from secateur.scores.base import RECORDS, BatchSignals, Score, ScoreResult
from secateur.scores.dual import DUAL
from secateur.scores.dynamic_uncertainty import DynamicUncertainty
from secateur.scores.el2n import EL2N
from secateur.scores.entropy import Entropy
from secateur.scores.forgetting import Forgetting
from secateur.scores.grand import GraNd
from secateur.scores.moderate import Moderate
from secateur.scores.tdds import TDDS
from secateur.scores.windows import ROWS_PER_CHUNK, row_chunks


def test_a_state_of_another_size_is_refused(tools):
    logits, target = tools.trajectory(12, 10)
    state = tools.feed(DynamicUncertainty, logits, target).state_dict()
    other = DynamicUncertainty()
    other.setup(11, 12)
    with pytest.raises(DataError, match="10 rows, but the pool has 11"):
        other.load_state_dict(state)


def test_a_restored_state_is_a_copy(tools):
    logits, target = tools.trajectory(12, 10)
    score = tools.feed(DynamicUncertainty, logits, target)
    copy = DynamicUncertainty()
    copy.setup(10, 12)
    copy.load_state_dict(score.state_dict())
    score.state["ring"].fill_(0)
    assert not torch.equal(copy.state["ring"], score.state["ring"])


def test_updates_touch_only_their_rows():
    score = DynamicUncertainty(window=2)
    score.setup(4, 3)
    score.update(BatchSignals(torch.tensor([2]), torch.tensor([0]), 0, torch.zeros(1, 2)))
    assert score.state["ring"][:, 0].isnan().tolist() == [True, True, False, True]


def test_chunks_cover_all_rows():
    size = 2 * ROWS_PER_CHUNK + 5
    chunks = list(row_chunks(size))
    assert [chunk.start for chunk in chunks] == [0, ROWS_PER_CHUNK, 2 * ROWS_PER_CHUNK]
    assert chunks[-1].stop == size


class Own(Score):
    """A user's scorer that says nothing about what it reads."""

    def update(self, batch):
        pass

    def compute(self):
        return ScoreResult(self.state_or_nan("nothing"))


@pytest.mark.parametrize(
    ("score", "record", "epochs", "num_passes"),
    [
        (AUM(), "train_forward", range(200), 0),
        (Forgetting(), "train_forward", range(200), 0),
        (TDDS(), "train_forward", range(30), 0),
        (TDDS(trajectory="last"), "train_forward", range(170, 200), 0),
        (TDDS(trajectory_epochs=90, record="eval_pass"), "eval_pass", range(90), 90),
        (DUAL(), "train_forward", range(30), 0),
        (DUAL(num_epochs=60), "train_forward", range(60), 0),
        (EL2N(), "eval_pass", range(19, 20), 1),
        (GraNd(epoch=3), "eval_pass", range(2, 3), 1),
        (DynamicUncertainty(), "eval_pass", range(199), 199),
        (DynamicUncertainty(record="before_step", skip_first=2), "before_step", range(2, 199), 197),
        (Entropy(), "final_pass", range(199, 200), 1),
        (Moderate(), "final_pass", range(199, 200), 1),
        (Own(), "train_forward", range(200), 0),
        (Own("eval_pass"), "eval_pass", range(200), 200),
    ],
)
def test_a_scorer_says_what_it_reads_of_a_training_of_200_epochs(score, record, epochs, num_passes):
    score.setup(3, 200)
    assert (score.record, score.epochs, score.num_passes) == (record, epochs, num_passes)


@pytest.mark.parametrize("score", [TDDS, DUAL])
@pytest.mark.parametrize(
    ("num_epochs", "read"), [(10, 10), (12, 10), (66, 10), (67, 10), (70, 10), (74, 11), (200, 30)]
)
def test_early_scorers_read_fifteen_percent_but_at_least_one_window(score, num_epochs, read):
    assert score().read_epochs(num_epochs) == range(read)


@pytest.mark.parametrize("make", [AUM, DUAL, DynamicUncertainty, EL2N, GraNd, Forgetting, TDDS, Own])
def test_a_kind_of_signals_that_does_not_exist_is_refused(make):
    assert [make(record=record).record for record in RECORDS] == list(RECORDS)
    with pytest.raises(ConfigError, match="record must be one of train_forward, before_step, eval_pass; got 'eval'"):
        make(record="eval")
    with pytest.raises(ConfigError, match="got 'final_pass'"):
        make(record="final_pass")
