"""The default data set."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from secateur.data import digits
from secateur.data.digits import DigitsData
from secateur.data.prepared import prepare


def test_split_is_stratified_fixed_and_exhaustive():
    data = prepare(DigitsData(name="digits"))
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.image_shape == (1, 8, 8)
    assert data.class_names == [str(digit) for digit in range(10)]
    counts = torch.bincount(data.test.labels)
    assert int(counts.min()) >= 34
    assert int(counts.max()) <= 37
    other = prepare(DigitsData(name="digits", split_seed=7, corruption_seed=7, label_noise=0.5))
    assert torch.equal(data.test.labels, other.test.labels)
    assert torch.equal(data.train.pixels, other.train.pixels)


def test_pixels_are_those_of_scikit_learn_scaled():
    bunch = load_digits()
    pixels = torch.cat([DigitsData().load(split).pixels for split in ("train", "test")])
    scaled = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, pixels.numpy())) == sorted(map(bytes, scaled))
    assert int(pixels.max()) == 255
    train = DigitsData().load("train")
    positions = [int(np.flatnonzero((scaled == image[0].numpy()).all((1, 2)))[0]) for image in train.pixels[:50]]
    assert positions == sorted(positions)


def test_the_table_is_the_same_where_its_file_lies_elsewhere(monkeypatch):
    found = digits._table()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    assert np.array_equal(found, digits._table())


def test_fingerprint_is_pinned():
    assert prepare(DigitsData()).fingerprint.startswith("791f92fe28450dbd")
    assert prepare(DigitsData(validation_fraction=0.1)).fingerprint.startswith("c5298000f82cb890")
