"""The two loaders agree, and what a sample looks like depends on (seed, epoch, sample_id) alone."""

import dataclasses
import itertools

import pytest
import torch

from secateur.core.errors import ConfigError, DataError
from secateur.core.seeds import permutation
from secateur.data.batch import Batch
from secateur.data.loaders import ResidentLoader
from secateur.data.order import EpochOrder, InOrder, Shuffled
from secateur.data.prepared import prepare
from secateur.data.streaming import StreamingLoader

STATISTICS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
AUGMENTED = {**STATISTICS, "crop_padding": 2, "flip": True, "cutout": 3}
CROPPED = {**STATISTICS, "random_resized_crop": True, "image_size": 6, "flip": True}


def loader_of(build, recipe, batch_size=16, order=None, seed=5, **arguments):
    data = prepare(build.ArrayData(validation_fraction=0.0, **recipe))
    return data.train_loader(order or Shuffled(data.pool, 0), batch_size, seed, **arguments)


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "recipe",
    [{**AUGMENTED, "resident": True}, {**AUGMENTED, "resident": False}, CROPPED],
    ids=["resident", "streaming", "random_resized_crop"],
)
def test_a_sample_looks_the_same_in_any_batch(build, recipe):
    recipe = {"num_workers": 0, **recipe}
    expected = build.batches(loader_of(build, recipe), epoch=1)
    assert_same(expected, build.batches(loader_of(build, recipe, batch_size=7), epoch=1))
    backwards = InOrder(torch.arange(59, -1, -1))
    assert_same(expected, build.batches(loader_of(build, recipe, order=backwards), epoch=1))
    few = InOrder(torch.tensor([40, 3, 17]))
    subset = build.batches(loader_of(build, recipe, order=few), epoch=1)
    assert torch.equal(subset[0], expected[0][[3, 17, 40]])
    assert not torch.equal(expected[0], build.batches(loader_of(build, recipe), epoch=2)[0])
    assert not torch.equal(expected[0], build.batches(loader_of(build, recipe, seed=6), epoch=1)[0])


@pytest.mark.parametrize("recipe", [AUGMENTED, CROPPED], ids=["crop", "random_resized_crop"])
def test_workers_change_nothing(build, recipe):
    none = loader_of(build, {**recipe, "resident": False, "num_workers": 0})
    two = loader_of(build, {**recipe, "resident": False, "num_workers": 2})
    for epoch in (0, 3):
        assert_same(build.batches(none, epoch), build.batches(two, epoch))
    assert_same(next(iter(two)), next(iter(none)))  # an abandoned epoch does not leak into the next one
    assert_same(build.batches(none, 1), build.batches(two, 1))


def test_both_paths_augment_alike(build):
    resident = loader_of(build, {**AUGMENTED, "resident": True})
    streaming = loader_of(build, {**AUGMENTED, "resident": False, "num_workers": 0})
    assert isinstance(resident, ResidentLoader)
    assert isinstance(streaming, StreamingLoader)
    for first, second in zip(resident, streaming, strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("resize", [{}, {"image_size": 5, "resize_size": 7}])
@pytest.mark.parametrize("color", [1, 3])
def test_evaluation_is_the_deterministic_transform(build, color, resize):
    from torchvision.transforms import v2

    statistics = {"mean": [0.5], "std": [0.25]}
    common = {**statistics, **resize, "color": color, "flip": True, "crop_padding": 2}
    steps = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * color, [0.25] * color)]
    steps = [v2.Resize(7, antialias=True), v2.CenterCrop(5), *steps] if resize else steps
    for resident in (True, False):
        data = prepare(build.ArrayData(resident=resident, num_workers=0, **common))
        x, y, sample_id = build.batches(data.eval_loader("test", 5))
        expected = torch.stack([v2.Compose(steps)(pixels) for pixels in data.test.pixels])
        torch.testing.assert_close(x, expected, atol=1e-6, rtol=0)
        assert torch.equal(y, data.test.labels)
        assert torch.equal(sample_id, torch.arange(12))


def test_evaluation_keeps_the_order_and_the_labels_as_trained_on(build):
    data = prepare(build.ArrayData(label_noise=0.4, **AUGMENTED))
    ids = data.pool.flip(0)[:9]
    batch = next(iter(data.eval_loader(ids, 20)))
    assert torch.equal(batch.sample_id, ids)
    assert torch.equal(batch.y, data.labels[ids])
    plain = next(iter(data.train_loader(InOrder(ids), 20, seed=1, augment=False)))
    assert_same(batch, plain)
    held_out = next(iter(data.eval_loader("validation", 20)))
    assert torch.equal(held_out.sample_id, data.validation)
    assert torch.equal(held_out.y, data.clean_labels[data.validation])
    with pytest.raises(ConfigError, match="'train'"):
        data.eval_loader("train", 20)


def test_batches_carry_their_types(build):
    batch = next(iter(loader_of(build, AUGMENTED, channels_last=True)))
    assert isinstance(batch, Batch)
    assert batch.x.dtype == torch.float32
    assert batch.x.is_contiguous(memory_format=torch.channels_last)
    assert batch.y.dtype == batch.sample_id.dtype == torch.int64
    plain = next(iter(loader_of(build, AUGMENTED)))
    assert plain.x.is_contiguous()
    assert torch.equal(plain.x, batch.x)


@pytest.mark.parametrize("resident", [True, False])
def test_a_batch_stays_what_it_was(build, resident):
    loader = loader_of(build, {**AUGMENTED, "resident": resident, "num_workers": 0})
    first, second = itertools.islice(loader, 2)
    assert_same(first, next(iter(loader)))
    assert not torch.equal(first.x, second.x)


class Growing:
    """An order whose length differs between epochs, and that notes when it is asked."""

    def __init__(self):
        self.asked = []

    def num_samples(self, epoch):
        return 10 + epoch

    def ids(self, epoch):
        self.asked.append(epoch)
        return torch.arange(10 + epoch)


@pytest.mark.parametrize("resident", [True, False])
def test_nothing_is_computed_before_the_first_batch(build, resident):
    order = Growing()
    assert isinstance(order, EpochOrder)
    loader = loader_of(build, {**AUGMENTED, "resident": resident, "num_workers": 0}, batch_size=4, order=order)
    iterator = iter(loader)
    loader.sampler.set_epoch(7)
    assert len(loader) == 4  # 17 samples: the one left over joins the batch before
    assert order.asked == []
    next(iterator)
    assert order.asked == [7]


def test_the_last_batch_may_be_left_out(build):
    order = Growing()
    whole, dropped = (loader_of(build, AUGMENTED, 4, order, drop_last=drop) for drop in (False, True))
    for epoch, (num_whole, num_dropped) in enumerate([(3, 2), (3, 2), (3, 3), (3, 3)]):
        whole.set_epoch(epoch)
        dropped.set_epoch(epoch)
        assert (len(whole), len(dropped)) == (num_whole, num_dropped)
        assert (len(list(whole)), len(list(dropped))) == (num_whole, num_dropped)


@pytest.mark.parametrize("resident", [True, False])
def test_no_samples_are_no_batches(build, resident):
    recipe = {**STATISTICS, "resident": resident, "num_workers": 0, "validation_fraction": 0.0}
    loader = prepare(build.ArrayData(**recipe)).eval_loader("validation", 4)
    assert len(loader) == len(list(loader)) == 0


@pytest.mark.parametrize(("size", "drop_last"), [(0, False), (2.5, False), (True, False), (61, True)])
def test_impossible_batch_sizes_are_refused(build, size, drop_last):
    with pytest.raises(ConfigError, match="batch"):
        loader_of(build, AUGMENTED, size, drop_last=drop_last)


@pytest.mark.parametrize("recipe", [{**AUGMENTED, "resident": True}, {**CROPPED, "num_workers": 0}])
def test_global_random_state_is_neither_read_nor_changed(build, recipe):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = build.batches(loader_of(build, recipe))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert_same(first, build.batches(loader_of(build, recipe)))


def test_shuffled_is_a_function_of_seed_and_epoch():
    ids = torch.tensor([3, 5, 8, 13, 21])
    order = Shuffled(ids, seed=4)
    assert order.num_samples(9) == 5
    assert torch.equal(order.ids(9), ids[permutation(5, 4, "order", 9)])
    assert torch.equal(order.ids(9), Shuffled(ids, seed=4).ids(9))
    assert len({tuple(order.ids(epoch).tolist()) for epoch in range(8)}) > 4


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_is_one_line(build, parquet_root, workers):
    from secateur.data.parquet import ParquetData

    contents = [build.encode(build.random_array(seed)) for seed in range(6)]
    contents[4] = b"not an image"
    build.write_parquet(parquet_root / "train.parquet", contents, [0, 1] * 3, ["cat", "dog"])
    recipe = ParquetData(root=parquet_root, validation_fraction=0, resident=False, num_workers=workers, **STATISTICS)
    data = prepare(recipe)
    with pytest.raises(DataError, match=r"train\.parquet row 4") as caught:
        list(data.eval_loader(torch.arange(6), 2))
    assert "\n" not in str(caught.value)


# -- several processes ---------------------------------------------------------------------------------------------


@pytest.fixture(params=[{"resident": True}, {"resident": False, "num_workers": 0}], ids=["resident", "streaming"])
def make_loader(request, build):
    def make(part=(0, 1), batch_size=8):
        loader = loader_of(build, {**AUGMENTED, **request.param}, batch_size)
        loader.settings = dataclasses.replace(loader.settings, part=part)
        loader.set_epoch(2)
        return loader

    return make


@pytest.mark.parametrize(("parts", "batch_size"), [(2, 8), (3, 7), (4, 3)])
def test_the_slices_of_a_batch_are_the_batch_in_order(make_loader, parts, batch_size):
    """60 samples; with slices that differ in size, and with some that are empty."""
    whole = [Batch(*map(torch.clone, batch)) for batch in make_loader(batch_size=batch_size)]
    slices = [
        [Batch(*map(torch.clone, batch)) for batch in make_loader((part, parts), batch_size)] for part in range(parts)
    ]
    assert {len(found) for found in slices} == {len(whole)} == {len(make_loader((0, parts), batch_size))}
    for batch, *found in zip(whole, *slices, strict=True):
        assert_same(batch, map(torch.cat, zip(*found, strict=True)))


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_divided_reads_the_images_of_its_own_batches_only(make_loader, parts):
    """Eight batches; with nine processes one has none."""
    whole = [Batch(*map(torch.clone, batch)) for batch in make_loader()]
    assert len(whole) == 8
    for part in range(parts):
        for number, batch in enumerate(make_loader().divided(part, parts)):
            assert torch.equal(batch.y, whole[number].y)
            assert torch.equal(batch.sample_id, whole[number].sample_id)
            if number % parts == part:
                assert torch.equal(batch.x, whole[number].x)
            else:
                assert batch.x.shape == (0, *whole[0].x.shape[1:])


def test_divided_reads_nothing_else(make_loader, monkeypatch):
    loader, read = make_loader(), []
    pixels = loader._pixels
    monkeypatch.setattr(loader, "_pixels", lambda epoch, batches: read.extend(batches) or pixels(epoch, batches))
    assert len(list(loader.divided(1, 3))) == 8
    assert len(read) == 3  # batches 1, 4 and 7


def test_workers_serve_one_divided_pass_after_the_other(build):
    loader = loader_of(build, {**STATISTICS, "resident": False, "num_workers": 2}, 8)
    first, second = ([batch.x.clone() for batch in loader.divided(1, 2)] for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
