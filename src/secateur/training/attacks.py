"""Adversarial examples by projected gradient ascent (PGD), in pixels between 0 and 1.

Everything here speaks of pixels in ``[0, 1]``: eps, the step size and the random start. What normalizes images for
the network belongs inside the attacked function, so that a step of 2/255 is one in every channel. (The release of
DP4TL starts and steps in normalized units but projects in pixels, so its nominal 3/255 reach about 2.03/255.)

The functions know nothing of a network's mode: who calls them puts it into evaluation mode, so that batch norm's
running statistics do not move. No ``.grad`` of a parameter is touched.

References:
    [PGD] Madry et al., ICLR 2018, arXiv 1706.06083.
    [TRADES] Zhang et al., ICML 2019, arXiv 1901.08573.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from secateur.core.errors import ConfigError, DataError

Forward = Callable[[Tensor], Tensor]  # pixels [B, C, H, W] -> logits [B, K]
Loss = Callable[[Tensor], Tensor]  # logits [B, K] -> what the attack raises, per sample [B]
Norm = Literal["linf", "l2"]


def cross_entropy_to(target: Tensor) -> Loss:
    """Return the loss that [PGD] raises: the cross-entropy to labels ``[B]`` (int64), without label smoothing."""
    return lambda logits: F.cross_entropy(logits, target, reduction="none")


def divergence_from(clean_logits: Tensor) -> Loss:
    """Return the loss that [TRADES] raises: the divergence from the predictions ``[B, K]`` on clean images."""
    fixed = clean_logits.detach()
    return lambda logits: kl_divergence(fixed, logits)


def kl_divergence(clean_logits: Tensor, adversarial_logits: Tensor) -> Tensor:
    """Return ``KL(softmax(clean) || softmax(adversarial))`` of every sample, ``[B]``, of logits ``[B, K]`` each."""
    clean, adversarial = (F.log_softmax(logits, dim=1) for logits in (clean_logits, adversarial_logits))
    return F.kl_div(adversarial, clean, reduction="none", log_target=True).sum(dim=1)


def pgd(
    forward: Forward,
    pixels: Tensor,
    loss: Loss | Tensor,
    *,
    eps: float,
    step_size: float,
    num_steps: int,
    norm: Norm = "linf",
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return images near the given ones on which a loss is high.

    ``x <- project(x + step_size * direction(gradient))``, ``num_steps`` times ([PGD] eq. 2). The direction is the
    gradient's sign (``linf``) or the gradient at unit length per sample (``l2``); the projection is the one of
    :func:`project`. Where the gradient is 0, an image stays.

    Args:
        forward: logits of pixels; normalizes them itself.
        pixels: clean images, float ``[B, C, H, W]`` in ``[0, 1]``.
        loss: what is raised, of logits ``[B, K]``; or labels, int64 ``[B]``, for their cross-entropy.
        eps: radius of the ball, in pixel units: 8/255, not 8.
        step_size: length of a step, in pixel units.
        num_steps: steps; 0 returns the clean images.
        norm: ``linf`` or ``l2``, of whole images.
        random_start: start at a uniform random point of the ball instead of its center.
        generator: draws the random start, on any device; the result is a function of its state.

    Returns:
        Images ``[B, C, H, W]`` of the same dtype, in ``[0, 1]`` and in the ball, without a graph.

    Raises:
        ConfigError: a setting is out of range, or a random start has no generator.
        DataError: pixels do not lie in ``[0, 1]``.

    Deviations:
        [TRADES] starts at the clean image plus ``0.001`` times normal noise; here it starts like [PGD], anywhere in
        the ball. Its release runs the clean images again in every step; their predictions do not change.

    Example:
        >>> pixels, target = torch.full((1, 2, 1, 1), 0.5), torch.tensor([0])
        >>> near = pgd(lambda x: x.flatten(1), pixels, target, eps=0.1, step_size=0.06, num_steps=2, random_start=False)
        >>> near.flatten().tolist() == torch.tensor([0.4, 0.6]).tolist()
        True
    """
    check_attack(eps, step_size, num_steps, norm)
    raised = cross_entropy_to(loss) if isinstance(loss, Tensor) else loss
    pixels = pixels.detach()
    if num_steps == 0 or eps == 0:
        return pixels
    _check_pixels(pixels)
    near = pixels
    if random_start:
        near = project(pixels + _random_offset(pixels, eps, norm, generator), pixels, eps, norm)
    for _ in range(num_steps):
        direction = _direction(_gradient(forward, near, raised), norm)
        near = project(near + step_size * direction, pixels, eps, norm)
    return near


def project(near: Tensor, pixels: Tensor, eps: float, norm: Norm) -> Tensor:
    """Return the images ``near`` moved into the ball around ``pixels``, then into ``[0, 1]``, both ``[B, C, H, W]``.

    Clamping to ``[0, 1]`` brings every pixel closer to the clean one, so it does not leave the ball.
    """
    offset = near - pixels
    if norm == "linf":
        offset = offset.clamp(-eps, eps)
    else:
        length = _per_sample(torch.linalg.vector_norm(offset.flatten(1), dim=1), offset)
        offset = offset * (eps / length.clamp(min=torch.finfo(length.dtype).tiny)).clamp(max=1)
    return (pixels + offset).clamp(0, 1)


def check_attack(eps: float, step_size: float, num_steps: int, norm: str) -> None:
    """Check the settings of an attack.

    Raises:
        ConfigError: one is out of range.
    """
    if norm not in get_args(Norm):
        raise ConfigError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}.")
    for name, value in (("eps", eps), ("step_size", step_size)):
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name} must be a number of at least 0, got {value}.")
        if norm == "linf" and value > 1:
            raise ConfigError(f"{name} is in pixel units, so at most 1, got {value}. Did you mean {value / 255:.5f}?")
    if num_steps < 0:
        raise ConfigError(f"num_steps must be at least 0, got {num_steps}.")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """The settings of one :func:`pgd`.

    Raises:
        ConfigError: one is out of range.
    """

    eps: float
    step_size: float
    num_steps: int
    norm: Norm = "linf"
    random_start: bool = True

    def __post_init__(self) -> None:
        check_attack(self.eps, self.step_size, self.num_steps, self.norm)

    @property
    def is_idle(self) -> bool:
        """Whether it returns the clean images."""
        return self.num_steps == 0 or self.eps == 0

    def __call__(self, forward: Forward, pixels: Tensor, loss: Loss | Tensor, generator: torch.Generator) -> Tensor:
        """Attack images ``[B, C, H, W]`` in ``[0, 1]``; see :func:`pgd`."""
        return pgd(forward, pixels, loss, **vars(self), generator=generator)


def _gradient(forward: Forward, near: Tensor, loss: Loss) -> Tensor:
    """Return the gradient of the summed loss: each sample's own, as long as the function does not mix them."""
    with torch.enable_grad():
        leaf = near.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(forward(leaf)).sum(), leaf)
    return gradient


def _direction(gradient: Tensor, norm: Norm) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    return _unit(gradient)


def _unit(values: Tensor) -> Tensor:
    """Return values at unit length per sample; zeros stay, and the squares of tiny values do not underflow."""
    tiny = torch.finfo(values.dtype).tiny
    values = values / _per_sample(values.flatten(1).abs().amax(dim=1).clamp(min=tiny), values)
    return values / _per_sample(torch.linalg.vector_norm(values.flatten(1), dim=1).clamp(min=tiny), values)


def _random_offset(pixels: Tensor, eps: float, norm: Norm, generator: torch.Generator | None) -> Tensor:
    """Return a uniform random point of the ball around 0 for every sample."""
    if generator is None:
        raise ConfigError("A random start needs a generator: pass one, or random_start=False.")
    place: dict[str, Any] = {"generator": generator, "device": generator.device, "dtype": pixels.dtype}
    if norm == "linf":
        return ((2 * torch.rand(pixels.shape, **place) - 1) * eps).to(pixels.device)
    direction = _unit(torch.randn(pixels.shape, **place))
    radius = eps * torch.rand(len(pixels), **place) ** (1 / max(pixels[0].numel(), 1))
    return (direction * _per_sample(radius, direction)).to(pixels.device)


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Return values ``[B]`` in a shape that multiplies whole images."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _check_pixels(pixels: Tensor) -> None:
    low, high = (float(value) for value in pixels.aminmax())
    if not (low >= 0 and high <= 1):
        raise DataError(f"Pixels must lie in [0, 1], got {low:.3g} to {high:.3g}: undo the normalization first.")
