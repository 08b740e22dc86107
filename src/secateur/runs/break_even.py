"""Whether pruning will pay, in shares of one full training: pure arithmetic and the sentences that say it."""

from math import floor


def runs_to_pay(choosing: float, training: float) -> int | None:
    """Return how many final trainings must share a mask until each is cheaper than one on all data.

    Worthwhile for R of them is ``choosing / R + training < 1``; the smallest such R is returned.

    Args:
        choosing: cost of choosing the mask, in full trainings, at least 0.
        training: cost of one training on it.

    Returns:
        R, at least 1; None when training on what is kept is no cheaper than on everything.

    Example:
        >>> runs_to_pay(0.2, 0.5), runs_to_pay(0.7, 0.5), runs_to_pay(1.0, 0.5), runs_to_pay(0.0, 1.0)
        (1, 2, 3, None)
    """
    if training >= 1:
        return None
    runs = floor(choosing / (1 - training)) + 1
    while choosing / runs + training >= 1:  # the quotient above may have been rounded
        runs += 1
    while runs > 1 and choosing / (runs - 1) + training < 1:
        runs -= 1
    return runs


def verdict(choosing: float, training: float, at_most: bool = False) -> str:
    """Return what a run costs and whether it pays.

    Args:
        choosing: cost of choosing the mask, in full trainings.
        training: cost of one training on it.
        at_most: the costs are upper bounds.

    Example:
        >>> verdict(0.24, 0.5)
        'this run costs 0.74 of one full training; it pays from the first run'
    """
    cost = f"this run costs {'at most ' if at_most else ''}{share(choosing + training)} of one full training"
    runs = runs_to_pay(choosing, training)
    if runs is None and at_most:
        return f"{cost}; whether it pays is known only afterwards"
    if runs is None:
        if not choosing:
            return f"{cost}: nothing is saved"
        return f"{cost}; it never pays: training on what is kept alone costs {share(training)} of a full training"
    if runs == 1:
        return f"{cost}; it pays from the first run"
    if at_most:
        return f"{cost}; it pays for sure if at least {runs} final trainings share the mask"
    return f"{cost}; it pays only if at least {runs} final trainings share the mask"


def equal_cost(total: float) -> str:
    """Return what costs the same and needs no score at all."""
    if total >= 1:
        return "equal total cost: one training on everything (method=full) costs no more"
    ratio = f"{1 - total:.3f}".rstrip("0").rstrip(".")
    return f"equal total cost: method=rs2 pruning_ratio={ratio}, a new random subset per epoch and no score"


def share(value: float) -> str:
    """Return two digits, and more where they would round to 1 what is not 1.

    Example:
        >>> share(0.5), share(0.9999), share(1.0)
        ('0.50', '0.9999', '1.00')
    """
    texts = [f"{value:.{digits}f}" for digits in (2, 3, 4, 5)]
    return next((text for text in texts if float(text) != 1), texts[0])
