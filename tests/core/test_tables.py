"""Score tables: what is refused, and what a file of them says."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from secateur.core.errors import DataError, FingerprintError, NumericalError
from secateur.core.mask import Mask
from secateur.core.tables import ScoreTable


def make_table(**changes):
    values = {
        "sample_id": torch.tensor([1, 4, 6]),
        "label": torch.tensor([0, 2, 1]),
        "score": torch.tensor([0.5, -1.0, 2.0]),
        "observed": torch.tensor([True, False, True]),
    }
    return ScoreTable(**{**values, **changes})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_named(bad):
    with pytest.raises(NumericalError, match=r"2 of 3 scores are not finite; the first is sample_id 4"):
        make_table(score=torch.tensor([0.5, bad, bad]))


def test_a_score_too_large_for_float32_is_not_finite():
    with pytest.raises(NumericalError, match="sample_id 1"):
        make_table(score=torch.tensor([1e300, 0.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("ids", [[4, 1, 6], [1, 4, 4]])
def test_ids_must_be_sorted_and_unique(ids):
    with pytest.raises(DataError, match="strictly increasing"):
        make_table(sample_id=torch.tensor(ids))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("label", {"label": torch.tensor([0, 1])}),
        ("score", {"score": torch.zeros(3, 1)}),
        ("observed", {"observed": torch.ones(4, dtype=torch.bool)}),
        ("aum", {"columns": {"aum": torch.zeros(2)}}),
    ],
)
def test_every_column_has_one_value_per_sample(name, change):
    with pytest.raises(DataError, match=f"Column '{name}' has shape .* there are 3 samples"):
        make_table(**change)


def test_scores_with_a_graph_can_be_saved(tmp_path):
    """A loop of one's own may hand over losses as they come."""
    losses = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    table = make_table(score=losses, columns={"aum": losses * 2})
    assert torch.equal(ScoreTable.load(table.save(tmp_path / "scores.parquet")).score, losses.detach())


def test_numbers_become_float32():
    wide = torch.zeros(3, dtype=torch.float64)
    table = make_table(score=wide, columns={"aum": wide})
    assert table.score.dtype == table.columns["aum"].dtype == torch.float32


def test_columns_are_found_by_name_and_an_unknown_one_lists_them():
    table = make_table(columns={"aum": torch.tensor([1.0, 2.0, 3.0])})
    assert table.column("aum").tolist() == [1.0, 2.0, 3.0]
    assert table.column("label").tolist() == [0, 2, 1]
    with pytest.raises(DataError, match="no column 'margin'; it has sample_id, label, score, observed, aum"):
        table.column("margin")


def test_a_file_gives_the_table_back(tmp_path):
    table = make_table(
        columns={"aum": torch.tensor([1.0, 2.0, 3.0])}, fingerprint="abc", metadata={"score": {"window": 3}}
    )
    loaded = ScoreTable.load(table.save(tmp_path / "deep" / "scores.parquet"), fingerprint="abc")
    for name in ("sample_id", "label", "score", "observed", "aum"):
        assert torch.equal(loaded.column(name), table.column(name))
        assert loaded.column(name).dtype == table.column(name).dtype
    assert (loaded.fingerprint, loaded.metadata) == ("abc", {"score": {"window": 3}})


def test_equal_tables_give_equal_bytes_and_leave_no_other_file(tmp_path):
    first = make_table(metadata={"a": 1, "b": 2}).save(tmp_path / "first.parquet")
    second = make_table(metadata={"b": 2, "a": 1}).save(tmp_path / "second.parquet")
    assert first.read_bytes() == second.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_table_of_another_pool_is_refused(tmp_path):
    path = make_table(fingerprint="a" * 64).save(tmp_path / "scores.parquet")
    with pytest.raises(FingerprintError, match=r"scores\.parquet was made for other data.*aaaaaaaaaaaa.*bbbbbbbbbbbb"):
        ScoreTable.load(path, fingerprint="b" * 64)
    assert len(ScoreTable.load(path)) == 3


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="No scores table at"):
        ScoreTable.load(tmp_path / "scores.parquet")


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"text"])
def test_a_damaged_file(tmp_path, damage):
    path = make_table().save(tmp_path / "scores.parquet")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="not a readable Parquet file"):
        ScoreTable.load(path)


def test_a_mask_is_not_a_score_table(tmp_path):
    path = Mask(torch.tensor([0]), torch.tensor([True])).save(tmp_path / "mask.parquet")
    with pytest.raises(DataError, match=r"not a scores table written by Secateur \(found kind='mask'\)"):
        ScoreTable.load(path)


def test_a_foreign_parquet_file_is_not_a_score_table(tmp_path):
    pq.write_table(pa.table({"sample_id": [0], "score": [1.0]}), tmp_path / "scores.parquet")
    with pytest.raises(DataError, match="found kind=None"):
        ScoreTable.load(tmp_path / "scores.parquet")


def test_a_side_column_that_is_not_finite_is_refused_by_name():
    base = (torch.arange(2), torch.zeros(2).long(), torch.zeros(2), torch.ones(2).bool())
    with pytest.raises(NumericalError, match="values of 'aum' are not finite; the first is sample_id 1"):
        ScoreTable(*base, columns={"aum": torch.tensor([0.0, float("nan")])})
