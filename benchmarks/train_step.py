#!/usr/bin/env python
"""How much of the machine the training loop leaves to the network: the whole loop over the bare step, ranks over one.

`loop_over_step`: images/s of `TrainLoop.epoch` (read, shuffle, move, signals; augmentation and EMA off) over the same
forward, backward and optimiser step on one batch that already lies on the device. `loop_over_plain`: over the loop that
one writes first: eager, float32, NCHW, blocking copies, the loss read after every step. `mfu`: the step's
multiplications and additions a second (three times the forward pass's) over those of a large matrix product in the same
precision on the same device. `scaling_2`: images/s of two ranks with one core each, over twice one rank
with one core. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from tiny_dataset import make_dataset  # noqa: E402
from train_job import go, job, sets  # noqa: E402

from fakeit.model.comparison.cell import count_macs  # noqa: E402
from fakeit.model.data.batch_augmentation import Augmenter  # noqa: E402
from fakeit.model.data.batch_plan import Plan  # noqa: E402
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset  # noqa: E402
from fakeit.model.data.loader import Batch, Loader  # noqa: E402
from fakeit.model.distributed.communicator import Single  # noqa: E402
from fakeit.model.networks import LandmarkNetwork, NetworkConfig, build  # noqa: E402
from fakeit.model.training.config import TrainConfig  # noqa: E402
from fakeit.model.training.loop import DTYPES, TrainLoop  # noqa: E402
from fakeit.model.training.losses import LossConfig, per_point, weighted_sum  # noqa: E402
from fakeit.model.training.setup import device_of  # noqa: E402
from fakeit.pipelines.config import load  # noqa: E402
from fakeit.pipelines.landmarks import scheme  # noqa: E402

NETWORKS = ("lenet", "kaggle_cnn", "resnet_lean", "mobilenet_v2", "resnet18", "xception_small", "resnet50", "xception")


@dataclass(frozen=True)
class Found:
    """Of one network: images/s of the bare step, of the loop and of the plain loop; TFLOP/s of the step; MiB that the
    device held at most in the loop (GPUs only)."""

    step: float
    loop: float
    plain: float
    tflops: float
    memory: float


def finish(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def rate(work: Callable[[], int], seconds: float, device: str) -> float:
    """Images/s of `work`, which says how many it did, over at least `seconds`."""
    work()  # first allocations and compilations are nobody's
    finish(device)
    started, images = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        images += work()
        finish(device)
    return images / (time.perf_counter() - started)


def matmul_tflops(precision: str, device: str) -> float:
    """What this device reaches on a large matrix product in `precision`."""
    side = 1536 if device == "cpu" else 8192
    a = torch.randn(side, side, device=device).to(DTYPES.get(precision, torch.float32))

    def product() -> int:
        torch.mm(a, a)
        return 1

    return rate(product, 1.0, device) * 2 * side**3 / 1e12


def measure(name: str, config: TrainConfig, options: argparse.Namespace) -> Found:
    """One network, as the conf and `options` say."""
    device, size, count, precision = options.device, options.size, options.batch, options.precision
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(Path(folder) / "set", train=(8 * count,), val=(), size=size, scheme_name="face70")
        store = ShardedDataset([DatasetSpec(f"{folder}/set")], "train")
        torch.manual_seed(1)
        network = build(NetworkConfig(name=name), 70, 3, size).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        drawn = load(ROOT / "conf/train/box.toml", TrainConfig).augment if options.augment else None
        config = replace(config, augment=drawn)
        loader = Loader(store, Plan(store.parts(), count), device=device, resident=options.resident)
        augmenter = Augmenter(store.crop, store.crop, scheme("face70"), drawn, 1, torch.device(device))
        session = TrainLoop(config, network, loader, augmenter, Single())
        batch = next(iter(loader.epoch(0)))

        def step() -> int:
            with torch.autocast(torch.device(device).type, DTYPES.get(precision), enabled=precision != "float32"):
                prediction = session.module(batch.images)
            loss = weighted_sum(per_point(prediction, batch.landmarks, batch.weight, LossConfig()), batch.weight)
            (loss / batch.total_weight).backward()
            session.optimiser.step()
            session.optimiser.zero_grad()
            return count

        epochs = iter(range(10**9))

        def loop() -> int:
            for _ in session.epoch(next(epochs), store.rows, 0, 0, []):
                pass
            return store.rows

        flops = 6 * count_macs(build(NetworkConfig(name=name), 70, 3, size))  # the backward pass is twice the forward
        bare = rate(step, options.seconds, device)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        whole = rate(loop, options.seconds, device)
        memory = torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else 0.0
        bare = (bare + rate(step, options.seconds, device)) / 2  # about the loop: a machine's drift disturbs both alike
        plain = plain_rate(store, count, name, options) if options.plain else 0.0
    return Found(bare, whole, plain, bare * flops / 1e12, memory)


def plain_rate(store: ShardedDataset, count: int, name: str, options: argparse.Namespace) -> float:
    """The loop that one writes first."""
    device = options.device
    network: LandmarkNetwork = build(NetworkConfig(name=name), 70, 3, options.size).to(device)
    optimiser = torch.optim.Adam(network.parameters(), fused=False)
    loader = Loader(store, Plan(store.parts(), count))

    def step(batch: Batch) -> None:
        pixels = batch.images.permute(0, 3, 1, 2).float().contiguous().to(device)
        loss = torch.nn.functional.mse_loss(network(pixels).points, batch.landmarks.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    def loop() -> int:
        for batch in loader.epoch(0):
            step(batch)
        return store.rows

    return rate(loop, options.seconds, device)


def rank_rate(folder: Path, backend: str, ranks: int, name: str, size: int, epochs: int) -> float:
    """Images/s of all ranks together over the last epochs of a real job, one core each."""
    output = folder / f"{backend}-{ranks}"
    options = {"network.name": name, "train.epochs": epochs, "train.threads": 1, "tracking.uri": ""}
    options |= {"train.validate_every": 99, "train.precision": "float32"}
    said = sets(*(f"{key}={json.dumps(value)}" for key, value in options.items()))
    command = job(backend, ranks, str(folder / f"set{size}"), output, *said)
    done = go(command, 3600, {**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    rates = [
        float(line.split(" images/s")[0].split()[-1].replace(",", ""))
        for line in done.stdout.splitlines()
        if "epoch" in line and "images/s" in line
    ]
    return max(rates[1:])


def scaling(name: str, size: int, batch: int, steps: int, epochs: int) -> dict[str, float]:
    """Efficiency of two ranks with one core each, over one rank with one core; each rank has the same batch."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "conf.toml").write_text(f'data = {{ batch_size = {batch}, batch_per = "rank" }}\n')
        make_dataset(folder / f"set{size}", train=(batch * steps,), val=(4,), size=size, scheme_name="face70")
        one = rank_rate(folder, "single", 1, name, size, epochs)
        return {
            backend: rank_rate(folder, backend, 2, name, size, epochs) / (2 * one) for backend in ("horovod", "ddp")
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="the network through torch.compile")
    parser.add_argument("--resident", action="store_true", help="the dataset lies on the device")
    parser.add_argument("--augment", action="store_true", help="with the box's augmentation: what it costs")
    parser.add_argument("--plain", action="store_true", help="beside the loop that one writes first")
    parser.add_argument("--scaling", nargs="*", default=["resnet_lean:64:64"], metavar="NETWORK:SIZE:BATCH",
                        help="two ranks over one; none: leave it out")  # fmt: skip
    options = parser.parse_args()
    config = TrainConfig()
    config = replace(config, train=replace(config.train, device=options.device, threads=options.threads,
                                           precision=options.precision, compile=options.compile))  # fmt: skip
    options.device = device_of(config, Single())
    peak = matmul_tflops(options.precision, options.device)
    on = torch.cuda.get_device_name() if options.device != "cpu" else f"{options.threads} CPU thread(s)"
    print(f"{on}, {options.precision}: a large matrix product reaches {peak:.3g} TFLOP/s")
    print(
        f"{'network':16}{'step':>10}{'loop':>10}{'loop/step':>11}{'loop/plain':>12}{'TFLOP/s':>9}{'mfu':>7}{'MiB':>8}"
    )
    rows: dict[str, dict[str, Any]] = {}
    for name in options.networks:
        found = measure(name, config, options)
        row: dict[str, Any] = {"images_per_s": round(found.loop, 1)}
        row["loop_over_step"] = round(found.loop / found.step, 3)
        row["mfu"] = round(found.tflops / peak, 3)
        row["loop_over_plain"] = round(found.loop / found.plain, 2) if found.plain else None
        row["mib"] = round(found.memory) or None
        rows[name] = row
        print(
            f"{name:16}{found.step:10.1f}{found.loop:10.1f}{row['loop_over_step']:11}{row['loop_over_plain'] or '':>12}"
            f"{found.tflops:9.3g}{row['mfu']:7}{row['mib'] or '':>8}",
            flush=True,
        )
    result: dict[str, Any] = {"networks": rows, "matmul_tflops": round(peak, 3)}
    if rows:
        result["loop_over_step"] = min(row["loop_over_step"] for row in rows.values())
    for case in options.scaling:
        name, size, batch = case.split(":")
        both = scaling(name, int(size), int(batch), 10, 4)
        print(f"two ranks over twice one, {case}:", {k: round(v, 3) for k, v in both.items()}, flush=True)
        result.setdefault("scaling", {})[case] = {k: round(v, 3) for k, v in both.items()}
        result.setdefault("scaling_2", round(both["horovod"], 3))
        result.setdefault("scaling_2_ddp", round(both["ddp"], 3))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
