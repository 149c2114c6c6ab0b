#!/usr/bin/env python
"""Samples a second of one core, from a dataset on disk to shuffled uint8 batches in memory: ours and the usual loaders.

One process, one thread, warm page cache, the same 128-px faces for all; each loader shuffles and yields batches of 64.
webdataset and mosaicml-streaming are measured where they are installed; the project needs neither. Last line: JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

import cv2
import numpy as np
import torch
from tiny_dataset import make_dataset

from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.pipelines.store import old_parquet

BATCH = 64
SIZE = 128
Counts = Iterator[int]


def ours(folder: Path, reader: str) -> Counts:
    """Shards that are decoded (PNG, petastorm) are kept as long as their block lasts, and decoded anew each epoch."""
    store = ShardedDataset([DatasetSpec(str(folder))], "train", reader, keep=6)  # type: ignore[arg-type]
    loader = Loader(store, Plan(store.parts(), BATCH, seed=1, shuffle_block_shards=2))
    epoch = 0
    while True:
        for batch in loader.epoch(epoch):
            yield len(batch.images)
        epoch += 1


def petastorm_loader(folder: Path, batched: bool) -> Counts:
    old_parquet.register()
    import petastorm.pytorch
    from petastorm import make_reader

    kind = petastorm.pytorch.BatchedDataLoader if batched else petastorm.pytorch.DataLoader
    with make_reader(f"file://{folder}/train", schema_fields=["image", "landmarks", "weight"], num_epochs=None,
                     workers_count=1, shuffle_row_groups=True) as reader:  # fmt: skip
        for batch in kind(reader, batch_size=BATCH, shuffling_queue_capacity=1024 if batched else 0):
            yield len(batch["image"])


class Files(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """PNG files and their points, as most people begin."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = cv2.imread(str(self.paths[index]), cv2.IMREAD_COLOR_RGB)
        return torch.from_numpy(image), torch.zeros(70, 2)


def torch_files(folder: Path) -> Counts:
    loader = torch.utils.data.DataLoader(Files(folder), BATCH, shuffle=True)
    while True:
        for images, _ in loader:
            yield len(images)


def webdataset(folder: Path, rows: int, raw: bool) -> Counts:
    import webdataset as wds

    def decode(sample: dict[str, bytes]) -> np.ndarray:
        if raw:
            return np.frombuffer(sample["raw"], np.uint8).reshape(SIZE, SIZE, 3)
        return np.asarray(cv2.imdecode(np.frombuffer(sample["png"], np.uint8), cv2.IMREAD_COLOR_RGB))

    data = wds.WebDataset(str(folder / ("raw.tar" if raw else "png.tar")), shardshuffle=False).shuffle(512).map(decode)
    while True:
        for batch in data.batched(BATCH, collation_fn=np.stack):
            yield len(batch)


def streaming(folder: Path) -> Counts:
    from streaming import StreamingDataset

    data = StreamingDataset(local=str(folder), shuffle=True, batch_size=BATCH)
    while True:
        for batch in torch.utils.data.DataLoader(data, BATCH):
            yield len(batch["image"])


def memcpy(rows: int) -> Counts:
    """The limit: rows copied at random from memory into batches."""
    images = np.random.default_rng(0).integers(0, 256, (rows, SIZE * SIZE * 3), np.uint8)
    order = np.random.default_rng(1).permutation(rows)
    while True:
        for start in range(0, rows - BATCH + 1, BATCH):
            target = np.empty((BATCH, images.shape[1]), np.uint8)
            for place, row in enumerate(order[start : start + BATCH].tolist()):
                target[place] = images[row]
            yield BATCH


def prepare(folder: Path, rows: int) -> None:
    """The same rows in every format."""
    shards = (rows // 8,) * 8
    for codec in ("raw", "png"):
        make_dataset(folder / codec, train=shards, val=(), size=SIZE, scheme_name="face70", codec=codec)
    store = ShardedDataset([DatasetSpec(str(folder / "raw"))], "train")
    images = np.empty((rows, SIZE, SIZE, 3), np.uint8)
    store.gather(np.arange(rows), images)
    (folder / "files").mkdir()
    with tarfile.open(folder / "raw.tar", "w") as raw, tarfile.open(folder / "png.tar", "w") as png:
        for row, image in enumerate(images):
            data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])[
                1
            ].tobytes()
            (folder / "files" / f"{row:06d}.png").write_bytes(data)
            for tar, name, content in ((raw, "raw", image.tobytes()), (png, "png", data)):
                info = tarfile.TarInfo(f"{row:06d}.{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    try:
        from streaming import MDSWriter

        with MDSWriter(out=str(folder / "mds"), columns={"image": f"ndarray:uint8:{SIZE},{SIZE},3"}) as writer:
            for image in images:
                writer.write({"image": image})
    except ImportError:
        pass


def no_sync() -> None:
    """Petastorm's warnings about the pyarrow that it needs fill pages."""
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"


def rate(make: Callable[[], Counts], seconds: float) -> float:
    """Samples/s after the first 10 batches (or one second)."""
    batches = make()
    started, count, measured = time.perf_counter(), 0, 0
    begun = started
    for number, size in enumerate(batches):
        now = time.perf_counter()
        if number < 10 and now - started < 1:
            begun = now
            continue
        measured += size
        if now - begun > seconds:
            count = measured
            break
    return count / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    no_sync()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name), arguments.rows
        prepare(folder, rows)
        loaders: dict[str, Callable[[], Counts]] = {
            "memcpy": lambda: memcpy(rows),
            "ours, arrow raw": lambda: ours(folder / "raw", "arrow"),
            "ours, arrow PNG": lambda: ours(folder / "png", "arrow"),
            "ours, petastorm": lambda: ours(folder / "raw", "petastorm"),
            "petastorm DataLoader": lambda: petastorm_loader(folder / "raw", False),
            "petastorm BatchedDataLoader": lambda: petastorm_loader(folder / "raw", True),
            "torch DataLoader, PNG files": lambda: torch_files(folder / "files"),
            "webdataset raw": lambda: webdataset(folder, rows, True),
            "webdataset PNG": lambda: webdataset(folder, rows, False),
            "mosaicml-streaming": lambda: streaming(folder / "mds"),
        }
        rates: dict[str, float] = {}
        for title, make in loaders.items():
            try:
                rates[title] = rate(make, arguments.seconds)
                print(f"{title:32} {rates[title]:10,.0f} samples/s", flush=True)
            except ImportError as error:
                print(f"{title:32} not installed ({error})", flush=True)
    peers = [v for k, v in rates.items() if k.startswith(("torch", "webdataset", "mosaic"))]
    print(json.dumps({
        "ours": round(rates["ours, arrow raw"]),
        "best_petastorm": round(max(v for k, v in rates.items() if k.startswith("petastorm"))),
        "best_peer": round(max(peers)),
        "memcpy": round(rates["memcpy"]),
    }))  # fmt: skip
    sys.stdout.flush()
    os._exit(0)  # petastorm's threads do not end by themselves


if __name__ == "__main__":
    main()
