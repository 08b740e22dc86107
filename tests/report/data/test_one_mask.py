"""One mask for all seeds says something about this mask, and nothing that counts for its method."""

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secateur.report.answers import did_it_pay, notes
from secateur.report.build import build_report
from secateur.report.data.cells import Cell
from secateur.report.data.league import with_ranks
from secateur.report.data.pareto import pareto_front
from secateur.report.data.rows import ONE_AGAINST_ONE, make_rows
from secateur.report.data.run import Run
from secateur.report.data.two_seeds import compare_runs
from secateur.report.tables.files import to_csv, to_latex, to_markdown

SEEDS = range(3)
FULL, RANDOM, BETTER = (0.950, 0.952, 0.951), (0.900, 0.911, 0.904), (0.9500, 0.9521, 0.9512)


@pytest.fixture
def made(record):
    """Return records of a method, one per seed; ``masks`` are the hashes of its masks."""

    def records(method, score, values, masks=None, **changes):
        hashes = masks or [f"{score or method} {seed}" for seed in SEEDS]
        return [
            record(method, score, seed=seed, accuracy=value, **{"pruning__mask_sha256": mask, **changes})
            for seed, value, mask in zip(SEEDS, values, hashes, strict=True)
        ]

    return records


@pytest.fixture
def references(made):
    return [*made("full", None, FULL, ["all"] * 3), *made("random", None, RANDOM)]


DESIGNS = {
    "one score seed, no hash": {"score_seed": 0, "pruning__mask_sha256": None},
    "one hash": {"masks": ["same"] * 3},
    "given": {"pruning__given": True},
    "one score seed, a hash of each machine": {"score_seed": 0},
}


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_a_verdict_on_one_mask_is_labelled_and_counts_for_nothing(rows_of, made, references, design):
    rows = with_ranks(rows_of([*references, *made("score", "tdds", BETTER, **design)]))
    row = next(row for row in rows if row.label == "tdds")
    assert (row.one_mask, row.counts, row.rank, row.best) == (True, False, None, False)
    assert row.verdict_baseline == "above random (this mask)"
    assert row.verdict_full == "matches full (this mask)"
    assert row.vs_baseline.p_holm == row.vs_baseline.p_t  # a family of its own
    assert row not in pareto_front(rows)
    (answer,) = did_it_pay(rows)
    assert answer.startswith("50 % pruned: no: random, the best, is below full")
    for text in (to_markdown(rows, "random"), to_latex(rows, "random")):
        assert "above (this mask)" in text
    (line,) = (line for line in csv.DictReader(to_csv(rows, "random").splitlines()) if line["method"] == "tdds")
    assert (line["one_mask"], line["counts"], line["rank"]) == ("True", "False", "")
    assert line["verdict_baseline"] == "above random (this mask)"


def test_of_one_mask_alone_nothing_paid(rows_of, made, references):
    rows = rows_of([*references[:3], *made("score", "tdds", BETTER, ["same"] * 3)])
    assert did_it_pay(rows) == [
        "50 % pruned: no verdict (one mask for all seeds, of which verdicts hold for this mask only: tdds)"
    ]


def test_one_mask_against_one_mask_has_no_verdict_and_no_test(rows_of, made, references):
    fixed = made("random", None, RANDOM, ["drawn once"] * 3)
    rows = with_ranks(rows_of([*references[:3], *fixed, *made("score", "tdds", BETTER, ["same"] * 3)]))
    row = next(row for row in rows if row.label == "tdds")
    assert row.verdict_baseline == ONE_AGAINST_ONE
    assert (row.vs_baseline.n, row.vs_baseline.p_t, row.vs_baseline.p_holm) == (3, None, None)
    assert row.verdict_full == "matches full (this mask)"
    assert "one mask against one mask" in to_markdown(rows, "random")


def test_a_method_against_one_mask_of_the_baseline_does_not_count_against_it(rows_of, made, references):
    fixed = made("random", None, RANDOM, ["drawn once"] * 3)
    rows = with_ranks(rows_of([*references[:3], *fixed, *made("score", "tdds", BETTER)]))
    row = next(row for row in rows if row.label == "tdds")
    assert row.verdict_baseline == "above random (one mask of random)"
    assert (row.counts, row.baseline_counts, row.rank) == (True, False, 1.0)
    assert row.verdict_full == "matches full"


def test_a_baseline_that_draws_for_every_seed_is_no_single_mask_whatever_its_score_seed(rows_of, made, references):
    random = made("random", None, RANDOM, score_seed=0, pruning__drawn_by=["seed", "score_seed"])
    rows = rows_of([*references[:3], *random, *made("score", "tdds", BETTER)])
    assert [row.one_mask for row in rows] == [False] * 3
    assert [row.spread.design for row in rows] == ["training only", "tied", "tied"]
    assert next(row for row in rows if row.label == "tdds").verdict_baseline == "above random"


def test_what_runs_were_compared_with_says_which_seeds_drew_it(rows_of, made, references):
    beside = {"random": {"test_accuracy": 0.9, "drawn_by": ["seed", "score_seed"]}}
    for seeds, words in ((None, "no verdict"), (["seed", "score_seed"], "above random (this mask)")):
        compared = {"comparison": {"random": {**beside["random"], "drawn_by": seeds}}}
        rows = rows_of([*references[:3], *made("score", "tdds", BETTER, score_seed=0, **compared)])
        assert words in next(row for row in rows if row.label == "tdds").verdict_baseline


def test_masks_that_came_out_alike_from_different_draws_are_not_clustered(rows_of, made, references):
    """Two of three independent choices agree: the differences are independent all the same."""
    rows = rows_of([*references, *made("score", "tdds", BETTER, ["a", "a", "b"])])
    row = next(row for row in rows if row.label == "tdds")
    assert (row.num_masks, row.one_mask, row.vs_baseline.freedom) == (2, False, 2)


def test_what_keeps_everything_is_no_mask(rows_of, made, references):
    whole = made("score", "tdds", BETTER, ["all"] * 3, pruning__keep_fraction=1.0)
    assert not next(row for row in rows_of([*references, *whole]) if row.label == "tdds").one_mask


def test_the_terminal_the_page_and_the_files_say_it(tmp_path, write, made, references):
    root = write([*references, *made("score", "tdds", BETTER, ["same"] * 3)])
    result = build_report([root], tmp_path / "out", figure_formats=[])
    assert result.notes[0].startswith("one mask for all seeds, so the verdicts hold for this mask")
    page = (tmp_path / "out" / "report.html").read_text()
    assert '<span class="verdict open">above (this mask)</span>' in page
    assert '<span class="badge">this mask</span>' in page


def test_the_advice_to_draw_more_masks_is_given_only_where_it_helps(rows_of, made, references):
    fixed = made("score", "tdds", BETTER, score_seed=0)
    given = made("mask", None, BETTER, ["same"] * 3, pruning__given=True)
    alike = made("score", "el2n", BETTER, ["same"] * 3)
    first, second = notes(rows_of([*references, *fixed, *given, *alike]))
    assert first.endswith("it is not ranked: tdds (score_seed=${seed} draws a mask for every seed)")
    assert second.endswith("it is not ranked: el2n, mask")


def test_families_of_methods_are_not_widened_by_single_masks(rows_of, made, references):
    methods = [*references, *made("score", "tdds", BETTER)]
    alone = next(row for row in rows_of(methods) if row.label == "tdds")
    fixed = [one for n in range(5) for one in made("score", f"m{n}", (0.6, 0.7, 0.9), ["same"] * 3)]
    beside = next(row for row in rows_of([*methods, *fixed]) if row.label == "tdds")
    assert beside.vs_full.p_holm == alone.vs_full.p_holm
    assert beside.vs_full.p_equal_holm == alone.vs_full.p_equal_holm


VALUES = st.lists(st.integers(800, 1000), min_size=3, max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, VALUES, st.booleans(), st.booleans())
def test_whatever_the_accuracies_are_one_mask_never_counts(tested, random, fixed, fixed_random):
    def cell(label, values, one):
        runs = tuple(
            Run(
                *("path", f"{label}{seed}", seed, seed, "d", "f", "m", label, 0.5, 0.5, value / 1000, 0.5, 0.5, "2026"),
                mask=label if one else f"{label}{seed}",
            )
            for seed, value in enumerate(values)
        )
        return Cell("d", "m", label, 0.5, runs, 0.5)

    rows = with_ranks(make_rows([cell("tested", tested, fixed), cell("random", random, fixed_random)]))
    row = next(row for row in rows if row.label == "tested")
    words = row.verdict_baseline
    assert (row.rank is None) == fixed
    if fixed and fixed_random:
        assert words == ONE_AGAINST_ONE
    else:
        assert words.endswith("(this mask)") or "(this mask):" in words or not fixed
        assert "(one mask of random)" in words or not fixed_random


@given(st.lists(st.floats(0.5, 1), min_size=4, max_size=4))
def test_without_masks_two_score_seeds_are_two_masks(values):
    """Where nothing else is known, the score seed tells the masks apart, as it did."""
    keys = [(seed, mask) for seed in (0, 1) for mask in (0, 1)]
    runs, reference = dict(zip(keys, values, strict=True)), {(0, None): 0.5, (1, None): 0.6}
    plain = compare_runs(runs, reference)
    named = compare_runs(runs, reference, masks={key: f"mask {key[1]}" for key in keys})
    assert (plain.error, plain.freedom) == (named.error, named.freedom)
