import pytest
import torch

from secateur.core.errors import DataError
from secateur.scores.base import BatchSignals
from secateur.scores.dynamic_uncertainty import DynamicUncertainty
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
