"""From a recipe to a pool: split, corruption, checks, fingerprint, statistics."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError
from secateur.data.images import ArrayImages
from secateur.data.prepared import prepare


@given(st.floats(0, 0.9), st.integers(0, 3), st.floats(0, 0.9))
def test_pool_and_validation_share_the_training_split(build, fraction, seed, noise):
    data = prepare(build.ArrayData(validation_fraction=fraction, split_seed=seed, label_noise=noise))
    both = torch.cat([data.pool, data.validation]).sort().values
    assert torch.equal(both, torch.arange(60))
    assert len(data.validation) == round(60 * fraction)
    for ids in (data.pool, data.validation):
        counts = torch.bincount(data.clean_labels[ids], minlength=3)
        assert int(counts.max() - counts.min()) <= 1
    assert int(data.flipped.sum()) == round(len(data.pool) * noise)
    changed = data.labels != data.clean_labels
    assert torch.equal(changed[data.pool], data.flipped)
    assert not bool(changed[data.validation].any())


def test_imbalance_leaves_the_validation_split_alone(build):
    balanced = prepare(build.ArrayData())
    tailed = prepare(build.ArrayData(imbalance=6))
    assert torch.equal(balanced.validation, tailed.validation)
    assert set(tailed.pool.tolist()) < set(balanced.pool.tolist())
    assert torch.bincount(tailed.pool_labels).tolist() == [18, 7, 3]


def test_seeds_are_independent(build):
    base = prepare(build.ArrayData(label_noise=0.3))
    assert not torch.equal(base.validation, prepare(build.ArrayData(label_noise=0.3, split_seed=1)).validation)
    other = prepare(build.ArrayData(label_noise=0.3, corruption_seed=1))
    assert torch.equal(base.validation, other.validation)
    assert not torch.equal(base.labels, other.labels)


def test_fingerprint_follows_the_content(build):
    first = prepare(build.ArrayData())
    assert first.fingerprint == prepare(build.ArrayData(flip=True, name="other", num_workers=0)).fingerprint
    others = [{"split_seed": 1}, {"label_noise": 0.1}, {"imbalance": 2}, {"side": 9}, {"validation_fraction": 0.0}]
    fingerprints = {prepare(build.ArrayData(**other)).fingerprint for other in others}
    assert len(fingerprints | {first.fingerprint}) == 6


def test_holding_out_everything_is_an_error(build):
    with pytest.raises(ConfigError, match="holds out all 3"):
        prepare(build.ArrayData(num_train=3, validation_fraction=0.9))


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_outside_the_classes_are_named(build, split):
    class Wrong(build.ArrayData):
        def load(self, which):
            images = super().load(which)
            if which == split:
                images.labels[4] = 3
            return images

    with pytest.raises(DataError, match=r"1 labels outside \[0, 3\); the first is 3 in array row 4"):
        prepare(Wrong())


def test_an_empty_split_is_an_error(build):
    with pytest.raises(DataError, match="test split of array is empty"):
        prepare(build.ArrayData(num_test=0))


@pytest.mark.parametrize("color", [1, 3])
def test_statistics_are_measured_on_the_pool(build, color):
    data = prepare(build.ArrayData(color=color))
    assert data.image_shape == (color, 8, 8)
    pixels = data.train.pixels[data.pool].double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert data.std == pytest.approx(pixels.std((0, 2, 3), unbiased=False).tolist())


def test_a_constant_channel_has_deviation_one(build):
    class Dark(build.ArrayData):
        def load(self, split):
            images = super().load(split)
            return ArrayImages(torch.full_like(images.pixels, 7), images.labels)

    data = prepare(Dark())
    assert data.std == (1.0, 1.0, 1.0)
    assert data.mean == pytest.approx((7 / 255,) * 3)


def test_streamed_data_needs_given_statistics(build):
    with pytest.raises(ConfigError, match="resident=true"):
        _ = prepare(build.ArrayData(resident=False)).mean


def test_statistics_must_fit_the_channels(build):
    data = prepare(build.ArrayData(color=1, mean=[0.5] * 3, std=[0.2] * 3))
    with pytest.raises(ConfigError, match="3 values"):
        _ = data.mean
    assert prepare(build.ArrayData(mean=[0.5], std=[0.2])).mean == (0.5, 0.5, 0.5)


def test_residence_is_decided_by_size(build):
    assert prepare(build.ArrayData()).is_resident
    size = 72 * 3 * 64 / 2**30
    assert prepare(build.ArrayData(resident_limit_gib=size)).is_resident
    assert not prepare(build.ArrayData(resident_limit_gib=size * 0.99)).is_resident
    assert not prepare(build.ArrayData(random_resized_crop=True, image_size=8)).is_resident
    assert prepare(build.ArrayData(resident=True, resident_limit_gib=size / 2)).is_resident


def test_channels_are_converted_when_asked(build):
    data = prepare(build.ArrayData(color=1, channels=3))
    pixels = data.resident("train").pixels
    assert data.image_shape == (3, 8, 8)
    assert torch.equal(pixels, data.train.pixels.expand(-1, 3, -1, -1))
    assert prepare(build.ArrayData(channels=1)).resident("test").pixels.shape == (12, 1, 8, 8)


def test_images_are_resized_at_decoding(build):
    data = prepare(build.ArrayData(image_size=5, resize_size=6))
    assert data.image_shape == (3, 5, 5)
    assert data.resident("train").pixels.shape == (60, 3, 5, 5)
    assert data.resident("train") is data.resident("train")


@given(st.integers(1, 25), st.integers(0, 3))
def test_a_few_samples_of_every_class(build, count, seed):
    data = prepare(build.ArrayData(per_class=count, split_seed=seed))
    full = prepare(build.ArrayData(split_seed=seed))
    assert torch.equal(data.validation, full.validation)
    assert set(data.pool.tolist()) <= set(full.pool.tolist())
    available = torch.bincount(full.pool_labels, minlength=3)
    assert torch.equal(torch.bincount(data.pool_labels, minlength=3), available.clamp(max=count))
    more = prepare(build.ArrayData(per_class=count + 1, split_seed=seed))
    assert set(data.pool.tolist()) <= set(more.pool.tolist())


def test_restricted_to_some_classes_everything_else_disappears(build):
    data = prepare(build.ArrayData())
    part = data.restricted_to(torch.tensor([0, 2]))
    assert part.class_names == ["class 0", "class 2"]
    assert torch.equal(part.pool, data.pool)
    assert part.fingerprint == data.fingerprint
    assert part.labels.tolist() == [{0: 0, 1: -1, 2: 1}[label] for label in data.labels.tolist()]
    assert set(data.labels[part.validation].tolist()) == {0, 2}
    for which, labels, ids in (
        ("test", data.test.labels, torch.arange(12)),
        ("validation", data.labels, data.validation),
    ):
        batch = next(iter(part.eval_loader(which, 100)))
        wanted = ids[labels[ids] != 1]
        assert torch.equal(batch.sample_id, wanted)
        assert torch.equal(batch.y, labels[wanted] // 2)
    assert data.num_classes == 3  # untouched
