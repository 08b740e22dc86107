"""Views: torchvision's colors, crops of the right sizes, and parameters that are each image's own."""

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from secateur.core.errors import ConfigError
from secateur.training.modules.two_views import NUM_DRAWS, TwoViews, shift_hue

NOTHING = {
    **{"min_scale": 1.0, "flip": 0.0, "jitter": 0.0, "grayscale": 0.0},
    **{"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def images(num_images=6, channels=3, size=8, seed=1):
    return torch.rand(num_images, channels, size, size, generator=stream(seed))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [8, 32, 64])
def test_shape_and_range_stay(channels, size):
    x = images(channels=channels, size=size)
    for view in TwoViews()(x, stream()):
        assert view.shape == x.shape
        assert view.dtype == x.dtype
        assert 0 <= float(view.min()) <= float(view.max()) <= 1


def test_the_two_views_and_all_samples_differ():
    same = images(1).expand(16, -1, -1, -1)
    views = torch.cat(TwoViews()(same, stream())).flatten(1)
    distances = torch.cdist(views, views) + torch.eye(32)
    assert float(distances.min()) > 1e-3


def test_the_generator_decides_everything_and_the_input_is_left_alone():
    x = images()
    before = x.clone()
    first, again, other = (TwoViews()(x, stream(seed)) for seed in (3, 3, 4))
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_everything_off_changes_nothing():
    x = images()
    for view in TwoViews(**NOTHING)(x, stream()):
        assert torch.allclose(view, x, atol=1e-6)


def test_always_flipped_is_the_mirror_image():
    x = images()
    for view in TwoViews(**{**NOTHING, "flip": 1.0})(x, stream()):
        assert torch.allclose(view, x.flip(-1), atol=1e-5)


def test_a_flip_is_each_images_own():
    x = images(200)
    (view, _) = TwoViews(**{**NOTHING, "flip": 0.5})(x, stream())
    mirrored = (view - x.flip(-1)).abs().flatten(1).amax(dim=1) < 1e-5
    plain = (view - x).abs().flatten(1).amax(dim=1) < 1e-5
    assert (mirrored ^ plain).all()
    assert 60 < int(mirrored.sum()) < 140


@pytest.mark.parametrize("min_scale", [0.2, 0.7])
def test_crops_have_the_area_and_the_aspect_that_were_asked(min_scale):
    """On ramps the position of every output pixel can be read off, so a crop is a straight line per axis."""
    size = 64
    ramp = ((torch.arange(size) + 0.5) / size).expand(500, size, size)
    x = torch.stack([ramp, ramp.mT, ramp], dim=1)
    (view, _) = TwoViews(**{**NOTHING, "min_scale": min_scale})(x, stream())
    columns, rows = view[:, 0].mean(dim=1), view[:, 1].mean(dim=2)
    inner = slice(8, -8)  # at the edges of the image the ramp ends
    width, height = (line[:, inner].diff(dim=1).mean(dim=1) * size for line in (columns, rows))
    for line, length in ((columns, width), (rows, height)):
        assert torch.allclose(line[:, inner].diff(dim=1) * size, length[:, None].expand(-1, 47), atol=1e-3)
    area, aspect = width * height, width / height
    whole = (width < 0.999) & (height < 0.999)  # a crop that did not fit was narrowed
    assert min_scale * 0.99 < float(area[whole].min()) < min_scale + 0.1
    assert float(area.max()) <= 1.001
    assert 0.74 < float(aspect[whole].min()) < 0.8
    assert 1.25 < float(aspect[whole].max()) < 1.34
    centers = columns[:, size // 2 - 1 : size // 2 + 1].mean(dim=1)
    assert float((centers - centers.mean()).abs().max()) > 0.1


def test_colors_are_torchvisions():
    views = TwoViews(min_scale=1.0, flip=0.0, jitter=0.6, grayscale=0.4)
    x = images(20)
    uniform = torch.rand(40, NUM_DRAWS, generator=stream(9))
    seen = set()
    for view, image, u in zip(torch.cat(views(x, stream(9))), torch.cat([x, x]), uniform.tolist(), strict=True):
        expected = image
        if u[5] < 0.6:
            expected = tv.adjust_brightness(expected, 1 + 0.4 * (2 * u[6] - 1))
            expected = tv.adjust_contrast(expected, 1 + 0.4 * (2 * u[7] - 1))
            expected = tv.adjust_saturation(expected, 1 + 0.4 * (2 * u[8] - 1))
            expected = tv.adjust_hue(expected, 0.1 * (2 * u[9] - 1))
        if u[10] < 0.4:
            expected = tv.rgb_to_grayscale(expected, num_output_channels=3)
        assert torch.allclose(view, expected, atol=2e-3)
        seen.add((u[5] < 0.6, u[10] < 0.4))
    assert len(seen) == 4


@pytest.mark.parametrize("turns", [-0.5, -0.13, 0.0, 0.2, 0.5])
def test_hues_are_torchvisions(turns):
    x = images(4)
    x[0, :, 0] = 0.3  # gray pixels have no hue
    x[1, :, 0] = torch.tensor([1.0, 0.0, 1.0])[:, None]
    assert torch.allclose(shift_hue(x, torch.full((4, 1, 1), turns)), tv.adjust_hue(x, turns), atol=1e-5)


def test_one_channel_keeps_brightness_and_contrast():
    x = images(channels=1)
    settings = {**NOTHING, "jitter": 1.0, "grayscale": 1.0, "saturation": 1.0, "hue": 0.5}
    for view in TwoViews(**settings)(x, stream()):
        assert torch.allclose(view, x, atol=1e-6)
    (brighter, _) = TwoViews(**{**settings, "brightness": 0.4})(x * 0.5, stream())
    ratio = brighter / (x * 0.5)
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio), atol=1e-4)
    assert float(ratio[:, 0, 0, 0].std()) > 0.05


def test_images_need_not_be_square():
    x = torch.rand(3, 3, 8, 20)
    (view, _) = TwoViews(**{**NOTHING, "flip": 1.0})(x, stream())
    assert torch.allclose(view, x.flip(-1), atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"min_scale": 0.0}, r"views.min_scale must be in \(0, 1\], got 0.0"),
        ({"hue": 0.6}, r"views.hue must be in \[0, 0.5\], got 0.6"),
        ({"flip": 50}, r"views.flip must be in \[0, 1\], got 50"),
        ({"brightness": -0.1}, r"views.brightness must be in \[0, 1\], got -0.1"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(ConfigError, match=message):
        TwoViews(**setting)
