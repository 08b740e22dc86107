"""Scale and penalty against a literal transcription of the method's rules."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.dynamic.adapruner_schedule import AdaPrunerConstants, ScaleController


def transcription(steps, keep_fraction, constants, num_epochs, steps_per_epoch):
    """The rules one after the other; yields scale and penalty after every step, and once more after every epoch.

    ``steps`` holds one (hard keep ratio, share of binary soft weights) per step.
    """
    step = (constants.scale_end - constants.scale_start) / (num_epochs * steps_per_epoch)
    scale, penalty, ratio_before = constants.scale_start, constants.penalty_gain, 1.0
    steps = iter(steps)
    for epoch in range(num_epochs):
        too_low = 0
        for _ in range(steps_per_epoch):
            ratio, binary = next(steps)
            if epoch < constants.cold_start_epochs:
                yield scale, 0.0
                continue
            if ratio_before >= keep_fraction:  # advance
                scale = scale + step
            if epoch == num_epochs - 1 and binary < 0.9:  # sharpen
                scale = scale + 10 * step
            penalty = 1 + 50 * abs(ratio - keep_fraction)
            if ratio < keep_fraction:
                too_low += 1
            ratio_before = ratio
            yield scale, penalty
        if too_low and too_low >= steps_per_epoch / 16:  # slow down
            scale = max(0, scale - too_low * step)
        yield scale, 0.0 if epoch < constants.cold_start_epochs else penalty


def run(steps, keep_fraction, constants, num_epochs, steps_per_epoch, restart_after=None):
    controller = ScaleController(constants, keep_fraction, num_epochs, steps_per_epoch)
    steps = iter(steps)
    for epoch in range(num_epochs):
        for _ in range(steps_per_epoch):
            controller.end_step(epoch, *next(steps))
            yield controller.state.scale, controller.penalty(epoch)
        controller.end_epoch()
        yield controller.state.scale, controller.penalty(epoch)
        if epoch == restart_after:
            saved = json.loads(json.dumps(controller.state_dict()))
            controller = ScaleController(constants, keep_fraction, num_epochs, steps_per_epoch)
            controller.load_state_dict(saved)


@st.composite
def runs(draw):
    num_epochs, steps_per_epoch = draw(st.integers(1, 5)), draw(st.integers(1, 20))
    ratios = st.one_of(st.floats(0, 1), st.sampled_from([0.69, 0.7, 0.71]))
    count = num_epochs * steps_per_epoch
    steps = draw(st.lists(st.tuples(ratios, st.floats(0, 1)), min_size=count, max_size=count))
    constants = AdaPrunerConstants(cold_start_epochs=draw(st.integers(0, num_epochs - 1)))
    return steps, 0.7, constants, num_epochs, steps_per_epoch


@given(runs())
def test_it_does_what_the_rules_say(case):
    assert list(run(*case)) == [pytest.approx(expected) for expected in transcription(*case)]


@given(runs(), st.integers(0, 4))
def test_saved_and_restored_it_goes_on_as_before(case, epoch):
    assert list(run(*case, restart_after=epoch)) == list(run(*case))


def test_with_a_ratio_that_is_never_too_low_the_scale_ends_at_its_end():
    controller = ScaleController(AdaPrunerConstants(), 0.8, 4, 10)
    for epoch in range(4):
        for _ in range(10):
            controller.end_step(epoch, 0.9, 1.0)
        controller.end_epoch()
    assert controller.state.scale == pytest.approx(5.0)
    assert controller.penalty(3) == pytest.approx(1 + 50 * 0.1)


def test_the_first_penalty_is_the_gain_and_a_cold_start_has_none():
    assert ScaleController(AdaPrunerConstants(), 0.8, 4, 10).penalty(0) == 50
    cold = ScaleController(AdaPrunerConstants(cold_start_epochs=2), 0.8, 4, 10)
    assert [cold.penalty(epoch) for epoch in range(4)] == [0, 0, 50, 50]


@pytest.mark.parametrize(
    ("constants", "complaint"),
    [
        ({"scale_start": 0.0}, "scale_start"),
        ({"scale_end": 0.05}, "scale_end"),
        ({"binary_margin": 0.5}, "binary_margin"),
        ({"binary_share": 1.5}, "binary_share"),
        ({"penalty_gain": -1.0}, "penalty_gain must not be negative, got -1"),
        ({"cold_start_epochs": 3}, "freezes the mask in all of the 3 joint epochs"),
    ],
)
def test_constants_out_of_range_are_refused(constants, complaint):
    with pytest.raises(ConfigError, match=complaint):
        ScaleController(AdaPrunerConstants(**constants), 0.8, 3, 10)
