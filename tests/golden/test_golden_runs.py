"""Small experiments of every kind give the records, tables and report that were written down for them."""

import json

import pytest
from tests.golden.golden_runs import CASES, FILE, machine, report_of, run_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
SAME_MACHINE = machine() == GOLDEN["machine"]
PICTURES = (".svg", ".html", ".webp", ".png")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    results = run_all(folder / "made")
    return results, report_of(results, folder)


def shape_of(value):
    """Return a value without its numbers and hashes: what is left when floating-point results differ."""
    if isinstance(value, dict):
        return {key: shape_of(member) for key, member in value.items()}
    if isinstance(value, list):
        return "list"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_the_cases_are_the_ones_written_down():
    assert sorted(GOLDEN["runs"]) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_golden_run_gives_its_record_and_tables(made, case):
    (results, _), golden = made, GOLDEN["runs"][case]
    record, tables = results[case]["record"], results[case]["tables"]
    assert sorted(tables) == sorted(golden["tables"])
    if not SAME_MACHINE:
        assert shape_of(record) == shape_of(golden["record"])
        return
    assert record == golden["record"]
    assert tables == golden["tables"]


def test_the_report_of_the_golden_runs_is_the_one_written_down(made):
    (_, report), golden = made, GOLDEN["report"]
    assert sorted(report) == sorted(golden)
    if SAME_MACHINE:
        assert report == golden
