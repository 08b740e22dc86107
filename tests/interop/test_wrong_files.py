"""Files that are wrong in ways nobody would write by hand: every reader says so in one line."""

import json
import pickle  # noqa: TID251 - foreign files

import numpy as np
import pytest
import torch

from secateur.core.errors import DataError
from secateur.core.tables import ScoreTable
from secateur.interop.adapruner import read_adapruner
from secateur.interop.ccs import read_ccs
from secateur.interop.dp4tl import read_dp4tl
from secateur.interop.dyn_unc import read_file_list
from secateur.interop.extrapolation_json import read_extrapolation
from secateur.interop.foreign import ForeignRows, ForeignScores
from secateur.interop.tdds import read_tdds

KEEP = torch.tensor([1.0, 0.0, 1.0])
VECTORS = {
    "scalar": torch.tensor(3),
    "matrix": torch.ones(2, 3),
    "text": "abc",
    "ragged": [[1], [0, 1]],
    "none": None,
    "list_of_none": [None, None],
    "mapping": {"a": 1},
    "sparse": KEEP.to_sparse(),
    "complex": KEEP.to(torch.complex64),
    "float8": KEEP.to(torch.float8_e4m3fn),
    "meta": torch.empty(3, device="meta"),
    "huge_whole_number": [10**400],
    "beyond_int64": torch.tensor([2**63 + 5], dtype=torch.uint64),
    "repeated_without_end": torch.zeros(1).expand(10**13),
    "nan": torch.full((3,), float("nan")),
}


def one_line(read, *arguments):
    with pytest.raises(DataError) as error:
        read(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("name", list(VECTORS))
def test_what_is_no_vector_of_numbers_is_no_mask_and_no_list_of_rows(tmp_path, name):
    path = tmp_path / "file.pt"
    torch.save({"selected_data": VECTORS[name]}, path)
    assert "file.pt" in one_line(read_adapruner, path)
    torch.save(VECTORS[name], path)
    assert "ist of rows" in one_line(read_dp4tl, path)


@pytest.mark.parametrize("key", ["acc", "epoch"])
@pytest.mark.parametrize(
    "value", ["n/a", None, float("nan"), [1], torch.ones(2)], ids=["text", "none", "nan", "list", "2"]
)
def test_what_a_mask_file_says_of_itself_has_to_be_numbers(tmp_path, key, value):
    torch.save({"selected_data": KEEP, key: value}, tmp_path / "file.pt")
    message = one_line(read_adapruner, tmp_path / "file.pt")
    assert "file.pt" in message
    assert repr(key) in message


def header(shape):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00v\x00" + text.encode().ljust(117) + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(header("(10000000000000,)"), id="more_than_memory"),
        pytest.param(header("(99999999999999999999999,)"), id="more_than_int64"),
        pytest.param(header("((((((("), id="open_brackets"),
        pytest.param(header("(-5,)"), id="negative"),
        pytest.param(b"PK\x03\x04garbage", id="broken_zip"),
    ],
)
def test_broken_arrays_are_named(tmp_path, content):
    (tmp_path / "bad.npy").write_bytes(content)
    np.save(tmp_path / "ids.npy", np.array([2, 0, 1]))
    assert "bad.npy" in one_line(read_tdds, tmp_path / "bad.npy", None)
    assert "bad.npy" in one_line(read_tdds, tmp_path / "ids.npy", tmp_path / "bad.npy")


@pytest.mark.parametrize(
    "values", [np.array(3), np.ones((2, 3)), np.array([2**63], dtype=np.uint64)], ids=["0d", "2d", "beyond"]
)
def test_arrays_that_are_no_vector_of_numbers_are_named(tmp_path, values):
    np.save(tmp_path / "bad.npy", values)
    np.save(tmp_path / "ids.npy", np.array([2, 0, 1]))
    assert "bad.npy" in one_line(read_tdds, tmp_path / "bad.npy", None)
    assert "bad.npy" in one_line(read_tdds, tmp_path / "ids.npy", tmp_path / "bad.npy")


def test_scores_and_rows_are_checked_whoever_makes_them():
    rows = torch.tensor([2, 0, 1])
    for score in (torch.tensor(1.0), torch.ones(2), torch.ones(3, 1)):
        assert "they are no pair" in one_line(ForeignScores, rows, score, None)
    assert "numbers [n], got torch.sparse_coo" in one_line(ForeignRows, rows.to_sparse())
    assert "numbers [n]" in one_line(ForeignRows, torch.tensor(3))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param('{"99999999999999999999999": 1}', "too large for the number of a row", id="beyond_int64"),
        pytest.param('{"' + "9" * 5000 + '": 1}', "too large for the number of a row", id="digits"),
        pytest.param('{"0": ' + "9" * 400 + "}", "score of row 0 is too large", id="huge_score"),
        pytest.param('{"0": ' + "9" * 5000 + "}", "not readable JSON", id="huger_score"),
        pytest.param('{"0": ' + "[" * 500 + "]" * 500 + "}", "not a number", id="deep_score"),
    ],
)
def test_json_beyond_every_limit_is_named(tmp_path, content, expected):
    (tmp_path / "s.json").write_text(content)
    message = one_line(read_extrapolation, tmp_path / "s.json")
    assert "s.json" in message
    assert expected in message
    assert len(message) < 300 + len(str(tmp_path))


def test_scores_beyond_float32_are_named_with_their_cause(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps({"0": 1.0, "7": -1e39}))
    assert "1 of 2 scores of the file are beyond float32" in (
        found := one_line(read_extrapolation, tmp_path / "s.json")
    )
    assert "-1e+39, of row 7" in found
    np.save(tmp_path / "ids.npy", np.array([2, 0, 1]))
    np.save(tmp_path / "s.npy", np.array([0.0, 1.0, 1e39]))
    assert "beyond float32" in one_line(read_tdds, tmp_path / "ids.npy", tmp_path / "s.npy")


@pytest.mark.parametrize("digits", [19, 5000])
def test_labels_beyond_every_class_are_named(tmp_path, digits):
    (tmp_path / "list.txt").write_text("/a/b.png 1\n/a/c.png " + "9" * digits + "\n")
    assert f"line 2: the label has {digits} digits" in one_line(read_file_list, tmp_path / "list.txt")


def write_pickle(path, **content):
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize(
    "targets", [torch.zeros(2), torch.zeros(3, 1), "text", [0, None]], ids=["fewer", "2d", "text", "list"]
)
def test_labels_that_are_not_one_per_score_are_not_ignored(tmp_path, targets):
    path = write_pickle(tmp_path / "s.pickle", el2n=KEEP, targets=targets)
    message = one_line(read_ccs, path, "el2n")
    assert "s.pickle has 3 scores of 'el2n', but" in message


def test_scores_with_a_graph_are_read(tmp_path):
    path = write_pickle(tmp_path / "s.pickle", el2n=torch.tensor([0.1, 0.2], requires_grad=True))
    found = read_ccs(path, "el2n")
    assert not found.score.requires_grad
    ones = torch.ones(2, dtype=torch.int64)
    ScoreTable(torch.arange(2), ones, found.score, ones).save(tmp_path / "scores.parquet")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_with_flipped_bytes_are_read_or_refused(tmp_path):
    """Whatever the bytes are, no other error than ours leaves a reader."""
    generator = np.random.default_rng(0)
    path, ids = tmp_path / "file", tmp_path / "ids.npy"
    np.save(ids, generator.permutation(50))
    torch.save({"selected_data": torch.ones(50), "acc": 1.0}, path)
    (tmp_path / "s.json").write_text(json.dumps({str(row): row / 7 for row in range(50)}))
    pickled = write_pickle(tmp_path / "s.pickle", el2n=torch.rand(50), targets=torch.zeros(50))
    (tmp_path / "list.txt").write_text("".join(f"/a/{row}.png 1\n" for row in range(50)))
    sources = {
        read_adapruner: path.read_bytes(),
        (lambda file: read_tdds(file, None)): ids.read_bytes(),
        read_extrapolation: (tmp_path / "s.json").read_bytes(),
        (lambda file: read_ccs(file, "el2n")): pickled.read_bytes(),
        read_file_list: (tmp_path / "list.txt").read_bytes(),
    }
    for read, good in sources.items():
        for _ in range(60):
            content = bytearray(good)
            for place in generator.integers(0, min(len(good), generator.choice([40, 400, 10**6])), 3):
                content[place] = generator.integers(256)
            path.write_bytes(bytes(content))
            try:
                read(path)
            except DataError as error:
                assert "\n" not in str(error)  # noqa: PT017 - most of them raise, not all
