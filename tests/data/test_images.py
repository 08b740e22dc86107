"""Arrays and encoded files as indexed images."""

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.core.errors import DataError
from secateur.data.encoded import FileImages
from secateur.data.images import ArrayImages, array_pixels


@pytest.fixture
def files(build, tmp_path):
    arrays = [build.random_array(0), build.random_array(1, channels=1)]
    for row, array in enumerate(arrays):
        (tmp_path / f"{row}.png").write_bytes(build.encode(array))
    (tmp_path / "2.png").write_bytes(build.encode(arrays[0], "JPEG")[:200])
    (tmp_path / "3.png").write_bytes(b"GIF? no")
    paths = [tmp_path / f"{row}.png" for row in range(5)]
    return arrays, FileImages(paths, torch.zeros(5, dtype=torch.int32))


def test_files_are_decoded_to_the_asked_channels(files):
    (color, grey), images = files
    assert images.labels.dtype == torch.int64
    assert [images.num_channels(row) for row in range(2)] == [3, 1]
    assert torch.equal(images.decode(0, 3), torch.from_numpy(color).permute(2, 0, 1))
    assert torch.equal(images.decode(1, 1), torch.from_numpy(grey)[None])
    assert torch.equal(images.decode(1, 3), torch.from_numpy(grey).expand(3, 8, 8))
    assert np.array_equal(images.decode(0, 1)[0], np.array(Image.fromarray(color).convert("L")))
    assert images.image(1).mode == "L"
    assert np.array_equal(np.array(images.image(0)), color)


@pytest.mark.parametrize(
    ("row", "message"), [(2, "[Tt]runcated"), (3, "format that Pillow knows"), (4, "No such file")]
)
def test_corrupt_files_are_named(files, row, message):
    _, images = files
    with pytest.raises(DataError, match=rf"{row}\.png .row {row}.*{message}"):
        images.decode(row, 3)


def test_any_pil_mode_is_read(build, tmp_path):
    modes = {"1": 1, "L": 1, "LA": 1, "I;16": 1, "P": 3, "RGBA": 3, "CMYK": 3}
    for mode in modes:
        image = Image.fromarray(build.random_array(0))
        image = Image.new(mode, (8, 8)) if mode == "I;16" else image.convert(mode)
        image.save(tmp_path / f"{modes[mode]}{mode}.tiff")
    paths = sorted(tmp_path.iterdir())
    images = FileImages(paths, torch.zeros(len(paths)))
    for row, path in enumerate(paths):
        assert images.num_channels(row) == int(path.name[0])
        for channels in (1, 3):
            assert images.decode(row, channels).shape == (channels, 8, 8)
            assert images.decode(row, channels).dtype == torch.uint8


def test_arrays_are_brought_to_channels_first():
    for shape, expected in {(4, 8, 9): (4, 1, 8, 9), (4, 8, 9, 3): (4, 3, 8, 9), (4, 3, 8, 9): (4, 3, 8, 9)}.items():
        assert array_pixels(np.zeros(shape, np.uint8), "a").shape == expected
    with pytest.raises(DataError, match="float64"):
        array_pixels(np.zeros((4, 8, 8)), "a")
    with pytest.raises(DataError, match=r"\[4, 8, 9, 2\]"):
        array_pixels(np.zeros((4, 8, 9, 2), np.uint8), "a")


def test_arrays_must_fit_their_labels():
    pixels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(DataError, match="3 images"):
        ArrayImages(pixels, torch.zeros(2))
    with pytest.raises(DataError, match="uint8"):
        ArrayImages(pixels.float(), torch.zeros(3))
    images = ArrayImages(pixels + 7, torch.arange(3), "mine")
    assert images.stored_bytes(1) == bytes([7] * 4)
    assert images.describe(2) == "mine row 2"
