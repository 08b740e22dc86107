"""How far apart two files or values are, and where first: against pairs whose difference is known."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from secateur.core.errors import ConfigError
from secateur.core.predictions import Predictions
from secateur.verify.compare import compare_files, first_difference
from secateur.verify.verdict import Compared, Tolerances, Verification

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_value_equals_its_copy(value):
    assert first_difference(value, json.loads(json.dumps(value))) is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6), st.data())
def test_one_changed_number_is_found_with_its_size(values, data):
    place = data.draw(st.integers(0, len(values) - 1))
    changed = [value + 2.0 * (row == place) for row, value in enumerate(values)]
    found = first_difference({"x": values}, {"x": changed})
    assert found.path == ("x", place)
    assert found.size == abs(changed[place] - values[place])


@pytest.mark.parametrize(
    ("before", "after", "size"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, math.inf, id="new_key"),
        pytest.param({"a": 1}, {}, math.inf, id="lost_key"),
        pytest.param([1], [1, 2], math.inf, id="length"),
        pytest.param(True, 1, math.inf, id="bool_is_no_number"),
        pytest.param(None, 0.0, math.inf, id="null_is_no_number"),
        pytest.param(1.0, float("nan"), math.inf, id="nan"),
        pytest.param({"a": 1.0, "b": 2.0}, {"a": 1.5, "b": 4.0}, 2.0, id="largest_counts"),
    ],
)
def test_sizes(before, after, size):
    assert first_difference(before, after).size == size


def test_new_keys_can_be_allowed_and_lost_ones_cannot():
    assert first_difference({"a": 1}, {"a": 1, "b": 2}, new_keys=True) is None
    assert first_difference({"a": 1, "b": 2}, {"a": 1}, new_keys=True) is not None
    assert first_difference({"a": None}, {"a": 1}, new_keys=True) is not None


def test_a_mapping_that_was_emptied_has_lost_its_keys():
    assert str(first_difference({"x": {}}, {"x": {"a": 1}}, new_keys=True)) == "x.a: nothing recorded, 1 now"
    assert first_difference({}, {"a": None}, new_keys=True) is None


def table(path, **columns):
    pq.write_table(pa.table({"sample_id": np.arange(4), **columns}), path)
    return path


SCORE = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)


def test_tables_differ_in_units_of_their_spread(tmp_path):
    changed = SCORE.copy()
    changed[2] += 1
    before = table(tmp_path / "a.parquet", score=SCORE, label=np.zeros(4, dtype=int))
    after = table(tmp_path / "b.parquet", score=changed, label=np.zeros(4, dtype=int))
    found = compare_files("scores.parquet", before, after)
    assert found.size == pytest.approx(1 / SCORE.std())
    assert found.first == "sample_id 2, column score: 3.0 recorded, 4.0 now"
    assert compare_files("scores.parquet", before, before) == Compared("scores.parquet", "scores")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        pytest.param({"score": SCORE, "label": np.ones(4, dtype=int)}, "column label: 0 recorded, 1 now", id="label"),
        pytest.param({"score": SCORE}, "columns sample_id, score, label recorded", id="column"),
    ],
)
def test_what_no_tolerance_can_cover(tmp_path, columns, expected):
    before = table(tmp_path / "a.parquet", score=SCORE, label=np.zeros(4, dtype=int))
    found = compare_files("scores.parquet", before, table(tmp_path / "b.parquet", **columns))
    assert expected in found.first
    assert found.state(Tolerances(1e9, 1e9, 1e9, 1e9)) == "different"


def headed(path, header, **more):
    columns = pa.table({"sample_id": np.arange(4), "score": SCORE})
    metadata = {"secateur": header if isinstance(header, str) else json.dumps(header), **more}
    pq.write_table(columns.replace_schema_metadata(metadata), path)
    return path


HEADER = {"direction": "higher", "made_by": {"score": {"epoch": 3}}}


@pytest.mark.parametrize(
    ("header", "more", "expected"),
    [
        pytest.param({**HEADER, "direction": "lower"}, {}, "header direction: lower recorded, higher now", id="value"),
        pytest.param(
            {**HEADER, "made_by": {"score": {"epoch": 4}}},
            {},
            "header made_by.score.epoch: 4 recorded, 3 now",
            id="nested",
        ),
        pytest.param({"made_by": HEADER["made_by"]}, {}, "header direction: nothing recorded, higher now", id="lost"),
        pytest.param(HEADER, {"author": "me"}, "header author: me recorded, nothing now", id="beside"),
        pytest.param("[]", {}, "the recorded file cannot be read", id="list"),
        pytest.param("{", {}, "the recorded file cannot be read", id="no_json"),
    ],
)
def test_a_table_s_header_is_compared_key_by_key(tmp_path, header, more, expected):
    before, after = headed(tmp_path / "a.parquet", header, **more), headed(tmp_path / "b.parquet", HEADER)
    found = compare_files("scores.parquet", before, after)
    assert expected in found.first
    assert found.state(Tolerances(1e9, 1e9, 1e9, 1e9)) == "different"


def test_other_code_may_have_written_a_shorter_header(tmp_path):
    before = headed(tmp_path / "a.parquet", {"made_by": HEADER["made_by"]})
    after = headed(tmp_path / "b.parquet", HEADER)
    assert compare_files("scores.parquet", before, after, new_keys=True).first == ""
    assert compare_files("scores.parquet", after, before, new_keys=True).first != ""


def test_columns_and_weights_of_another_type_are_different(tmp_path):
    before = table(tmp_path / "a.parquet", score=SCORE.astype(np.float64))
    found = compare_files("scores.parquet", before, table(tmp_path / "b.parquet", score=SCORE))
    assert (found.size, found.first) == (math.inf, "type of column score: double recorded, float now")
    save_file({"w": torch.ones(2, dtype=torch.float64)}, tmp_path / "a.safetensors")
    save_file({"w": torch.ones(2)}, tmp_path / "b.safetensors")
    found = compare_files("x.safetensors", tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert found.first == "other tensors, shapes or types"


def test_a_mask_differs_by_the_share_of_samples(tmp_path):
    before = table(tmp_path / "a.parquet", keep=np.array([True, True, False, False]))
    after = table(tmp_path / "b.parquet", keep=np.array([True, False, True, False]))
    found = compare_files("mask.parquet", before, after)
    assert (found.kind, found.size) == ("mask", 0.5)
    assert found.state(Tolerances(mask=0.5)) == "within tolerance"
    assert found.state(Tolerances(mask=0.4, scores=1.0)) == "different"


@pytest.mark.parametrize("name", ["predictions.parquet", "full_predictions.parquet"])
def test_predictions_differ_by_the_share_of_samples_and_by_confidence(tmp_path, name):
    ids, labels, logits = torch.arange(4), torch.tensor([0, 1, 1, 0]), torch.tensor([[2.0, 0.0]] * 4)
    before = Predictions.from_logits(ids, labels, logits)
    recorded, repeated = before.save(tmp_path / "a" / name, "pool"), tmp_path / "b" / name
    for column, change, size in (("prediction", [1, 0, 0, 0], 0.25), ("confidence", [0.0, 0.0, 0.25, 0.0], 0.25)):
        values = getattr(before, column)
        replace(before, **{column: values + torch.tensor(change, dtype=values.dtype)}).save(repeated, "pool")
        found = compare_files(name, recorded, repeated)
        assert (found.kind, found.size) == ("metrics", pytest.approx(size))
        assert f"column {column}" in found.first
    before.save(repeated, "pool")
    assert compare_files(name, recorded, repeated).first == ""


def test_csv_is_compared_as_numbers(tmp_path):
    before, same, other = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    before.write_text("epoch,loss,accuracy\n0,1.5,\n1,1.0,0.5\n")
    same.write_text("epoch,loss,accuracy\n0,1.50,\n1,1.0,0.5\n")
    other.write_text("epoch,loss,accuracy\n0,1.5,\n1,1.0,0.75\n")
    assert compare_files("metrics.csv", before, same).first == ""
    found = compare_files("metrics.csv", before, other)
    assert (found.size, found.first) == (0.25, "epoch 1, column accuracy: 0.5 recorded, 0.75 now")


def test_weights_and_other_files(tmp_path):
    weights = {"w": torch.arange(4.0), "empty": torch.zeros(0)}
    save_file(weights, tmp_path / "a.safetensors")
    save_file({**weights, "w": weights["w"] + torch.tensor([0, 0, 1.0, 0])}, tmp_path / "b.safetensors")
    found = compare_files("checkpoints/last.safetensors", tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert found.kind == "weights"
    assert found.first == "tensor w, element 2: 2.0 recorded, 3.0 now"
    assert found.size == pytest.approx(1 / weights["w"].numpy().std())
    (tmp_path / "a.bin").write_bytes(b"1")
    (tmp_path / "b.bin").write_bytes(b"2")
    assert "not the same ones" in compare_files("x.bin", tmp_path / "a.bin", tmp_path / "b.bin").first


def test_a_table_that_cannot_be_read_is_said(tmp_path):
    before = tmp_path / "a.parquet"
    before.write_bytes(b"PAR1")
    found = compare_files("scores.parquet", before, table(tmp_path / "b.parquet", score=SCORE))
    assert found.first.startswith("the recorded file cannot be read")


def test_a_verdict_is_its_worst_part():
    near, far = Compared("a", "scores", 0.1, "x"), Compared("b", "metrics", 0.1, "y")
    assert Verification([], [Compared("c", "mask")]).state == "identical"
    assert Verification([], [near], Tolerances(scores=0.1)).state == "within tolerance"
    assert Verification([], [near, far], Tolerances(scores=0.1)).state == "different"
    assert Verification(["it lies"], [], Tolerances(1, 1, 1, 1)).state == "different"


def test_tolerances_are_read_in_order():
    assert Tolerances.parse(["0.01", "mask=0"]) == Tolerances(0.01, 0.0, 0.01, 0.01)
    with pytest.raises(ConfigError, match="at least 0"):
        Tolerances.parse(["mask=nan"])
