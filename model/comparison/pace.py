"""How many images a second a network learns from here: the whole step of `TrainLoop`, data and augmentation included.

On a CPU by processor time over threads, so that what else the machine does is nobody's loss; on a GPU by the clock. A
budget of minutes is dealt out by it, and "images/s training" in the tables is it. As a process of its own
(`python -m fakeit.model.comparison.pace CONF DATASET`, CONF as JSON) it has the cores that a cell would have.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from fakeit.model.comparison.slots import slots
from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.config import DataConfig
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.model.distributed.communicator import Single
from fakeit.model.training import precision
from fakeit.model.training.config import TrainConfig
from fakeit.model.training.loop import TrainLoop
from fakeit.model.training.optim import OptimiserConfig
from fakeit.model.training.setup import device_of, make_network
from fakeit.pipelines.config import digest, from_stored, to_dict
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.store import manifest as manifests

STEPS, SECONDS = 3, 2.0  # at least so many steps, and so long


def measure(config: TrainConfig, dataset: str, seconds: float = SECONDS) -> float:
    """Images a second of a training of this conf on this dataset, as this process may use the machine."""
    comm = Single()
    device = device_of(config, comm)
    dense = config.loss.dense > 0
    store = ShardedDataset([DatasetSpec(dataset)], "train", scheme=config.input.scheme, dense=dense)
    if not store.dense:
        config = config.without_dense()
    crop = config.input.crop(store.crop)
    chosen = precision.choose(config, scheme(store.scheme).count, crop, comm, device, None)
    config = replace(config, train=replace(config.train, precision=chosen))
    network = make_network(config, store, crop, comm, device, None, None)
    loader = Loader(store, Plan(store.parts(), config.data.batch_size, config.train.seed), device=device)
    place = torch.device(device)
    augmenter = Augmenter(store.crop, crop, scheme(store.scheme), config.augment, config.train.seed, place)
    loop = TrainLoop(config, network, loader, augmenter, comm)
    learnt, steps, started = 0, 0, 0.0
    for epoch in range(1000):
        before = 0
        for report in loop.epoch(epoch, store.rows, 0, steps, []):
            learnt, before = learnt + report.rows - before, report.rows
            if steps == 0:  # what is allocated once is nobody's
                learnt, started = 0, _now(device)
            elif steps >= STEPS and _now(device) - started >= seconds:
                return learnt / (_now(device) - started)
            steps += 1
    raise AssertionError("a thousand epochs took no time")


class Paces:
    """Images a second of trainings, each measured once for crops of a kind, in a place such as its cells will have.

    Args:
        folder: of the comparison, which remembers them: cells that are taken up again have the budget they had.
        dataset: of the comparison. workers: side by side.
    """

    def __init__(self, folder: Path, dataset: str, workers: int) -> None:
        self.path, self.dataset, self.slot = folder / "paces.json", dataset, slots(workers)[0]

    def __call__(self, train: TrainConfig, dataset: str) -> float:
        learnt = replace(train.train, seed=1, epochs=1)
        kept = replace(train, train=learnt, optimiser=OptimiserConfig(ema=train.optimiser.ema), data=DataConfig(
            batch_size=train.data.batch_size, mixup=train.data.mixup))  # fmt: skip
        known: dict[str, float] = json.loads(self.path.read_text()) if self.path.exists() else {}
        own, usual = (manifests.load(place) for place in (dataset or self.dataset, self.dataset))
        rows = [own.crop, own.shape.dense]
        other = [] if rows == [usual.crop, usual.shape.dense] else rows
        key = f"{train.network.name} {digest([kept, len(self.slot.processors), bool(self.slot.gpu), *other])}"
        if key not in known:
            known[key] = self._measured(kept, dataset or self.dataset)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(str(self.path)) as file:
                file.write(json.dumps(known, indent=1).encode())
        return known[key]

    def _measured(self, train: TrainConfig, dataset: str) -> float:
        command = [sys.executable, "-m", "fakeit.model.comparison.pace", json.dumps(to_dict(train)), dataset]
        child = self.slot.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, problem = child.communicate()
        if child.returncode:
            raise FakeitError(f"pace of {train.network.name}: {problem.decode(errors='replace').strip()[-300:]}")
        return float(out.decode().splitlines()[-1])


def _now(device: str) -> float:
    if device == "cpu":
        return time.process_time() / torch.get_num_threads()
    torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    print(json.dumps(measure(from_stored(json.loads(sys.argv[1]), TrainConfig, "conf"), sys.argv[2])))
