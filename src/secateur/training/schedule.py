"""Learning-rate curves as pure functions of where the run stands.

Each takes ``step``, the 0-based optimizer step the rate is used for, and ``total_steps``, the length of the
run in the same unit, and returns a factor of the peak learning rate. Nothing is remembered between calls: a
resumed run continues exactly, and a run whose epochs differ in length still ends at the end of the curve. All
values agree with those of the named classes in ``torch.optim.lr_scheduler``.
"""

import math


def _cosine_between(start: float, end: float, fraction: float) -> float:
    """Return the half cosine from ``start`` (fraction 0) to ``end`` (fraction 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _linear_between(start: float, end: float, fraction: float) -> float:
    return start + (end - start) * fraction


def cosine(step: float, total_steps: float, floor: float = 0.0, period_steps: float | None = None) -> float:
    """Half cosine from 1 to ``floor`` (``CosineAnnealingLR``).

    Args:
        step: 0-based optimizer step.
        total_steps: length of the run in steps.
        floor: factor at the bottom, in ``[0, 1)``.
        period_steps: ``T_max`` in steps; if shorter than the run, the rate rises again along the mirrored
            curve, and so on. By default the run's length.

    Returns:
        Factor of the peak learning rate, in ``[floor, 1]``.

    Example:
        >>> [round(cosine(step, 4), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
        >>> [round(cosine(step, 4, period_steps=2), 3) for step in range(5)]
        [1.0, 0.5, 0.0, 0.5, 1.0]
    """
    period = total_steps if period_steps is None else period_steps
    return _cosine_between(1.0, floor, min(step, total_steps) / period)


def onecycle(
    step: float,
    total_steps: float,
    peak_fraction: float = 0.3,
    start_factor: float = 1 / 25,
    final_factor: float = 1 / 25e4,
) -> float:
    """Cosine up to 1, then cosine down to nearly 0 (``OneCycleLR``, two phases).

    Reference: Smith and Topin, "Super-Convergence", 2019, arXiv 1708.07120, in the form fastai gave it.

    Args:
        step: 0-based optimizer step.
        total_steps: length of the run in steps; the curve ends at step ``total_steps - 1``.
        peak_fraction: fraction of the run at which the peak lies, in ``(0, 1)``.
        start_factor: factor at step 0 (torch's ``1 / div_factor``).
        final_factor: factor at the last step (torch's ``1 / (div_factor * final_div_factor)``).

    Returns:
        Factor of the peak learning rate.
    """
    phase, fraction = _onecycle_phase(step, total_steps, peak_fraction)
    start, end = (start_factor, 1.0) if phase == 0 else (1.0, final_factor)
    return _cosine_between(start, end, fraction)


def onecycle_momentum(
    step: float, total_steps: float, peak_fraction: float = 0.3, low: float = 0.85, high: float = 0.95
) -> float:
    """Momentum that mirrors :func:`onecycle`: ``high``, ``low`` at the peak learning rate, ``high``.

    Args:
        step: 0-based optimizer step.
        total_steps: length of the run in steps.
        peak_fraction: fraction of the run at which the learning rate peaks.
        low: momentum at the peak of the learning rate.
        high: momentum at both ends.

    Returns:
        Momentum (or Adam's first beta).
    """
    phase, fraction = _onecycle_phase(step, total_steps, peak_fraction)
    return _cosine_between(high, low, fraction) if phase == 0 else _cosine_between(low, high, fraction)


def _onecycle_phase(step: float, total_steps: float, peak_fraction: float) -> tuple[int, float]:
    """Return the phase (0 rising, 1 falling) and the fraction of it that has passed."""
    last = total_steps - 1
    peak = peak_fraction * total_steps - 1
    step = min(step, last)
    if step <= peak:
        return 0, step / peak if peak > 0 else 1.0
    return 1, (step - peak) / (last - peak)


def triangular(step: float, total_steps: float, peak_steps: float, floor: float = 0.0) -> float:
    """Line from ``floor`` up to 1 at ``peak_steps``, then down to ``floor`` (one cycle of ``CyclicLR``).

    Args:
        step: 0-based optimizer step.
        total_steps: length of the run in steps.
        peak_steps: steps until the peak.
        floor: factor at both ends, in ``[0, 1)``.

    Returns:
        Factor of the peak learning rate, in ``[floor, 1]``.

    Example:
        >>> [triangular(step, 8, peak_steps=4) for step in range(9)]
        [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    return _linear_between(floor, 1.0, _triangle(step, total_steps, peak_steps))


def triangular_momentum(
    step: float, total_steps: float, peak_steps: float, low: float = 0.8, high: float = 0.9
) -> float:
    """Momentum that mirrors :func:`triangular`, as ``CyclicLR`` does unless told not to.

    Args:
        step: 0-based optimizer step.
        total_steps: length of the run in steps.
        peak_steps: steps until the peak of the learning rate.
        low: momentum at the peak of the learning rate.
        high: momentum at both ends.

    Returns:
        Momentum (or Adam's first beta).
    """
    return _linear_between(high, low, _triangle(step, total_steps, peak_steps))


def _triangle(step: float, total_steps: float, peak_steps: float) -> float:
    if step < peak_steps:
        return step / peak_steps
    if step >= total_steps:
        return 0.0 if total_steps > peak_steps else 1.0
    return (total_steps - step) / (total_steps - peak_steps)


def warmup_cosine(
    step: float, total_steps: float, warmup_steps: float, start_factor: float = 0.0, floor: float = 0.0
) -> float:
    """Line from ``start_factor`` to 1, then a half cosine to ``floor`` (``LinearLR``, ``CosineAnnealingLR``).

    Args:
        step: 0-based optimizer step.
        total_steps: length of the run in steps, warm-up included.
        warmup_steps: steps until the peak.
        start_factor: factor at step 0, in ``[0, 1]``.
        floor: factor at the end, in ``[0, 1)``.

    Returns:
        Factor of the peak learning rate.
    """
    if step < warmup_steps:
        return _linear_between(start_factor, 1.0, step / warmup_steps)
    if total_steps <= warmup_steps:
        return 1.0
    return cosine(step - warmup_steps, total_steps - warmup_steps, floor)


def steps(step: float, total_steps: float, milestones: tuple[float, ...], gamma: float = 0.1) -> float:
    """Staircase that falls by ``gamma`` at fractions of the run (``MultiStepLR``).

    Args:
        step: 0-based optimizer step.
        total_steps: length of the run in steps.
        milestones: fractions of the run, ascending, each in ``(0, 1)``.
        gamma: factor per milestone.

    Returns:
        Factor of the peak learning rate.

    Example:
        >>> [round(steps(step, 4, (0.5, 0.75)), 2) for step in range(4)]
        [1.0, 1.0, 0.1, 0.01]
    """
    passed = sum(step + 1e-9 * total_steps >= milestone * total_steps for milestone in milestones)
    return float(gamma**passed)
