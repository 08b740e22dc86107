import base64
import hashlib
import json
import os
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.report.build import build_report
from secateur.report.data.cells import make_cells
from secateur.report.data.league import with_ranks
from secateur.report.data.load import load_runs
from secateur.report.data.rows import make_rows
from secateur.report.page.data import cell_facts, factor_out, flatten, script_data
from secateur.report.page.figures import LIMIT, pictures
from secateur.report.page.ledger_view import ledger_bars, mean_stages, stage_colors
from secateur.report.page.payload import make_payload
from secateur.report.page.summary import answers, problem_groups, problem_sentence, tiles, what_was_run
from secateur.report.page.table import columns, lines
from secateur.report.page.text import RelativePaths, interval, script_json, security_policy
from secateur.report.page.view import to_html

HOSTILE = '</script><script>alert(1)</script>"&\u2028'
INERT = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8)


class Page(HTMLParser):
    """Collect elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inside, self.texts = [], None, {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in self.texts:
            self.inside = tag
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.texts[self.inside][-1] += data

    def data(self):
        """Return what the scripts read."""
        return json.loads(self.texts["script"][0])


@pytest.fixture
def payload_of(write, tmp_path):
    """Return the payload of some records, without drawing any figure."""

    def make(records, problems=(), **changes):
        cells, _ = make_cells(load_runs([write(records)]).runs)
        given = {"answers": [], "notes": [], "figures": [], "title": "demo", "paths": ["runs"]}
        return make_payload(
            with_ranks(make_rows(cells, "random")), baseline="random", problems=problems, **{**given, **changes}
        )

    return make


@given(INERT)
def test_data_in_a_script_cannot_end_it_and_is_read_back(value):
    text = script_json(value)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == value


def test_numbers_that_json_has_not_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        script_json(float("nan"))


def test_equal_records_give_an_equal_page_wherever_they_lie(tmp_path, payload_of, comparison):
    made = payload_of(comparison(seeds=[0, 1]))
    page = to_html(made, tmp_path)
    moved = json.loads(json.dumps(made).replace(str(tmp_path), "/somewhere/else"))
    assert to_html(moved, tmp_path) == page
    assert str(tmp_path) not in page


def test_only_the_pages_own_script_and_style_may_run(tmp_path, payload_of, comparison, record):
    hostile = record("score", HOSTILE, command=HOSTILE, warnings=[HOSTILE], config={HOSTILE: HOSTILE})
    page = Page(to_html(payload_of([*comparison(seeds=[0]), hostile], notes=[HOSTILE], title=HOSTILE), tmp_path))
    policy = next(attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    hashes = {
        f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
        for text in (page.texts["script"][1], page.texts["style"][0])
    }
    assert set(re.findall("'(sha256-[^']+)'", policy)) == hashes
    assert [attrs.get("type") for tag, attrs in page.elements if tag == "script"] == ["application/json", None]
    assert not any(name.startswith("on") or name == "style" for _, attrs in page.elements for name in attrs)
    links = [value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "href")]
    assert all(link.startswith("#") for link in links)
    assert HOSTILE in [cell["title"].removesuffix(", 50 % pruned") for cell in page.data()["cells"].values()]
    assert page.data()["commands"].count(HOSTILE) == 1


def test_the_policy_names_no_address():
    assert not re.search(r"https?:|\*|unsafe", security_policy("a", "b"))


def test_every_mean_has_its_interval_and_its_n(payload_of, comparison, record):
    made = payload_of([*comparison(seeds=[0, 1, 2]), record("score", "aum", seed=0, accuracy=0.5)])
    shown = columns(made)
    accuracy = [column.header for column in shown].index("accuracy")
    entries = {line.method: line.entries[accuracy] for line in lines(made, shown)}
    assert entries["aum"].text == "50.0"
    assert entries["aum"].more == "no interval, n = 1"
    assert re.fullmatch(r"\[\d+\.\d, \d+\.\d\], n = 3", entries["tdds"].more)


def test_a_row_says_what_is_wrong_with_its_cell(payload_of, comparison, record):
    made = payload_of(
        [
            *comparison(seeds=[0, 1]),
            record("score", "one", seed=0),
            record("score", "peek", seed=0, select_on="test"),
            record("score", "loud", seed=0, warnings=["careful"]),
        ]
    )
    made["problems"] = [{"kind": "missing", "method": "tdds", "pruning_ratio": 0.3, "table": None}]
    made["cells"][next(key for key, cell in made["cells"].items() if cell["method"] == "el2n")]["stale"] = True
    states = {(line.method, line.ratio): line.states for line in lines(made, columns(made))}
    assert states["one", "50 %"] == ("one seed",)
    assert states["peek + selected on test", "50 %"] == ("one seed", "selected on test")
    assert states["loud", "50 %"] == ("one seed", "warnings")
    assert states["tdds", "30 %"] == ("seeds missing",)
    assert states["el2n", "30 %"] == ("stale",)
    assert states["random", "50 %"] == ()


@pytest.mark.parametrize(
    ("words", "tone", "verdict"),
    [
        ("above random", "good", "above"),
        ("ties random", "good", "ties"),
        ("below random", "bad", "below"),
        ("undecided: interval too wide", "open", "undecided"),
        ("no random run", "open", "no random run"),
        ("above random, but not after Holm", "open", "(above)"),
        ("ties random, but not after Holm", "open", "(ties)"),
        ("above random (this mask)", "open", "above (this mask)"),
        ("one mask against one mask: no verdict", "open", "one mask against one mask"),
    ],
    ids=["above", "ties", "below", "undecided", "none", "not after Holm", "ties not", "this mask", "one and one"],
)
def test_verdicts_are_colored_by_what_they_say(payload_of, comparison, words, tone, verdict):
    made = payload_of(comparison(seeds=[0, 1]))
    words, _, weak = words.partition(", but")
    for cell in made["cells"].values():
        cell["verdict_baseline"] = words
        survives = dict.fromkeys(("survives_holm", "equal_survives_holm"), False if weak else None)
        cell["vs_baseline"] = {"mean": 0.1, "high": 0.2, "n": 3, "detectable": None, **survives}
    shown = columns(made)
    against = next(n for n, column in enumerate(shown) if column.header == "vs random")
    assert {(line.entries[against].tone, line.entries[against].verdict) for line in lines(made, shown)} == {
        (tone, verdict)
    }


def test_columns_that_say_nothing_are_left_out(payload_of, comparison, record):
    headers = [column.header for column in columns(payload_of(comparison(seeds=[0])))]
    assert {"data, model", "kept", "robust", "worst class"}.isdisjoint(headers)
    other = record("random", ratio=0.3, keep_fraction=0.5, pruning__keep_fraction=0.5, data__name="svhn")
    headers = [column.header for column in columns(payload_of([*comparison(seeds=[0]), other]))]
    assert {"data, model", "kept"} <= set(headers)


def stage(name, flops, reused=False, pruning=False):
    return {"stage": name, "flops": flops, "reused": reused, "pruning": pruning}


def ledger(cost, *stages):
    return {"ledger": {"cost_vs_full": cost, "stages": list(stages)}}


def test_a_bar_is_the_mean_over_runs_and_sums_to_the_cost():
    first = ledger(1.5, stage("scoring", 200.0, pruning=True), stage("training", 100.0))
    second = ledger(1.5, stage("scoring", 200.0, reused=True, pruning=True), stage("training", 100.0))
    found = mean_stages([first, second])
    assert found == {("scoring", False): 0.5, ("scoring", True): 0.5, ("training", False): 0.5}


def test_a_ledger_without_operations_is_one_training():
    assert mean_stages([ledger(0.7, stage("scoring", 0))]) == {("training", False): 0.7}


def test_the_training_has_the_same_color_in_every_report():
    assert stage_colors([]) == {"training": 0}
    run = ledger(1, stage("training", 1), stage("probe", 1), stage("scoring", 1, pruning=True))
    assert stage_colors([run]) == {"scoring": 1, "training": 0, "probe": 2}
    many = [ledger(1, *(stage(f"s{n}", 1, pruning=True) for n in range(20)))]
    assert set(stage_colors(many).values()) == set(range(8))


def test_bars_stay_within_their_table(payload_of, comparison):
    made = payload_of(comparison(seeds=[0, 1]))
    (bars,) = ledger_bars(made, stage_colors(made["runs"].values())).values()
    ends = [bar.segments[-1].start + bar.segments[-1].width for bar in bars]
    assert max(ends) == pytest.approx(100, abs=0.01)
    assert all(0 < bar.one <= 100 for bar in bars)
    assert next(bar.words for bar in bars if bar.name == "full") == "1.00 full trainings: training 1.00"


def test_paths_are_told_from_the_folder_above_all_records():
    paths = ["/home/someone/outputs/runs/demo/a1", "/home/someone/outputs/runs/other/b2", None]
    relative = RelativePaths(paths)
    assert [relative(path) for path in paths[:2]] == ["runs/demo/a1", "runs/other/b2"]
    assert RelativePaths(["/x/demo/a1"])("/x/demo/a1") == "demo/a1"
    assert RelativePaths([])(os.sep) == "."


@given(st.dictionaries(st.text(max_size=2), st.dictionaries(st.text(max_size=2), st.integers(0, 2) | st.none())))
def test_settings_that_were_factored_out_come_back(configs):
    usual, own, varying = factor_out(configs)
    for name, config in configs.items():
        again = {key: value for key, value in {**usual, **own[name]}.items() if value is not None}
        assert again == {key: value for key, value in config.items() if value is not None}
        assert set(own[name]) <= set(varying)


def test_flatten_keeps_what_is_empty():
    assert flatten({"a": {}, "b": {"c": {"d": []}}}) == {"a": {}, "b.c.d": []}


def test_provenance_says_what_how_and_where_but_not_on_which_host(payload_of, comparison):
    known = {"provenance": {"python": "3.11", "host": "secret", "git": None, "packages": {"torch": "2"}}}
    made = payload_of(comparison(seeds=[0, 1], command="secateur run x", **known))
    data = script_data(made, RelativePaths([run["path"] for run in made["runs"].values()]))
    assert "secret" not in json.dumps(data)
    assert data["commands"] == ["secateur run x"]
    (environment,) = data["environments"].values()
    assert environment == {"python": "3.11", "packages.torch": "2"}
    cell = next(cell for cell in data["cells"].values() if cell["title"] == "tdds, 50 % pruned")
    assert [run[:2] for run in cell["runs"]] == [["0", "0"], ["1", "1"]]
    assert all(re.fullmatch(r"runs/\d{5}", run[4]) for run in cell["runs"])
    facts = dict(map(tuple, cell["facts"]))
    assert "2 pairs" in facts["against random"]
    assert facts["seeds"].startswith("0, 1; 2 different")


def test_facts_are_silent_where_nothing_was_compared(payload_of, comparison):
    made = payload_of(comparison(seeds=[0, 1]))
    full = next(cell for cell in made["cells"].values() if cell["is_full"])
    assert not [name for name, _ in cell_facts(full, "random") if name.startswith("against")]


def test_answers_are_split_into_place_word_and_sentence():
    first, second = answers(["digits, cnn, 30 % pruned: no: tdds is below full", "something else: yes"])
    assert (first.where, first.word, first.tone) == ("digits, cnn, 30 % pruned", "no", "bad")
    assert first.rest == "tdds is below full"
    assert (second.word, second.rest) == ("", "something else: yes")


def problem(kind, name="x", reason="because", path=None):
    return {"kind": kind, "name": name, "reason": reason, "path": path, "method": None, "pruning_ratio": None}


def test_problems_are_counted_and_masks_alone_are_none():
    made = {"problems": [problem("mask only"), problem("failed", path="/r/a"), problem("mask only", "y")]}
    groups = problem_groups(made, RelativePaths(["/r/a", "/r/b"]))
    assert [(group.kind, group.count, group.harmless) for group in groups] == [
        ("failed", 1, False),
        ("mask only", 2, True),
    ]
    assert groups[0].entries == (("x", "r/a", "because"),)
    assert groups[1].entries == (("2 runs", "", "because"),)
    assert problem_sentence(groups) == "To be looked at: 1 failed."
    assert problem_sentence(groups[1:]) == "No run is missing, failed, damaged or stale."


def test_the_head_counts_what_was_run(payload_of, comparison):
    made = payload_of(comparison(seeds=[0, 1, 2], ratios=[0.3, 0.5]))
    assert {name: number for number, name in tiles(made)} == {
        **{"finished runs": "27", "methods": "4", "cells": "9", "seeds per cell": "3", "problems": "0"}
    }
    (sentence,) = what_was_run(made)
    assert sentence["where"] == "digits, small_cnn"
    assert sentence["what"].replace("\u00a0", " ").endswith("at 30 % and 50 % pruned, n = 3 seeds each.")


def test_an_interval_of_one_seed_is_none():
    assert interval({"low": None, "high": None}) == "no interval"
    assert interval({"low": 0.5, "high": 0.75}) == "[50.0, 75.0]"


def figure(name, kind="overlap", table=None):
    return {"id": name, "kind": kind, "table": table, "title": name, "caption": "what", "files": {"svg": name}}


def test_figures_are_embedded_unless_they_are_large_or_drawn_by_the_page(tmp_path):
    (tmp_path / "small.svg").write_text("<svg/>")
    (tmp_path / "large.svg").write_text(" " * LIMIT)
    names = [figure("small.svg"), figure("large.svg"), figure("gone.svg"), figure("drawn.svg", "accuracy")]
    found = pictures({"figures": names, "tables": []}, tmp_path)
    assert [picture.uri is not None for picture in found] == [True, False, False]
    assert base64.b64decode(found[0].uri.split(",")[1]) == b"<svg/>"
    assert found[1].files == ("large.svg",)


def test_damaged_records_do_not_stop_the_page(tmp_path, write, comparison, record):
    odd = [
        record("random", 0.5, seed=7, provenance=["no"], warnings="text", command=3, config={"data": "x"}),
        record("random", 0.5, seed=8, ledger__stages=[{"stage": None}, 5], artifacts=["mask.parquet"]),
    ]
    build_report([write([*comparison(seeds=[0]), *odd])], tmp_path / "out", formats=("html",), figure_formats=())
    assert Page((tmp_path / "out" / "report.html").read_text()).data()["cells"]


def test_two_thousand_runs_make_a_page_of_a_few_megabytes(tmp_path, payload_of, comparison):
    methods = {f"m{n}": {"method": "score", "score": f"m{n}", "drop": 0.01 * n, "extra": 0.5} for n in range(42)}
    config = {"data": {"name": "digits"}, "trainer": {f"key{n}": "some value" for n in range(150)}}
    records = comparison(ratios=[0.1 * n for n in range(1, 10)], seeds=range(5), methods=methods, config=config)
    for number, one in enumerate(records):
        one["config"]["trainer"] = {**config["trainer"], "number": number % 300}
    assert len(records) > 1890
    made = payload_of(records)
    start = time.process_time()
    page = to_html(made, tmp_path)
    assert time.process_time() - start < 10
    assert len(page) < 6e6
