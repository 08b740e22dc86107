"""PGD: never outside ball and box, as good as a slow loop, and no trace left in the network."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from secateur.core.errors import ConfigError, DataError
from secateur.models.small_cnn import SmallCNN
from secateur.training.attacks import Attack, cross_entropy_to, divergence_from, kl_divergence, pgd, project
from secateur.training.evaluate import evaluating

NORMS = ("linf", "l2")
BALL = {"eps": 0.1, "step_size": 0.03, "num_steps": 4}


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def images(num=5, seed=0, dtype=torch.float32):
    """Images that touch the edge of the box."""
    return (1.4 * torch.rand(num, 2, 4, 4, generator=draw(seed), dtype=dtype) - 0.2).clamp(0, 1)


def length(offset, norm):
    return offset.flatten(1).abs().amax(dim=1) if norm == "linf" else offset.flatten(1).norm(dim=1)


@pytest.fixture
def network():
    """With batch norm and dropout, in training mode."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(16, 3)
    )


# -- where the images end up ---------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 1000),
    norm=st.sampled_from(NORMS),
    eps=st.floats(0, 1),
    step_size=st.floats(0, 1),
    num_steps=st.integers(0, 3),
    random_start=st.booleans(),
)
def test_they_never_leave_ball_and_box(seed, norm, eps, step_size, num_steps, random_start):
    pixels, target = images(seed=seed), torch.tensor([0, 1, 2, 0, 1])
    weight = torch.randn(32, 3, generator=draw(seed))
    near = pgd(
        *(lambda x: x.flatten(1) @ weight, pixels, target),
        **{"eps": eps, "step_size": step_size, "num_steps": num_steps, "norm": norm},
        **{"random_start": random_start, "generator": draw(seed)},
    )
    assert near.shape == pixels.shape
    assert near.dtype == pixels.dtype
    assert not near.requires_grad
    assert bool((near >= 0).all() & (near <= 1).all())
    assert bool((length(near - pixels, norm) <= eps + 1e-6).all())


def test_a_projection_in_l2_has_the_radius_and_the_direction():
    pixels = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    offset = torch.tensor([[0.3, -0.1, 0.2, 0.1], [0.01, 0.0, -0.02, 0.01]], dtype=torch.float64).view(2, 1, 2, 2)
    projected = project(pixels + offset, pixels, 0.1, "l2") - pixels
    assert projected[0].norm() == pytest.approx(0.1)
    assert torch.allclose(F.cosine_similarity(projected.flatten(1), offset.flatten(1)), torch.ones(2).double())
    assert torch.allclose(projected[1], offset[1])  # inside: not moved
    assert torch.equal(project(pixels + offset, pixels, 0.0, "l2"), pixels)


def test_the_box_wins_over_the_ball():
    pixels = torch.tensor([0.02, 0.98]).view(1, 2, 1, 1)
    near = pgd(
        lambda x: x.flatten(1), pixels, torch.tensor([0]), eps=0.1, step_size=0.1, num_steps=1, random_start=False
    )
    assert near.flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_fill_the_ball(norm):
    pixels = torch.full((2000, 1, 1, 3), 0.5, dtype=torch.float64)
    start = pgd(
        *(lambda x: x.flatten(1), pixels, torch.zeros(2000, dtype=torch.int64)),
        **{"eps": 0.2, "step_size": 0.0, "num_steps": 1, "norm": norm, "generator": draw()},
    )
    shares = (length(start - pixels, norm) / 0.2) ** 3  # uniform in [0, 1] for uniform points of either ball
    assert torch.allclose(shares.sort().values, torch.linspace(0, 1, 2000).double(), atol=0.04)
    assert float((start - pixels).flatten(1).mean(dim=0).abs().max()) < 0.01


# -- what they are -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_it_is_the_slow_loop(network, norm):
    """One image after the other, one formula after the other."""
    network = network.double().eval()
    pixels, target = images(dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    got = pgd(network, pixels, target, **BALL, norm=norm, random_start=False)
    for row in range(len(pixels)):
        clean, near = pixels[row], pixels[row].clone()
        for _ in range(BALL["num_steps"]):
            leaf = near.clone().requires_grad_()
            probability = network(leaf[None]).softmax(dim=1)[0, target[row]]
            (-probability.log()).backward()
            step = leaf.grad.sign() if norm == "linf" else leaf.grad / leaf.grad.norm()
            near = near + BALL["step_size"] * step
            if norm == "linf":
                near = torch.minimum(torch.maximum(near, clean - BALL["eps"]), clean + BALL["eps"])
            elif (near - clean).norm() > BALL["eps"]:
                near = clean + BALL["eps"] * (near - clean) / (near - clean).norm()
            near = near.clamp(0, 1)
        assert torch.allclose(got[row], near, atol=1e-9)


@pytest.mark.parametrize("norm", NORMS)
def test_the_loss_rises(network, norm):
    network.eval()
    pixels, target = images(64), torch.arange(64) % 3
    raised = cross_entropy_to(target)
    ball = BALL if norm == "linf" else {"eps": 0.5, "step_size": 0.15, "num_steps": 4}
    near = pgd(network, pixels, raised, **ball, norm=norm, generator=draw())
    with torch.no_grad():
        before, after = raised(network(pixels)), raised(network(near))
    assert float((after > before).float().mean()) > 0.95
    assert float(after.mean()) > float(before.mean()) + 0.01


def test_more_steps_and_a_larger_ball_raise_it_further(network):
    network.eval()
    pixels, target = images(64), torch.arange(64) % 3

    def loss(eps, num_steps):
        near = pgd(network, pixels, target, eps=eps, step_size=0.02, num_steps=num_steps, random_start=False)
        with torch.no_grad():
            return float(F.cross_entropy(network(near), target))

    assert loss(0.1, 0) < loss(0.1, 1) < loss(0.1, 3)
    assert loss(0.02, 3) < loss(0.05, 3)


def test_a_divergence_is_raised_without_labels(network):
    network.eval()
    pixels = images(32)
    clean = network(pixels)
    near = pgd(network, pixels, divergence_from(clean), **BALL, generator=draw())
    random = project(pixels + BALL["eps"] * (2 * torch.rand(pixels.shape) - 1), pixels, BALL["eps"], "linf")
    with torch.no_grad():
        attacked, noisy = (kl_divergence(clean, network(x)).mean() for x in (near, random))
    assert attacked > 2 * noisy > 0


def test_at_the_clean_image_a_divergence_has_no_gradient():
    """Why TRADES needs a random start."""
    weight = torch.randn(32, 3, generator=draw(), dtype=torch.float64)
    pixels = images(dtype=torch.float64)
    leaf = pixels.clone().requires_grad_()
    loss = kl_divergence(pixels.flatten(1) @ weight, leaf.flatten(1) @ weight).sum()
    assert float(torch.autograd.grad(loss, leaf)[0].abs().max()) < 1e-12


def test_the_divergence_is_the_textbooks():
    first, second = torch.randn(6, 4, generator=draw(), dtype=torch.float64).split(3)
    p, q = first.softmax(dim=1), second.softmax(dim=1)
    assert torch.allclose(kl_divergence(first, second), (p * (p / q).log()).sum(dim=1))
    assert torch.equal(kl_divergence(first, first), torch.zeros(3).double())
    assert torch.isfinite(kl_divergence(torch.tensor([[200.0, -200.0]]), torch.tensor([[-200.0, 200.0]]))).all()


def test_a_tiny_gradient_still_has_a_direction():
    pixels = torch.full((2, 3, 1, 1), 0.5)
    scale = torch.tensor([1e-30, 0.0]).view(2, 1, 1, 1)  # squares vanish in float32
    near = pgd(
        *(lambda x: (x * scale).flatten(1), pixels, lambda logits: logits.sum(dim=1)),
        **{"eps": 0.3, "step_size": 0.1, "num_steps": 1, "norm": "l2", "random_start": False},
    )
    assert torch.allclose(near[0] - 0.5, torch.full((3, 1, 1), 0.1 / 3**0.5))
    assert torch.equal(near[1], pixels[1])  # no gradient at all: it stays


# -- determinism ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_the_generator_decides(network, norm):
    network.eval()
    pixels, target = images(), torch.tensor([0, 1, 2, 0, 1])

    def attack(seed, noise):
        torch.manual_seed(noise)
        return pgd(network, pixels, target, **BALL, norm=norm, generator=draw(seed))

    assert torch.equal(attack(1, noise=1), attack(1, noise=2))
    assert not torch.equal(attack(1, noise=1), attack(2, noise=1))


@pytest.mark.parametrize("idle", [{"num_steps": 0}, {"eps": 0.0}])
def test_no_steps_and_no_ball_are_the_identity(network, idle):
    pixels = images()
    near = pgd(network, pixels, torch.tensor([0, 1, 2, 0, 1]), **{**BALL, **idle}, generator=draw())
    assert torch.equal(near, pixels)
    assert Attack(**{**BALL, **idle}).is_idle
    assert not Attack(**BALL).is_idle


def test_the_settings_call_the_function(network):
    network.eval()
    pixels, target = images(), torch.tensor([0, 1, 2, 0, 1])
    settings = {**BALL, "norm": "l2", "random_start": True}
    expected = pgd(network, pixels, target, **settings, generator=draw(3))
    assert torch.equal(Attack(**settings)(network, pixels, target, draw(3)), expected)


# -- no trace ------------------------------------------------------------------------------------------------------


def test_the_network_is_as_before(network):
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    pixels = images()
    untouched = pixels.clone()
    with evaluating(network, gradients=True):
        pgd(network, pixels, torch.tensor([0, 1, 2, 0, 1]), **BALL, generator=draw())
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    assert all(bool((parameter.grad == 0.25).all()) for parameter in network.parameters())
    assert torch.equal(pixels, untouched)
    assert all(module.training for module in network.modules())


def test_it_takes_its_gradients_where_none_are_taken(network):
    network.eval()
    pixels, target = images(), torch.tensor([0, 1, 2, 0, 1])
    expected = pgd(network, pixels, target, **BALL, random_start=False)
    with torch.no_grad():
        assert torch.equal(pgd(network, pixels, target, **BALL, random_start=False), expected)
        assert not torch.is_grad_enabled()


def test_each_image_is_attacked_by_itself():
    """In evaluation mode the others of the batch do not matter."""
    torch.manual_seed(0)
    network = SmallCNN(num_classes=3, in_channels=2, width=4).double().eval()
    pixels, target = images(dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    together = pgd(network, pixels, target, **BALL, random_start=False)
    alone = pgd(network, pixels[2:3], target[2:3], **BALL, random_start=False)
    assert torch.allclose(together[2:3], alone, atol=1e-12)


# -- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"eps": 8}, r"eps is in pixel units, so at most 1, got 8\. Did you mean 0\.03137\?"),
        ({"eps": float("nan")}, "eps must be a number of at least 0, got nan"),
        ({"step_size": 2.0}, "step_size is in pixel units"),
        ({"step_size": -0.1}, r"step_size must be a number of at least 0, got -0\.1"),
        ({"num_steps": -1}, "num_steps must be at least 0, got -1"),
        ({"norm": "l1"}, "norm must be one of linf, l2, got 'l1'"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Attack(**{**BALL, **wrong})
    with pytest.raises(ConfigError, match=complaint):
        pgd(lambda x: x.flatten(1), images(), torch.zeros(5, dtype=torch.int64), **{**BALL, **wrong})


def test_an_l2_ball_may_be_larger_than_a_pixels_range():
    Attack(eps=3.0, step_size=1.5, num_steps=1, norm="l2")


def test_a_random_start_needs_a_generator():
    with pytest.raises(ConfigError, match="needs a generator"):
        pgd(lambda x: x.flatten(1), images(), torch.zeros(5, dtype=torch.int64), **BALL)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_normalized_images_are_refused(bad):
    pixels = images()
    pixels[3, 1, 0, 0] = bad
    with pytest.raises(DataError, match=r"Pixels must lie in \[0, 1\].*undo the normalization"):
        pgd(lambda x: x.flatten(1), pixels, torch.zeros(5, dtype=torch.int64), **BALL, random_start=False)
