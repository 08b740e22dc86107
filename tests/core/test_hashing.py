"""Equal values have equal keys, whatever the order they were written in."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.hashing import canonical_json, content_key, file_sha256

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_the_order_of_keys_does_not_matter(value):
    assert content_key(value) == content_key(dict(reversed(value.items())))


@given(VALUES)
def test_the_text_of_a_value_gives_it_back(value):
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_is_ascii_without_spaces():
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5,null]}'


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}])
def test_what_json_cannot_say_has_no_key(value):
    with pytest.raises((ValueError, TypeError)):
        content_key(value)


def test_a_key_is_a_prefix_of_the_sha256():
    whole = hashlib.sha256(b'{"a":1}').hexdigest()
    assert content_key({"a": 1}) == whole
    assert content_key({"a": 1}, 12) == whole[:12]


def test_the_hash_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"\x00\xff" * 100_000)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"\x00\xff" * 100_000).hexdigest()
