"""A training run from conf to best checkpoint: sessions, epochs, validation, what is kept and what is told.

The run's state is (loop, epoch, rows consumed, step) + weights + optimiser + history. Everything else follows from
seeds: so a run that was killed goes on, bit for bit on a CPU, with the same next batches, on any number of ranks.
"""

from __future__ import annotations

import copy
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.batch_plan import Plan, batch_at
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.model.distributed.communicator import Comm, all_reduce
from fakeit.model.networks import LandmarkNetwork, parameter_count
from fakeit.model.training import precision
from fakeit.model.training.background import BackgroundSaver
from fakeit.model.training.checkpoint import BEST, Checkpoint, CheckpointManager, Position, load
from fakeit.model.training.config import TrainConfig
from fakeit.model.training.console import StepLog, announce, epoch_line, estimate, prediction_sheet, whole_run
from fakeit.model.training.loop import StepReport, TrainLoop
from fakeit.model.training.metrics import Metrics
from fakeit.model.training.progress import Progress
from fakeit.model.training.setup import (
    STEPS,
    check_fits,
    check_monitor,
    device_of,
    make_network,
    prepare_folder,
    start_tracking,
    verify_datasets,
    warn,
)
from fakeit.model.training.validation import validate
from fakeit.pipelines.config import to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.landmarks import scheme as scheme_named
from fakeit.pipelines.progress import ProgressBar, say
from fakeit.pipelines.secrets import without_secrets

PREEMPTED = 75  # exit code after SIGTERM: a checkpoint stands, run again with --resume (EX_TEMPFAIL)


@dataclass(frozen=True)
class TrainingResult:
    """What came of a run: the best checkpoint, its figures, why training ended, and images a second of all ranks."""

    best: Path
    metrics: dict[str, float]
    ended: str
    epochs: int
    images_per_s: float
    run_id: str | None


def train(
    config: TrainConfig,
    dataset: str,
    output: str | Path,
    comm: Comm,
    resume: bool = False,
    init: str | None = None,
) -> TrainingResult:
    """Trains.

    Args:
        config: the whole conf.
        dataset: the first dataset; `config.data.mix` names more.
        output: the run's folder: checkpoints, steps, journal.
        comm: this process among its ranks.
        resume: go on from the newest whole checkpoint in `output`.
        init: a checkpoint whose weights, as far as they fit, are the start.

    Raises:
        FakeitError: something the user must change.
    """
    trainer = Trainer(config, dataset, Path(output), comm, resume, init)
    status = "FAILED"
    try:
        outcome = trainer.run()
        status = "KILLED" if outcome.ended == "preempted" else "FINISHED"
        return outcome
    finally:
        trainer.wait_for_saves()
        trainer.tracker.finish(status, trainer.best_network() if status == "FINISHED" else None)


class Trainer:
    """The state of a run, and its steps in order."""

    def __init__(
        self, config: TrainConfig, dataset: str, output: Path, comm: Comm, resume: bool, init: str | None
    ) -> None:
        self.config, self.output, self.comm, self.is_rank_zero = config, output, comm, comm.rank == 0
        self.device = device_of(config, comm)
        mix = (DatasetSpec(dataset, config.data.passes_per_epoch), *config.data.mix)
        reader, points = config.data.reader, config.input.scheme
        keep = 3 * config.data.shuffle_block_shards * len(mix)
        dense = config.loss.dense > 0
        self.training = ShardedDataset(mix, "train", reader, points, config.data.images, keep, dense)
        if dense and not self.training.dense:
            if self.is_rank_zero:
                why = "preprocess with --set source.options.dense=true where the pictures have them"
                warn(f"dataset {dataset} has no dense points, so the network gives none ({why})")
            config = config.without_dense()
        # The whole split, however much of the training rows an epoch sees.
        self.validation = ShardedDataset([DatasetSpec(dataset)], "val", reader, self.training.scheme)
        verify_datasets((self.training, self.validation), comm)
        check_monitor(config.train.monitor, self.validation)
        if self.training.rows == 0:
            raise FakeitError(f"dataset {dataset} has no training rows")
        self.scheme = scheme_named(self.training.scheme)
        self.crop = config.input.crop(self.training.crop)
        self.checkpoints = CheckpointManager(output / "checkpoints", config.train.keep)
        self.saver = BackgroundSaver(self.checkpoints)
        self.position, self.progress = Position(), Progress()
        restored = prepare_folder(config, output, self.checkpoints, comm, resume)
        if restored is not None:
            check_fits(restored, self.scheme.name, self.crop, self.training.manifests[0].digest)
            self.position, self.progress = restored.position, Progress(**restored.progress)
        chosen = precision.choose(config, self.scheme.count, self.crop, comm, self.device, restored)
        self.config = config = replace(config, train=replace(config.train, precision=chosen))
        self.network = make_network(config, self.training, self.crop, comm, self.device, restored, init)
        self._restored = restored
        self.tracker = start_tracking(config, output, comm, self.training, parameter_count(self.network), restored)
        self.steps = StepLog(output / STEPS if self.is_rank_zero else None)
        self.stopping: str | None = None
        self._asked_to_stop = False
        self._images, self._seconds = 0, 0.0
        self.final: Any = None  # the network of the last session, smoothed where there is such a one

    # ------------------------------------------------------------------- run

    def run(self) -> TrainingResult:
        """All sessions, from where the run stands."""
        if self.is_rank_zero:
            announce(self.network, self.crop, self.training, self.validation, self.comm, self.device, self._restored)
        previous = signal.getsignal(signal.SIGTERM)
        self._counted_at = time.monotonic()
        minutes = self.config.train.minutes
        spent = bool(minutes) and self.progress.seconds >= 60 * minutes  # a checkpoint's: all ranks know the same
        self.stopping = "time is up" if spent else None
        try:
            for index in range(self.position.session, 0 if spent else self.config.sessions):
                self._session(index)
                if self.stopping == "preempted" or self.stopping == "time is up":
                    break
        except BaseException:
            if self.comm.size > 1 and _in_main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a launcher's: it ends those that are left
            raise
        if _in_main_thread():
            signal.signal(signal.SIGTERM, previous)
        self.wait_for_saves()
        self._show_predictions()
        best = self.output / "checkpoints" / BEST
        rate = self._images / self._seconds if self._seconds else 0.0
        ended = self.stopping or "all epochs are done"
        progress = self.progress
        return TrainingResult(best, progress.best_values, ended, len(progress.history), rate, self.tracker.run_id)

    def _session(self, index: int) -> None:
        config = self.config.session(index)
        if index > self.position.session:  # the second session starts from the first's best
            self.wait_for_saves()
            self.comm.barrier()
            weights = self.comm.broadcast(load(self.output / "checkpoints" / BEST) if self.is_rank_zero else None)
            self.network = copy.deepcopy(self.network)  # without the hooks that the first session's ranks left on it
            self.network.load_state_dict(weights.ema if weights.ema is not None else weights.weights)
            self.progress.session_start = len(self.progress.history)
            self.position = Position(index, self.progress.session_start, 0, self.position.step)
            self._restored = None
        self.stopping = None
        first = self.progress.session_start
        last = first + config.train.epochs
        plan = self._plan(config, range(first, last))
        halo = config.data.mixup > 0
        loader = Loader(self.training, plan, self.comm.rank, self.comm.size, self.device, config.data.resident, halo)
        augmenter = self._augmenter(config)
        loop = TrainLoop(config, self.network, loader, augmenter, self.comm, first, self._restored)
        self._listen(loop, config)
        for epoch in range(self.position.epoch, last):
            monitor, patience = config.train.monitor, config.train.patience
            if patience and self.progress.in_vain(monitor, self.validation.rows > 0) >= patience:
                self.stopping = f"no better {monitor} for {patience} epochs"
            else:
                self._epoch(loop, plan, epoch, last)
            if self.stopping is not None:
                break
        self.final = loop.evaluated

    def _plan(self, config: TrainConfig, epochs: range) -> Plan:
        """The order of a session's rows. Raises FakeitError: some of its epochs would have none."""
        data = config.data
        size = data.batch_size * (self.comm.size if data.batch_per == "rank" else 1)
        block, by_shard = data.shuffle_block_shards, data.rows_by_shard
        plan = Plan(self.training.parts(), size, config.train.seed, block, rows_by_shard=by_shard)
        if not all(plan.rows(epoch) for epoch in epochs):
            told = f"data.passes_per_epoch is {data.passes_per_epoch:g}"
            raise FakeitError(f"{told}: of {self.training.rows} training rows some epochs would see none")
        return plan

    def _listen(self, loop: TrainLoop, config: TrainConfig) -> None:
        loop.control.save_every = 60 * config.train.checkpoint_minutes
        if config.train.minutes:
            self._count_seconds()
            loop.control.time_up_at = self._counted_at + 60 * config.train.minutes - self.progress.seconds

        def preempt(number: int, frame: object) -> None:
            self._asked_to_stop = loop.control.stop = True

        if _in_main_thread():
            signal.signal(signal.SIGTERM, preempt)
        loop.control.stop = self._asked_to_stop  # as the session before was ending

    def _epoch(self, loop: TrainLoop, plan: Plan, epoch: int, last: int) -> None:
        rows, batches = plan.rows(epoch), plan.batches(epoch)
        first = batch_at(rows, batches, self.position.rows)
        monitored = self.progress.monitored(loop.config.train.monitor, self.validation.rows > 0)
        history = monitored[self.progress.session_start :]
        started, start_rows = time.monotonic(), self.position.rows
        shown = ProgressBar(f"epoch {epoch + 1}/{last}", rows, "images", start_rows) if self.is_rank_zero else None
        with ExitStack() as stack:
            stack.callback(self.steps.flush)
            if shown is not None:
                stack.callback(shown.close)
            for report in loop.epoch(epoch, rows, first, self.position.step, history):
                if shown is not None:
                    shown.step(report.rows - self.position.rows, whole_run(shown, last - epoch - 1))
                self._after_step(loop, report, epoch, self.steps)
                if self.stopping is not None:
                    break
        learnt, seconds = self.position.rows - start_rows, time.monotonic() - started
        self._images, self._seconds = self._images + learnt, self._seconds + seconds
        if self.stopping == "preempted":
            return
        if self.stopping is not None:  # time is up
            self._end_epoch(loop, epoch, epoch + 1, learnt / seconds)
            return
        self._check_seen(loop.loader, epoch)
        self._end_epoch(loop, epoch, last, learnt / seconds)
        if self.is_rank_zero and learnt and epoch == loop.first_epoch and epoch + 1 < last:
            judging = time.monotonic() - started - seconds
            say(estimate(seconds * rows / learnt + judging, last - epoch - 1))

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._counted_at
        self._counted_at = now

    def _after_step(self, loop: TrainLoop, report: StepReport, epoch: int, steps: StepLog) -> None:
        self.position = replace(self.position, epoch=epoch, rows=report.rows, step=report.step)
        self.progress.add(report)
        figures = (None, None) if report.skipped else (report.loss, report.gradient_norm)
        steps.add(report.step, epoch, *figures)
        if report.stop or report.time_up or report.save:
            steps.flush()
            self._save(loop)
        if report.stop:
            self.stopping = "preempted"
        elif report.time_up:
            self.stopping = "time is up"

    def _check_seen(self, loader: Loader, epoch: int) -> None:
        seen = all_reduce(self.comm, torch.from_numpy(loader.seen.copy()).to(self.device))
        loader.check_seen(seen.cpu().numpy(), epoch)

    def _end_epoch(self, loop: TrainLoop, epoch: int, last: int, rate: float) -> None:
        config, progress = loop.config, self.progress
        values = progress.means()
        due = (epoch + 1 - loop.first_epoch) % config.train.validate_every == 0 or epoch + 1 >= last
        metrics = self._validate(loop) if due and self.validation.rows else None
        if metrics is not None:
            values.update({f"val_{k}": v for k, v in asdict(metrics).items() if k != "faces"})
        values["lr"] = loop.learning_rate
        if rate:
            values["images_per_s"] = rate
        better = progress.end_epoch(epoch, values, config.train.monitor, self.validation.rows > 0)
        self.position = Position(self.position.session, epoch + 1, 0, self.position.step)
        if self.is_rank_zero:
            print(epoch_line(epoch, last, values, better), flush=True)
        self.tracker.metrics(epoch + 1, values)
        self._save(loop, better)

    def _validate(self, loop: TrainLoop) -> Metrics:
        loop.share_buffers()
        size = loop.config.train.validate_batch * self.comm.size
        plan = Plan(self.validation.parts(), size, shuffled=False)
        loader = Loader(self.validation, plan, self.comm.rank, self.comm.size, self.device)
        metrics = validate(loop.evaluated, loader, loop.augmenter, loop.config.loss, self.scheme, self.comm)
        self.network.train()
        return metrics

    # -------------------------------------------------------- keep and tell

    def _save(self, loop: TrainLoop, best: bool = False) -> None:
        loop.share_buffers()
        if not self.is_rank_zero:
            return
        self._count_seconds()
        checkpoint = Checkpoint(
            network=self.network.config,
            crop=self.crop,
            scheme=self.scheme.name,
            **loop.state(),
            position=self.position,
            progress=asdict(self.progress),
            conf=without_secrets(to_dict(self.config)),
            dataset={"path": self.training.mix[0].path, "digest": self.training.manifests[0].digest},
            run_id=self.tracker.run_id,
            metrics=self.progress.history[-1] if self.progress.history else {},
        )
        self._told(self.saver.save(checkpoint, best))

    def wait_for_saves(self) -> None:
        """Until the last checkpoint stands on the disk."""
        self._told(self.saver.wait())

    @staticmethod
    def _told(problem: str | None) -> None:
        if problem:
            warn(problem + "; the ones before stand, training goes on")

    def best_network(self) -> LandmarkNetwork | None:
        """The best network on the CPU, on rank 0."""
        best = self.output / "checkpoints" / BEST
        return load(best).build() if self.is_rank_zero and self.config.tracking.model and best.exists() else None

    def _augmenter(self, config: TrainConfig) -> Augmenter:
        return Augmenter(
            self.training.crop, self.crop, self.scheme, config.augment, config.train.seed, torch.device(self.device)
        )

    def _show_predictions(self) -> None:
        if not self.is_rank_zero or self.validation.rows == 0 or self.final is None:
            return
        plan = Plan(self.validation.parts(), 16, shuffled=False)
        loader = Loader(self.validation, plan, device=self.device)
        sheet = prediction_sheet(self.final, loader, self._augmenter(self.config), self.crop, self.scheme.name)
        try:
            write_image(str(self.output / "predictions.png"), sheet)
        except OSError as error:
            warn(f"{self.output / 'predictions.png'} was not written: {error.strerror or error}")
        self.tracker.picture("predictions.png", sheet)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
