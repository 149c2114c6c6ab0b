"""One finished training, judged: the same faces for every cell, whole splits, never augmented. Writes `result.json`.

Rendered and real faces alike are stored crops, cut by true boxes. Run as a process of its own (`python -m
fakeit.model.comparison.cell FOLDER DATASET PHOTOGRAPHS`), so that a cell that dies takes nothing with it, and memory
goes back to the machine.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fakeit.model.comparison import pace
from fakeit.model.comparison.judging import Judged, Photos, all_predictions, judge, judge_photographs, predictions
from fakeit.model.comparison.photographs import PhotographSet
from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.networks import LandmarkNetwork, parameter_count
from fakeit.model.training.checkpoint import BEST, Checkpoint, CheckpointManager, load
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.config import from_stored
from fakeit.pipelines.faces.crop import from_unit
from fakeit.pipelines.faces.draw import GREEN, RED, contact_sheet, draw_landmarks, write_image
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import SPLITS

RESULT, ERRORS = "result.json", "errors.npz"
MOST_TRAINING_ROWS, SHOWN, TILE = 2000, 6, 128


def evaluate_cell(folder: Path, dataset: str, photos: Photos | None = None) -> dict[str, Any]:
    """Everything the report says about a cell.

    Args:
        folder: of the cell; `run/` in it is what jobs/train.py wrote.
        dataset: whose splits it is judged on.
        photos: real faces besides.

    Returns:
        What was written to `result.json`: errors in percent, MSE in crop sides squared.
    """
    best = load(folder / "run" / "checkpoints" / BEST)
    last = CheckpointManager(folder / "run" / "checkpoints").latest()[0]
    config = from_stored(best.conf, TrainConfig, str(folder))
    network = best.build()
    trained_on, history = last.dataset["path"], last.progress["history"]
    judged: dict[str, Judged] = {}
    for split in SPLITS:
        own = dataset if split != "train" else trained_on
        store = ShardedDataset(
            [DatasetSpec(own)], split, scheme=best.scheme, images=config.data.images * (split == "train")
        )
        if store.rows:
            judged[split] = _score(network, best, store, folder if split == "test" else None)
    learnt = [manifests.load(place) for place in (trained_on, *(each.path for each in config.data.mix))]
    real, adapted = judge_photographs(network, best, photos or Photos(), manifests.load(dataset).crop)
    everything = {**judged, **real}
    result: dict[str, Any] = {
        "splits": {name: one.scores for name, one in judged.items()},
        "real": {name: {**one.scores, "adapted": adapted.get(name, float("nan"))} for name, one in real.items()},
        "parts": {name: one.parts for name, one in everything.items() if name not in ("train", "val")},
        "yaw": {name: one.yaw for name, one in everything.items() if name not in ("train", "val")},
        "parameters": parameter_count(network),
        "macs": count_macs(network),
        "images": config.data.images or sum(manifest.images("train") for manifest in learnt),
        "samples": samples_seen(config, trained_on, len(history)),
        "history": history,
        "best_epoch": last.progress["best_epoch"] + 1,
        "steps": last.position.step,
        "batch": config.data.batch_size,
        "network": best.network.name,
        "lr": config.optimiser.lr,
        "precision": config.train.precision,
        "input": best.crop.size,
        "run_id": best.run_id,
        "train_images_per_s": pace.measure(config, trained_on),
        **speed(network),
        "machine": f"{torch.get_num_threads()} CPU thread(s)",
    }
    errors = {name: one.errors.astype(np.float32) for name, one in everything.items()}
    np.savez_compressed(folder / ERRORS, **errors)  # type: ignore[arg-type]
    with write_atomically(str(folder / RESULT)) as file:
        file.write(json.dumps(result, indent=1).encode())
    return result


def samples_seen(config: TrainConfig, dataset: str, epochs: int) -> int:
    """Rows that a training of this conf sees in so many epochs."""
    mix = (DatasetSpec(dataset, config.data.passes_per_epoch), *config.data.mix)
    store = ShardedDataset(mix, "train", scheme=config.input.scheme, images=config.data.images)
    plan = Plan(store.parts(), config.data.batch_size)
    return sum(plan.rows(epoch) for epoch in range(epochs))


def _score(network: LandmarkNetwork, checkpoint: Checkpoint, store: ShardedDataset, pictures: Path | None) -> Judged:
    rows = np.arange(store.rows, dtype=np.int64)
    if store.split == "train" and len(rows) > MOST_TRAINING_ROWS:
        rows = np.linspace(0, len(rows) - 1, MOST_TRAINING_ROWS).astype(np.int64)
    judged = judge(*all_predictions(network, checkpoint, store, rows), checkpoint.scheme)
    if pictures is not None:
        order = np.argsort(np.nan_to_num(judged.errors, nan=0.5))
        for name, chosen in (("best", order[:SHOWN]), ("worst", order[::-1][:SHOWN])):
            _sheet(network, checkpoint, store, rows[chosen], judged.errors[chosen], pictures / f"{name}.jpg")
    return judged


def _sheet(
    network: LandmarkNetwork, checkpoint: Checkpoint, store: ShardedDataset, rows: NDArray[np.int64],
    errors: NDArray[np.float64], path: Path,
) -> None:  # fmt: skip
    faces, points, truth = predictions(network, checkpoint, store, rows)
    tiles = []
    for face, found, true in zip(faces, points, truth, strict=True):
        large = _enlarged(face)
        for coordinates, colour in ((true, RED), (found, GREEN)):
            large = draw_landmarks(large, from_unit(coordinates, large.shape[0]), checkpoint.scheme, colour)
        tiles.append(large)
    write_image(str(path), contact_sheet(tiles, SHOWN, TILE, [f"{100 * e:.1f} %" for e in errors]))


def _enlarged(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    grown = cv2.resize(face, (2 * TILE, 2 * TILE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown.reshape(2 * TILE, 2 * TILE, face.shape[2]), np.uint8)


def count_macs(network: LandmarkNetwork) -> int:
    """Multiplications of all convolutions and linear layers for one crop."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network.eval()(torch.zeros(1, network.size, network.size, network.channels, dtype=torch.uint8))
    return counter.get_total_flops() // 2  # a multiplication and an addition each


def speed(network: LandmarkNetwork, seconds: float = 0.5) -> dict[str, float]:
    """Inference on this machine: images/s in batches of 32, and milliseconds of one crop alone; each the quickest of
    many, since what else the machine does only adds."""
    found = {}
    with torch.inference_mode():
        for count in (32, 1):
            crops = torch.zeros(count, network.size, network.size, network.channels, dtype=torch.uint8)
            network(crops)
            times: list[float] = []
            while sum(times) < seconds or len(times) < 3:
                start = time.perf_counter()
                network(crops)
                times.append(time.perf_counter() - start)
            found[count] = min(times)
    return {"infer_images_per_s": 32 / found[32], "infer_ms": 1000 * found[1]}


if __name__ == "__main__":
    told = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {"sets": [], "stored": "", "fold": None}
    fold = (int(told["fold"][0]), int(told["fold"][1])) if told["fold"] else None
    sets = tuple(PhotographSet(**each) for each in told["sets"])
    evaluate_cell(Path(sys.argv[1]), sys.argv[2], Photos(sets, Path(told["stored"]), fold))
