"""Names of any kind in Markdown, LaTeX, on the terminal and in the names of figures."""

import doctest

import pytest
from rich.console import Console

from secateur.report.build import build_report
from secateur.report.figures.all import file_name
from secateur.report.figures.fidelity import save_fidelity_figures
from secateur.report.tables import markup
from secateur.report.tables.fidelity import fidelity_markdown
from secateur.report.tables.files import to_latex, to_markdown
from secateur.report.tables.markup import latex, markdown
from secateur.report.tables.terminal import comparison_table


def test_examples():
    assert doctest.testmod(markup).failed == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a b"),
        ("a\r\n\x0b\u2028b\x00", "a b"),
        ("a|b", r"a\|b"),
        ("a\\", "a\\\\"),
        ("<a href=x>", r"\<a href=x\>"),
        ("*b* `c`", r"\*b\* \`c\`"),
        ("[x](y)", r"\[x\](y)"),
        ("_b_ max_epochs", r"\_b\_ max_epochs"),
        ("&lt; &#60; R&D a & b", r"\&lt; \&#60; R\&D a & b"),
    ],
)
def test_markdown_reads_a_name_as_it_is(text, shown):
    assert markdown(text) == shown


def test_latex_is_one_line():
    assert latex("a\n\n\\b") == r"a \textbackslash{}b"


@pytest.fixture
def odd(record):
    """Records whose every name has a line break and signs of markup."""
    names = {"data__name": "d\n\\input{x}\n|<a>", "models__final": "m\r\n[/x]"}
    return [record("full", **names), *(record("score", name, **names) for name in ("a\nb|*c*", "x"))]


def test_no_name_leaves_its_comment_cell_or_heading(rows_of, odd):
    rows = rows_of(odd)
    lines = to_latex(rows, "b\n*").splitlines()
    assert not [line for line in lines if line.lstrip().startswith(r"\input")]
    assert r"% d \input{x} |<a>, m [/x]" in lines
    lines = to_markdown(rows, "b\n*").splitlines()
    assert lines[0] == r"### d \\input{x} \|\<a\>, m \[/x\]"
    assert {line.replace(r"\|", "").count("|") for line in lines if line.startswith("| ") and "mean" not in line} == {8}
    assert any(r"vs b \*" in line for line in lines)


def test_predicted_scores_are_told_of_in_one_line_too(fidelity_of, predicted):
    text = fidelity_markdown(fidelity_of([predicted("k\n|n", data__name="d\n<b>")]))
    assert text.startswith(r"### fidelity: d \<b\>")
    assert r"| k \|n |" in text


def test_a_name_is_no_markup_of_the_terminal(rows_of, odd):
    console = Console(width=160)
    with console.capture() as shown:
        console.print(comparison_table(rows_of(odd), "el2n [window=5]"))
    assert "[/x]" in shown.get()
    assert "[window=5]" in shown.get()


def test_long_names_stay_below_the_limit_of_a_file_name(tmp_path, write, record):
    one, other = (file_name("d" * 400 + end) for end in "ab")
    assert one != other
    assert len(one) == len(other) == 120
    assert file_name("d" * 120) == "d" * 120
    root = write([record(method, data__name="d" * 400, models__final="m" * 400) for method in ("full", "random")])
    result = build_report([root], tmp_path / "out", figure_formats=["svg", "png"])
    assert sorted(path.name[:10] for path in result.files if path.suffix == ".svg") == ["accuracy_d", "cost_ddddd"]


def test_figures_of_predicted_scores_have_short_names_too(tmp_path, fidelity_of, predicted):
    records = [predicted(fraction=fraction, seed=0, data__name="d" * 400) for fraction in (0.1, 0.2)]
    paths = save_fidelity_figures(fidelity_of(records), tmp_path, ["svg"])
    assert paths
    assert all(path.is_file() for path in paths)


def test_a_method_of_a_very_long_name_is_drawn(tmp_path, write, record):
    records = [record(method, score) for method, score in (("full", None), ("random", None), ("score", "m" * 5000))]
    result = build_report([write(records)], tmp_path / "out", formats=[], figure_formats=["png"])
    assert all(path.is_file() for path in result.files)


def test_a_dollar_sign_in_a_name_begins_no_formula(tmp_path, write, record):
    names = {"data__name": "$x_{$", "models__final": "$\\foo$"}
    counts = {"data__class_names": ["$a_{$", "b"], "pruning__class_counts": [1, 2]}
    records = [record(*method, **names, **counts) for method in (("full",), ("random",), ("score", "$y^{$"))]
    result = build_report([write(records)], tmp_path / "out", formats=[])
    assert sorted(path.name.split("_x")[0].split("_-")[0] for path in result.files) == [
        "accuracy",
        "class_balance",
        "cost",
    ]
