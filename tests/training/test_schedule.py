"""The curves against torch's own schedulers, over whole runs."""

import pytest
import torch
from torch.optim import lr_scheduler

from secateur.training import schedule

LR = 0.5


def torch_run(build, num_steps, momentum=0.9):
    """Return the learning rates and momenta that a scheduler of torch uses, step by step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR, momentum=momentum)
    scheduler = build(optimizer)
    rates, momenta = [], []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    return rates, momenta


def ours(curve, num_steps, *args, **kwargs):
    return [LR * curve(step, num_steps, *args, **kwargs) for step in range(num_steps)]


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine(floor):
    rates, _ = torch_run(lambda o: lr_scheduler.CosineAnnealingLR(o, 97, eta_min=LR * floor), 97)
    assert ours(schedule.cosine, 97, floor) == pytest.approx(rates, abs=1e-9)


def test_cosine_with_a_shorter_period_rises_again():
    rates, _ = torch_run(lambda o: lr_scheduler.CosineAnnealingLR(o, 25), 100)
    found = ours(schedule.cosine, 100, period_steps=25)
    assert found == pytest.approx(rates, abs=1e-7)
    assert found[50] == pytest.approx(LR)


@pytest.mark.parametrize(("num_steps", "peak"), [(100, 0.3), (73, 0.25), (7, 0.5), (3, 0.3)])
def test_onecycle_and_its_momentum(num_steps, peak):
    rates, momenta = torch_run(lambda o: lr_scheduler.OneCycleLR(o, LR, num_steps, pct_start=peak), num_steps)
    assert ours(schedule.onecycle, num_steps, peak) == pytest.approx(rates, abs=1e-9)
    found = [schedule.onecycle_momentum(step, num_steps, peak) for step in range(num_steps)]
    assert found == pytest.approx(momenta, abs=1e-9)


def test_onecycle_ends_nearly_at_zero():
    assert schedule.onecycle(99, 100) == pytest.approx(1 / 25e4)
    assert schedule.onecycle(150, 100) == pytest.approx(1 / 25e4)
    assert schedule.onecycle_momentum(99, 100) == pytest.approx(0.95)


def test_triangular_and_its_momentum():
    rates, momenta = torch_run(
        lambda o: lr_scheduler.CyclicLR(o, 1e-4, LR, step_size_up=20, step_size_down=140, cycle_momentum=True),
        160,
    )
    assert ours(schedule.triangular, 160, 20, 1e-4 / LR) == pytest.approx(rates, abs=1e-9)
    found = [schedule.triangular_momentum(step, 160, 20) for step in range(160)]
    assert found == pytest.approx(momenta, abs=1e-9)


def test_warmup_cosine():
    def build(optimizer):
        warmup = lr_scheduler.LinearLR(optimizer, start_factor=1e-3, total_iters=10)
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, 90)
        return lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [10])

    rates, _ = torch_run(build, 100)
    assert ours(schedule.warmup_cosine, 100, 10, 1e-3) == pytest.approx(rates, abs=1e-8)


def test_steps():
    rates, _ = torch_run(lambda o: lr_scheduler.MultiStepLR(o, [30, 60], gamma=0.1), 90)
    assert ours(schedule.steps, 90, (1 / 3, 2 / 3)) == pytest.approx(rates)
    assert ours(schedule.steps, 90, (0.3333333333, 0.6666666667)) == pytest.approx(rates)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_very_short_runs_and_overshoot_are_finite(num_steps):
    for step in range(num_steps + 2):
        for factor in (
            schedule.cosine(step, num_steps),
            schedule.onecycle(step, num_steps),
            schedule.triangular(step, num_steps, 3.0),
            schedule.warmup_cosine(step, num_steps, 3.0),
            schedule.steps(step, num_steps, (0.5,)),
        ):
            assert 0 <= factor <= 1


def test_only_progress_matters():
    long, short = schedule.cosine(500, 1000), schedule.cosine(5, 10)
    assert long == pytest.approx(short)
    assert schedule.triangular(250, 1000, 500) == pytest.approx(schedule.triangular(2.5, 10, 5))
