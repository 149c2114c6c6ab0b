#!/usr/bin/env python
"""How much of the machine the training loop leaves to the network: the whole loop over the bare step, ranks over one.

`loop_over_step`: images/s of `Session.epoch` (read, shuffle, move, signals; augmentation and EMA off) over the same
forward, backward and optimiser step on one batch that already lies on the device. `scaling_2`: images/s of two ranks
with one core each, over twice one rank with one core. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
NETWORKS = ("lenet", "kaggle_cnn", "resnet_lean", "mobilenet_v2", "resnet18", "xception_small", "resnet50", "xception")


def bare_and_loop(
    name: str, size: int, batch_size: int, seconds: float, augment: bool, device: str
) -> dict[str, float]:
    """Images/s of the bare step and of the loop, in turns, so that a noisy machine disturbs both alike."""
    import torch
    from tiny_dataset import make_dataset

    from model.augmentation import Augmenter
    from model.comm import Single
    from model.loading.loader import Loader
    from model.loading.plan import Plan
    from model.loading.store import DatasetShare, Store
    from model.losses import LossConfig, per_point, weighted_sum
    from model.networks import NetworkConfig, build
    from model.session import Session
    from model.train_config import TrainConfig
    from pipelines.config import load
    from pipelines.landmarks import scheme

    with tempfile.TemporaryDirectory() as folder:
        make_dataset(Path(folder) / "set", train=(8 * batch_size,), val=(), size=size, scheme_name="face70")
        store = Store([DatasetShare(f"{folder}/set")], "train")
        torch.manual_seed(1)
        network = build(NetworkConfig(name=name), 70, 3, size).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        drawn = load(ROOT / "conf/train/box.toml", TrainConfig).augment if augment else None
        config = replace(TrainConfig(), augment=drawn)
        loader = Loader(store, Plan(store.parts(), batch_size), device=device)
        augmenter = Augmenter(store.crop, store.crop, scheme("face70"), drawn, 1, torch.device(device))
        session = Session(config, network, loader, augmenter, Single())
        batch = next(iter(loader.epoch(0)))

        def step() -> None:
            prediction = network(batch.images)
            loss = weighted_sum(per_point(prediction, batch.landmarks, batch.weight, LossConfig()), batch.weight)
            (loss / batch.total_weight).backward()
            session.optimiser.step()
            session.optimiser.zero_grad()

        step()
        for _ in session.epoch(0, store.rows, 0, 0, []):  # first allocations are nobody's
            pass
        spent = {"step": [0.0, 0], "loop": [0.0, 0]}
        epoch = 1
        while spent["loop"][0] < seconds:
            started = time.perf_counter()
            count = sum(1 for _ in session.epoch(epoch, store.rows, 0, 0, []))
            spent["loop"][0] += time.perf_counter() - started
            spent["loop"][1] += store.rows
            started = time.perf_counter()
            for _ in range(count):
                step()
            if device != "cpu":
                torch.cuda.synchronize()
            spent["step"][0] += time.perf_counter() - started
            spent["step"][1] += count * batch_size
            epoch += 1
        return {key: images / taken for key, (taken, images) in spent.items()}


def rank_rate(folder: Path, backend: str, ranks: int, name: str, size: int, epochs: int) -> float:
    """Images/s of all ranks together over the last epochs of a real job, one core each."""
    output = folder / f"{backend}-{ranks}"
    python = [sys.executable]
    launch = {
        "horovod": [*python, str(Path(sys.executable).parent / "horovodrun"), "-np", str(ranks), *python],
        "ddp": [*python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)],
        "single": python,
    }[backend]
    options = {"network.name": name, "train.epochs": epochs, "train.threads": 1, "tracking.uri": ""}
    options["train.validate_every"] = 99
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    files = ["--config", str(folder / "conf.toml"), "--dataset", str(folder / f"set{size}"), "--output", str(output)]
    command = [*launch, str(ROOT / "jobs/train.py"), *files, *sets]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
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
    from tiny_dataset import make_dataset

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "conf.toml").write_text(f'data = {{ batch_size = {batch}, batch_per = "rank" }}\n')
        make_dataset(folder / f"set{size}", train=(batch * steps,), val=(4,), size=size, scheme_name="face70")
        one = rank_rate(folder, "single", 1, name, size, epochs)
        return {
            backend: rank_rate(folder, backend, 2, name, size, epochs) / (2 * one) for backend in ("horovod", "ddp")
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--augment", action="store_true", help="with the box's augmentation: what it costs")
    parser.add_argument("--no-scaling", action="store_true")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    images, ratios = {}, {}
    for name in arguments.networks:
        found = bare_and_loop(
            name, arguments.size, arguments.batch, arguments.seconds, arguments.augment, arguments.device
        )
        images[name], ratios[name] = round(found["loop"], 1), round(found["loop"] / found["step"], 3)
        print(
            f"{name:16} step {found['step']:8.1f}  loop {found['loop']:8.1f} images/s  ratio {ratios[name]}", flush=True
        )
    result: dict[str, object] = {"loop_over_step": min(ratios.values()), "per_network": ratios, "images_per_s": images}
    if not arguments.no_scaling:
        found = scaling("resnet_lean", 64, 64, 10, 4)
        print("two ranks over twice one:", {k: round(v, 3) for k, v in found.items()}, flush=True)
        result |= {"scaling_2": round(found["horovod"], 3), "scaling_2_ddp": round(found["ddp"], 3)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
