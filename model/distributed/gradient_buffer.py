"""The gradients of a network in one buffer, to be sent to other ranks whole or part by part."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class GradientBuffer:
    """The gradients of a network in one buffer, each laid out as its parameter is, channels last or not.

    A gradient goes into the buffer as soon as it is there, while it is in the cache; later backward passes add to it in
    place. (Horovod's own optimiser sends gradients as they are, and refuses those that are channels last.)

    Args:
        network: whose gradients they are; hooks stay on its parameters.
        arrived: told a parameter's name and its part of the buffer as its gradient comes, in every backward pass.
    """

    ALIGNMENT = 16  # numbers: a part begins where a line of the cache does

    def __init__(self, network: nn.Module, arrived: Callable[[str, Tensor], None]) -> None:
        self.arrived = arrived
        named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        room = [-(-p.numel() // self.ALIGNMENT) * self.ALIGNMENT for p in named.values()]
        self.buffer = torch.zeros(sum(room), device=next(network.parameters()).device)
        self._places = {  # name, part of the buffer, and the part in the parameter's shape
            parameter: (name, part, part.as_strided(parameter.size(), parameter.stride()))
            for (name, parameter), part in zip(named.items(), self.buffer.split(room), strict=True)
        }
        for parameter in self._places:
            parameter.register_post_accumulate_grad_hook(self._collect)

    def _collect(self, parameter: nn.Parameter) -> None:
        name, part, view = self._places[parameter]
        if parameter.grad is not view:
            parameter.grad = view.zero_() if parameter.grad is None else view.copy_(parameter.grad)
        self.arrived(name, part)

    def complete(self) -> None:
        """After the last backward pass: zeros where a parameter got no gradient."""
        for parameter in self._places:
            if parameter.grad is None:
                self._collect(parameter)
