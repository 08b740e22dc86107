"""A file is the old one or the new one, never half of it."""

import os

import pytest

from secateur.core.errors import DataError
from secateur.core.files import link_or_copy, read_json, write_bytes, write_json, write_text, writing


def test_folders_are_made_and_nothing_else_is_left(tmp_path):
    path = write_text(tmp_path / "a" / "b" / "note.txt", "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["note.txt"]


def test_a_write_that_dies_before_the_end_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_text(tmp_path / "note.txt", "old")

    def die(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_a_reader_holds_the_old_file_while_the_new_one_appears(tmp_path):
    path = write_text(tmp_path / "note.txt", "old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = write_json(tmp_path / "value.json", {"a": [1, None]})
    for bad in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, bad)
    assert read_json(path) == {"a": [1, None]}
    assert path.read_text().endswith("}\n")


def test_a_link_is_the_same_file_and_replaces_what_was_there(tmp_path):
    source = write_text(tmp_path / "source", "weights")
    target = write_text(tmp_path / "deep" / "target", "older")
    assert link_or_copy(source, target) == target
    assert target.samefile(source)


def test_where_links_are_impossible_the_file_is_copied(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source = write_text(tmp_path / "source", "weights")
    target = link_or_copy(source, tmp_path / "target")
    assert target.read_text() == "weights"
    assert not target.samefile(source)


def test_a_path_that_cannot_be_written_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path, why in ((tmp_path / "file" / "x", "a folder of it is a file"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=f"cannot be written: .*{why}") as error, writing(path):
            write_bytes(path, b"x")
        assert str(path) in str(error.value)
