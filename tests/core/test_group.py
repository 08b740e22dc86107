"""One process is a group of one: it asks nobody."""

import subprocess
import sys

import pytest
import torch

from secateur.core.group import Group, alone, current, failing_together, is_rank_zero, use


class Follower(Group):
    """The second of two, whose first has failed with what it is given."""

    rank, size, device = 1, 2, torch.device("cpu")

    def __init__(self, told=None):
        self.told, self.errors = told, []

    def failed(self, error):
        self.errors.append(error)
        return self.told or error


def test_one_process_is_the_first_and_has_everything():
    group = current()
    rows = torch.arange(3)
    assert (group.rank, group.size, group.device, is_rank_zero()) == (0, 1, None, True)
    assert group.broadcast("a") == "a"
    assert group.gather("a") == ["a"]
    assert group.from_zero(lambda: "made") == "made"
    assert group.total(rows) is rows
    assert group.gather_rows(rows, rows, sizes=[3]) == [rows, rows]


def test_a_group_lasts_as_long_as_its_block():
    follower = Follower()
    with use(follower):
        assert current() is follower
        assert not is_rank_zero()
    assert current().size == 1
    with pytest.raises(ZeroDivisionError), use(follower):
        raise ZeroDivisionError
    assert current().size == 1


def test_alone_is_on_the_same_device():
    with use(Follower()):
        with alone():
            assert (current().rank, current().size, current().device) == (0, 1, torch.device("cpu"))
        assert current().size == 2


def test_only_the_first_makes_what_is_made_once():
    with use(Follower()):
        assert current().from_zero(lambda: pytest.fail("made by the second")) is None


def test_an_error_is_told_and_stays_itself():
    group, error = Follower(), ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught, use(group), failing_together():
        raise error
    assert caught.value is error
    assert group.errors == [error]


def test_the_error_of_another_is_raised_here():
    with pytest.raises(ValueError, match="theirs") as caught, use(Follower(ValueError("theirs"))), failing_together():
        raise RuntimeError("connection closed by peer")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_the_store_needs_no_torch():
    """A process that only looks something up must not wait for torch."""
    code = "import sys, secateur.core.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
