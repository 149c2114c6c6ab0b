"""Single steps of the loop, looked at closely, on a network whose loss one can tell beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_checkpoint import a_checkpoint
from tiny_dataset import make_dataset
from torch import Tensor, nn

from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.config import DataConfig
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.model.data.shard_reader import Labels
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

    def level(self: ShardedDataset, rows: np.ndarray, images: np.ndarray) -> Labels:
        labels = gather(self, rows, images)
        points = np.float32([0.25, 0.75]) if flip is None else np.float32([0.5, 1.0])
        return labels._replace(landmarks=np.where(np.isfinite(labels.landmarks), points, labels.landmarks))

    monkeypatch.setattr(ShardedDataset, "gather", level)
    data, optimiser = DataConfig(batch_size=16, mixup=0.2), OptimiserConfig("sgd", lr=1e-12, accumulate=accumulate)
    config = TrainConfig(data=data, augment=flip, loss=LossConfig({"l1": 1.0}), optimiser=optimiser, train=LoopConfig())
    for report in steps(loop(tmp_path, config, Constant(), missing=0.5)):
        assert report.loss == pytest.approx(0.25, rel=1e-4)


def broken_at(*numbers: int, value: float) -> Callable[[], float]:
    """A gain that is `value` at the forward passes of those numbers (two questions each), else 1."""
    count = iter(range(10**6))
    return lambda: value if next(count) // 2 in numbers else 1.0


@pytest.mark.fault
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
@pytest.mark.parametrize("at", [0, 2])
def test_a_step_without_a_number_leaves_everything_as_it_was(tmp_path: Path, name: str, value: float, at: int) -> None:
    """Also at the very first, and where an absolute error's own gradient would be finite."""
    network = Constant(broken_at(at, value=value))
    kind: Any = name
    made = loop(tmp_path, replace(STILL, optimiser=OptimiserConfig(kind, lr=0.01, ema=0.5)), network)
    assert made.ema is not None
    states = []
    for report in made.epoch(0, 64, 0, 0, []):
        states.append((report, {k: v.clone() for k, v in network.state_dict().items() if v.is_floating_point()}))
    assert [report.skipped for report, _ in states] == [n == at for n in range(4)]
    assert all(math.isnan(report.loss) == report.skipped for report, _ in states)
    assert all(v.isfinite().all() for v in [*network.state_dict().values(), *made.ema.network.state_dict().values()])
    other = Constant()
    plain = loop(tmp_path, replace(STILL, optimiser=OptimiserConfig(kind, lr=0.01)), other)
    list(zip(plain.epoch(0, 64, 0, 0, []), range(2), strict=False))
    taken = 0.01 * 3 if name != "sgd" else None
    if taken is not None:  # Adam moves a constant gradient's parameter by lr a step: three of the four were taken
        assert (network.point.detach() - 0.5).abs().max() == pytest.approx(taken, rel=0.1)


@pytest.mark.fault
def test_a_gradient_without_a_number_is_not_stepped_though_the_loss_is_one(tmp_path: Path) -> None:
    network, count = Constant(), iter(range(99))
    network.point.register_hook(lambda gradient: gradient * (float("inf") if next(count) == 1 else 1.0))
    reports = steps(loop(tmp_path, replace(STILL, optimiser=OptimiserConfig("adam", lr=0.01)), network))
    assert [r.skipped for r in reports] == [False, True, False, False] and network.point.isfinite().all()


@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_the_gradient_s_norm_is_reported_as_it_was_before_clipping(tmp_path: Path, clip: float) -> None:
    """L1 with every point in place of the mean: each coordinate's gradient is (share above − share below) / 10."""
    network = Constant()
    optimiser = OptimiserConfig("sgd", lr=1e-12, momentum=0.0, clip=clip)
    made = loop(tmp_path, replace(STILL, data=DataConfig(batch_size=64), optimiser=optimiser), network)
    (report,) = steps(made)
    batch = next(iter(made.loader.epoch(0)))
    expected = torch.sign(0.5 - batch.landmarks).mean(0) / 10
    assert report.gradient_norm == pytest.approx(expected.norm().item(), rel=1e-4)


def test_float16_s_scaling_is_resumed(tmp_path: Path) -> None:
    config = replace(STILL, train=LoopConfig(precision="fp16"))
    made = loop(tmp_path, config, Constant())
    made.scaler.scale(torch.ones(()))
    made.scaler.update(2.0**9)
    state = made.state()
    assert state["scaler"]["scale"] == 2.0**9
    restored = replace(a_checkpoint(), weights={}, ema=None, optimiser=None, scaler=state["scaler"])
    again = TrainLoop(config, Constant(), made.loader, made.augmenter, Single(), restored=restored)  # type: ignore[arg-type]
    assert again.scaler.get_scale() == 2.0**9
    assert loop(tmp_path, STILL, Constant()).state()["scaler"] is None
