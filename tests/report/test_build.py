import csv
import io
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import write_json
from secateur.core.record import FILE_NAME
from secateur.report.build import build_report
from secateur.report.data.league import with_ranks
from secateur.report.tables.files import to_csv, to_latex, to_markdown


class Checker(HTMLParser):
    """Collect the text and make sure that every element is closed."""

    VOID = {"meta", "br", "wbr", "input", "img"}

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href") and value[0] != "#"]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_a_report_has_all_its_files_and_equal_records_give_equal_bytes(tmp_path, write, comparison):
    root = write(comparison())
    first, second = (build_report([root], tmp_path / name, figure_formats=["png", "svg"]) for name in "ab")
    names = [path.relative_to(tmp_path / "a").as_posix() for path in first.files]
    assert sorted(names) == [
        *(f"figures/{kind}_digits-small-cnn.{suffix}" for kind in ("accuracy", "cost") for suffix in ("png", "svg")),
        *("report.html", "results.csv", "results.md", "results.tex"),
    ]
    for one, two in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_the_page_stands_alone_and_names_what_is_missing(tmp_path, write, comparison, record):
    bad = record(seed=9, status="failed", error="<b>disk & all</b>")
    root = write([*comparison(), bad, record("adapruner", seed=0)])
    (root / "cut").mkdir()
    (root / "cut" / "run.json").write_text('{"schema"')
    result = build_report([root], tmp_path / "out")
    checker = Checker()
    page = (tmp_path / "out" / "report.html").read_text()
    checker.feed(page)
    text = " ".join(checker.texts)
    assert checker.open == []
    assert all(link.startswith(("data:image/", "figures/")) for link in checker.links)
    assert "color-scheme: light dark" in page
    for expected in (
        "Did pruning pay?",
        "<b>disk & all</b>",
        "cut",
        "may be truncated",
        "adapruner, 50 % pruned, seed 1",
    ):
        assert expected in text
    assert {problem.kind for problem in result.problems} == {"damaged", "failed", "missing"}


def test_csv_has_every_number(rows_of, comparison):
    rows = rows_of(comparison())
    lines = list(csv.DictReader(io.StringIO(to_csv(rows, "random"))))
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert float(line["accuracy_mean"]) == row.accuracy.mean
        assert line["vs_full_low"] == ("" if row.vs_full is None else repr(row.vs_full.low))
        assert line["seeds"] == "0 1 2"


def test_latex_is_escaped_and_balanced(rows_of, comparison, record):
    tricky = [record("score", "a_b%&#", config={"score": {"k": k}}) for k in (1, 2)]
    text = to_latex(rows_of([*comparison(), *tricky]), "random")
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(line.replace(r"\&", "").count("&") == 7 for line in body)
    assert r"a\_b\%\&\# {[}k=1]" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert r"$-$4.8 $\pm$ 0.3 below" in text
    assert "±" not in "".join(line for line in text.splitlines() if not line.startswith("%"))


def test_names_in_any_letters_are_escaped_and_said(rows_of, comparison, record):
    assert "XeLaTeX" not in to_latex(rows_of(comparison()), "random")
    rows = rows_of([*comparison(), record("score", "<b>|λ")])
    latex, markdown = to_latex(rows, "random"), to_markdown(rows, "random")
    assert r"$<$b$>$\textbar{}λ" in latex
    assert "XeLaTeX" in latex
    assert "<b>|" not in markdown


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "write_table"), [("results.md", to_markdown), ("results.tex", to_latex)])
def test_tables_are_those_that_were_looked_at(rows_of, comparison, record, redrawn, name, write_table):
    """After a wanted change: look at the difference, then write the new text into tests/report/golden."""
    classes = {"metrics__worst_class_accuracy": 0.8}
    tricky = [record("score", "a_b%&#", seed=seed, accuracy=0.9, **classes) for seed in range(3)]
    alone = redrawn("rs2", seed=0, accuracy=0.5, data__name="svhn")
    fixed = [record("score", "fixed", seed=seed, score_seed=0, accuracy=0.93 + seed / 1000) for seed in range(3)]
    anew = [redrawn("infobatch", 0.634, 0.7, seed, 0.94 + seed / 1000) for seed in range(3)]
    rows = with_ranks(rows_of([*comparison(ratios=(0.3, 0.5)), *tricky, alone, *fixed, *anew]))
    assert write_table(rows, "random") == (GOLDEN / name).read_text(encoding="utf-8")


def test_no_bold_number_is_without_its_n(rows_of, comparison):
    rows = with_ranks(rows_of(comparison()))
    bold = re.findall(r"\*\*(.*?)\*\*", to_markdown(rows, "random"))
    assert len(bold) == 4  # one per ratio
    assert all(re.fullmatch(r"\d+\.\d ± \d+\.\d \(3\)", text) for text in bold)


@pytest.mark.parametrize(
    ("formats", "figures", "files"),
    [
        (["html"], [], ["report.html"]),
        (["csv", "latex"], [], ["results.csv", "results.tex"]),
        (
            ["markdown"],
            ["pdf"],
            ["figures/accuracy_digits-small-cnn.pdf", "figures/cost_digits-small-cnn.pdf", "results.md"],
        ),
    ],
    ids=["page", "tables", "a figure"],
)
def test_only_what_is_asked_for_is_written(tmp_path, write, comparison, formats, figures, files):
    build_report([write(comparison(seeds=[0]))], tmp_path / "out", formats=formats, figure_formats=figures)
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert found == files


def test_unknown_formats_are_an_error(tmp_path, write, record):
    root = write([record()])
    with pytest.raises(ConfigError, match="unknown format 'docx'; there are html, csv, latex, markdown"):
        build_report([root], tmp_path / "out", formats=["docx"])
    with pytest.raises(ConfigError, match="unknown figure format 'gif'; there are svg, pdf, png"):
        build_report([root], tmp_path / "out", figure_formats=["gif"])


def test_markdown_has_as_many_cells_in_every_line(rows_of, comparison):
    lines = [line for line in to_markdown(rows_of(comparison()), "random").splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {9}


def test_nothing_to_report_is_an_error(tmp_path, write, record):
    with pytest.raises(DataError, match=r"no run record found\.$"):
        build_report([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_of_failures_alone_there_is_a_page_too(tmp_path, write, record):
    result = build_report([write([record(status="failed", error="no room.")])], tmp_path / "out")
    assert [(one.kind, one.reason) for one in result.problems] == [("failed", "no room.")]
    assert [path.name for path in result.files] == ["report.html"]
    assert "no room." in result.files[0].read_text()


def test_an_unknown_baseline_is_an_error(tmp_path, write, record):
    root = write([record("score", "tdds")])
    assert build_report([root], tmp_path / "out").rows[0].verdict_baseline == "no random run"
    with pytest.raises(ConfigError, match="no finished run of baseline 'el2n'; there are tdds"):
        build_report([root], tmp_path / "out", baseline="el2n")


def test_two_thousand_records_take_seconds(tmp_path, write, comparison):
    config = {f"group_{i}": {f"key_{j}": j for j in range(10)} for i in range(20)}
    ratios = [round(0.05 * step, 2) for step in range(1, 20)]
    records = comparison(ratios=ratios, seeds=range(27), config=config)
    assert len(records) > 2000
    root = write(records)
    start = time.process_time()
    result = build_report([root], tmp_path / "out")
    assert time.process_time() - start < 20
    assert len(result.rows) == 4 * len(ratios) + 1
    assert all(row.accuracy.n == 27 for row in result.rows)


def test_robust_accuracy_is_in_every_form(tmp_path, write, comparison, record):
    base = write(comparison(seeds=[0, 1]))
    build_report([base], tmp_path / "plain")
    robust = [record("full", seed=seed, accuracy=0.9, metrics__robust_accuracy=0.4125) for seed in (0, 1)]
    for number, made in enumerate([*robust, record("full", data__name="svhn")]):
        write_json(tmp_path / "attacked" / str(number) / FILE_NAME, made)
    build_report([tmp_path / "attacked"], tmp_path / "robust")
    headers = {"results.md": "robust (n)", "results.tex": "robust (n)", "report.html": ">robust</button>"}
    for name, column in headers.items():
        assert column not in (tmp_path / "plain" / name).read_text()
        assert (tmp_path / "robust" / name).read_text().count(column) == 1
    assert "41.2 ± 0.0 (2)" in (tmp_path / "robust" / "results.md").read_text()
    tables = [part for part in (tmp_path / "robust" / "results.md").read_text().split("###") if "|" in part]
    widths = [{line.count("|") for line in part.splitlines() if line.startswith("|")} for part in tables]
    assert widths == [{9}, {8}]
    assert r"\begin{tabular}{lrrrrllr}" in (tmp_path / "robust" / "results.tex").read_text()
    lines = list(csv.DictReader((tmp_path / "robust" / "results.csv").open()))
    assert [(line["robust_accuracy_mean"], line["robust_accuracy_n"]) for line in lines] == [("0.4125", "2"), ("", "")]


def test_a_baseline_that_stands_for_several_methods_is_an_error_that_names_them(tmp_path, write, record):
    settings = {"el2n": ({"window": 5}, {"window": 10}), "tdds": ({},)}
    records = [
        record("score", score, seed=seed, accuracy=0.9, config={"score": config})
        for score, configs in settings.items()
        for config in configs
        for seed in (0, 1)
    ]
    root = write(records)
    message = r"'el2n' stands for several .* name one of 'el2n \[window=10\]', 'el2n \[window=5\]'"
    with pytest.raises(ConfigError, match=message):
        build_report([root], tmp_path / "out", baseline="el2n")
    result = build_report([root], tmp_path / "out", "el2n [window=5]", formats=["markdown"], figure_formats=[])
    assert [(row.label, row.verdict_baseline) for row in result.rows] == [
        ("el2n [window=5]", ""),
        ("el2n [window=10]", "ties el2n [window=5]"),
        ("tdds", "ties el2n [window=5]"),
    ]


def test_a_baseline_with_several_final_trainings_is_no_doubt(tmp_path, write, record):
    configs = [{"optim": {"lr": lr}} for lr in (0.1, 0.2)]
    records = [record("score", score, config=config) for score in ("el2n", "tdds") for config in configs]
    result = build_report([write(records)], tmp_path / "out", "el2n", formats=["markdown"], figure_formats=[])
    assert [row.vs_baseline is not None for row in result.rows] == [False, False, True, True]
