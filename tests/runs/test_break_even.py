import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.runs import forecast
from secateur.runs.forecast import equal_cost, runs_to_pay, share, verdict


def test_examples():
    assert doctest.testmod(forecast).failed == 0


def smallest_by_trial(choosing, training):
    return next(runs for runs in range(1, 100_000) if choosing / runs + training < 1)


@given(st.floats(0, 20), st.floats(0, 0.99))
def test_runs_to_pay_is_the_smallest_number_that_pays(choosing, training):
    assert runs_to_pay(choosing, training) == smallest_by_trial(choosing, training)


@pytest.mark.parametrize(("choosing", "training", "runs"), [(1.0, 0.5, 3), (0.5, 0.5, 2), (0.3, 0.7, 2), (0.1, 0.9, 2)])
def test_breaking_even_is_not_paying(choosing, training, runs):
    assert runs_to_pay(choosing, training) == runs


@given(st.floats(0, 20), st.floats(1, 5))
def test_no_number_of_runs_pays_for_a_training_that_saves_nothing(choosing, training):
    assert runs_to_pay(choosing, training) is None


@pytest.mark.parametrize(
    ("choosing", "training", "words"),
    [
        (0.24, 0.5, "this run costs 0.74 of one full training; it pays from the first run"),
        (
            *(1.02, 0.5),
            "this run costs 1.52 of one full training; it pays only if at least 3 final trainings share the mask",
        ),
        (
            *(0.2, 1.0),
            "this run costs 1.20 of one full training; "
            "it never pays: training on what is kept alone costs 1.00 of a full training",
        ),
        (0.0, 1.0, "this run costs 1.00 of one full training: nothing is saved"),
    ],
)
def test_the_verdict_in_words(choosing, training, words):
    assert verdict(choosing, training) == words


def test_a_bound_is_called_one():
    assert verdict(0.0, 1.0, at_most=True) == (
        "this run costs at most 1.00 of one full training; whether it pays is known only afterwards"
    )
    assert verdict(0.7, 0.5, at_most=True).endswith("; it pays for sure if at least 2 final trainings share the mask")
    assert verdict(0.2, 0.5, at_most=True).startswith("this run costs at most 0.70 of one full training; it pays")


@pytest.mark.parametrize(
    ("value", "text"), [(0.996, "0.996"), (1.004, "1.004"), (1, "1.00"), (1.2, "1.20"), (0, "0.00")]
)
def test_what_is_not_one_is_not_shown_as_one(value, text):
    assert share(value) == text


def test_equal_cost_is_a_ratio_that_can_be_asked_for():
    assert "method=rs2 pruning_ratio=0.26," in equal_cost(0.74)
    assert "pruning_ratio=0.383," in equal_cost(0.6171)
    assert "method=full" in equal_cost(1.2)
