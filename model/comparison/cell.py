"""One finished training, judged: the same faces for every cell, whole splits, never augmented. Writes `result.json`.

Run as a process of its own (`python -m fakeit.model.comparison.cell FOLDER DATASET`), so that a cell that dies takes
nothing with it, and memory goes back to the machine.
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

from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.pixel_ops import displayable
from fakeit.model.evaluation.metrics import Scores, face_errors, normaliser, summarise
from fakeit.model.networks import LandmarkNetwork, parameter_count
from fakeit.model.training.checkpoint import BEST, Checkpoint, CheckpointManager, load
from fakeit.model.training.config import TrainConfig
from fakeit.pipelines.config import from_stored
from fakeit.pipelines.faces.crop import from_unit
from fakeit.pipelines.faces.draw import GREEN, RED, contact_sheet, draw_landmarks, write_image
from fakeit.pipelines.landmarks import scheme as scheme_named
from fakeit.pipelines.storage import write_atomically

RESULT, ERRORS = "result.json", "errors.npz"
BATCH, MOST_TRAINING_ROWS, SHOWN, TILE = 64, 5000, 6, 128
SPLITS = ("train", "val", "test")


def evaluate_cell(folder: Path, dataset: str, real: dict[str, str] | None = None) -> dict[str, Any]:
    """Everything the report says about a cell.

    Args:
        folder: of the cell; `run/` in it is what jobs/train.py wrote.
        dataset: that it was trained on.
        real: benchmark (`fakeit.model.evaluation.protocols`) → its folder, for errors on real faces, true boxes.

    Returns:
        What was written to `result.json`.
    """
    best = load(folder / "run" / "checkpoints" / BEST)
    last = CheckpointManager(folder / "run" / "checkpoints").latest()[0]
    config = from_stored(best.conf, TrainConfig, str(folder))
    network = best.build()
    kept: dict[str, NDArray[np.float64]] = {}
    splits = {}
    for split in SPLITS:
        store = ShardedDataset(
            [DatasetSpec(dataset)], split, scheme=best.scheme, images=config.data.images * (split == "train")
        )
        if store.rows:
            splits[split], kept[split] = _score(network, best, store, folder if split == "test" else None)
    machine = f"{torch.get_num_threads()} CPU thread(s)"  # before real faces, whose models set a number of their own
    result: dict[str, Any] = {
        "splits": splits,
        "parameters": parameter_count(network),
        "macs": count_macs(network),
        "images": config.data.images or ShardedDataset([DatasetSpec(dataset)], "train").rows,
        "history": last.progress["history"],
        "best_epoch": last.progress["best_epoch"] + 1,
        "steps": last.position.step,
        "batch": config.data.batch_size,
        "network": best.network.name,
        "lr": config.optimiser.lr,
        "run_id": best.run_id,
        "train_images_per_s": _rate(last.progress["history"]),
        **speed(network),
        "real": _real(folder / "run" / "checkpoints" / BEST, real or {}),
        "machine": machine,
    }
    np.savez_compressed(folder / ERRORS, **{name: errors.astype(np.float32) for name, errors in kept.items()})  # type: ignore[arg-type]
    with write_atomically(str(folder / RESULT)) as file:
        file.write(json.dumps(result, indent=1).encode())
    return result


def predictions(
    network: LandmarkNetwork, checkpoint: Checkpoint, store: ShardedDataset, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Crops (N, S, S, C) uint8, predicted and true points (N, K, 2) unit crop, of some rows."""
    images = np.empty((len(rows), store.shape.size, store.shape.size, store.shape.channels), np.uint8)
    landmarks, weight, _ = store.gather(rows, images)
    augmenter = Augmenter(store.crop, checkpoint.crop, scheme_named(checkpoint.scheme), None, 0, torch.device("cpu"))
    with torch.inference_mode():
        pixels, truth, _ = augmenter(torch.from_numpy(images), torch.from_numpy(landmarks))
        points = network(pixels).points.float().numpy()
    return (
        displayable(pixels).numpy(),
        points,
        np.where(weight[..., None] > 0, truth.numpy(), np.nan).astype(np.float32),
    )


def _score(
    network: LandmarkNetwork, checkpoint: Checkpoint, store: ShardedDataset, pictures: Path | None
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Figures of a split (errors in percent, MSE in unit crop) and each face's NME (a share)."""
    rows = np.arange(store.rows, dtype=np.int64)
    if store.split == "train" and len(rows) > MOST_TRAINING_ROWS:
        rows = np.linspace(0, len(rows) - 1, MOST_TRAINING_ROWS).astype(np.int64)
    errors, squares, present = [], 0.0, 0
    for start in range(0, len(rows), BATCH):
        _, points, truth = predictions(network, checkpoint, store, rows[start : start + BATCH])
        errors.append(face_errors(points, truth, normaliser(truth, checkpoint.scheme, "inter-ocular")))
        difference = (points - truth).astype(np.float64)
        squares, present = squares + float(np.nansum(difference**2)), present + int(np.isfinite(difference).sum())
    error = np.concatenate(errors)
    if pictures is not None:
        order = np.argsort(np.nan_to_num(error, nan=0.5))
        for name, chosen in (("best", order[:SHOWN]), ("worst", order[::-1][:SHOWN])):
            _sheet(network, checkpoint, store, rows[chosen], error[chosen], pictures / f"{name}.jpg")
    # Every coordinate weighs the same: a small last batch cannot count like a full one, as in the published baselines.
    return summarise(error, mse=squares / max(present, 1)).flat(), error


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
    """Inference on this machine: images/s in batches of 32, and the median milliseconds of one crop alone."""
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
            found[count] = float(np.median(times))
    return {"infer_images_per_s": 32 / found[32], "infer_ms": 1000 * found[1]}


def _rate(history: list[dict[str, float]]) -> float:
    rates = [entry["images_per_s"] for entry in history if entry.get("images_per_s")]
    return float(np.median(rates)) if rates else float("nan")


def _real(model: Path, benchmarks: dict[str, str]) -> dict[str, dict[str, float]]:
    """Scores on real faces, true boxes, no adapter: the network's own points mapped to the benchmark's scheme."""
    if not benchmarks:
        return {}
    from fakeit.model.evaluation import scoring
    from fakeit.model.evaluation.predictions import collect
    from fakeit.model.evaluation.protocols import open_protocol, protocol
    from fakeit.model.inference.landmarker import Landmarker

    landmarker, found = Landmarker.load(model), {}
    for name, path in benchmarks.items():
        chosen = protocol(name)
        source, samples = open_protocol(chosen, path)
        collected = collect(landmarker, source, samples, "true")
        points, truth, common = scoring.without_adapter(collected)
        scores: Scores = scoring.evaluate(collected, points, truth, common, chosen.normaliser, name).scores
        found[name] = scores.flat()
    return found


if __name__ == "__main__":
    evaluate_cell(Path(sys.argv[1]), sys.argv[2], dict(item.split("=", 1) for item in sys.argv[3:]))
