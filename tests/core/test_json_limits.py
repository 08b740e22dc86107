"""What a JSON document may hold, and where it says that it is too much."""

import doctest
import json

import pytest

from secateur.core import files
from secateur.core.files import MAX_DEPTH, flaw_of


def test_examples():
    assert doctest.testmod(files).failed == 0


def test_the_limits_themselves_are_allowed():
    deepest = json.loads("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)
    assert flaw_of(deepest) is None
    assert "nested more than 100 deep" in flaw_of([deepest])
    assert flaw_of([2**63 - 1, -(2**63) + 1, "\U0001f600", float("nan"), None, True]) is None


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ('{"a": [1, "\\ud800"]}', "a[1] holds half a character (a lone surrogate)"),
        ('{"a": {"\\udc00": 1}}', "a key of a holds half a character (a lone surrogate)"),
        ('{"a": 9223372036854775808}', "a is an integer of more than 63 bits"),
        ('"\\ud800"', "the document holds half a character (a lone surrogate)"),
    ],
)
def test_a_flaw_has_its_key(text, flaw):
    assert flaw_of(json.loads(text)) == flaw
