"""Wall-clock and device seconds by part, summed over attempts and processes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.group import Group, use
from secateur.training import clocks as module
from secateur.training.clocks import Clocks


class Machine:
    """Clocks that a test moves by hand."""

    wall = cpu = 0.0

    def perf_counter(self):
        return self.wall

    def process_time(self):
        return self.cpu

    def pass_by(self, wall, cpu):
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(module, "time", machine)
    return machine


def test_parts_are_within_the_whole(machine):
    clocks = Clocks()
    machine.pass_by(1, 0.5)  # set-up
    clocks.start()
    machine.pass_by(10, 20)
    clocks.stop()
    with clocks.measuring("evaluation"):
        machine.pass_by(3, 2)
    clocks.end_epoch()
    machine.pass_by(0.25, 0.125)  # writing a checkpoint
    assert clocks.parts() == {
        **{"train_seconds": 10, "train_device_seconds": 20},
        **{"evaluation_seconds": 3, "evaluation_device_seconds": 2},
        **{"seconds": 14.25, "device_seconds": 22.625},
    }
    assert clocks.whole() == {"seconds": 14.25, "device_seconds": 22.625}
    assert clocks.epochs == [{"train_seconds": 10, "train_device_seconds": 20}]


numbers = st.integers(0, 1000).map(lambda number: number / 8)  # sums are exact
moments = st.tuples(st.sampled_from(["train", "evaluation", "other"]), numbers, numbers)


@given(epochs=st.lists(st.lists(moments, max_size=4), max_size=4), stop=st.integers(0, 4))
def test_an_interrupted_stage_counts_like_an_undisturbed_one(epochs, stop):
    def play(clocks, machine, epochs):
        for epoch in epochs:
            for part, wall, cpu in epoch:
                if part == "other":
                    machine.pass_by(wall, cpu)
                else:
                    with clocks.measuring(part):
                        machine.pass_by(wall, cpu)
            clocks.end_epoch()
        return clocks

    with pytest.MonkeyPatch.context() as patch:
        machine = Machine()
        patch.setattr(module, "time", machine)
        whole = play(Clocks(), machine, epochs)
        expected = whole.parts()
        first = play(Clocks(), machine, epochs[:stop])
        machine.pass_by(99, 99)  # lost with the process that was killed
        second = Clocks()
        second.load_state_dict(first.state_dict())
        play(second, machine, epochs[stop:])
        assert second.parts() == expected
        assert second.epochs == whole.epochs


def test_device_seconds_are_summed_over_processes_and_wall_seconds_are_of_the_first(machine):
    class Two(Group):
        size = 2

        def gather(self, value):
            return [value, {part: (2 * wall, 3 * device) for part, (wall, device) in value.items()}]

    with use(Two()):
        clocks = Clocks()
        with clocks.measuring("train"):
            machine.pass_by(5, 1)
        spent = clocks.parts()
    assert (spent["train_seconds"], spent["train_device_seconds"]) == (5, 4)
    assert (spent["seconds"], spent["device_seconds"]) == (5, 4)


def test_on_a_gpu_device_seconds_are_synchronized_wall_seconds(machine, monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(device) or machine.pass_by(2, 0))
    clocks = Clocks("cuda")
    with clocks.measuring("train"):
        machine.pass_by(1, 50)
    assert waited
    spent = clocks.parts()
    assert spent["train_seconds"] == spent["train_device_seconds"] == 3
