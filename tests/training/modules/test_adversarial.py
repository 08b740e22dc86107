"""Adversarial training: what a step computes, that it resumes bit by bit, what it costs, and that it helps."""

import dataclasses
import itertools

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch.nn import functional as F

from secateur.core.errors import ConfigError
from secateur.data.augment import Normalization
from secateur.data.batch import Batch
from secateur.data.order import Shuffled
from secateur.dynamic.infobatch import InfoBatch
from secateur.models.small_cnn import SmallCNN
from secateur.runs.cost import recording_cost, training_cost
from secateur.runs.modules import make_module
from secateur.runs.paradigms import passes_of, recording_passes_of
from secateur.runs.paths import CONF
from secateur.scores.dynamic_uncertainty import DynamicUncertainty, dynamic_uncertainty
from secateur.scores.entropy import Entropy
from secateur.training.attacks import kl_divergence
from secateur.training.callbacks.metrics import EpochMetrics
from secateur.training.callbacks.recorder import ScoreRecorder
from secateur.training.evaluate import evaluate
from secateur.training.fit import fit
from secateur.training.modules.adversarial import AdversarialClassifier
from secateur.training.modules.classifier import Classifier
from secateur.training.recipe import Recipe
from secateur.training.sampling import Sampling
from secateur.training.settings import TrainerSettings

EPOCHS = 3
GLOBAL_SEEDS = itertools.count(1)
PGD = {
    **{"objective": "pgd", "beta": None, "eps": 0.1, "step_size": 0.04, "num_steps": 3, "norm": "linf"},
    **{"random_start": True, "record": "adversarial", "eval_eps": None, "eval_step_size": 0.02, "eval_steps": 8},
}
TRADES = {**PGD, "objective": "trades", "beta": 4.0}
NORMALIZATION = Normalization((0.3, 0.4), (0.2, 0.5))
RECIPE = Recipe(optimizer="sgd", lr=0.1, batch_size=50, momentum=0.9, schedule="onecycle", peak_fraction=0.3)


class DropoutCNN(SmallCNN):
    """Draws random numbers in the model itself, as long as it is in training mode."""

    def features(self, x):
        return F.dropout(super().features(x), 0.2, self.training)


class Killed(pl.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch):
        self.moment = (epoch, 1)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.moment:
            raise InterruptedError


def small(model=SmallCNN, channels=2, classes=3, width=4):
    torch.manual_seed(0)
    return model(num_classes=classes, in_channels=channels, width=width)


def module_of(settings=PGD, model=None, recipe=RECIPE, seed=0, sampling=None, normalization=NORMALIZATION, **changed):
    settings = {**settings, **changed}
    return AdversarialClassifier(model or small(), recipe, 4, seed, sampling, normalization=normalization, **settings)


@pytest.fixture
def batch():
    """Normalized images of two channels, black and white among their pixels."""
    draw = torch.Generator().manual_seed(0)
    pixels = (1.4 * torch.rand(9, 2, 6, 6, generator=draw) - 0.2).clamp(0, 1)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (NORMALIZATION.mean, NORMALIZATION.std))
    return Batch((pixels - mean) / std, torch.arange(9) % 3, torch.arange(9))


def seen_by(model):
    """Record the (images, training mode, gradients) of every pass through a network."""
    passes = []
    inner = model.features

    def features(x):
        passes.append((x.detach().clone(), model.training, torch.is_grad_enabled()))
        return inner(x)

    model.features = features
    return passes


# -- a step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacked_images_stay_in_ball_and_box_in_pixels(batch, norm):
    module = module_of(norm=norm)
    passes = seen_by(module.model)
    module.training_step(batch, 0)

    def pixels(x):
        return x * module.std + module.mean

    for x, _, _ in passes:
        offset = (pixels(x) - pixels(batch.x)).flatten(1)
        size = offset.abs().amax(dim=1) if norm == "linf" else offset.norm(dim=1)
        assert float(size.max()) <= 0.1 + 1e-6
        assert pixels(x).min() >= -1e-6
        assert pixels(x).max() <= 1 + 1e-6
    if norm == "linf":  # eps is reached in both channels, though their deviations differ
        reached = (pixels(passes[-1][0]) - pixels(batch.x)).abs().amax(dim=(0, 2, 3))
        assert reached.tolist() == pytest.approx([0.1, 0.1], abs=1e-6)


def test_pgd_is_the_cross_entropy_of_the_attacked_images(batch):
    module = module_of(recipe=dataclasses.replace(RECIPE, label_smoothing=0.1))
    passes = seen_by(module.model)
    result = module.training_step(batch, 0)
    x, training, _ = passes[-1]
    assert training
    assert not torch.equal(x, batch.x)
    logits = small()(x)
    targets = F.one_hot(batch.y, 3) * 0.9 + 0.1 / 3
    assert torch.allclose(result["loss"], -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean(), atol=1e-6)
    assert torch.allclose(result["logits"], logits, atol=1e-6)
    assert result["features"].shape == (9, 8)
    assert not result["logits"].requires_grad
    assert result["loss"].requires_grad


@pytest.mark.parametrize("record", ["clean", "adversarial"])
def test_trades_is_both_images(batch, record):
    module = module_of(TRADES, record=record)
    passes = seen_by(module.model)
    result = module.training_step(batch, 0)
    (clean_x, *_), (attacked_x, *_) = passes[-2:]
    assert torch.equal(clean_x, batch.x)
    model = small()
    clean, attacked = model(clean_x), model(attacked_x)
    expected = F.cross_entropy(clean, batch.y) + 4 * kl_divergence(clean, attacked).mean()
    assert torch.allclose(result["loss"], expected, atol=1e-6)
    assert torch.allclose(result["logits"], clean if record == "clean" else attacked, atol=1e-6)


def test_trades_learns_through_both_images(batch):
    module = module_of(TRADES)
    passes = seen_by(module.model)
    module.training_step(batch, 0)["loss"].backward()
    model = small()
    clean, attacked = model(batch.x), model(passes[-1][0])
    (F.cross_entropy(clean, batch.y) + 4 * kl_divergence(clean, attacked).mean()).backward()
    for mine, theirs in zip(module.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-6)


def test_pgd_records_clean_images_by_a_pass_of_their_own(batch):
    module = module_of(record="clean")
    result = module.training_step(batch, 0)
    model = small().eval()
    assert torch.allclose(result["logits"], model(batch.x), atol=1e-6)
    assert torch.allclose(result["features"], model.features(batch.x), atol=1e-6)
    assert torch.equal(result["loss"], module_of().training_step(batch, 0)["loss"])


@pytest.mark.parametrize("settings", [PGD, TRADES])
@pytest.mark.parametrize("record", ["clean", "adversarial"])
@pytest.mark.parametrize("num_steps", [1, 4])
def test_the_passes_are_those_that_are_made(batch, settings, record, num_steps):
    module = module_of(settings, record=record, num_steps=num_steps)
    passes = seen_by(module.model)
    module.training_step(batch, 0)
    assert module.passes.forward == len(passes)
    assert module.passes.backward == sum(gradients for *_, gradients in passes)


def test_passes_by_hand():
    assert module_of(num_steps=10).passes == (11, 11)
    assert module_of(num_steps=10, record="clean").passes == (12, 11)
    assert module_of(TRADES, num_steps=10).passes == (13, 12)
    assert module_of(num_steps=0).passes == module_of(eps=0.0).passes == (1, 1)
    assert Classifier(small(), RECIPE, 1, 0).passes == (1, 1)


@pytest.mark.parametrize("settings", [PGD, TRADES, {**PGD, "record": "clean"}])
def test_the_attack_leaves_no_trace(batch, settings):
    """Running statistics move once per training pass; gradients come from the loss alone; modes come back."""
    module = module_of(settings)
    frozen = module.model.body[4].eval()
    passes = seen_by(module.model)
    module.training_step(batch, 0)
    assert all(parameter.grad is None for parameter in module.parameters())
    trained = [x for x, training, _ in passes if training]
    assert len(trained) == (2 if settings is TRADES else 1)
    assert not any(training for _, training, _ in passes[: -len(trained)])
    expected = small()
    expected.body[4].eval()
    for x in trained:
        expected(x)
    for name, values in module.model.state_dict().items():
        assert torch.allclose(values, expected.state_dict()[name], atol=1e-6), name
    assert module.model.body[1].num_batches_tracked == len(trained)
    assert module.model.training
    assert not frozen.training


def test_without_steps_it_is_the_plain_classifier(batch):
    plain = Classifier(small(), RECIPE, 4, 0).training_step(batch, 0)
    idle = module_of(num_steps=0).training_step(batch, 0)
    assert all(torch.equal(idle[key], plain[key]) for key in ("loss", "logits", "features"))


def test_the_start_follows_seed_and_step_alone(batch):
    def loss(seed, step):
        torch.manual_seed(next(GLOBAL_SEEDS))
        return module_of(seed=seed).training_step(batch, step)["loss"].item()

    assert loss(0, 0) == loss(0, 0)
    assert len({loss(0, 0), loss(0, 1), loss(1, 0)}) == 3


def test_a_policy_weighs_the_attacked_losses(batch):
    seen = {}

    class Policy:
        def observe(self, rows, losses):
            seen["losses"] = losses

        def weights(self, rows):
            return (rows < 3).float() * 3

    for settings in (PGD, TRADES):
        plain = module_of(settings).training_step(batch, 0)["loss"]
        weighed = module_of(settings, sampling=Sampling(Policy(), torch.arange(9), 5)).training_step(batch, 0)["loss"]
        assert torch.allclose(seen["losses"].mean(), plain)
        assert torch.allclose(weighed, seen["losses"][:3].mean())
        assert not torch.allclose(weighed, plain)


# -- a training ----------------------------------------------------------------------------------------------------


@pytest.fixture
def train(digits):
    """Train on 200 digits in a folder, resuming what lies there; return module and metrics."""

    def train_in(folder, settings=PGD, *callbacks, model=SmallCNN, infobatch=False, max_epochs=EPOCHS, width=4):
        network = small(model, channels=1, classes=10, width=width)
        torch.manual_seed(next(GLOBAL_SEEDS))  # nothing below may depend on the global stream
        rule = InfoBatch(200, pruning_ratio=0.5, num_epochs=max_epochs, seed=3) if infobatch else None
        sampling = Sampling(rule, digits.pool, num_keep=110) if rule else None
        loader = digits.train_loader(sampling or Shuffled(digits.pool, 1), RECIPE.batch_size, seed=1)
        common = {"num_epochs": max_epochs, "seed": 1, "sampling": sampling}
        if settings is None:
            module = Classifier(network, RECIPE, **common)
        else:
            module = AdversarialClassifier(network, RECIPE, **common, normalization=digits.normalization, **settings)
        metrics = EpochMetrics({"test": lambda: digits.eval_loader("test", 512)}, digits.num_classes)
        fit(
            *(module, loader, TrainerSettings(max_epochs=max_epochs, accelerator="cpu"), folder),
            [metrics, *([sampling] if sampling else []), *callbacks],
            max_epochs=max_epochs,
            reload_every_epoch=infobatch,
        )
        return module, metrics

    return train_in


@pytest.mark.parametrize(
    ("settings", "model", "infobatch"),
    [(PGD, DropoutCNN, False), ({**TRADES, "norm": "l2"}, DropoutCNN, False), (PGD, SmallCNN, True)],
)
def test_an_interrupted_training_ends_like_an_undisturbed_one(digits, train, tmp_path, settings, model, infobatch):
    def recorder():
        return ScoreRecorder(
            {"score": DynamicUncertainty(window=2, skip_last=0, record="train_forward")}, sample_ids=digits.pool
        )

    def run(folder, *callbacks):
        return train(folder, settings, *callbacks, model=model, infobatch=infobatch)

    recorders = [] if infobatch else [recorder() for _ in range(3)]  # infobatch does not visit every sample
    whole, part, rest = ([one] for one in recorders) if recorders else ([], [], [])
    (undisturbed, rows) = run(tmp_path / "a", *whole)
    with pytest.raises(InterruptedError):
        run(tmp_path / "b", *part, Killed(epoch=1))
    (resumed, others) = run(tmp_path / "b", *rest)
    weights = resumed.state_dict()
    assert all(torch.equal(values, weights[name]) for name, values in undisturbed.state_dict().items())
    assert rows.rows == others.rows
    for one, other in zip(whole, rest, strict=True):
        assert torch.equal(one.compute()["score"].score, other.compute()["score"].score)


def test_adversarial_training_makes_robust(digits, train, tmp_path):
    wide = {"eps": 0.15, "step_size": 0.06}
    judge = module_of(model=small(channels=1, classes=10), normalization=digits.normalization, **wide)
    clean, robust = {}, {}
    for name, settings in {"plain": None, "pgd": {**PGD, **wide}, "trades": {**TRADES, **wide}}.items():
        module, metrics = train(tmp_path / name, settings, max_epochs=12, width=16)
        judge.model = module.model
        clean[name], robust[name] = (
            metrics.last["test"].accuracy,
            judge.robust_accuracy(digits.eval_loader("test", 512)),
        )
    assert all(robust[name] < clean[name] for name in clean)
    assert min(clean.values()) > 0.65
    assert min(robust["pgd"], robust["trades"]) > robust["plain"] + 0.15


@pytest.mark.parametrize("settings", [PGD, TRADES])
def test_scores_of_clean_and_of_attacked_images_differ(digits, train, tmp_path, settings):
    tables = {}
    for record in ("clean", "adversarial"):
        score = DynamicUncertainty(window=2, skip_last=0, record="train_forward")
        recorder = ScoreRecorder({"score": score}, sample_ids=digits.pool)
        train(tmp_path / record, {**settings, "record": record}, recorder)
        tables[record] = recorder.compute()["score"]
        assert torch.isfinite(tables[record].score).all()
    assert not torch.equal(tables["clean"].score, tables["adversarial"].score)
    confidence = {record: float(table.column("mean_probability").mean()) for record, table in tables.items()}
    assert confidence["clean"] > confidence["adversarial"]


class AttackByHand(pl.Callback):
    """Attacks all images at the end of every epoch by a slow loop of its own, and keeps the labels' probabilities."""

    def __init__(self, digits):
        self.batch, self.probs = next(iter(digits.eval_loader(digits.pool, len(digits.pool)))), []

    def on_train_epoch_end(self, trainer, pl_module):
        x, y, _ = self.batch
        modes = [(module, module.training) for module in pl_module.modules()]
        pl_module.eval()
        clean = near = x * pl_module.std + pl_module.mean
        for _ in range(PGD["num_steps"]):
            near = near.detach().requires_grad_()
            loss = F.cross_entropy(pl_module((near - pl_module.mean) / pl_module.std), y, reduction="sum")
            near = near + PGD["step_size"] * torch.autograd.grad(loss, near)[0].sign()
            near = near.clamp(clean - PGD["eps"], clean + PGD["eps"]).clamp(0, 1)
        with torch.no_grad():
            logits = pl_module((near - pl_module.mean) / pl_module.std)
        self.probs.append(logits.softmax(dim=1).gather(1, y[:, None]).squeeze(1))
        for module, mode in modes:
            module.training = mode


def eval_pass_recorder(digits, batch_size=300):
    scores = {"score": DynamicUncertainty(window=2, skip_last=0), "final": Entropy()}
    loader = lambda: digits.eval_loader(digits.pool, batch_size)  # noqa: E731
    return ScoreRecorder(scores, sample_ids=digits.pool, eval_loader=loader)


def test_an_evaluation_pass_attacks_the_images_that_it_records(digits, train, tmp_path):
    recorder, by_hand = eval_pass_recorder(digits), AttackByHand(digits)
    module, _ = train(tmp_path, {**PGD, "random_start": False}, recorder, by_hand)
    expected = dynamic_uncertainty(torch.stack(by_hand.probs), window=2, skip_last=0)
    score = recorder.compute()["score"].score
    assert float((score - expected).abs().median()) < 1e-5
    assert float((score - expected).abs().max()) < 0.02  # the sign of a gradient near 0 depends on the batch
    num_samples = len(digits.pool)
    assert (recorder.forward_samples, recorder.final_samples) == (EPOCHS * num_samples, num_samples)
    assert module.recording_passes == (PGD["num_steps"] + 1, PGD["num_steps"])


@pytest.mark.parametrize("settings", [PGD, TRADES])
def test_evaluation_passes_see_what_record_says(digits, train, tmp_path, settings):
    tables = {}
    for record in ("clean", "adversarial"):
        recorder = eval_pass_recorder(digits)
        module, _ = train(tmp_path / record, {**settings, "record": record}, recorder, max_epochs=2)
        tables[record] = recorder.compute()
        state = module.model.state_dict()
        assert module.recording_passes == ((1, 0) if record == "clean" else (4, 3))
        if record == "adversarial":
            again = eval_pass_recorder(digits)
            repeated, _ = train(tmp_path / "again", {**settings, "record": record}, again, max_epochs=2)
            assert torch.equal(again.compute()["score"].score, tables[record]["score"].score)
            assert all(torch.equal(values, state[name]) for name, values in repeated.model.state_dict().items())
    for name in ("score", "final"):
        assert not torch.equal(tables["clean"][name].score, tables["adversarial"][name].score)
    confidence = {record: float(t["score"].column("mean_probability").mean()) for record, t in tables.items()}
    assert confidence["clean"] > confidence["adversarial"]


# -- robust accuracy -----------------------------------------------------------------------------------------------


def test_robust_accuracy_is_the_accuracy_on_attacked_images(digits):
    module = module_of(model=small(channels=1, classes=10), normalization=digits.normalization)
    loader = digits.eval_loader("test", 100)
    before = {name: values.clone() for name, values in module.state_dict().items()}
    torch.manual_seed(next(GLOBAL_SEEDS))
    first = module.robust_accuracy(loader)
    assert first == module.robust_accuracy(loader)
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert module.model.training
    clean = evaluate(module.model, loader, 10).accuracy
    assert first < clean
    for weaker in ({"eval_eps": 0.0}, {"eval_step_size": 0.0, "eval_eps": 1e-7}):
        idle = module_of(model=module.model, normalization=digits.normalization, **weaker)
        assert idle.robust_accuracy(loader) == clean


def test_the_evaluations_attack_has_its_own_settings():
    module = module_of(eval_eps=0.05, eval_step_size=None, eval_steps=7, random_start=False)
    attack = module.eval_attack
    assert (attack.eps, attack.step_size, attack.num_steps, attack.random_start) == (0.05, 0.04, 7, True)
    assert module_of(eval_eps=None).eval_attack.eps == 0.1


# -- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"objective": "mart"}, "paradigm.objective must be one of pgd, trades, got 'mart'"),
        ({"record": "both"}, "paradigm.record must be one of clean, adversarial, got 'both'"),
        ({"beta": 5.0}, r"objective=pgd does not read beta, got 5\.0\. Set paradigm\.beta=null"),
        ({"objective": "trades"}, r"objective=trades needs a paradigm\.beta above 0, got None"),
        ({"objective": "trades", "beta": 5.0, "random_start": False}, "no gradient at the clean image"),
        ({"objective": "trades", "beta": 5.0, "num_steps": 0}, "num_steps above 0"),
        ({"eps": 8.0}, "eps is in pixel units"),
        ({"eval_steps": 0}, "eval_steps must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_or_without_a_network(changed, complaint):
    with pytest.raises(ConfigError, match=complaint):
        module_of(**changed)
    node = {
        **PGD,
        **changed,
        "_target_": "secateur.training.modules.adversarial.AdversarialClassifier",
        "_partial_": True,
    }
    with pytest.raises(ConfigError, match=complaint):
        passes_of(node)


# -- in the pipeline -----------------------------------------------------------------------------------------------


def node_of(option):
    return OmegaConf.to_container(OmegaConf.load(CONF / "paradigm" / f"{option}.yaml"))


@pytest.fixture
def context(digits):
    """What of a run the builders and the ledger read."""

    class Run:
        data = digits
        trainer = TrainerSettings(max_epochs=1, accelerator="cpu")

        def flops(self, node):
            return 7.1

    return Run()


def test_only_who_asks_for_the_normalization_gets_it(context):
    for option, kind in (("supervised", Classifier), ("adversarial", AdversarialClassifier)):
        module = make_module(context, node_of(option), small(channels=1), RECIPE, num_epochs=3, seed=5)
        assert type(module) is kind
        assert (module.num_epochs, module.seed) == (3, 5)
    assert module.mean.flatten().tolist() == pytest.approx(context.data.mean)
    assert module.std.flatten().tolist() == pytest.approx(context.data.std)
    assert "mean" not in module.state_dict()


def test_a_node_and_a_module_that_say_nothing_pass_once():
    assert passes_of(node_of("supervised")) == passes_of(object()) == (1, 1)
    assert recording_passes_of(node_of("supervised")) == recording_passes_of(object()) == (1, 0)


def test_the_ledger_counts_every_pass(context):
    metrics = EpochMetrics({}, 10)
    metrics.rows = [{"num_samples": 200}, {"num_samples": 100}]
    plain = training_cost(context, "scoring", "model", metrics, forward_only=50)
    assert (plain.samples_forward, plain.samples_backward) == (350, 300)
    assert plain.flops == 3.0 * 300 * 1 * 7.1 + 50 * 7.1
    module = module_of(TRADES, num_steps=10)
    recorded = training_cost(context, "scoring", "model", metrics, forward_only=50, recording=module.recording_passes)
    assert (recorded.samples_forward, recorded.samples_backward) == (300 + 50 * 11, 300 + 50 * 10)
    assert recorded.flops == pytest.approx(plain.flops + 50 * (10 + 2 * 10) * 7.1)
    one_pass = recording_cost(context, "scoring_final_pass", "model", 50, module.recording_passes)
    assert (one_pass.samples_forward, one_pass.samples_backward) == (550, 500)
    assert one_pass.flops == pytest.approx(50 * (11 + 2 * 10) * 7.1)
    attacked = training_cost(context, "training", "model", metrics, passes=module_of(TRADES, num_steps=10).passes)
    assert (attacked.samples_forward, attacked.samples_backward) == (3900, 3600)
    assert attacked.flops == pytest.approx((3900 + 2 * 3600) * 7.1)


@pytest.mark.parametrize(
    ("option", "passes", "objective"),
    [("adversarial", (13, 12), "trades"), ("adversarial_dp4tl", (4, 4), "pgd")],
)
def test_the_shipped_options_are_the_papers(context, option, passes, objective):
    module = make_module(context, node_of(option), small(channels=1, classes=10), RECIPE, num_epochs=1, seed=0)
    assert (module.passes, module.objective) == (passes, objective)
    assert passes_of(node_of(option)) == passes_of(module) == passes
    assert recording_passes_of(node_of(option)) == module.recording_passes
    assert module.attack.step_size * 255 == pytest.approx(2)
    assert module.attack.eps * 255 == pytest.approx(8 if option == "adversarial" else 3)
