"""One session of training on one rank: a network, its optimiser, its batches, and the loop over them.

The order of collective calls is the same on every rank, whatever happens to one of them: each step adds up one small
vector (loss, weight, flags) over all ranks without waiting, and reads it one step later. So a signal, a loss that is
not finite, the time limit or a due checkpoint are agreed on without stopping for it.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fakeit.model.data.batch_augmentation import Augmenter, mixup
from fakeit.model.data.device import send
from fakeit.model.data.loader import Batch, Loader
from fakeit.model.distributed.communicator import Comm, mean_buffers
from fakeit.model.networks import LandmarkNetwork
from fakeit.model.networks.heads import Dropout
from fakeit.model.training.checkpoint import Checkpoint
from fakeit.model.training.config import TrainConfig
from fakeit.model.training.guard import StepGuard, spoilt_unless_finite
from fakeit.model.training.losses import auxiliary, per_point, weighted_sum
from fakeit.model.training.optim import ModelEma, lr_factor, make_optimiser, scaled_lr
from fakeit.pipelines.errors import FakeitError

LOSS, NORM, BROKEN, OVERFLOW, STOP, TIME, SAVE = range(7)
OVERFLOWS = 20  # in a row that float16's scaling may need until it has found its scale, beyond train.max_skipped
History = Sequence[float | None]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class StepReport:
    """What all ranks know of one step. `skipped`: it was not taken, since its loss or gradient was no number; then
    `loss` and `gradient_norm` are NaN and `weight` is 0."""

    step: int
    rows: int
    loss: float
    weight: float
    gradient_norm: float
    skipped: bool
    stop: bool
    time_up: bool
    save: bool


@dataclass
class _Pending:
    """A step whose sum is under way."""

    step: int
    rows: int
    total: float
    batches: list[Batch]
    wait: Callable[[], Tensor]


@dataclass
class ControlFlags:
    """What this rank asks of all: set at any time, by a signal handler too."""

    stop: bool = False
    save_every: float = math.inf  # seconds; rank 0's counts
    time_up_at: float = math.inf
    saved_at: float = field(default_factory=time.monotonic)


class TrainLoop:
    """See the module.

    Args:
        config: of this session.
        network: to train; on the device, weights as they are to start with.
        loader: of the training split.
        augmenter: from stored crops to the network's.
        comm: the other ranks.
        first_epoch: of this session, among all sessions' epochs.
        restored: a checkpoint that is resumed: its optimiser and smoothed weights are taken.
    """

    def __init__(
        self, config: TrainConfig, network: LandmarkNetwork, loader: Loader, augmenter: Augmenter, comm: Comm,
        first_epoch: int = 0, restored: Checkpoint | None = None,
    ) -> None:  # fmt: skip
        self.config, self.network, self.loader, self.augmenter, self.comm = config, network, loader, augmenter, comm
        self.first_epoch = first_epoch
        growth = comm.size if config.data.batch_per == "rank" else 1
        self.lr = scaled_lr(config.optimiser, growth)
        self.optimiser = make_optimiser(network, config.optimiser, self.lr)
        self.module = comm.attach(network)
        if restored is not None and restored.optimiser is not None:
            self.optimiser.load_state_dict(restored.optimiser)
        if config.train.compile:
            self.module = torch.compile(self.module)  # type: ignore[assignment]
        self.ema = ModelEma(network, config.optimiser.ema) if config.optimiser.ema else None
        if self.ema is not None and restored is not None and restored.ema is not None:
            self.ema.network.load_state_dict(restored.ema)
        self._dropouts = [m for m in network.modules() if isinstance(m, Dropout) and m.share]
        self._draws = config.augment is not None or config.data.mixup > 0
        self.control = ControlFlags()
        self.guard = StepGuard(network, self.ema.network if self.ema else None, self.optimiser)
        self._skipped = 0  # in a row
        self.scaler = torch.amp.GradScaler(loader.device.type, enabled=config.train.precision == "fp16")
        if restored is not None and restored.scaler:
            self.scaler.load_state_dict(restored.scaler)
        self._autocast: Any = nullcontext
        if (dtype := DTYPES.get(config.train.precision)) is not None:  # "auto" is the trainer's to settle
            self._autocast = lambda: torch.autocast(loader.device.type, dtype)

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    @property
    def evaluated(self) -> LandmarkNetwork:
        """The network that is validated and kept: the smoothed one, where there is one."""
        return self.ema.network if self.ema is not None else self.network

    def share_buffers(self) -> None:
        """Batch norms' figures become their mean over ranks: one network is judged and saved. Collective."""
        mean_buffers(self.comm, self.network)
        if self.ema is not None:
            mean_buffers(self.comm, self.ema.network)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this session: `weights`, `ema` (or None), `optimiser` and `scaler` (or None)."""
        ema = self.ema.network.state_dict() if self.ema is not None else None
        made = {"weights": self.network.state_dict(), "ema": ema, "optimiser": self.optimiser.state_dict()}
        return {**made, "scaler": self.scaler.state_dict() or None}

    def epoch(self, epoch: int, rows: int, first: int, step: int, history: History) -> Iterator[StepReport]:
        """Trains from global batch `first` of an epoch of `rows` rows to its end, or as long as it is asked on.

        Args:
            epoch: counted through all sessions; orders and draws depend on it.
            rows: of the epoch.
            first: the global batch to begin with.
            step: optimiser steps done so far.
            history: validation figures of this session's epochs so far; None where one was not validated.

        Yields:
            A report of each step, in order; the weights may already be one step further, except at the last.

        Raises:
            FakeitError: more than `train.max_skipped` steps in a row were not finite; names the rows of the last.
        """
        self.network.train()
        if self._epochs_done(epoch) >= self.config.train.freeze_norms * self.config.train.epochs:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        pending: _Pending | None = None
        for batches in _grouped(self.loader.epoch(epoch, first), self.config.optimiser.accumulate):
            step += 1
            begun = self._step(batches, epoch, rows, step, history)
            if pending is not None:
                report = self._finish(pending)
                if report.stop or report.save or report.time_up:  # weights and report must be of one step to be saved
                    later = self._finish(begun)
                    later.stop, later.save = report.stop or later.stop, report.save or later.save
                    later.time_up = report.time_up or later.time_up
                    yield report_without_requests(report)
                    yield later
                    pending = None
                    continue
                yield report
            pending = begun
        if pending is not None:
            yield self._finish(pending)

    def _step(self, batches: list[Batch], epoch: int, rows: int, step: int, history: History) -> _Pending:
        config, comm = self.config, self.comm
        done = self._epochs_done(epoch) + batches[0].end / rows
        lr = self.lr * lr_factor(config.schedule, done, config.train.epochs, history)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        if self._dropouts:
            self._seed(config.train.seed * 1_000_003 + step)
        self.guard.remember(step)
        total = sum(self._total_weight(batch, epoch) for batch in batches)
        local = torch.zeros((), dtype=torch.float64, device=self.loader.device)
        for index, batch in enumerate(batches):
            with comm.no_sync(self.module, last=index == len(batches) - 1):
                loss = self._forward(batch, epoch)
                self.scaler.scale(spoilt_unless_finite(loss) * (comm.size / max(total, 1e-9))).backward()
            local += loss.detach().double()
        comm.reduce_gradients()
        self.scaler.unscale_(self.optimiser)
        norm = self.guard.gradient_norm(config.optimiser.clip)
        if not self.scaler.is_enabled():  # which looks at the gradients by itself
            self.guard.forbid_unless_finite(norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()
        if self.ema is not None:
            self.ema.update(step)
        return _Pending(step, batches[-1].end, total, batches, comm.all_reduce_async(self._signals(local, norm)))

    def _total_weight(self, batch: Batch, epoch: int) -> float:
        """Σ weight by which the loss of a global batch is divided."""
        if batch.global_weight is None:
            return batch.total_weight
        draws = self.augmenter.draw(epoch, batch.number, 0, batch.global_size, batch.global_size)
        return self.augmenter.mixed_weight(batch.global_weight, draws)

    def _seed(self, seed: int) -> None:
        """Masks of dropout are a function of the step, alike on all ranks. (torch.manual_seed asks every kind of
        device that there may be, which takes half a millisecond.)"""
        if self.loader.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)

    def _epochs_done(self, epoch: int) -> int:
        return epoch - self.first_epoch

    def _forward(self, batch: Batch, epoch: int) -> Tensor:
        draws = None
        if self._draws:
            first, count = batch.first - batch.mixup_halo, len(batch.images)
            draws = self.augmenter.draw(epoch, batch.number, first, count, batch.global_size)
        with torch.no_grad():
            pixels, landmarks, order = self.augmenter(batch.images, batch.landmarks, draws)
            weight, visibility = batch.weight.gather(1, order), batch.visibility.gather(1, order)
            if self.config.data.mixup and draws is not None:
                pixels, landmarks, weight = mixup(pixels, landmarks, weight, self.config.data.mixup, draws)
                visibility = torch.zeros_like(visibility[1:])  # of two faces in one there is none
        for dropout in self._dropouts:
            dropout.first, dropout.total = batch.first, batch.global_size
        with self._autocast():
            prediction = self.module(pixels)
        points, loss = prediction.points.shape[1], self.config.loss
        own = weight[:, :points]
        summed = weighted_sum(per_point(prediction, landmarks[:, :points], own, loss), own)
        return summed + auxiliary(prediction, landmarks, weight, visibility, loss)

    def _signals(self, local: Tensor, norm: Tensor) -> Tensor:
        now, control = time.monotonic(), self.control
        lead = self.comm.rank == 0
        flags = torch.tensor(
            [control.stop, lead and now > control.time_up_at, lead and now - control.saved_at > control.save_every],
            dtype=torch.float64,
        )
        figures = torch.stack((local, norm.double() / self.comm.size))
        finite = torch.isfinite(figures)
        return torch.cat((torch.where(finite, figures, 0.0), (~finite).double(), send(flags, figures.device)))

    def _finish(self, pending: _Pending) -> StepReport:
        """Waits for a step's sum."""
        summed = pending.wait().tolist()
        skipped = summed[BROKEN] > 0 or summed[OVERFLOW] > 0
        if skipped:
            self.guard.put_back(pending.step)
            self._skip(pending, "loss" if summed[BROKEN] else "gradient")
        else:
            self._skipped = 0
        loss = summed[LOSS] / pending.total if pending.total else 0.0
        stop, time_up, save = summed[STOP] > 0, summed[TIME] > 0, summed[SAVE] > 0
        if save:
            self.control.saved_at = time.monotonic()
        if skipped:
            return StepReport(pending.step, pending.rows, math.nan, 0.0, math.nan, True, stop, time_up, save)
        return StepReport(pending.step, pending.rows, loss, pending.total, summed[NORM], False, stop, time_up, save)

    def _skip(self, pending: _Pending, what: str) -> None:
        """Counts and tells a step that was not taken; too many in a row end the training."""
        self._skipped += 1
        most = self.config.train.max_skipped
        if what == "gradient" and self.scaler.is_enabled():
            most += OVERFLOWS
            if self._skipped <= OVERFLOWS:
                return
        names = [name for batch in pending.batches for name in self.loader.store.ids(batch.rows)]
        everyone = [name for part in self.comm.gather(names) for name in part]
        shown = ", ".join(everyone[:8]) + (f" and {len(everyone) - 8} more" if len(everyone) > 8 else "")
        told = f"the {what} of step {pending.step} is not a finite number; its batch is {shown}"
        if self._skipped > most:
            row = f", and that of {self._skipped - 1} steps before it" if self._skipped > 1 else ""
            raise FakeitError(
                f"{told}{row}. Look at these rows, lower optimiser.lr ({self.lr:g}) or set optimiser.clip; "
                "checkpoints before it stand"
            )
        if self.comm.rank == 0:
            print(f"warning: {told}. The step was skipped", file=sys.stderr, flush=True)


def report_without_requests(report: StepReport) -> StepReport:
    """The report of a step that must not be acted on, since the weights are already one step further."""
    report.stop = report.save = report.time_up = False
    return report


def _grouped(batches: Iterator[Batch], count: int) -> Iterator[list[Batch]]:
    """Batches in lists of `count`; the last may be shorter."""
    group: list[Batch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == count:
            yield group
            group = []
    if group:
        yield group
