"""A tiny dataset in a second, by the real writer: dots on grey ground, whose places are the landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from fakeit.pipelines.dense_points import DENSE
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store import row_weights
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.petastorm_schema import petastorm_metadata
from fakeit.pipelines.store.schema import Rows, RowShape
from fakeit.pipelines.store.shards import Shard, write_shard


def make_rows(images: int, variants: int, shape: RowShape, seed: int, missing: float = 0.0) -> Rows:
    """Columns of one shard: `images` × `variants` rows."""
    random = np.random.default_rng(seed)
    rows = images * variants
    points = random.uniform(0.15, 0.85, (rows, shape.points, 2)).astype(np.float32)
    pixels = np.full((rows, shape.size, shape.size, shape.channels), 90, np.uint8)
    pixels += random.integers(0, 30, pixels.shape, np.uint8)
    for row in range(rows):
        for number, (x, y) in enumerate((points[row] * shape.size).astype(int)):
            pixels[row, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 150 + 20 * (number % 5)
    visibility = np.where(random.random((rows, shape.points)) < missing, 0, 2).astype(np.uint8)
    points[visibility == 0] = np.nan
    rows_of_dense: Rows = {}
    if shape.dense:
        rows_of_dense["dense"] = random.uniform(0.1, 0.9, (rows, shape.dense, 3)).astype(np.float32)
        rows_of_dense["dense_visibility"] = random.integers(1, 3, (rows, shape.dense)).astype(np.uint8)
    return {
        **rows_of_dense,
        "image_id": [f"face-{seed}-{i // variants}" for i in range(rows)],
        "variant": np.tile(np.arange(variants, dtype=np.int32), images),
        "image": pixels,
        "landmarks": points,
        "visibility": visibility,
        "weight": (visibility > 0).astype(np.float32),
        "box": np.zeros((rows, 4), np.float32),
        "source_from_crop": np.tile(np.eye(3), (rows, 1, 1)),
    }


def make_dataset(
    folder: Path,
    train: tuple[int, ...] = (10, 11),
    val: tuple[int, ...] = (9,),
    test: tuple[int, ...] = (),
    variants: int = 1,
    size: int = 32,
    colour: str = "rgb",
    scheme_name: str = "five",
    codec: str = "raw",
    missing: float = 0.0,
    margin: float = 0.2,
    seed: int = 1,
    dense: bool = False,
) -> Path:
    """Writes a dataset whose shards hold so many images; returns its folder."""
    crop = CropConfig(size=size, margin=margin, colour=colour)  # type: ignore[arg-type]
    shape = RowShape(size, crop.channels, scheme(scheme_name).count, codec, DENSE if dense else 0)
    conf = {"source": {"options": {"dense": True}}} if dense else {}
    shards = []
    for split, counts, repeat in (("train", train, variants), ("val", val, 1), ("test", test, 1)):
        if not counts:
            continue
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number, images in enumerate(counts):
            path = f"{split}/shard-{number:05d}.parquet"
            key = seed * 1000 + number + {"train": 0, "val": 500, "test": 700}[split]
            rows = make_rows(images, repeat, shape, key, missing)
            size_, digest = write_shard(str(folder / path), rows, shape)
            weights = row_weights.pack(row_weights.sums(rows["weight"]))
            shards.append(Shard(path, split, images * repeat, images, size_, digest, weights))
        groups = {f"shard-{n:05d}.parquet": 1 for n in range(len(counts))}
        pq.write_metadata(petastorm_metadata(shape, groups), folder / split / "_common_metadata")
    manifests.write(str(folder), Manifest(scheme_name, crop, codec, seed, conf, "test", tuple(shards), ()))
    return folder
