"""Class and confidence of every test sample, as a table."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError, FingerprintError
from secateur.core.predictions import Predictions


def table(logits, labels):
    return Predictions.from_logits(torch.arange(len(logits)) * 2, torch.tensor(labels), torch.tensor(logits))


rows = st.lists(st.tuples(*[st.floats(-20, 20, width=32)] * 3), min_size=1, max_size=12)


@given(rows, st.data())
def test_class_and_confidence_are_those_of_a_softmax(logits, data):
    labels = [data.draw(st.integers(0, 2)) for _ in logits]
    found = table(logits, labels)
    for row, (values, label) in enumerate(zip(logits, labels, strict=True)):
        exponentials = [torch.tensor(value, dtype=torch.float64).exp().item() for value in values]
        assert values[int(found.prediction[row])] == max(values)
        assert float(found.confidence[row]) == pytest.approx(max(exponentials) / sum(exponentials), rel=1e-5)
        assert int(found.label[row]) == label
    hits = [int(found.prediction[row]) == label for row, label in enumerate(labels)]
    assert found.accuracy == sum(hits) / len(hits)


def test_batches_joined_are_the_whole():
    logits, labels = [[0.0, 1.0], [3.0, 2.0], [1.0, 1.0]], [1, 1, 0]
    whole = table(logits, labels)
    parts = [
        Predictions.from_logits(whole.sample_id[rows], torch.tensor(labels)[rows], torch.tensor(logits)[rows])
        for rows in (slice(0, 2), slice(2, 3))
    ]
    joined = Predictions.joined(parts)
    assert all(getattr(joined, name).equal(getattr(whole, name)) for name in vars(whole))


def test_a_file_holds_the_table_in_equal_bytes(tmp_path):
    saved = table([[0.0, 1.0], [3.0, 2.0]], [1, 1])
    paths = [saved.save(tmp_path / name, "pool") for name in ("a.parquet", "b.parquet")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    loaded = Predictions.load(paths[0], "pool")
    for name, column in vars(saved).items():
        assert getattr(loaded, name).equal(column)
        assert getattr(loaded, name).dtype == column.dtype
    assert [getattr(saved, name).dtype for name in vars(saved)] == [
        *(torch.int64, torch.int32, torch.int32, torch.float32)
    ]
    with pytest.raises(FingerprintError):
        Predictions.load(paths[0], "other")


def test_columns_of_other_lengths_are_refused():
    whole = table([[0.0, 1.0], [3.0, 2.0]], [1, 1])
    with pytest.raises(DataError, match=r"confidence must have shape \[2\], got \[1\]"):
        Predictions(whole.sample_id, whole.label, whole.prediction, whole.confidence[:1])
