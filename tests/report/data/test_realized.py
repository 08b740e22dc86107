"""Methods that keep by another rule than the ratio stand, and are compared, where they ended up."""

import pytest

from secateur.mapping.keep import Keep
from secateur.report.build import build_report
from secateur.report.data.league import with_ranks


@pytest.fixture
def grouped(record):
    """Return records of a method that keeps groups, one per kept share, with seeds 0, 1, ..."""

    def records(method, kept, keep_by, asked=0.5, start=0.9, **mapping):
        return [
            record(
                *(method, None, asked, seed, start + seed / 1000),
                config={
                    **{"mapping": {"keep_by": keep_by, **mapping}, "pruning_ratio": asked, "seed": seed},
                    "method": {"_target_": f"{method}.Method"},
                },
                pruning__keep_fraction=share,
                pruning__reads_ratio=Keep(keep_by, **mapping).reads_ratio,
                pruning__follows_ratio=Keep(keep_by, **mapping).follows_ratio,
                pruning__num_groups_kept=3,
                name="study",
            )
            for seed, share in enumerate(kept)
        ]

    return records


def ratios(rows):
    return [(row.label, row.pruning_ratio) for row in rows]


@pytest.mark.parametrize(
    ("keep_by", "mapping"),
    [("num_groups", {"num_groups": 3}), ("vote_coverage", {"vote_coverage": 0.9}), ("min_samples", {})],
    ids=["num_groups", "vote_coverage", "min_samples"],
)
def test_what_keeps_another_share_is_not_paired_or_ranked_with_the_ratio_it_was_given(
    rows_of, grouped, keep_by, mapping
):
    asked = grouped("random_groups", [0.5, 0.5, 0.5], "groups")
    other = grouped("label_mapping", [0.79, 0.80, 0.80], keep_by, start=0.95, **mapping)
    rows = with_ranks(rows_of([*asked, *other], baseline="random_groups"))
    assert ratios(rows) == [("label_mapping", 0.2), ("random_groups", 0.5)]
    assert (rows[0].vs_baseline, rows[0].verdict_baseline) == (None, "no random_groups at 20 %")
    assert [row.num_ranked for row in rows] == [1, 1]
    assert rows[0].accuracy.n == 3  # seeds that keep a little more or less stay one cell


def test_shares_that_agree_to_two_digits_are_compared(rows_of, grouped, record):
    rows = rows_of(
        [*(record(seed=seed) for seed in (0, 1)), *grouped("label_mapping", [0.497, 0.498], "num_groups", num_groups=3)]
    )
    assert ratios(rows) == [("random", 0.5), ("label_mapping", 0.5)]
    assert rows[1].vs_baseline.n == 2


def test_small_shares_are_told_apart_by_their_own_size(rows_of, grouped):
    few, fewer = (
        grouped("label_mapping", [share], "num_groups", num_groups=number)
        for share, number in ((0.0142, 3), (0.0061, 2))
    )
    assert ratios(rows_of([*few, *fewer])) == [("label_mapping", 0.986), ("label_mapping", 0.9939)]


def test_rules_that_read_the_ratio_and_methods_without_groups_stay_at_it(rows_of, grouped, record):
    whole = grouped("label_mapping", [0.4], "samples")
    plain = record("score", "tdds", config={"mapping": {"keep_by": "num_groups"}}, pruning__keep_fraction=0.4)
    assert ratios(rows_of([*whole, plain])) == [("label_mapping", 0.5), ("tdds", 0.5)]


def test_two_rules_that_keep_the_same_share_are_told_apart(rows_of, grouped):
    first = grouped("label_mapping", [0.5], "num_groups", num_groups=3)
    second = grouped("label_mapping", [0.5], "vote_coverage", vote_coverage=0.9)
    assert [row.label for row in rows_of([*first, *second])] == [
        "label_mapping [keep_by=num_groups, num_groups=3, vote_coverage=None]",
        "label_mapping [keep_by=vote_coverage, num_groups=None, vote_coverage=0.9]",
    ]


def test_a_failed_seed_is_counted_to_the_cell_of_its_sisters(tmp_path, write, grouped):
    records = grouped("label_mapping", [0.8, 0.8, 0.8], "num_groups", num_groups=3)
    others = grouped("random_groups", [0.8, 0.8, 0.8], "num_groups", num_groups=3)
    records[2].update(status="failed", error="out of memory")
    root = write([*records, *others])
    result = build_report([root], tmp_path / "out", "random_groups", formats=["markdown"], figure_formats=[])
    assert [(one.kind, one.method, one.pruning_ratio, one.seed) for one in result.problems] == [
        ("failed", "label_mapping", 0.2, 2)
    ]


@pytest.mark.parametrize("kept", [[680, 700], [700, 680], [640, 640]])
def test_the_subsets_beside_one_method_are_in_one_row_whatever_size_some_have_by_chance(rows_of, redrawn, kept):
    records = [
        redrawn(
            *("rs2", 0.68, 0.3, seed),
            comparison={"random": {"test_accuracy": 0.85 + seed / 100, "num_kept": num_kept}},
        )
        for seed, num_kept in enumerate(kept)
    ]
    rows = [row for row in rows_of(records) if row.label.startswith("random")]
    assert [(row.label, row.accuracy.n, row.is_yardstick) for row in rows] == [("random [as many as rs2]", 2, True)]


def test_subsets_that_all_have_the_size_of_their_ratio_are_rows_of_it(rows_of, redrawn):
    beside = {"random": {"test_accuracy": 0.85, "num_kept": 680}}
    rows = rows_of([redrawn("rs2", 0.68, 0.3, seed, comparison=beside) for seed in (0, 1)])
    assert [(row.label, row.pruning_ratio, row.is_yardstick) for row in rows[:1]] == [("random", 0.32, False)]


@pytest.mark.parametrize(("num_kept", "stands"), [(1006, 0.3), (1007, 1 - 1007 / 1437)])
def test_a_mask_from_a_file_stands_at_the_ratio_that_keeps_as_many(rows_of, record, num_kept, stands):
    counts = {"pruning__num_total": 1437, "pruning__num_kept": num_kept, "pruning__keep_fraction": num_kept / 1437}
    given = {"pruning__given": True, "pruning__reads_ratio": False, **counts}
    masks = [record("mask", None, 1 - num_kept / 1437, seed, 0.9, **given) for seed in (0, 1)]
    rows = rows_of([*masks, *(record("random", None, ratio, seed, 0.8) for ratio in (0.3, 0.5) for seed in (0, 1))])
    (row,) = (row for row in rows if row.label == "mask")
    assert row.pruning_ratio == pytest.approx(stands)
    assert (row.vs_baseline is None) == (stands != 0.3)
