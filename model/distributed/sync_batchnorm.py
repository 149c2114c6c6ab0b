"""Batch norms that see the whole world's batch, over any `Comm`: with it N ranks train as one, whatever the network.

Horovod's own needs a GPU and torch's needs torch.distributed; this one needs only sums. The sums of values and of
squares, and in the backward pass of gradients, are added up over ranks (Ioffe & Szegedy, arXiv 1502.03167, eq. 1).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fakeit.model.distributed.communicator import Comm, all_reduce
from fakeit.model.networks import LandmarkNetwork


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Comm, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = (0, 2, 3)
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums = all_reduce(comm, torch.cat((x.sum(axes), count)))
        mean = sums[:-1] / sums[-1]
        centred = x - mean.reshape(1, -1, 1, 1)
        variance = all_reduce(comm, centred.square().sum(axes)) / sums[-1]
        scale = torch.rsqrt(variance + eps).reshape(1, -1, 1, 1)
        normal = centred * scale
        ctx.comm = comm
        ctx.save_for_backward(normal, scale, sums[-1:])
        ctx.mark_non_differentiable(mean, variance)
        return normal, mean, variance, sums[-1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Any) -> tuple[Tensor, None, None]:  # type: ignore[override]
        normal, scale, count = ctx.saved_tensors
        axes = (0, 2, 3)
        sums = all_reduce(ctx.comm, torch.cat((gradient.sum(axes), (gradient * normal).sum(axes)))) / count
        mean, projection = (half.reshape(1, -1, 1, 1) for half in sums.chunk(2))
        return scale * (gradient - mean - normal * projection), None, None


class SyncBatchNorm(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are of all ranks."""

    comm: Comm

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        normal, mean, variance, count = _Normalise.apply(x.float(), self.comm, self.eps)
        with torch.no_grad():
            momentum = self.momentum or 0.1
            assert self.running_mean is not None and self.running_var is not None
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1).clamp_min(1)), momentum)
        return (normal * self.weight.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)).to(x.dtype)


def synchronise(network: LandmarkNetwork, comm: Comm) -> LandmarkNetwork:
    """Turns every batch norm of a network into a synchronised one, in place; the state dict keeps its names."""
    if comm.size > 1:
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = SyncBatchNorm
                module.comm = comm  # type: ignore[assignment]
    return network
