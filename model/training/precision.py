"""`train.precision = "auto"`: bf16 where this machine's arithmetic makes this network's step quicker with it.

A processor without such arithmetic computes bf16 at half of float32's speed, one with it at up to twice, and how much
it gains depends on the network: depthwise convolutions even lose (docs/benchmarks.md). So a step is timed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

import torch

from fakeit.model.distributed.communicator import Comm
from fakeit.model.networks import LandmarkNetwork, NetworkConfig, build
from fakeit.model.training.checkpoint import Checkpoint
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.faces.crop import CropConfig

Precision = Literal["float32", "bf16", "fp16"]
PAYS = 1.1  # times as quick as float32: less is a timing's noise, and float32 rounds less
SECONDS = 0.5  # of timing, both together; at least three steps each, on fewer images where a batch takes too long


def choose(
    config: TrainConfig, points: int, crop: CropConfig, comm: Comm, device: str, restored: Checkpoint | None
) -> Precision:
    """The precision of a run. Collective: rank 0 chooses, and says why in one line; all ranks take its choice.

    Args:
        config: of the run; a precision that it names is taken.
        points: that the network finds. crop: of its input. comm: the other ranks. device: of this rank.
        restored: a checkpoint that is resumed: what its run began with stays.
    """
    if config.train.precision != "auto":
        return config.train.precision
    chosen: Precision = "float32"
    if comm.rank == 0:
        chosen, reason = _chosen(config, points, crop, comm.size, device, restored)
        print(f"precision: {chosen} ({reason})", flush=True)
    chosen = comm.broadcast(chosen)
    return chosen


def _chosen(
    config: TrainConfig, points: int, crop: CropConfig, ranks: int, device: str, restored: Checkpoint | None
) -> tuple[Precision, str]:
    """The choice, and the reason for it."""
    if restored is not None:
        return restored.conf.get("train", {}).get("precision", "float32"), "as this run began"
    if device != "cpu":
        if torch.cuda.is_bf16_supported(including_emulation=False):  # emulated it is slow
            return "bf16", "this GPU computes with it"
        return "float32", "this GPU does not compute with bf16"
    if not has_bf16_arithmetic():
        return "float32", "this processor does not compute with bf16"
    batch = config.data.batch_size if config.data.batch_per == "rank" else config.data.batch_size // ranks
    plain, half = rates(config.network, points, crop, batch)
    if half >= PAYS * plain:
        return "bf16", f"{half:,.0f} against {plain:,.0f} images/s"
    return "float32", f"{plain:,.0f} images/s, with bf16 {half:,.0f}"


def has_bf16_arithmetic() -> bool:
    """Whether this processor multiplies bf16 itself (AMX, AVX-512, ARM's); True where torch is too old to say."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return True
    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def rates(network: NetworkConfig, points: int, crop: CropConfig, batch: int) -> tuple[float, float]:
    """Images/s of forward and backward on this CPU, in float32 and in bf16: each one's best step, taken in turns.

    Args:
        network: a new one of this kind is timed, so that nothing of a run is touched, random numbers included.
        points: that it finds. crop: of its input. batch: images of a step; fewer where those take long.
    """
    with torch.random.fork_rng(devices=[]):
        timed = build(replace(network, pretrained=None), points, crop.channels, crop.size)
        timed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        first = min(max(batch, 2), 8)  # batch norms need two
        cold = _seconds(timed, crop, first, half=False)
        count = max(2, min(batch, int(first * SECONDS / 2 / cold)))
        for half in (False, True):
            _seconds(timed, crop, count, half)  # what is compiled and allocated once is nobody's
        plain: list[float] = []
        halved: list[float] = []
        ends = time.perf_counter() + SECONDS
        while len(plain) < 3 or time.perf_counter() < ends:
            plain.append(_seconds(timed, crop, count, half=False))
            halved.append(_seconds(timed, crop, count, half=True))
    return count / min(plain), count / min(halved)


def _seconds(network: LandmarkNetwork, crop: CropConfig, count: int, half: bool) -> float:
    """Of one step, forward and backward."""
    pixels = torch.rand(count, crop.channels, crop.size, crop.size).contiguous(memory_format=torch.channels_last)
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        points = network(pixels).points
    points.square().mean().backward()
    network.zero_grad()
    return time.perf_counter() - started
