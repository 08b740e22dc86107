import os

import pytest

from secateur.cli.report import report
from secateur.core.record import new_record, save_record


def leave_runs(root, methods=("full", "random"), seeds=(0, 1, 2)):
    for method in methods:
        for seed in seeds:
            record = new_record(status="finished", run_key=f"{method}{seed}", seed=seed, score_seed=seed, config={})
            record.data.update({"name": "digits", "fingerprint": "f"})
            record.models.final = "small_cnn"
            record.pruning.update({"method": method, "pruning_ratio": 0.5, "keep_fraction": 0.5})
            record.metrics.test_accuracy = 0.9 + 0.001 * seed
            record.ledger.cost_vs_full = 0.5
            save_record(root / record.run_key, record)


def test_the_table_is_printed_and_the_files_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leave_runs(tmp_path / "runs" / "demo")
    assert report(["runs/demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Did it pay?\n  50 % pruned: yes: random matches full (+0.0 ± 0.0 points) at 0.50 of its cost" in out
    assert "random" in out
    said = "written: outputs/reports/demo (report.html, results.csv, results.md, results.tex, 2 figures in figures/)"
    assert out.splitlines()[-1] == said
    assert (tmp_path / "outputs/reports/demo/report.html").is_file()


def test_output_and_several_paths(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leave_runs(tmp_path / "a")
    leave_runs(tmp_path / "b", methods=["rs2"])
    assert report(["a", "b", "--output", "here"]) == 0
    assert "rs2" in (tmp_path / "here" / "results.md").read_text()
    assert report(["a", "b"]) == 0
    assert (tmp_path / "outputs/reports/a-and-1-more/results.csv").is_file()
    assert "lacks" not in capsys.readouterr().out


def test_formats_are_lists_of_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leave_runs(tmp_path / "runs")
    assert report(["runs", "--output", "out", "--format", "csv,latex", "--figure-format", "pdf"]) == 0
    found = sorted(path.name for path in (tmp_path / "out").rglob("*.*"))
    assert found == ["accuracy_digits-small-cnn.pdf", "cost_digits-small-cnn.pdf", "results.csv", "results.tex"]


def test_what_is_missing_is_named_on_the_terminal(tmp_path, capsys):
    leave_runs(tmp_path / "runs")
    (tmp_path / "runs" / "random1" / "run.json").unlink()
    assert report([str(tmp_path / "runs"), "--output", str(tmp_path / "out"), "--format", "csv"]) == 0
    out = capsys.readouterr().out
    assert "problems: 1 missing\n  missing: random, 50 % pruned, seed 1: 2 of 3 seeds are there" in out


def test_long_lists_are_cut_on_the_terminal_only(tmp_path, capsys):
    leave_runs(tmp_path / "runs")
    for number in range(30):
        save_record(tmp_path / "runs" / f"bad{number}", new_record(status="failed", error=f"reason {number}"))
    assert report([str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "problems: 30 failed" in out
    assert "... and 20 more in report.html" in out
    assert (tmp_path / "out" / "report.html").read_text().count("reason ") == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist."),
        (["empty"], "no run record found."),
        (["runs", "--baseline", "x"], "no finished run of baseline 'x'; there are full, random."),
        (
            ["runs", "--baseline", "full"],
            "baseline 'full': the comparison with full data is always there; name another method.",
        ),
        (["runs", "--format", "html,docx"], "unknown format 'docx'; there are html, csv, latex, markdown."),
        (["runs", "--figure-format", "gif"], "unknown figure format 'gif'; there are svg, pdf, png."),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    leave_runs(tmp_path / "runs")
    assert report(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"secateur: error: {message}\n"


@pytest.mark.parametrize("output", ["taken", "taken/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    leave_runs(tmp_path / "runs")
    (tmp_path / "taken").touch()
    assert report(["runs", "--output", output, "--figure-format", ""]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("secateur: error: ")
    assert f"the report was to go to {output}: choose a folder that can be written with --output." in err
    assert err.count("\n") == 1


def test_a_path_that_is_too_long_is_one_line(capsys):
    assert report(["r" * 5000]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_whose_name_is_no_text_is_named_all_the_same(tmp_path, capsys):
    leave_runs(tmp_path / "runs")
    odd = tmp_path / "runs" / os.fsdecode(b"odd\xff")
    odd.mkdir()
    (odd / "run.json").write_text("{")
    assert report([str(tmp_path / "runs"), "--output", str(tmp_path / "out"), "--figure-format", ""]) == 0
    assert "odd\\udcff" in capsys.readouterr().out
    assert "odd\\udcff" in (tmp_path / "out" / "report.html").read_text()
