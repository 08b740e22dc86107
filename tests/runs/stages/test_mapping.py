"""Means of groups and rankings, of stored features or of a pass: in whatever order and portions the images come."""

from functools import partial

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from secateur.core.store import StageResult, Store
from secateur.data.prepared import prepare
from secateur.mapping.feature_mapping import FeatureVotes
from secateur.mapping.keep import Keep, group_mask
from secateur.mapping.label_mapping import LabelVotes
from secateur.runs.compose import resolve
from secateur.runs.context import Context
from secateur.runs.keys import canonical
from secateur.runs.nodes import build
from secateur.runs.paths import CONF
from secateur.runs.pools import prepare_downstream
from secateur.runs.stages import embeddings, mapping
from secateur.runs.stages.embeddings import embed
from secateur.runs.stages.mapping import Voting, class_groups, cluster_groups, downstream_ranking, group_means
from secateur.runs.stages.surrogate import surrogate

pytestmark = pytest.mark.slow
SMALL = ("method=feature_mapping", "data.first=120", "trainer.max_epochs=1")


def context_of(folder, *overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = canonical(resolve(compose("config", [*SMALL, *overrides, f"paths.output_dir={folder}"])))
    GlobalHydra.instance().clear()
    console = Console(quiet=True)
    data = prepare(build(config.data))
    downstream = prepare_downstream(build(config.downstream), data) if config.downstream else None
    return Context(config, data, Store(folder / "store", console.print), console, downstream=downstream)


@pytest.fixture
def context(tmp_path):
    return context_of(tmp_path)


def spent(context, stage):
    return [found.samples_forward for found in context.ledger.stages if found.stage == stage]


def test_stored_features_have_the_means_of_another_pass_to_the_last_bit(context, monkeypatch):
    monkeypatch.setattr(embeddings, "CHUNK", 7)  # 120 samples: the last portion is smaller
    network = surrogate(context)
    groups = cluster_groups(context, network, 5, "lloyd")
    stored = group_means(context, network, groups, 5, stored=True)
    passed = group_means(context, network, groups, 5)
    assert stored.dtype == torch.float64
    assert torch.equal(stored, passed)
    features = embed(context, network).embeddings.double()
    slow = torch.stack([features[groups == group].mean(0) for group in range(5)])
    assert torch.allclose(stored, slow, rtol=1e-12, atol=0)
    assert (spent(context, "embeddings"), spent(context, "group_means")) == ([120], [0, 120])


def test_what_is_forced_is_passed_once_all_the_same(tmp_path, monkeypatch):
    context = context_of(tmp_path, "force=all")
    passes, plain = [], embeddings.forward_pass
    monkeypatch.setattr(embeddings, "forward_pass", lambda *args: passes.append(1) or plain(*args))
    network = surrogate(context)
    group_means(context, network, cluster_groups(context, network, 5, "lloyd"), 5, stored=True)
    assert len(passes) == 1


def test_means_by_class_keep_no_features(context):
    group_means(context, surrogate(context), class_groups(context), 10)
    assert (spent(context, "embeddings"), spent(context, "group_means")) == ([], [120])


# -- the order of the images, batches and workers ------------------------------------------------------------------


def archive(path, first, last, order=None):
    """Write some digits as the training split of an archive, in an order; return its path."""
    digits = load_digits()
    images, labels = np.round(digits.images * 255 / 16).astype(np.uint8), digits.target.astype(np.int64)
    rows = np.arange(first, last)[np.arange(last - first) if order is None else order]
    np.savez(path, x_train=images[rows], y_train=labels[rows], x_test=images[-50:], y_test=labels[-50:])
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A surrogate that is given: what is trained depends on the order it was trained in, and may."""
    folder = tmp_path_factory.mktemp("network")
    context = context_of(folder, "data.first=400")
    model = context.fresh_model("model", 3)
    save_file(model.state_dict(), folder / "model.safetensors")
    return StageResult(folder, reused=True, summary={})


def chosen(folder, network, kind, *overrides, source=None, downstream=None):
    """Return the ranking and the rows of the source that half of the classes keep."""
    root, target = archive(folder / "s.npz", 0, 300, source), archive(folder / "d.npz", 300, 400, downstream)
    context = context_of(
        folder,
        *("data=npz", f"data.root={root}", "data.first=null", "data.validation_fraction=0.0"),
        *("downstream=npz", f"downstream.root={target}", "downstream.validation_fraction=0.0", "finetune=full"),
        *("data.mean=[0.3]", "data.std=[0.4]", *overrides),
    )
    groups = class_groups(context)
    if kind == "label_mapping":
        counter, signal = partial(LabelVotes, 10), lambda step: step.logits
    else:
        counter = partial(FeatureVotes, group_means(context, network, groups, 10))
        signal = lambda step: step.features  # noqa: E731
    about = {"method": kind, "kind": "class", "tie_break": "soft"}
    ranking = downstream_ranking(context, context.downstream, Voting(network, counter, signal, groups, about))
    mask = group_mask(ranking, Keep()(ranking, 0.5), groups, context.data.pool)
    return ranking, mask.kept_ids


@pytest.mark.parametrize("kind", ["label_mapping", "feature_mapping"])
def test_no_order_of_source_or_downstream_images_changes_what_is_kept(tmp_path, network, kind):
    source, downstream = (np.random.default_rng(0).permutation(size) for size in (300, 100))
    places = {"plain": {}, "source": {"source": source}, "downstream": {"downstream": downstream}}
    found = {}
    for name, orders in places.items():
        (tmp_path / name).mkdir()
        found[name] = chosen(tmp_path / name, network, kind, **orders)
    ranking, kept = found["plain"]
    assert int(ranking.votes.sum()) == 100
    assert 0 < len(kept) < 300
    for name in ("source", "downstream"):
        assert torch.equal(found[name][0].votes, ranking.votes)
        assert torch.equal(found[name][0].order, ranking.order)
    assert torch.equal(found["downstream"][1], kept)
    assert sorted(source[found["source"][1].numpy()].tolist()) == kept.tolist()  # the same images, under other ids


@pytest.mark.parametrize("kind", ["label_mapping", "feature_mapping"])
def test_no_batch_size_and_no_number_of_workers_changes_what_is_kept(tmp_path, network, kind, monkeypatch):
    ways = {"resident": (), "one": ("data.resident=false", "data.num_workers=0"), "two": ("data.resident=false",)}
    found = {}
    for name, overrides in ways.items():
        monkeypatch.setattr(mapping, "EVALUATION_BATCH", {"resident": 512, "one": 33, "two": 7}[name])
        (tmp_path / name).mkdir()
        workers = [override.replace("data.", "downstream.") for override in overrides]
        found[name] = chosen(tmp_path / name, network, kind, *overrides, *workers)
    ranking, kept = found["resident"]
    for name in ("one", "two"):
        assert torch.equal(found[name][0].votes, ranking.votes)
        assert torch.equal(found[name][0].order, ranking.order)
        assert torch.equal(found[name][1], kept)
