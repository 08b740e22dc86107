"""Streams depend on all their coordinates, and on nothing else."""

import doctest

import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core import seeds
from secateur.core.seeds import generator, permutation, stream_seed


def test_every_coordinate_makes_another_stream():
    coordinates = [(0, "order"), (1, "order"), (0, "noise"), (0, "order", 1), (0, "order", 2), (0, "order", 1, 1)]
    assert len({stream_seed(*c) for c in coordinates}) == len(coordinates)


@given(st.integers(0, 2**63), st.text(), st.lists(st.integers(0, 2**31), max_size=3))
def test_a_seed_fits_into_what_torch_accepts(seed, stage, counters):
    value = stream_seed(seed, stage, *counters)
    assert 0 <= value < 2**63
    torch.Generator().manual_seed(value)


def test_streams_are_the_same_in_every_version():
    assert stream_seed(0, "order") == 6230928577095065118
    assert stream_seed(3, "augmentation", 2, 1) == 6073289328044946404


def test_generator_and_permutation_draw_from_the_stream():
    drawn = torch.randperm(9, generator=generator(5, "order", 2))
    assert permutation(9, 5, "order", 2).tolist() == drawn.tolist()
    assert sorted(drawn.tolist()) == list(range(9))


def test_the_global_stream_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    permutation(100, 0, "order")
    generator(0, "order")
    assert torch.equal(torch.rand(3), expected)


def test_docstring_examples():
    assert doctest.testmod(seeds).failed == 0
