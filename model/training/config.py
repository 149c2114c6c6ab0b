"""What a file of conf/train says: one frozen dataclass a table. `fakeit.model.training.trainer` runs it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from fakeit.model.data.config import DataConfig, InputConfig
from fakeit.model.distributed.communicator import CommConfig
from fakeit.model.networks import NetworkConfig
from fakeit.model.tracking.mlflow_tracker import TrackingConfig
from fakeit.model.training.losses import LossConfig
from fakeit.model.training.optim import OptimiserConfig, ScheduleConfig
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.augment import AugmentConfig


@dataclass(frozen=True)
class LoopConfig:
    """How long and how.

    Attributes:
        epochs: of the session. minutes: stop after so long in all, whatever was resumed meanwhile; 0 is no limit.
        seed: of weights, order, augmentation, dropout.
        monitor: the validation figure that chooses the best checkpoint; the lowest wins. "nme" is of faces whose eyes
            are labelled.
        patience: epochs without a better one until training stops; 0 is never.
        validate_every: epochs between validations. validate_batch: rows a rank.
        precision: of the forward pass; weights stay float32. "auto" is bf16 where this network's step is quicker with
            it on this machine (`fakeit.model.training.precision`); a run that is resumed keeps its choice.
        compile: torch.compile the network. sync_batchnorm: batch norms see the whole world's batch.
        freeze_norms: after this share of the session's epochs batch norms keep their statistics and train as they will
            be used. A batch's own statistics hide faces that make activations explode (docs/LOG.md).
        device: "auto" takes the GPU of this rank where there is one.
        max_skipped: steps in a row that may be left out, since their loss or gradient is not a finite number, before
            training stops; 0 stops at the first.
        checkpoint_minutes: between checkpoints inside an epoch. keep: how many are kept beside the best.
        threads: torch's threads a rank; 0 is one for each of the rank's processors.
    """

    epochs: int = 30
    minutes: float = 0.0
    seed: int = 1
    monitor: Literal["loss", "mse", "mae", "nme"] = "loss"
    patience: int = 0
    validate_every: int = 1
    validate_batch: int = 128
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    compile: bool = False
    sync_batchnorm: bool = False
    freeze_norms: float = 1.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_skipped: int = 10
    checkpoint_minutes: float = 5.0
    keep: int = 3
    threads: int = 0

    RENAMED: ClassVar[dict[str, str]] = {"best_by": "monitor"}

    def __post_init__(self) -> None:
        if min(self.epochs, self.keep, self.validate_every, self.validate_batch) < 1:
            raise FakeitError("train: epochs, keep, validate_every and validate_batch must be at least 1")
        if min(self.minutes, self.patience, self.max_skipped, self.checkpoint_minutes, self.threads) < 0:
            raise FakeitError("train: minutes, patience, max_skipped, checkpoint_minutes and threads start at 0")
        if not 0 <= self.freeze_norms <= 1:
            raise FakeitError(f"train.freeze_norms is {self.freeze_norms}; it is a share of the epochs, 0 to 1")


@dataclass(frozen=True)
class SecondSession:
    """A second session from the best checkpoint of the first, usually with a larger batch and a smaller rate."""

    epochs: int
    batch_size: int
    lr: float

    def __post_init__(self) -> None:  # else it is told when the first session is over
        if self.epochs < 1 or self.batch_size < 1 or self.lr <= 0:
            raise FakeitError("second: epochs and batch_size must be at least 1, lr above 0")


@dataclass(frozen=True)
class TrainConfig:
    """One file of conf/train."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    input: InputConfig = field(default_factory=InputConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: LoopConfig = field(default_factory=LoopConfig)
    second: SecondSession | None = None
    comm: CommConfig = field(default_factory=CommConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        for taught, given in (("dense", "dense_modes"), ("visibility", "visibility")):
            factor, output = getattr(self.loss, taught), getattr(self.network, given)
            if (factor > 0) != (output > 0):
                raise FakeitError(
                    f"loss.{taught} is {factor:g} and network.{given} {output}: "
                    "the one teaches what the other gives, so set both or none"
                )

    def without_dense(self) -> TrainConfig:
        """The conf for datasets that have no dense points."""
        return replace(self, network=replace(self.network, dense_modes=0), loss=replace(self.loss, dense=0.0))

    def session(self, index: int) -> TrainConfig:
        """The conf of session 0, or of session 1 with what `second` changes."""
        if index == 0 or self.second is None:
            return self
        return replace(
            self,
            data=replace(self.data, batch_size=self.second.batch_size),
            optimiser=replace(self.optimiser, lr=self.second.lr),
            train=replace(self.train, epochs=self.second.epochs),
        )

    @property
    def sessions(self) -> int:
        return 1 if self.second is None else 2
