"""No step is taken on a loss or a gradient that is not a finite number: one such step and the weights are lost.

The optimiser is told on the device (its fused kernels look at `found_inf`), so nobody waits for the answer; the loop
reads it one step later with the rest. By then batch norms have seen the batch, and the next one: their figures are
therefore remembered before each step, and put back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class StepGuard:
    """Watches the steps of one session.

    Args:
        network: that is trained.
        smoothed: its moving average, if there is one.
        optimiser: with fused kernels.
    """

    def __init__(self, network: nn.Module, smoothed: nn.Module | None, optimiser: torch.optim.Optimizer) -> None:
        self.optimiser: Any = optimiser
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        networks = [network] if smoothed is None else [network, smoothed]
        self._buffers = [b for n in networks for b in n.buffers() if b.is_floating_point()]
        self._before = tuple([b.clone() for b in self._buffers] for _ in range(2))

    def remember(self, step: int) -> None:
        """Before a step: keeps what only the forward pass changes, of this step and of the one before."""
        if self._buffers:
            torch._foreach_copy_(self._before[step % 2], self._buffers)

    def put_back(self, step: int) -> None:
        """After a step that was not taken: buffers are as they were before it; the next one, which may be under way
        already, has them from there too."""
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._before[step % 2])
            torch._foreach_copy_(self._before[(step + 1) % 2], self._buffers)

    def gradient_norm(self, clip: float) -> Tensor:
        """The norm of all gradients before they are clipped to `clip` (0: not at all), on the device."""
        if clip:
            return torch.nn.utils.clip_grad_norm_(self._parameters, clip)
        return torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None], foreach=True)

    def forbid_unless_finite(self, norm: Tensor) -> None:
        """Tells the optimiser's next step to leave everything as it is where `norm` is no number. The gradient is the
        mean over ranks, so all ranks decide alike."""
        self.optimiser.found_inf = (~torch.isfinite(norm)).float()


def spoilt_unless_finite(loss: Tensor) -> Tensor:
    """The loss, times one; times NaN where it is no number, so that its gradient, on all ranks, is none either (that of
    an absolute error would be)."""
    return loss * (loss.detach() * 0 + 1)
