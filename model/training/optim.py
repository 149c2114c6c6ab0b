"""Optimisers by name, learning rates as pure functions of the step, smoothed weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fakeit.model.networks import LandmarkNetwork
from fakeit.pipelines.errors import FakeitError


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights move.

    Attributes:
        name: "adam", "adamw" or "sgd" (with Nesterov momentum).
        lr: highest learning rate, for one rank's batch.
        weight_decay: on weights with two axes or more; biases and batch norms are left alone.
        scaling: what happens to `lr` when N ranks make the global batch N times larger (data.batch_per = "rank").
        clip: gradients' highest norm; 0 is none.
        accumulate: batches whose gradients are added up for one step.
        ema: decay of the smoothed weights that are validated and kept; 0 is none.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    scaling: Literal["none", "linear", "sqrt"] = "none"
    clip: float = 0.0
    accumulate: int = 1
    ema: float = 0.0

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.accumulate < 1 or not 0 <= self.ema < 1:
            raise FakeitError("optimiser: lr must be above 0, accumulate at least 1, ema in 0 to 1")
        if not 0 <= self.momentum < 1 or min(self.weight_decay, self.clip) < 0:
            raise FakeitError("optimiser: momentum lies in 0 to 1; weight_decay and clip start at 0")


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate's course, as a factor of `optimiser.lr`.

    Attributes:
        name: "constant"; "cosine" to `floor` at the last step; "step": × `factor` every `every` epochs; "plateau":
            × `factor` when validation has not got better for `patience` epochs.
        warmup: epochs of linear rise at the start.
    """

    name: Literal["constant", "cosine", "step", "plateau"] = "constant"
    warmup: float = 0.0
    floor: float = 0.0
    every: int = 10
    factor: float = 0.1
    patience: int = 3

    def __post_init__(self) -> None:
        if self.every < 1 or self.warmup < 0 or self.patience < 0:
            raise FakeitError("schedule: every must be at least 1; warmup and patience start at 0")


def make_optimiser(network: nn.Module, config: OptimiserConfig, lr: float) -> torch.optim.Optimizer:
    """The optimiser over a network's parameters; fused kernels, one pass over memory a step."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if config.name == "sgd":
        sgd = torch.optim.SGD(groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True)
        if config.momentum:  # torch leaves them undefined where the very first step is not taken (`guard`)
            for parameter in network.parameters():
                sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return sgd
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=lr, fused=True)


def scaled_lr(config: OptimiserConfig, growth: float) -> float:
    """The learning rate for a global batch `growth` times one rank's."""
    return config.lr * {"none": 1.0, "linear": growth, "sqrt": math.sqrt(growth)}[config.scaling]


def lr_factor(config: ScheduleConfig, epoch: float, epochs: int, history: Sequence[float | None]) -> float:
    """The learning rate's factor at a moment.

    Args:
        config: which course.
        epoch: epochs done, with the share of the current one.
        epochs: of the whole session.
        history: the figure that is to fall, after each epoch done; None where the epoch was not validated.
    """
    if epoch < config.warmup:
        return (epoch + 1e-3) / config.warmup
    if config.name == "cosine":
        done = (epoch - config.warmup) / max(epochs - config.warmup, 1e-9)
        return config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    if config.name == "step":
        return max(config.factor ** (int(epoch) // config.every), config.floor)
    if config.name == "plateau":
        return max(config.factor ** _plateaus(history, config.patience), config.floor)
    return 1.0


def _plateaus(history: Sequence[float | None], patience: int) -> int:
    """How often `patience` epochs in a row brought nothing better. An epoch that was not validated is one that passed;
    only the next validation can tell whether it was in vain."""
    best, waited, plateaus = math.inf, 0, 0
    for value in history:
        if value is None:
            waited += 1
            continue
        best, waited = (value, 0) if value < best else (best, waited + 1)
        if waited > patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus


class ModelEma:
    """An exponential moving average of a network's weights and of its batch norms' statistics.

    The statistics belong to the weights that made them: averaged weights beside those of the last few batches can be
    far off while the learning rate is high (docs/LOG.md). Early on it forgets faster, (1 + n) / (10 + n), so that the
    random start is soon gone.
    """

    def __init__(self, network: LandmarkNetwork, decay: float) -> None:
        self.network: LandmarkNetwork = deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self._pairs = (_floats(self.network), _floats(network))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the average towards the network as it is now, in place. `step`: counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._pairs[0], self._pairs[1], 1 - decay)


def _floats(network: nn.Module) -> list[Tensor]:
    return [p.data for p in network.parameters()] + [b for b in network.buffers() if b.is_floating_point()]
