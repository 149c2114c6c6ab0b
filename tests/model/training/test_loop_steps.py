"""Single steps of the loop, looked at closely, on a network whose loss one can tell beforehand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_dataset import make_dataset
from torch import Tensor, nn

from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.config import DataConfig
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.model.distributed.communicator import Single
from fakeit.model.networks.network import Prediction
from fakeit.model.training.config import LoopConfig, TrainConfig
from fakeit.model.training.loop import StepReport, TrainLoop
from fakeit.model.training.losses import LossConfig
from fakeit.model.training.optim import OptimiserConfig
from fakeit.pipelines.faces.augment import AugmentConfig, Block
from fakeit.pipelines.landmarks import scheme


class Constant(nn.Module):
    """Says the same point whatever it sees; `gain` lets a test break a step."""

    def __init__(self, gain: Callable[[], float] = lambda: 1.0) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.full((5, 2), 0.5))
        self.norm = nn.BatchNorm2d(3)
        self.gain = gain

    def forward(self, pixels: Tensor) -> Prediction:
        seen = self.norm(pixels * self.gain()).mean() * 0
        return Prediction((self.point * self.gain()).expand(len(pixels), 5, 2) + seen)


def loop(folder: Path, config: TrainConfig, network: nn.Module, missing: float = 0.0) -> TrainLoop:
    if not (folder / "set").exists():
        make_dataset(folder / "set", train=(32, 32), val=(), missing=missing)
    store = ShardedDataset([DatasetSpec(str(folder / "set"))], "train")
    plan = Plan(store.parts(), config.data.batch_size)
    augmenter = Augmenter(store.crop, store.crop, scheme("five"), config.augment, 1, torch.device("cpu"))
    loader = Loader(store, plan, mixup_halo=config.data.mixup > 0)
    return TrainLoop(config, network, loader, augmenter, Single())  # type: ignore[arg-type]


def steps(made: TrainLoop, epoch: int = 0) -> list[StepReport]:
    return list(made.epoch(epoch, made.loader.store.rows, 0, 0, []))


STILL = TrainConfig(
    data=DataConfig(batch_size=16), loss=LossConfig({"l1": 1.0}), optimiser=OptimiserConfig("sgd", lr=1e-12)
)


@pytest.mark.parametrize("flip", [None, AugmentConfig(flip=Block(probability=0.5))], ids=["plain", "flipped"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_missing_points_do_not_shrink_the_loss_of_mixed_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: AugmentConfig | None, accumulate: int
) -> None:
    """Every point is 0.25 off, so the loss is 0.25, however many are missing; mixup made it 0.125 of half of them."""
    gather = ShardedDataset.gather

    def level(self: ShardedDataset, rows: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        landmarks, weight = gather(self, rows, images)
        points = np.float32([0.25, 0.75]) if flip is None else np.float32([0.5, 1.0])
        return np.where(np.isfinite(landmarks), points, landmarks), weight

    monkeypatch.setattr(ShardedDataset, "gather", level)
    data, optimiser = DataConfig(batch_size=16, mixup=0.2), OptimiserConfig("sgd", lr=1e-12, accumulate=accumulate)
    config = TrainConfig(data=data, augment=flip, loss=LossConfig({"l1": 1.0}), optimiser=optimiser, train=LoopConfig())
    for report in steps(loop(tmp_path, config, Constant(), missing=0.5)):
        assert report.loss == pytest.approx(0.25, rel=1e-4)
