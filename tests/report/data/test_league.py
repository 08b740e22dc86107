import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from secateur.report.data.league import mean_ranks, ranks_of, with_ranks


@given(st.lists(st.integers(0, 10).map(lambda n: n / 10), min_size=1, max_size=8))
def test_ranks_agree_with_scipy(means):
    assert ranks_of(means) == rankdata([-mean for mean in means]).tolist()


@pytest.fixture
def ranked(rows_of, record):
    def ranked_rows(accuracies, **changes):
        """Return ranked rows of ``{(score, ratio): [accuracy per seed]}``."""
        records = [
            record("score", score, ratio, seed, accuracy, **changes)
            for (score, ratio), values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]
        return with_ranks(rows_of([*records, record("full", seed=0, accuracy=0.99)]))

    return ranked_rows


def test_methods_are_ranked_at_each_ratio_and_full_data_is_not(ranked):
    rows = ranked({("a", 0.3): [0.9], ("b", 0.3): [0.8], ("c", 0.3): [0.8], ("a", 0.5): [0.5], ("b", 0.5): [0.6]})
    found = {(row.label, row.pruning_ratio): (row.rank, row.num_ranked) for row in rows}
    assert found == {
        ("full", 0.0): (None, 0),
        ("a", 0.3): (1.0, 3),
        ("b", 0.3): (2.5, 3),
        ("c", 0.3): (2.5, 3),
        ("a", 0.5): (2.0, 2),
        ("b", 0.5): (1.0, 2),
    }
    means = {rank.method: (rank.mean_rank, len(rank.by_ratio)) for rank in mean_ranks(rows)}
    assert means == {"a": (1.5, 2), "b": (1.75, 2), "c": (2.5, 1)}


def test_bold_is_the_best_of_those_with_several_seeds(ranked):
    rows = ranked({("a", 0.3): [0.95], ("b", 0.3): [0.9, 0.9], ("c", 0.3): [0.8, 0.8]})
    assert [row.label for row in rows if row.best] == ["b"]


def test_alone_at_its_ratio_nothing_is_bold(ranked):
    assert not any(row.best for row in ranked({("a", 0.3): [0.9, 0.9]}))


def test_what_was_selected_on_the_test_set_is_not_ranked(rows_of, record):
    records = [record("score", "tdds", seed=seed, accuracy=0.99, select_on="test") for seed in (0, 1)]
    rows = with_ranks(rows_of([*records, *(record(seed=seed) for seed in (0, 1))]))
    assert {row.label: row.rank for row in rows} == {"random": 1.0, "tdds + selected on test": None}
    assert mean_ranks(rows) == []


def test_tables_are_ranked_apart(ranked, rows_of, record):
    rows = with_ranks(rows_of([record("score", "a"), record("score", "b", data__name="svhn")]))
    assert [row.rank for row in rows] == [1.0, 1.0]
