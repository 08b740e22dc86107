"""Batch normalization over the batch of all processes, on CPUs too (torch's own works on GPUs only)."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(_BatchNorm):
    """Normalizes by mean and variance of the whole batch, of which each process has a slice, possibly an empty one.

    In evaluation mode it is an ordinary batch norm. Like torch's: gradients are those of the sum of all processes'
    losses, and weight and bias get this process's part, which data-parallel training averages.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize ``[B, C, ...]``."""
        if not self.training:
            return super().forward(input)
        normalized, mean, variance, count = _Normalize.apply(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._move_statistics(mean, variance * count / (count - 1))
        return normalized  # type: ignore[no-any-return]

    @torch.no_grad()
    def _move_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def synchronize_batchnorm(module: nn.Module) -> None:
    """Replace every batch norm inside a module, in place; parameters, buffers and their names stay."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, SyncBatchNorm):
            setattr(module, name, _synchronous(child))
        else:
            synchronize_batchnorm(child)


def _synchronous(norm: _BatchNorm) -> SyncBatchNorm:
    new = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    new.train(norm.training)
    new._parameters, new._buffers = norm._parameters, norm._buffers
    return new


class _Normalize(torch.autograd.Function):
    """The normalization; means and variances of slices are combined by Chan's formula, in one exchange each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        """Return the output, and mean ``[C]``, variance ``[C]`` and size of the whole batch."""
        mean, variance, count = _moments(x)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.count = eps, count
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias."""
        x, weight, mean, variance = ctx.saved_tensors
        gradient, scale = gradients[0], (variance + ctx.eps).rsqrt()
        as_constants, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([by_weight, by_bias])
        distributed.all_reduce(sums)
        through_scale, through_mean = (sums / ctx.count).chunk(2)
        factor = scale if weight is None else scale * weight
        slope = factor * scale * through_scale
        offset = factor * through_mean - slope * mean
        through_moments = F.batch_norm(x, torch.zeros_like(mean), torch.ones_like(mean), -slope, -offset, eps=0.0)
        return (
            as_constants.add_(through_moments),
            by_weight if weight is not None else None,
            by_bias if weight is not None else None,
            None,
        )


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean ``[C]``, population variance ``[C]`` and number of values per channel over all processes."""
    channels = x.shape[1]
    mine = x.new_zeros(2 * channels + 1)
    if x.numel():
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)  # six times as fast as var_mean
        mine = torch.cat([mean, variance, x.new_tensor([x.numel() // channels])])
    parts = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, mine)
    table = torch.stack(parts)
    means, variances, counts = table[:, :channels], table[:, channels:-1], table[:, -1:]
    count = counts.sum()
    mean = (counts * means).sum(dim=0) / count
    variance = (counts * (variances + (means - mean).square())).sum(dim=0) / count
    return mean, variance, count
