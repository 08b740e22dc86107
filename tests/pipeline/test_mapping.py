"""Means of groups: of stored features as of a pass over the pool, in whatever portions they come."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from secateur.core.store import Store
from secateur.data.prepare import prepare
from secateur.pipeline import embeddings
from secateur.pipeline.config import build, canonical, resolve
from secateur.pipeline.context import Context
from secateur.pipeline.embeddings import embed
from secateur.pipeline.mapping import class_groups, cluster_groups, group_means
from secateur.pipeline.paths import CONF
from secateur.pipeline.surrogate import surrogate

pytestmark = pytest.mark.slow
SMALL = ("method=feature_mapping", "data.first=120", "trainer.max_epochs=1")


@pytest.fixture
def context(tmp_path):
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = canonical(resolve(compose("config", [*SMALL, f"paths.output_dir={tmp_path}"])))
    GlobalHydra.instance().clear()
    console = Console(quiet=True)
    return Context(config, prepare(build(config["data"])), Store(tmp_path / "store", console.print), console)


def spent(context, stage):
    return [found.samples_forward for found in context.ledger.stages if found.stage == stage]


def test_stored_features_have_the_means_of_another_pass_to_the_last_bit(context, monkeypatch):
    monkeypatch.setattr(embeddings, "CHUNK", 7)  # 108 samples: the last portion is smaller
    network = surrogate(context)
    groups = cluster_groups(context, network, 5, "lloyd")
    stored = group_means(context, network, groups, 5, stored=True)
    passed = group_means(context, network, groups, 5)
    assert stored.dtype == torch.float64
    assert torch.equal(stored, passed)
    features = embed(context, network).embeddings.double()
    slow = torch.stack([features[groups == group].mean(0) for group in range(5)])
    assert torch.allclose(stored, slow, rtol=1e-12, atol=0)
    assert (spent(context, "embeddings"), spent(context, "group_means")) == ([108], [0, 108])


def test_means_by_class_keep_no_features(context):
    group_means(context, surrogate(context), class_groups(context), 10)
    assert (spent(context, "embeddings"), spent(context, "group_means")) == ([], [108])
