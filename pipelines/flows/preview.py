"""What the rows of a conf will look like, before a long run: for a few faces the source, its crop, and its variants."""

from __future__ import annotations

import os
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.augment import Draw, generator
from fakeit.pipelines.faces.crop import from_unit
from fakeit.pipelines.faces.draw import contact_sheet, draw_landmarks
from fakeit.pipelines.faces.matrix import transform
from fakeit.pipelines.files.storage import make_folder, write_atomically
from fakeit.pipelines.flows.preprocess import open_samples
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.flows.shard_plan import plan_tasks
from fakeit.pipelines.flows.shard_task import ShardTask, make_rows
from fakeit.pipelines.sources import Source, read_sample
from fakeit.pipelines.store.schema import Rows

SIDE = 192
SHOWN = 8  # variants of a face, at most


def preview(config: PreprocessConfig, path: str, count: int) -> NDArray[np.uint8]:
    """One sheet (H, W, 3) RGB: `count` faces of the training split, a line each. First the source with the crop's
    outline and the points, then the rows that the dataset will hold of it, and what was drawn for each.

    Raises:
        FakeitError: nothing to read, or every face that was tried is rejected.
    """
    source, samples = open_samples(config, path)
    tasks = plan_tasks(samples, source, config)
    wanted = [s for t in tasks if t.split == "train" for s in t.samples] or [s for t in tasks for s in t.samples]
    shown = min(config.augment.variants, SHOWN)
    few = replace(config, augment=replace(config.augment, variants=shown))
    tiles: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    reasons: list[str] = []
    for sample in wanted[: 4 * count]:
        if len(tiles) == count * (shown + 1):
            break
        rows, rejected = make_rows(ShardTask("preview", "train", (sample,), source, few))
        if rejected:
            reasons.append(rejected[0].reason)
            continue
        tiles.append(_outlined(read_sample(source, sample)[1], rows, source))
        captions.append(sample.id[-24:])
        for variant in range(shown):
            points = from_unit(rows["landmarks"][variant], config.crop.size)
            tiles.append(draw_landmarks(rows["image"][variant], points, source.scheme))
            captions.append(_drawn(few, sample.id, variant))
    if not tiles:
        raise FakeitError(f"preview: every one of {len(reasons)} faces is rejected; the first: {reasons[0]}")
    return contact_sheet(tiles, shown + 1, SIDE, captions)


def write(config: PreprocessConfig, path: str, count: int, dataset: str) -> str:
    """Writes `preview` as `DATASET.preview.png`, beside the dataset to be; returns the location."""
    location = f"{dataset.rstrip('/')}.preview.png"
    sheet = cv2.cvtColor(preview(config, path, count), cv2.COLOR_RGB2BGR)
    make_folder(os.path.dirname(location) or ".")
    with write_atomically(location, durable=False) as file:
        file.write(cv2.imencode(".png", sheet)[1].tobytes())
    return location


def _outlined(pixels: NDArray[np.uint8], rows: Rows, source: Source) -> NDArray[np.uint8]:
    """The source picture with the first row's points and the outline of its crop."""
    size = rows["image"].shape[1]
    back = rows["source_from_crop"][0]
    canvas = draw_landmarks(pixels, transform(from_unit(rows["landmarks"][0], size), back), source.scheme)
    corners = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]])
    outline = np.rint(transform(corners, back)).astype(np.int32)
    thick = max(1, max(canvas.shape[:2]) // 150)
    return np.asarray(cv2.polylines(canvas, [outline], True, (255, 210, 60), thick, cv2.LINE_AA), np.uint8)


def _drawn(config: PreprocessConfig, image_id: str, variant: int) -> str:
    if variant == 0 and config.augment.keep_original:
        return "original"
    strength = Draw(config.augment, generator(config.seed, image_id, variant)).strength
    odd = {name: value for name, value in strength.items() if name in ("rotation", "gamma", "hue", "flip")}
    return " ".join("flip" if name == "flip" else f"{name[:3]}{value:+.1f}" for name, value in odd.items())
