"""Batched augmentation against slow loops over single images."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.data.augment import (
    Augmentation,
    AugmentationTable,
    Normalization,
    Workspace,
    cut_out_,
    flip_and_crop,
)


def slow_flip_and_crop(image, top, left, mirrored, padding):
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=image.dtype)
    for y in range(height):
        for x in range(width):
            padded[:, padding + y, padding + x] = image[:, y, width - 1 - x if mirrored else x]
    return padded[:, top : top + height, left : left + width]


@given(
    st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3), st.booleans()
)
def test_flip_and_crop_equals_the_loop(count, channels, height, width, padding, flips):
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(256, (count, channels, height, width), dtype=torch.uint8, generator=generator)
    table = Augmentation(padding, flips).draw(count, height, width, seed=3, epoch=1)
    workspace = Workspace()
    flip_and_crop(pixels.flip(0), table, padding, workspace)  # what an earlier batch leaves must not matter
    result = flip_and_crop(pixels, table, padding, workspace)
    for row in range(count):
        top, left = (0, 0) if table.top is None else (int(table.top[row]), int(table.left[row]))
        mirrored = table.flip is not None and bool(table.flip[row])
        assert torch.equal(result[row], slow_flip_and_crop(pixels[row], top, left, mirrored, padding))


@given(st.integers(1, 9), st.integers(0, 7), st.integers(0, 4))
def test_cutout_clears_the_square_inside_the_image(size, y, x):
    images = cut_out_(torch.ones(1, 2, 8, 5), torch.tensor([y]), torch.tensor([x]), size)
    for row in range(8):
        for column in range(5):
            inside = 0 <= row - (y - size // 2) < size and 0 <= column - (x - size // 2) < size
            assert images[0, :, row, column].tolist() == ([0.0, 0.0] if inside else [1.0, 1.0])


def test_parameters_are_a_function_of_seed_and_epoch():
    augmentation = Augmentation(4, True, 8)
    first, again = (augmentation.draw(200, 32, 32, seed=0, epoch=2) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (augmentation.draw(200, 32, 32, 0, 3), augmentation.draw(200, 32, 32, 1, 2)):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_parameters_cover_their_ranges_evenly():
    table = Augmentation(4, True, 8).draw(90_000, 32, 32, seed=0, epoch=0)
    assert torch.bincount(table.top).tolist() == pytest.approx([10_000] * 9, rel=0.05)
    assert torch.bincount(table.left).tolist() == pytest.approx([10_000] * 9, rel=0.05)
    assert float(table.flip.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert int(table.center_y.min()) == 0
    assert int(table.center_x.max()) == 31


def test_turning_one_augmentation_off_leaves_the_others_alone():
    everything = Augmentation(4, True, 8).draw(50, 32, 32, 0, 0)
    only_flip = Augmentation(0, True, 0).draw(50, 32, 32, 0, 0)
    assert torch.equal(everything.flip, only_flip.flip)
    assert only_flip.top is None
    assert only_flip.center_x is None
    assert AugmentationTable().rows(torch.tensor([0])) == AugmentationTable()


def test_normalization_is_that_of_torchvision():
    from torchvision.transforms import v2

    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    scale, shift = Normalization(mean, std).factors(torch.device("cpu"))
    expected = v2.Normalize(mean, std)(pixels.float() / 255)
    torch.testing.assert_close(pixels.float() * scale + shift, expected, atol=1e-6, rtol=0)
