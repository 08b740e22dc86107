import io

import pytest
from rich.console import Console

from secateur.report.data.statistics import Estimate
from secateur.report.tables.terminal import (
    accuracy_text,
    comparison_table,
    detectable_text,
    difference_text,
    legend,
    percent,
    table_notes,
)


def printed(rows, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(comparison_table(rows))
    return console.export_text()


def test_the_table_is_readable_at_100_columns(rows_of, comparison):
    text = printed(rows_of(comparison()))
    assert "…" not in text
    lines = [line for line in text.splitlines() if "dynamic_uncertainty + knn" in line]
    assert len(lines) == 4
    wanted = "dynamic_uncertainty + knn 30 % 70 % 94.0 ± 0.5 (3) +1.3 ± 0.0 above -0.8 ± 0.2 below 0.95"
    assert " ".join(lines[0].split()) == wanted
    assert max(map(len, text.splitlines())) <= 100


def test_each_data_set_has_its_part(rows_of, comparison, record):
    text = printed(rows_of([*comparison(seeds=[0]), record(data__name="svhn")]))
    assert text.index("digits, small_cnn") < text.index("svhn, small_cnn")
    assert "n too small" in text


def test_names_in_brackets_are_not_markup(rows_of, record):
    records = [record("score", "tdds", config={"score": {"k": k}}) for k in (1, 2)]
    assert "tdds [k=1]" in printed(rows_of(records))


def test_numbers():
    assert accuracy_text(Estimate(0.9512, 3, 0.0021, 0.9, 1.0)) == "95.1 ± 0.2 (3)"
    assert accuracy_text(Estimate(0.9512, 1)) == "95.1 (1)"
    assert difference_text(None) == ""
    assert difference_text(Estimate(-0.0001, 2, 0.001, -0.0101, 0.0099)) == "+0.0 ± 1.0"
    assert [percent(share) for share in (None, 0.3, 0.125, 1.0, 0.29999999)] == ["-", "30 %", "12.5 %", "100 %", "30 %"]


def test_robust_accuracy_has_a_column_where_a_run_has_it(rows_of, record):
    assert "robust" not in printed(rows_of([record("full", ratio=0.5, accuracy=0.9)]))
    robust = [record("score", "tdds", seed=seed, metrics__robust_accuracy=0.4 + 0.02 * seed) for seed in (0, 1, 2)]
    text = printed(rows_of([*robust, record("full", ratio=0.5)]))
    assert "robust (n)" in text
    assert "robust: accuracy on test images attacked by PGD" in text
    (line,) = [line for line in text.splitlines() if "tdds" in line]
    assert " ".join(line.split()).startswith("tdds 50 % 50 % 90.0 ± 0.0 (3) 42.0 ± 2.0 (3) ")
    (line,) = [line for line in text.splitlines() if line.split()[:1] == ["full"]]
    assert line.split() == ["full", "-", "100", "%", "90.0", "(1)", "-", "1.00"]
    assert max(map(len, text.splitlines())) <= 100


def test_a_difference_that_does_not_survive_holm_is_in_parentheses(rows_of, record):
    values = {"random": (0.900, 0.901, 0.902), "good": (0.950, 0.951, 0.9525), "fair": (0.905, 0.912, 0.909)}
    records = [
        record(*(("random", None) if score == "random" else ("score", score)), seed=seed, accuracy=value)
        for score, members in values.items()
        for seed, value in enumerate(members)
    ]
    records += [
        record("score", f"s{i}", seed=seed, accuracy=0.9 + (seed - 1) / 100) for i in range(3) for seed in range(3)
    ]
    rows = {row.label: row for row in rows_of(records)}
    assert rows["fair"].vs_baseline.p_t < 0.05 < rows["fair"].vs_baseline.p_holm
    lines = {
        line.split()[0]: " ".join(line.split()) for line in printed(list(rows.values())).splitlines() if "%" in line
    }
    assert "(above)" in lines["fair"]
    assert " above" in lines["good"]
    assert "(above)" not in lines["good"]


def test_a_table_says_that_less_data_takes_fewer_steps(rows_of, comparison):
    text = " ".join(printed(rows_of(comparison())).split())
    most = max(row.pruning_ratio for row in rows_of(comparison()))
    share = f"{percent(most)} pruned takes {percent(1 - most)} of full's steps"
    assert f"equal epochs, so fewer steps: {share}; budget=steps trains as many" in text


@pytest.mark.parametrize(("method", "ratio", "budget"), [("random", 0.5, "steps"), ("full", 0.0, "epochs")])
def test_equal_steps_and_full_data_alone_take_no_fewer(rows_of, record, method, ratio, budget):
    rows = rows_of([record(method, ratio=ratio, seed=seed, config={"budget": budget}) for seed in (0, 1)])
    assert "fewer steps" not in printed(rows)


def test_only_rows_with_the_epochs_of_full_take_fewer_steps(rows_of, record, redrawn):
    def of(epochs):
        return {"config": {"trainer": {"max_epochs": epochs}}}

    records = [record("full", seed=0, **of(10)), record("random", ratio=0.3, **of(10))]
    records += [record("score", "tdds", 0.9, **of(40)), redrawn("rs2", 0.2, 0.8, **of(10))]
    text = " ".join(printed(rows_of(records)).split())
    assert "30 % pruned takes 70 % of full's steps" in text
    rows = [row for row in rows_of(records) if not row.is_full]
    assert "fewer steps" not in printed(rows)


@pytest.mark.parametrize(("shown", "names"), [(("full", "random"), ["full"]), (("random",), ["random"])])
def test_the_smallest_difference_and_the_margin_are_of_full_or_without_it_of_the_baseline(
    rows_of, comparison, shown, names
):
    rows = rows_of([one for one in comparison() if one["pruning"]["method"] in (*shown, "score")])
    notes = table_notes(rows)
    error = "full data" if names == ["full"] else "random"
    assert f"(20 % of the error of {error}, at most 1 point" in notes[0]
    found = [note for note in notes if note.startswith("smallest difference")]
    assert [note.split(" that ")[0] for note in found] == [f"smallest difference to {name}" for name in names]
    assert any(line.startswith(f"finds: smallest difference to {names[0]} that") for line in legend(rows, wide=True))
    row = next(row for row in rows if row.label == "tdds")
    expected = row.vs_full if names == ["full"] else row.vs_baseline
    assert detectable_text(row) == f"{100 * expected.detectable:.1f}"
