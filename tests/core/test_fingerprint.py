"""The fingerprint sees every byte, label and id, and nothing else."""

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core import hashing as module
from secateur.core.errors import DataError
from secateur.core.hashing import fingerprint

SAMPLES = st.lists(
    st.tuples(st.integers(0, 2**40), st.binary(max_size=12), st.integers(0, 999)), max_size=8, unique_by=lambda s: s[0]
)


def of(samples):
    ids, contents, labels = ([sample[part] for sample in samples] for part in range(3))
    return fingerprint(torch.tensor(ids, dtype=torch.int64), iter(contents), torch.tensor(labels, dtype=torch.int64))


@given(SAMPLES)
def test_equal_content_gives_equal_fingerprints(samples):
    assert of(samples) == of([(int(i), bytes(bytearray(b)), int(y)) for i, b, y in samples])


@given(SAMPLES, SAMPLES)
def test_different_content_gives_different_fingerprints(first, second):
    assert (of(first) == of(second)) == (first == second)


def test_any_changed_byte_label_id_or_order_changes_it():
    samples = [(0, b"abc", 1), (3, b"d", 0)]
    changed = [
        [(0, b"abd", 1), (3, b"d", 0)],
        [(0, b"abc", 0), (3, b"d", 0)],
        [(1, b"abc", 1), (3, b"d", 0)],
        [(3, b"d", 0), (0, b"abc", 1)],
        [(0, b"ab", 1), (3, b"cd", 0)],
        [(0, b"abc", 1)],
    ]
    assert len({of(samples), *map(of, changed)}) == 1 + len(changed)


def test_lengths_must_agree():
    ids, labels = torch.tensor([0, 1]), torch.tensor([0, 1])
    with pytest.raises(DataError, match="2 ids, 1 labels"):
        fingerprint(ids, [b"", b""], labels[:1])
    with pytest.raises(DataError, match="missing"):
        fingerprint(ids, [b""], labels)
    with pytest.raises(DataError, match="more"):
        fingerprint(ids, [b"", b"", b""], labels)


def test_consumes_one_sample_at_a_time():
    alive = []

    def contents():
        for sample in range(3):
            alive.append(sample)
            yield b"x"

    fingerprint(torch.arange(3), contents(), torch.zeros(3, dtype=torch.int64))
    assert alive == [0, 1, 2]


def test_docstring_example():
    assert doctest.testmod(module).failed == 0
