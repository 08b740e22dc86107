"""Beta sampling: draw by score times a Beta density of the mean prediction, which moves with the ratio."""

from typing import ClassVar

import torch
from torch import Tensor

from secateur.core.errors import ConfigError, DataError
from secateur.core.mask import Mask
from secateur.core.seeds import generator
from secateur.core.tables import ScoreTable
from secateur.selection.base import Selection, best_first, check_num_keep, check_number, make_mask

SMALLEST = 1e-6
IMPOSSIBLE = -1e9


def beta_parameters(
    anchor_mean: float, pruning_ratio: float, concentration: float, c_d: float, alpha_offset: float = 0.0
) -> tuple[float, float]:
    r"""Return the Beta distribution's parameters at one pruning ratio.

    .. math:: \beta_r = C (1 - \mu_D) (1 - r^{c_D}), \quad \alpha_r = C - \beta_r

    With the ratio r growing, the mean :math:`\alpha / (\alpha + \beta)` moves from :math:`\mu_D`, where the
    best scores are, towards 1: the more is pruned, the easier the samples that are kept.

    Args:
        anchor_mean: mean prediction of the highest scores, :math:`\mu_D`.
        pruning_ratio: fraction removed r, in [0, 1).
        concentration: the sum C of both parameters.
        c_d: exponent; the larger, the later easy samples come in.
        alpha_offset: added to :math:`\alpha_r`.

    Returns:
        ``(alpha, beta)``, both positive.

    Example:
        >>> beta_parameters(anchor_mean=0.4, pruning_ratio=0.5, concentration=15.0, c_d=1.0)
        (10.5, 4.5)
    """
    beta = concentration * (1 - anchor_mean) * (1 - pruning_ratio**c_d)
    return max(concentration - beta + alpha_offset, SMALLEST), max(beta, SMALLEST)


class Beta(Selection):
    r"""Ratio-adaptive sampling with a Beta distribution.

    Samples are drawn without replacement with probability proportional to ``score`` times the density at
    ``mean_probability`` of the Beta distribution that :func:`beta_parameters` gives. Its :math:`\mu_D` is the
    mean prediction of the ``num_anchors`` highest scores. The scores must not be negative, as DUAL's and
    Dynamic Uncertainty's are; samples that cannot be drawn (score 0) are taken only when the others do not
    suffice.

    [DUAL] Cho et al., ICML 2025, arXiv 2502.06905. Made for ``score=dual``.

    Args:
        concentration: the paper's C, the sum of both parameters, positive.
        c_d: the paper's data-set-dependent exponent, positive. The release's command for CIFAR-100 has 4;
            the larger, the higher the ratio at which easy samples come in.
        num_anchors: how many of the highest scores give :math:`\mu_D`, at least 1.
        alpha_offset: added to alpha, at least 0.

    Raises:
        ConfigError: an argument is out of range.

    Deviations:
        The release adds 1 to alpha (``alpha_offset=1``), sets no seed, and averages predictions over the
        first 30 epochs; here ``mean_probability`` is the table's column, which for ``score=dual`` covers the
        epochs it uses.
    """

    NAME: ClassVar[str] = "selection/beta"
    needs: ClassVar[tuple[str, ...]] = ("mean_probability",)

    def __init__(
        self, concentration: float = 15.0, c_d: float = 4.0, num_anchors: int = 10, alpha_offset: float = 0.0
    ) -> None:
        inf = float("inf")
        check_number("beta", "concentration", concentration, SMALLEST, inf, "The paper uses 15.")
        check_number("beta", "c_d", c_d, SMALLEST, inf, "The release uses 4 for CIFAR-100.")
        check_number("beta", "alpha_offset", alpha_offset, 0, inf, "The release uses 1, the paper 0.")
        if isinstance(num_anchors, bool) or not isinstance(num_anchors, int) or num_anchors < 1:
            raise ConfigError(f"beta: num_anchors must be an integer >= 1, got {num_anchors!r}. The release uses 10.")
        self.concentration = concentration
        self.c_d = c_d
        self.num_anchors = num_anchors
        self.alpha_offset = alpha_offset

    def check(self, pruning_ratio: float, signed: bool) -> None:
        """Raise :class:`ConfigError` for a score that can be negative: it cannot be a sampling weight."""
        if signed:
            raise ConfigError("beta: scores must not be negative, as those of this scorer are. Use score=dual.")

    def __call__(self, table: ScoreTable, num_keep: int, seed: int) -> Mask:
        """Keep exactly ``num_keep`` samples.

        Args:
            table: scores (not negative) and ``mean_probability`` (in [0, 1]) of the whole pool.
            num_keep: number of samples to keep, in ``[1, N]``.
            seed: seed of the draw.

        Raises:
            ConfigError: ``num_keep`` is out of range, or a score is negative.
            DataError: ``mean_probability`` is missing, or not in [0, 1] for some sample.
        """
        check_num_keep(table, num_keep)
        weights = self._log_weights(table, num_keep)
        uniform = torch.rand(len(table), generator=generator(seed, "selection"), dtype=torch.float64)
        # Gumbel keys: the largest ones are draws without replacement, in proportion to the weights.
        keys = weights - (-uniform.clamp(min=torch.finfo(torch.float64).tiny).log()).log()
        return make_mask(self, table, best_first(keys)[:num_keep])

    def _log_weights(self, table: ScoreTable, num_keep: int) -> Tensor:
        """Return the logarithm of score times density ``[N]``, up to a constant."""
        mean = table.column("mean_probability").double()
        bad = ~((mean >= -SMALLEST) & (mean <= 1 + SMALLEST))
        if bool(bad.any()):
            raise DataError(
                f"beta: mean_probability must be in [0, 1], but it is {float(mean[bad][0]):g} for sample_id "
                f"{int(table.sample_id[bad][0])}. Samples that were never observed cannot be drawn."
            )
        if bool((table.score < 0).any()):
            raise ConfigError("beta: scores must not be negative, got some that are. Use score=dual.")
        anchor_mean = float(mean[best_first(table.score)[: self.num_anchors]].mean())
        ratio = 1 - num_keep / len(table)
        alpha, beta = beta_parameters(anchor_mean, ratio, self.concentration, self.c_d, self.alpha_offset)
        inside = mean.clamp(SMALLEST, 1 - SMALLEST)
        density = (alpha - 1) * inside.log() + (beta - 1) * (1 - inside).log()
        return torch.where(table.score > 0, table.score.double().log() + density, IMPOSSIBLE)
