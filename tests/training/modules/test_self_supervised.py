"""Self-supervised pretraining: the papers' losses, nothing read from labels, and a resume that leaves no trace."""

import inspect
import math
import sys

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch.nn import functional as F

from secateur.core.errors import ConfigError
from secateur.data.augment import Normalization
from secateur.data.batch import Batch
from secateur.models.small_cnn import SmallCNN
from secateur.runs.nodes import build
from secateur.runs.paths import CONF
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.fit import fit
from secateur.training.modules.self_supervised import SelfSupervised
from secateur.training.modules.two_views import TwoViews
from secateur.training.monitor import FeatureMonitor, spread
from secateur.training.recipe import Recipe
from secateur.training.sampling import Sampling
from secateur.training.settings import TrainerSettings

EPOCHS = 4
METHODS = ["simsiam", "moco"]
SMALL = {"hidden_dim": 32, "projection_dim": 16, "prediction_dim": 8, "momentum": 0.9, "memory_size": 64}
NORMALIZATION = {1: Normalization((0.3,), (0.2,)), 3: Normalization((0.5, 0.4, 0.3), (0.2, 0.3, 0.25))}


class Loader:
    """Random coarse images in batches whose order changes from epoch to epoch; the last batch is smaller."""

    def __init__(self, channels=3, size=8, num_images=56, label=None):
        draw = torch.Generator().manual_seed(0)
        coarse = torch.rand(num_images, channels, 4, 4, generator=draw)
        self.x = (F.interpolate(coarse, (size, size), mode="nearest") - 0.4) / 0.25
        self.y = torch.full((num_images,), -1 if label is None else label)
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return -(-len(self.x) // 16)

    def __iter__(self):
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(self.epoch))
        for rows in order.split(16):
            yield Batch(self.x[rows], self.y[rows], rows)


class Killed(pl.Callback):
    """Raises in the middle of an epoch."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (2, 1):
            raise InterruptedError


def make(method="simsiam", channels=3, seed=1, lr=0.05, num_epochs=EPOCHS, **settings):
    torch.manual_seed(0)
    model = SmallCNN(num_classes=10, in_channels=channels, width=4)
    torch.manual_seed(99)
    recipe = Recipe(optimizer="sgd", lr=lr, batch_size=16, momentum=0.9, weight_decay=1e-4, schedule="constant")
    given = {"normalization": NORMALIZATION.get(channels), "views": TwoViews(), "method": method, **SMALL, **settings}
    return SelfSupervised(model, recipe, num_epochs, seed, **given)


def train(module, loader, folder, *callbacks, num_epochs=EPOCHS, every=1, monitor=None):
    metrics = EpochMetrics({}, 10, every, monitor=monitor)
    settings = TrainerSettings(max_epochs=num_epochs, accelerator="cpu")
    fit(module, loader, settings, folder, [metrics, *callbacks], max_epochs=num_epochs)
    return metrics


def assert_same(first, second):
    weights, others = first.state_dict(), second.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


# -- training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_the_loss_falls_and_nothing_collapses(tmp_path, method, channels, size):
    loader = Loader(channels, size)
    views = TwoViews(min_scale=0.7, jitter=0.0, grayscale=0.0)
    module = make(method, channels, num_epochs=20, views=views, memory_size=32, momentum=0.99)
    rows = train(module, loader, tmp_path, num_epochs=20).rows
    losses = [row["train_loss"] for row in rows]
    # until MoCo's queue is full of real keys its task is an easier one, so its loss rises first
    assert sum(losses[-3:]) / 3 < max(losses) - 0.3
    assert sum(losses[-3:]) / 3 < (-0.3 if method == "simsiam" else math.log(33) - 0.5)  # chance: 0, log(33)
    assert {row["num_samples"] for row in rows} == {56}
    with torch.no_grad():
        module.eval()
        assert spread(module.objective.project(module.model.features(loader.x))) > 0.3


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_training_ends_like_an_undisturbed_one(tmp_path, method):
    undisturbed, killed, resumed = make(method), make(method), make(method)
    rows = train(undisturbed, Loader(), tmp_path / "a").rows
    with pytest.raises(InterruptedError):
        train(killed, Loader(), tmp_path / "b", Killed())
    assert train(resumed, Loader(), tmp_path / "b").rows == rows
    assert_same(resumed, undisturbed)


@pytest.mark.parametrize("method", METHODS)
def test_a_monitor_leaves_no_trace_but_its_columns(tmp_path, method):
    plain, watched = make(method), make(method)
    rows = train(plain, Loader(), tmp_path / "a").rows
    monitor = FeatureMonitor(lambda: Loader(label=1), lambda: Loader(label=1))
    metrics = train(watched, Loader(), tmp_path / "b", every=3, monitor=monitor)
    assert_same(watched, plain)
    seen = [{key: row[key] for key in FeatureMonitor.columns} for row in metrics.rows]
    assert [row["knn_accuracy"] for row in seen] == [None, None, 1.0, 1.0]  # every third epoch, and the last
    assert all(0 < row["feature_spread"] < 1.5 for row in seen[2:])
    assert [{k: v for k, v in row.items() if k not in FeatureMonitor.columns} for row in metrics.rows] == rows
    header, *lines = metrics.save(tmp_path / "metrics.csv").read_text().splitlines()
    assert header.split(",")[-3:] == list(FeatureMonitor.columns)
    assert lines[0].endswith(",,,")


@pytest.mark.parametrize("method", METHODS)
def test_labels_are_not_read_and_the_seed_decides_everything(tmp_path, method):
    modules = [make(method), make(method), make(method, seed=2)]
    for number, module in enumerate(modules):
        train(module, Loader(label=number), tmp_path / str(number), num_epochs=1)
    assert_same(modules[0], modules[1])
    assert not torch.equal(modules[0].model.body[0].weight, modules[2].model.body[0].weight)


@pytest.mark.parametrize("method", METHODS)
def test_the_head_is_left_alone(tmp_path, method):
    module = make(method)
    before = {name: values.clone() for name, values in module.model.state_dict().items()}
    train(module, Loader(), tmp_path, num_epochs=1)
    after = module.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if not name.startswith("head.")}
    assert all(parameter.requires_grad for parameter in module.model.parameters())


def test_the_queue_and_the_key_encoder_are_in_the_checkpoint(tmp_path):
    module = make("moco")
    train(module, Loader(), tmp_path, num_epochs=1)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    bank = module.objective.contrast.memory_bank
    assert torch.equal(state["objective.contrast.memory_bank.bank"], bank.bank)
    assert state["objective.contrast.memory_bank.bank_ptr"].tolist() == [56]
    assert torch.equal(state["objective.key_model.body.0.weight"], module.objective.key_model.body[0].weight)


@pytest.mark.parametrize("method", METHODS)
def test_bf16_trains_too(tmp_path, method):
    metrics = EpochMetrics({}, 10)
    settings = TrainerSettings(max_epochs=1, accelerator="cpu", precision="bf16-mixed")
    fit(make(method), Loader(), settings, tmp_path, [metrics], max_epochs=1)
    assert metrics.rows[0]["train_loss"] < 10


# -- one step ------------------------------------------------------------------------------------------------------


def step(module, size=8):
    loader = Loader(size=size)
    return module.training_step(next(iter(loader)), 3)


def test_the_loss_of_simsiam_by_hand():
    module, twin = make("simsiam"), make("simsiam")
    output = step(module)
    first, second = twin.two_views(next(iter(Loader())).x, 3)
    f1, f2 = twin.model.features(first), twin.model.features(second)
    z1, z2 = twin.objective.project(f1), twin.objective.project(f2)
    p1, p2 = twin.objective.predict(z1), twin.objective.predict(z2)
    cosines = [(F.normalize(p, dim=1) * F.normalize(z, dim=1)).sum(dim=1).mean() for p, z in ((p1, z2), (p2, z1))]
    assert float(output["loss"].detach()) == pytest.approx(-float(sum(cosines).detach()) / 2, abs=1e-5)
    assert torch.allclose(output["features"], f1, atol=1e-6)
    assert not output["features"].requires_grad


def test_no_gradient_flows_through_the_other_view():
    module, twin = make("simsiam"), make("simsiam")
    step(module)["loss"].backward()
    first, second = twin.two_views(next(iter(Loader())).x, 3)
    z1, z2 = (twin.objective.project(twin.model.features(view)) for view in (first, second))
    for p, z in ((twin.objective.predict(z1), z2.detach()), (twin.objective.predict(z2), z1.detach())):
        (-0.5 * F.cosine_similarity(p, z).mean()).backward()
    for mine, expected in zip(module.model.body.parameters(), twin.model.body.parameters(), strict=True):
        assert torch.allclose(mine.grad, expected.grad, atol=1e-6)


def test_the_loss_of_moco_by_hand():
    module, twin = make("moco", temperature=0.3), make("moco")
    output = step(module)
    queue = twin.objective.contrast.memory_bank.bank.clone()
    first, second = twin.two_views(next(iter(Loader())).x, 3)
    queries = F.normalize(twin.objective.project(twin.model.features(first)), dim=1)
    keys = F.normalize(twin.objective.key_project(twin.objective.key_model.features(second)), dim=1)
    losses = []
    for query, key in zip(queries, keys, strict=True):
        logits = torch.cat([(query @ key)[None], queue @ query]) / 0.3
        losses.append(logits.logsumexp(dim=0) - logits[0])
    assert float(output["loss"].detach()) == pytest.approx(float(torch.stack(losses).mean().detach()), abs=1e-4)
    bank = module.objective.contrast.memory_bank
    assert torch.allclose(bank.bank[:16], keys, atol=1e-5)
    assert torch.equal(bank.bank[16:], queue[16:])


def test_the_key_encoder_follows_slowly():
    module = make("moco", momentum=0.75)
    with torch.no_grad():
        for parameter in module.model.body.parameters():
            parameter.add_(1.0)
    before = [parameter.clone() for parameter in module.objective.key_model.body.parameters()]
    step(module)
    for old, key, query in zip(
        before, module.objective.key_model.body.parameters(), module.model.body.parameters(), strict=True
    ):
        assert torch.allclose(key, 0.75 * old + 0.25 * query, atol=1e-6)
        assert not key.requires_grad


def test_views_are_made_in_pixel_space():
    """Off, they give the images back; on, they stay within what pixels can be after normalization."""
    x = next(iter(Loader())).x.clamp(-1.1, 1.9)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (NORMALIZATION[3].mean, NORMALIZATION[3].std))
    pixels = (x * std + mean).clamp(0, 1)
    x = (pixels - mean) / std
    off = TwoViews(min_scale=1.0, flip=0.0, jitter=0.0, grayscale=0.0)
    for view in make(views=off).two_views(x, 0):
        assert torch.allclose(view, x, atol=1e-5)
    for view in make().two_views(x, 0):
        back = view * std + mean
        assert -1e-5 <= float(back.min()) <= float(back.max()) <= 1 + 1e-5
        assert view.shape == x.shape


def test_every_step_has_its_own_views():
    x = next(iter(Loader())).x
    first, again, other = (make().two_views(x, number) for number in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(("method", "backward"), [("simsiam", 2), ("moco", 1)])
def test_the_passes_are_what_a_step_does(method, backward):
    module = make(method)
    assert module.passes == (2, backward)
    calls = []
    for network in {module.model, getattr(module.objective, "key_model", module.model)}:
        run = network.features
        network.features = lambda x, run=run: calls.append(torch.is_grad_enabled()) or run(x)
    module.objective(module.model, *module.two_views(next(iter(Loader())).x, 0))
    assert (len(calls), sum(calls)) == module.passes


@pytest.mark.parametrize("method", METHODS)
def test_the_optimizer_has_backbone_and_heads_but_no_key_encoder(method):
    module = make(method)
    (group,) = module.configure_optimizers().param_groups
    held = {id(parameter) for parameter in group["params"]}
    expected = {*module.model.body.parameters(), *module.objective.project.parameters()}
    expected |= set(module.objective.predict.parameters()) if method == "simsiam" else set()
    assert held == {id(parameter) for parameter in expected}


def test_making_a_module_does_not_touch_the_global_stream():
    before = torch.random.get_rng_state()
    make("moco")
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    recipe = Recipe(optimizer="sgd", lr=0.1, batch_size=16, schedule="constant")
    model = make().model
    torch.manual_seed(99)
    SelfSupervised(model, recipe, 1, 0, normalization=NORMALIZATION[3], views=TwoViews(), method="moco", **SMALL)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.random.set_rng_state(before)


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_shipped_configuration_makes_one(method):
    node = OmegaConf.to_container(OmegaConf.load(CONF / "paradigm" / "self_supervised.yaml"))
    given = {"model", "recipe", "num_epochs", "seed", "sampling", "normalization"}
    keys = {key for key in node if not key.startswith("_")}
    assert keys | given == set(inspect.signature(SelfSupervised).parameters)
    small = make()
    node = {**node, "method": method, "hidden_dim": 8}
    module = build(node)(small.model, small.recipe, num_epochs=2, seed=0, normalization=NORMALIZATION[3])
    assert module.views == TwoViews()
    width = 2048 if method == "simsiam" else 128
    assert module.objective.project(torch.rand(2, module.model.num_features)).shape == (2, width)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalization": None}, "needs the data's normalization"),
        ({"method": "byol"}, "paradigm.method must be simsiam or moco, got 'byol'"),
        ({"method": "moco", "memory_size": 15}, "memory_size=15 must hold a batch, optim.batch_size=16"),
        ({"method": "moco", "momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"method": "moco", "temperature": 0.0}, "temperature must be positive, got 0.0"),
        ({"sampling": Sampling(None, torch.arange(3), 2)}, "cannot train on a subset per epoch"),
    ],
)
def test_what_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_without_lightly_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightly", None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[ssl\]'"):
        make()
