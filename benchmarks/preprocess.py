#!/usr/bin/env python
"""Images a second of preprocessing: Spark over a bare loop of the same function, and what else a user might write.

    python benchmarks/preprocess.py --input FACES [--images 400] [--workers 2]

`FACES` is a folder in the Face Synthetics layout; where it holds fewer pictures than asked, they are linked again under
other names. Every way is run once on each of two passes and the second counts (the first fills caches).
Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cv2
import numpy as np

from pipelines import preprocess, runners
from pipelines.config import load
from pipelines.shard_task import PreprocessConfig

ROOT = Path(__file__).resolve().parent.parent


def links(source: Path, folder: Path, images: int) -> None:
    """`images` pictures with their points in `folder`, hard links of those in `source`."""
    stems = sorted(p.name[:-10] for p in source.glob("*_ldmks.txt"))
    for index in range(images):
        stem = stems[index % len(stems)]
        for ending in (".png", "_ldmks.txt"):
            target = folder / f"{index:06d}{ending}"
            try:
                os.link(source / f"{stem}{ending}", target)
            except OSError:
                target.symlink_to((source / f"{stem}{ending}").resolve())


def plain(path: str) -> bytes:
    """What a user would write: read, cut around the points, resize, encode."""
    cv2.setNumThreads(0)
    image = cv2.imread(path)
    points = np.loadtxt(path.replace(".png", "_ldmks.txt"))
    x0, y0 = np.maximum(points.min(axis=0) - 40, 0).astype(int)
    x1, y1 = (points.max(axis=0) + 40).astype(int)
    return bytes(cv2.imencode(".png", cv2.resize(image[y0:y1, x0:x1], (128, 128)))[1].tobytes())


def plain_script(folder: Path, workers: int) -> None:
    paths = [str(p) for p in sorted(folder.glob("*.png"))]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for _ in pool.map(plain, paths, chunksize=32):
            pass


def binary_file(session: Any, folder: Path) -> None:
    """Spark's own way: binaryFile → mapInPandas; every picture's bytes pass through the JVM and Arrow."""

    def convert(batches: Iterator[Any]) -> Iterator[Any]:
        import pandas

        cv2.setNumThreads(0)
        for batch in batches:
            crops = []
            for content in batch["content"]:
                image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                crops.append(cv2.imencode(".png", cv2.resize(image, (128, 128)))[1].tobytes())
            yield pandas.DataFrame({"crop": crops})

    session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "32")
    files = session.read.format("binaryFile").option("pathGlobFilter", "*.png").load(str(folder))
    files.mapInPandas(convert, "crop binary").write.format("noop").mode("overwrite").save()


def timed(action: Callable[[], object]) -> float:
    action()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    config = load(ROOT / "conf/preprocess/face_synthetics.toml", PreprocessConfig, ["store.rows_per_shard=200"])
    single = replace(config, augment=replace(config.augment, variants=1))
    many = replace(config, augment=replace(config.augment, variants=8))
    from pyspark.sql import SparkSession

    from pipelines.shipping import prepare_driver

    prepare_driver()
    session = SparkSession.builder.master(f"local[{arguments.workers}]").config("spark.ui.enabled", False).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "faces"
        folder.mkdir()
        links(Path(arguments.input), folder, arguments.images)

        def make(conf: PreprocessConfig, runner: runners.Runner) -> None:
            preprocess.preprocess(conf, str(folder), f"{scratch}/set", runner, "overwrite")

        pool = runners.in_processes(arguments.workers)
        spark = runners.on_spark(session)
        seconds["bare processes, 4 variants"] = timed(lambda: make(config, pool))
        seconds["Spark, 4 variants"] = timed(lambda: make(config, spark))
        seconds["Spark, 1 variant"] = timed(lambda: make(single, spark))
        seconds["Spark, 8 variants"] = timed(lambda: make(many, spark))
        seconds["cv2 script, 1 variant, PNG"] = timed(lambda: plain_script(folder, arguments.workers))
        seconds["Spark binaryFile → mapInPandas, resize only"] = timed(lambda: binary_file(session, folder))
    session.stop()
    print(f"\n{arguments.images} pictures, {arguments.workers} workers")
    print(f"{'way':46}{'images/s':>10}{'a core':>9}")
    for way, spent in seconds.items():
        rate = arguments.images / spent
        print(f"{way:46}{rate:10.0f}{rate / arguments.workers:9.0f}")
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    figures = {
        "spark_over_bare": round(seconds["bare processes, 4 variants"] / seconds["Spark, 4 variants"], 3),
        "images_per_s_core": round(arguments.images / seconds["Spark, 4 variants"] / arguments.workers, 1),
        "images_per_s_core_one_variant": round(arguments.images / seconds["Spark, 1 variant"] / arguments.workers, 1),
        "peak_rss_mb": peak // 1024,
        "images": arguments.images,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
