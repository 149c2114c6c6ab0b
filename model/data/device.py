"""How what is made on the CPU gets to the device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` (of the CPU, any shape) in page-locked memory, from which a GPU copies by itself; as it is for a CPU."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """To `device`, without waiting for what it still has to do."""
    return pinned(tensor, device).to(device, non_blocking=True)
