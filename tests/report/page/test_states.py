"""What the page says of a cell is said of that cell only, and within what can be."""

import pytest
from PIL import Image

from secateur.report.data.cells import make_cells
from secateur.report.data.league import with_ranks
from secateur.report.data.load import load_runs
from secateur.report.data.rows import make_rows
from secateur.report.page.data import script_data
from secateur.report.page.figures import pictures
from secateur.report.page.payload import make_payload
from secateur.report.page.summary import answers, blocks, count_sentence, what_was_run
from secateur.report.page.table import columns, lines
from secateur.report.page.text import breakable, estimate_text, interval
from secateur.report.page.view import to_html
from secateur.report.problems import missing, stale


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


def made_of(num_tables, per_table):
    tables = [{"id": f"set_{number}, cnn"} for number in range(num_tables)]
    said = [f"{table['id']}, {place} pruned: {rest}" for table in tables for place, rest in per_table]
    return answers(said), tables


def test_of_many_tables_the_answers_are_counted_and_stand_in_blocks():
    found, tables = made_of(6, [("30 %", "no: a"), ("50 %", "undecided: b"), ("80 %", "undecided: b")])
    assert count_sentence(found, tables) == "6 data sets and models, 18 answers: no 6, undecided 12."
    made = blocks(found, tables)
    assert [(block.table, block.counts) for block in made][:1] == [("set_0, cnn", "no 1, undecided 2")]
    assert len(made) == 6
    assert [(one.where, one.rest) for one in made[0].answers] == [("30 % pruned", "a"), ("50 % and 80 % pruned", "b")]


def test_of_few_tables_every_answer_stands_by_itself():
    assert blocks(*made_of(4, [("30 %", "no: a")])) == []


def test_tables_of_which_the_same_was_run_share_a_sentence(two_tables):
    (sentence,) = what_was_run(two_tables(lambda records: records))
    assert sentence["where"] == "each of 2 (digits, small_cnn and letters, small_cnn)"


def test_tables_of_which_another_thing_was_run_have_their_own(two_tables):
    assert len(what_was_run(two_tables(lambda records: records[:-1]))) == 2


def test_long_names_may_break_between_their_words_only():
    assert str(breakable("my.package_xY <b> 1.5")) == "my.<wbr>package_<wbr>x<wbr>Y &lt;b&gt; 1.5"


@pytest.mark.parametrize("method", ["rs2", "somebodys_own"])
def test_a_subset_per_epoch_is_marked(write, comparison, redrawn, method):
    records = [*comparison(seeds=[0, 1]), redrawn(method, seed=0), redrawn(method, seed=1)]
    cells, _ = make_cells(load_runs([write(records)]).runs)
    named = {"title": "demo", "paths": ["runs"], "answers": [], "notes": [], "baseline": "random"}
    made = make_payload(with_ranks(make_rows(cells, "random")), problems=(), **named)
    assert {cell["method"] for cell in made["cells"].values() if cell["per_epoch"]} == {method}
    marked = {where[1] for where, names in states(made).items() if "new subset every epoch" in names}
    assert marked == {method}


def test_commands_of_a_sweep_say_how_many_runs_they_made(write, comparison):
    records = comparison(seeds=[0, 1], ratios=[0.5])
    for number, one in enumerate(records):
        one["command"] = "secateur run sweeps=demo" if number < 4 else f"python -m secateur run seed={number}"
    cells, _ = make_cells(load_runs([write(records)]).runs)
    named = {"title": "demo", "paths": ["runs"], "answers": [], "notes": [], "baseline": "random"}
    data = script_data(make_payload(with_ranks(make_rows(cells, "random")), problems=(), **named), str)
    number = str(data["commands"].index("secateur run sweeps=demo"))
    assert data["sweeps"] == {number: 4}


def test_a_figure_that_is_wide_is_known_by_its_size(tmp_path):
    for name, width in (("wide", 700), ("narrow", 300)):
        (tmp_path / f"{name}.svg").write_text(f'<?xml version="1.0"?><svg height="90pt" width="{width}pt"></svg>')
        Image.new("L", (2 * width, 9)).save(tmp_path / f"{name}.png", dpi=(144, 144))
    (tmp_path / "paper.pdf").write_bytes(b"%PDF")
    files = ["wide.svg", "narrow.svg", "wide.png", "narrow.png", "paper.pdf"]
    common = {"kind": "overlap", "table": None, "title": "t", "caption": "c"}
    figures = [{**common, "files": {name.split(".")[1]: name}} for name in files]
    found = pictures({"figures": figures, "tables": []}, tmp_path)
    assert [picture.wide for picture in found] == [True, False, True, False, False]
    assert [picture.uri is None for picture in found] == [False, False, False, False, True]


def test_a_figure_that_no_page_shows_is_said_not_to_be_embedded(tmp_path, two_tables):
    made = two_tables(lambda records: records)
    figure = {
        "id": "o",
        "kind": "overlap",
        "table": None,
        "title": "Overlap",
        "caption": "c",
        "files": {"pdf": "o.pdf"},
    }
    made["figures"] = [figure]
    assert "not embedded: open the file" in to_html(made, tmp_path)
