"""Every foreign format, built by its description: what is written is read again, and what is none of it is refused."""

import io
import json
import pickle  # noqa: TID251 - foreign files

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secateur.core.errors import DataError
from secateur.interop.adapruner import read_adapruner, write_adapruner
from secateur.interop.ccs import read_ccs
from secateur.interop.dp4tl import read_dp4tl, write_dp4tl
from secateur.interop.dyn_unc import FileList, read_dyn_unc, read_file_list, write_dyn_unc
from secateur.interop.extrapolation_json import read_extrapolation, write_extrapolation
from secateur.interop.foreign import ForeignRows, ForeignScores
from secateur.interop.tdds import read_tdds, write_tdds

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ids = st.lists(st.integers(0, 10_000), min_size=1, max_size=12, unique=True)
floats = st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def scored(draw):
    rows = draw(ids)
    scores = draw(st.lists(floats, min_size=len(rows), max_size=len(rows)))
    return torch.tensor(rows), torch.tensor(scores, dtype=torch.float64)


def as_dict(foreign: ForeignScores):
    return dict(zip(foreign.sample_id.tolist(), foreign.score.tolist(), strict=True))


# -- round trips -----------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_adapruner_round_trip(tmp_path, values):
    keep = torch.tensor(values)
    assert torch.equal(read_adapruner(write_adapruner(tmp_path / "m.pt", keep)).keep, keep)


@quick
@given(ids)
def test_dp4tl_round_trip(tmp_path, rows):
    found = read_dp4tl(write_dp4tl(tmp_path / "x.indices", torch.tensor(rows)))
    assert found.sample_id.tolist() == rows


@quick
@given(scored())
def test_tdds_round_trip(tmp_path, pair):
    rows, scores = pair
    files = write_tdds(tmp_path / "data_mask.npy", tmp_path / "score.npy", rows, scores)
    found = read_tdds(*files, insist=True)  # by chance the ids ascend
    assert as_dict(found) == dict(zip(rows.tolist(), scores.tolist(), strict=True))
    assert found.higher_is_kept is True


@quick
@given(scored())
def test_extrapolation_round_trip(tmp_path, pair):
    rows, scores = pair
    found = read_extrapolation(write_extrapolation(tmp_path / "s.json", rows, scores))
    assert as_dict(found) == dict(zip(rows.tolist(), scores.tolist(), strict=True))
    assert found.higher_is_kept is None


EVERY = FileList(
    [f"n{label:02d}/image {number}.JPEG" for label in range(3) for number in range(5)], torch.arange(15) // 5
)


@quick
@given(st.sets(st.integers(0, 14), min_size=1))
def test_dyn_unc_round_trip(tmp_path, rows):
    path = write_dyn_unc(tmp_path / "list.txt", EVERY, torch.tensor(sorted(rows)))
    assert read_dyn_unc(path, EVERY).sample_id.tolist() == sorted(rows)
    assert path.read_text().startswith("/n0")


# -- the released forms ----------------------------------------------------------------------------------------------


def test_tdds_scores_belong_to_the_ids_of_the_mask_file(tmp_path):
    """The release stores argsort and sort of the same scores."""
    score = np.array([0.5, 0.1, 0.9, 0.3])
    np.save(tmp_path / "data_mask_win10_ep30.npy", score.argsort())
    np.save(tmp_path / "score_win10_ep30.npy", np.sort(score))
    found = read_tdds(tmp_path / "data_mask_win10_ep30.npy", tmp_path / "score_win10_ep30.npy")
    assert as_dict(found) == dict(enumerate(score.tolist()))


def test_tdds_scores_in_sample_order_are_not_taken_for_sorted_ones(tmp_path):
    score = np.array([0.5, 0.1, 0.9, 0.3])
    np.save(tmp_path / "m.npy", score.argsort())
    np.save(tmp_path / "s.npy", score)
    with pytest.raises(DataError, match="not sorted"):
        read_tdds(tmp_path / "m.npy", tmp_path / "s.npy")
    np.save(tmp_path / "s.npy", np.sort(score)[::-1])
    with pytest.raises(DataError, match="descending"):
        read_tdds(tmp_path / "m.npy", tmp_path / "s.npy")
    np.save(tmp_path / "s.npy", np.sort(score)[1:])
    with pytest.raises(DataError, match="no pair"):
        read_tdds(tmp_path / "m.npy", tmp_path / "s.npy")


def test_a_tdds_mask_alone_does_not_say_its_direction(tmp_path):
    np.save(tmp_path / "m.npy", np.array([2, 0, 1]))
    found = read_tdds(tmp_path / "m.npy", None)
    assert as_dict(found) == {2: 0.0, 0: 1.0, 1: 2.0}
    assert found.higher_is_kept is None


def ccs_content():
    return {
        "targets": torch.tensor([0, 1, 1], dtype=torch.int32),
        "el2n": torch.tensor([0.1, 0.9, 0.4]),
        "accumulated_margin": torch.tensor([3.0, -2.0, 1.0]),
        "forgetting": torch.tensor([0, 4, 1], dtype=torch.int32),
        "note": "text",
    }


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("as_array", [False, True], ids=["tensors", "arrays"])
def test_ccs_scores_know_their_direction(tmp_path, protocol, as_array):
    content = {key: value.numpy() if as_array and key != "note" else value for key, value in ccs_content().items()}
    (tmp_path / "s.pickle").write_bytes(pickle.dumps(content, protocol=protocol))
    harder = read_ccs(tmp_path / "s.pickle", "el2n")
    easier = read_ccs(tmp_path / "s.pickle", "accumulated_margin")
    assert (harder.higher_is_kept, easier.higher_is_kept) == (True, False)
    assert harder.score.tolist() == pytest.approx([0.1, 0.9, 0.4])
    assert harder.target.tolist() == [0, 1, 1]
    assert {name: values.tolist() for name, values in harder.harder.items()} == {
        "accumulated_margin": [-3.0, 2.0, -1.0],
        "forgetting": [0, 4, 1],
    }
    with pytest.raises(DataError, match="accumulated_margin, el2n, forgetting; choose one"):
        read_ccs(tmp_path / "s.pickle", None)


def test_what_a_file_name_says_is_kept(tmp_path):
    torch.save(torch.tensor([1, 2]), tmp_path / "cifar10_lm_train_top650.indices")
    assert read_dp4tl(tmp_path / "cifar10_lm_train_top650.indices").facts == {"num_groups_kept": 650}
    path = write_dyn_unc(tmp_path / "IN1K_75_file_list.txt", EVERY, torch.arange(3))
    assert read_dyn_unc(path, EVERY).facts == {"keep_fraction": 0.75}


# -- what is refused -------------------------------------------------------------------------------------------------


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


class NestedInATensor:
    """Code in the bytes that a tensor's pickle hands to torch, which unpickles them a second time."""

    def __reduce__(self):
        inner = io.BytesIO()
        torch.save(Malicious(), inner, _use_new_zipfile_serialization=False)
        return (torch.storage._load_from_bytes, (inner.getvalue(),))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Malicious(), id="call"),
        pytest.param(NestedInATensor(), id="nested"),
        pytest.param(np.array([Malicious()], dtype=object), id="object_array"),
        pytest.param(pytest.raises, id="function"),
    ],
)
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, capsys, value):
    (tmp_path / "s.pickle").write_bytes(pickle.dumps({"el2n": value}))
    with pytest.raises(DataError):
        read_ccs(tmp_path / "s.pickle", "el2n")
    assert "executed" not in capsys.readouterr().out


READERS = {
    "adapruner": read_adapruner,
    "ccs": lambda path: read_ccs(path, "el2n"),
    "dp4tl": read_dp4tl,
    "dyn-unc": lambda path: read_dyn_unc(path, EVERY),
    "extrapolation": read_extrapolation,
    "tdds": lambda path: read_tdds(path, path),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", list(READERS))
def test_what_is_missing_or_garbage_is_one_line(tmp_path, name):
    path = tmp_path / "file"
    with pytest.raises(DataError, match="does not exist"):
        READERS[name](path)
    for content in (b"", b"\x80\x04garbage", b"\xff\xfe\x00"):
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            READERS[name](path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param('{"0": 1.0, "0": 2.0}', "Row 0 is in the list twice", id="twice"),
        pytest.param('{"a": 1.0}', "'a' is not the number of a row", id="name"),
        pytest.param('{"0": [1.0]}', "not a number", id="list"),
        pytest.param('{"0": true}', "not a number", id="bool"),
        pytest.param("[1.0]", "not a mapping", id="array"),
        pytest.param("{}", "not a mapping", id="empty"),
    ],
)
def test_json_that_is_no_score_file(tmp_path, content, expected):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(DataError, match=expected):
        read_extrapolation(tmp_path / "s.json")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([0.5, 1.0], "whole numbers", id="scores"),
        pytest.param([-1, 2], "negative", id="negative"),
        pytest.param([1, 2, 1], "Row 1 is in the list twice", id="twice"),
        pytest.param([[1, 2]], r"numbers \[n\]", id="shape"),
        pytest.param([True, False], r"numbers \[n\]", id="mask"),
    ],
)
def test_lists_of_rows_are_checked(rows, expected):
    with pytest.raises(DataError, match=expected):
        ForeignRows(torch.tensor(rows))


def test_file_lists_are_checked(tmp_path):
    path = tmp_path / "list.txt"
    for text, expected in (
        ("/n00/a.JPEG\n", "line 1: expected"),
        ("/n00/nowhere.JPEG 0\n", "does not have"),
        ("/n01/image 0.JPEG 0\n", "is class 0, but the training split says 1"),
        ("/n00/image 0.JPEG 0\n" * 2, "twice"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=expected):
            read_dyn_unc(path, EVERY)
    assert json.dumps(read_file_list(write_dyn_unc(path, EVERY, torch.arange(15))).names) == json.dumps(EVERY.names)
