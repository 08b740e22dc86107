"""What the page says of a cell is said of that cell only, and within what can be."""

import pytest

from secateur.report.cells import make_cells
from secateur.report.load import load_runs
from secateur.report.page_summary import answers
from secateur.report.page_table import columns, lines
from secateur.report.page_text import estimate_text, interval
from secateur.report.payload import make_payload
from secateur.report.planned import missing
from secateur.report.ranks import with_ranks
from secateur.report.stale import stale
from secateur.report.summary import make_rows


@pytest.fixture
def two_tables(write, comparison):
    """Return the payload of two data sets, after a change of the records of the second."""

    def make(change):
        records = [{**one, "name": "study"} for one in comparison(seeds=[0, 1, 2])]
        second = [{**one, "name": "study"} for one in comparison(seeds=[0, 1, 2])]
        for one in second:
            one["data"] = {**one["data"], "name": "letters", "fingerprint": "e" * 64}
            one["run_key"] = one["run_key"][::-1]
        cells, left_out = make_cells(load_runs([write([*records, *change(second)])]).runs)
        problems = [*left_out, *missing(cells, left_out), *stale(cells)]
        named = {"title": "demo", "paths": ["runs"], "answers": [], "notes": [], "baseline": "random"}
        return make_payload(with_ranks(make_rows(cells, "random")), problems=problems, **named)

    return make


def is_tdds(record):
    return record["pruning"]["score"] == "tdds" and record["pruning"]["pruning_ratio"] == 0.5


def states(payload):
    return {(line.table, line.method, line.ratio): line.states for line in lines(payload, columns(payload))}


def test_a_seed_that_is_missing_on_one_data_set_is_missing_there_only(two_tables):
    made = two_tables(lambda records: [one for one in records if not (is_tdds(one) and one["seed"] == 2)])
    found = {where for where, names in states(made).items() if "seeds missing" in names}
    assert found == {("letters, small_cnn", "tdds", "50 %")}
    assert [problem["table"] for problem in made["problems"]] == ["letters, small_cnn"]


def test_what_is_stale_on_one_data_set_is_stale_there_only(two_tables):
    def older(records):
        for one in records:
            code = "old" if is_tdds(one) else "new"
            one["provenance"] = {"code": code}
        return records

    found = {where for where, names in states(two_tables(older)).items() if "stale" in names}
    assert found == {("letters, small_cnn", "tdds", "50 %")}


@pytest.mark.parametrize(
    ("line", "word", "tone"),
    [
        ("50 % pruned: no verdict (tdds is best, no full run)", "no verdict", "open"),
        ("50 % pruned: no: tdds, the best, is below full", "no", "bad"),
        ("50 % pruned: cost not measured: tdds matches full", "cost not measured", "open"),
        ("50 % pruned: yes: tdds matches full", "yes", "good"),
    ],
    ids=["no verdict", "no", "cost not measured", "yes"],
)
def test_no_verdict_is_not_no(line, word, tone):
    (answer,) = answers([line])
    assert (answer.word, answer.tone) == (word, tone)
    assert answer.rest.startswith(("tdds", "(tdds"))


def test_no_interval_of_an_accuracy_is_shown_to_leave_what_can_be():
    wide = {"mean": 0.71, "n": 3, "low": -0.103, "high": 1.321}
    assert interval(wide) == "[0.0, 100.0]"
    assert estimate_text(wide) == "71.0 % [0.0, 100.0], n = 3"
