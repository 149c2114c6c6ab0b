"""What a GPU would see, without one: on torch's meta device tensors have a place and a shape but no values, so a step
that asks a GPU for a value, or mixes devices, is an error here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_dataset import make_dataset
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fakeit.model.data.batch_augmentation import Augmenter, Draws
from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.model.distributed.communicator import Single
from fakeit.model.networks import NetworkConfig, build
from fakeit.model.training import loop as loop_module
from fakeit.model.training.config import TrainConfig
from fakeit.model.training.loop import TrainLoop
from fakeit.model.training.validation import validate
from fakeit.pipelines.config import load
from fakeit.pipelines.landmarks import scheme

ROOT = Path(__file__).resolve().parents[3]
META = torch.device("meta")


class SumsThatAreRead(Single):
    """A step's sum is read one step later, when the GPU has been given the next: the one answer that is awaited."""

    def all_reduce_async(self, values: Tensor) -> Callable[[], Tensor]:
        assert values.device == META
        return lambda: torch.ones(len(values)) * (len(values) != 6)  # no rank control to stop


class WithTheCpusGenerator(Augmenter):
    """There is no generator of random numbers for a device without values."""

    def draw(self, epoch: int, batch: int, first: int, count: int, global_size: int) -> Draws:
        self.device = torch.device("cpu")
        draws = super().draw(epoch, batch, first, count, global_size)
        self.device = META
        return draws


class NoBlockingCopies(TorchDispatchMode):
    """Copies to the device that would wait until it has done all that it was given."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        to = kwargs.get("device")
        if func is torch.ops.aten._to_copy.default and to is not None and torch.device(to) == META:
            assert args[0].device == META or kwargs.get("non_blocking"), f"a blocking copy of {tuple(args[0].shape)}"
        if func is torch.ops.aten.copy_.default and args[0].device == META:
            assert args[1].device == META or (args[2:] or kwargs.get("non_blocking")), "a blocking copy"
        return func(*args, **kwargs)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ShardedDataset:
    folder = tmp_path_factory.mktemp("data") / "set"
    make_dataset(folder, train=(13, 12), val=(9,), size=40, scheme_name="face70")
    return ShardedDataset([DatasetSpec(str(folder))], "train")


class Unfused(torch.optim.AdamW):
    """Fused kernels, which look at `found_inf` on the device, have no meta version; the others refuse to hold one."""

    found_inf = property(lambda self: None, lambda self, value: None)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("head", ["direct", "gaussian", "votes"])
def test_no_step_waits_for_the_gpu(
    head: str, resident: bool, store: ShardedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs with every augmentation of the box, mixup, dropout, clipping, accumulation and smoothed weights."""
    box = load(ROOT / "conf/train/box.toml", TrainConfig)
    loss = {"direct": "soft_wing", "gaussian": "gnll", "votes": "laplace"}[head]
    config = replace(
        box,
        data=replace(box.data, mixup=0.2, batch_size=8),
        loss=replace(box.loss, terms={loss: 1.0, "wing": 1.0}),
        optimiser=replace(box.optimiser, clip=1.0, ema=0.9, accumulate=2),
    )
    assert config.augment is not None
    network = build(NetworkConfig(name="resnet_lean", width=0.25, head=head, dropout=0.2), 70, 3, 32)  # type: ignore[arg-type]
    network = network.to(META, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loader = Loader(store, Plan(store.parts(), 8), device="meta", resident=resident, mixup_halo=True)
    crops = store.crop, replace(store.crop, size=32), scheme("face70")
    augmenter = WithTheCpusGenerator(*crops, config.augment, 1, META)
    plain = Augmenter(*crops, None, 1, META)
    fused_has_no_meta = Unfused(network.parameters())
    monkeypatch.setattr(loop_module, "make_optimiser", lambda *_: fused_has_no_meta)
    session = TrainLoop(config, network, loader, augmenter, SumsThatAreRead())
    with NoBlockingCopies():
        reports = [report for epoch in range(4) for report in session.epoch(epoch, store.rows, 0, 2 * epoch, [])]
        validate(network, loader, plain, config.loss, scheme("face70"), SumsThatAreRead())
    assert len(reports) == 8
