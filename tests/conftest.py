"""One thread for all tests, and a small real data set that the training tests share."""

import dataclasses

import pytest
import torch
from hypothesis import settings

settings.register_profile("secateur", deadline=None, max_examples=50)
settings.load_profile("secateur")
torch.set_num_threads(1)  # small networks are many times slower when threads wait for each other


@pytest.fixture(scope="session")
def digits():
    """The digits with a pool of 200 samples, whose ids have gaps (the validation split is taken out of them)."""
    from secateur.data.digits import DigitsData
    from secateur.data.prepare import prepare

    data = prepare(DigitsData(name="digits", validation_fraction=0.1))
    small = dataclasses.replace(data, pool=data.pool[:200], flipped=data.flipped[:200])
    assert int(small.pool[-1]) > 199
    return small
