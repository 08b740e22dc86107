"""The margin of equality follows the error of full data, and stands in every table."""

import doctest
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.report.answers import did_it_pay
from secateur.report.build import build_report
from secateur.report.data import equality as module
from secateur.report.data.equality import Margin


def test_the_example_of_the_docstring():
    assert doctest.testmod(module).failed == 0


@given(st.floats(0, 1), st.integers(1, 100_000))
def test_the_default_is_a_fifth_of_the_error_between_one_image_and_one_point(accuracy, num_test):
    found = Margin().of(accuracy, 1 / num_test)
    assert found >= 1 / num_test
    assert found <= max(0.01, 1 / num_test)
    if 1 / num_test < 0.2 * (1 - accuracy) < 0.01:
        assert found == pytest.approx(0.2 * (1 - accuracy))


@given(st.floats(0, 1) | st.none(), st.floats(0, 1))
def test_a_fixed_margin_is_taken_as_it_is(accuracy, resolution):
    assert Margin(0.3).of(accuracy, resolution) == 0.003


@pytest.mark.parametrize("points", [0, -1, 100, float("nan"), float("inf")])
def test_other_margins_are_refused(points):
    with pytest.raises(ConfigError, match="--margin is a number of percentage points above 0 and below 100"):
        Margin(points)


@pytest.fixture
def near(record):
    """Records of a method half a point below full data at 99 %, where one point is the whole error."""
    noise = (0.0, 0.0004, -0.0003)
    values = {"full": [0.990 + one for one in noise], "tdds": [0.9853 + 1.1 * one for one in noise]}
    more = {"data__num_test": 10_000}
    records = [record("full", seed=seed, accuracy=value, **more) for seed, value in enumerate(values["full"])]
    return records + [record("score", "tdds", seed=s, accuracy=v, **more) for s, v in enumerate(values["tdds"])]


def test_a_point_is_not_equal_where_it_is_the_whole_error(rows_of, record):
    # half a point is lost on average, with an interval that holds 0: within a point, but not within 0.2
    values = ((0.990, 0.991, 0.989), (0.9890, 0.9866, 0.9869))
    more = {"data__num_test": 10_000}
    records = [record("full", seed=s, accuracy=v, **more) for s, v in enumerate(values[0])]
    records += [record("score", "tdds", seed=s, accuracy=v, **more) for s, v in enumerate(values[1])]
    row = rows_of(records)[1]
    assert row.margin == pytest.approx(0.2 * 0.01)
    assert row.verdict_full == "undecided: interval too wide"
    assert did_it_pay([row])[0].startswith("50 % pruned: undecided")


@pytest.mark.parametrize(("margin", "words"), [(None, "20 % of the error of full data"), (1.5, "set by --margin")])
def test_every_table_says_its_margin_and_what_it_can_detect(tmp_path, write, near, margin, words):
    result = build_report([write(near)], tmp_path / "out", figure_formats=[], margin=margin)
    expected = "±0.20 points" if margin is None else "±1.50 points"
    assert result.rows[1].margin == pytest.approx(0.002 if margin is None else 0.015, rel=0.01)
    for name in ("results.md", "results.tex", "report.html"):
        text = (tmp_path / "out" / name).read_text()
        assert re.search(rf"within {expected} \({words}", text), name
        assert "smallest difference to full that the seeds find with 80 % power" in text
    csv = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert {"margin", "vs_full_p_equal", "vs_full_p_equal_holm", "vs_full_detectable"} <= set(csv[0].split(","))


def test_equality_is_corrected_over_the_table(rows_of, record):
    noise = (0.0, 0.002, -0.002)
    full = [record("full", seed=s, accuracy=0.9 + n) for s, n in enumerate(noise)]
    shift = (0.0035, -0.0035, 0.001)
    tested = [
        record("score", "m0", seed=s, accuracy=0.9 + n + d) for (s, n), d in zip(enumerate(noise), shift, strict=True)
    ]
    alone = rows_of([*full, *tested])[1]
    assert (alone.verdict_full, alone.vs_full.equal_survives_holm) == ("matches full", True)
    others = [
        record("score", f"m{i}", seed=s, accuracy=0.5 + 0.1 * s * i, ledger__cost_vs_full=0.9)
        for i in range(1, 6)
        for s in range(3)
    ]
    rows = rows_of([*full, *tested, *others])
    row = next(row for row in rows if row.label == "m0")
    assert (row.verdict_full, row.vs_full.equal_survives_holm) == ("matches full", False)
    assert "(matches) full" in did_it_pay(rows)[0]
    assert not did_it_pay(rows)[0].startswith("50 % pruned: yes")
