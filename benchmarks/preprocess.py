#!/usr/bin/env python
"""Images a second of preprocessing: under Spark, in a bare pool of processes, and the scripts people write instead.

All read the same 512-px PNGs (links to a few, so the page cache is warm for all) and are warmed up before the clock
starts, so that neither Spark's nor the pool's start counts. Rounds are interleaved; the median round is reported.
Beside the clock's, processor seconds of all processes are counted, Java's too: what a busy machine lets one compare.
  spark        the shard function under Spark local[N]             (what jobs/preprocess.py does)
  bare         the same shard function over the same tasks in multiprocessing.Pool(N)
  imread       cv2.imread, resize to 128, cv2.imwrite in a Pool(N): no boxes, points, checks, augmentation or Parquet
  mapInPandas  Spark's binaryFile, decode and resize in mapInPandas, Parquet
Last line: JSON with `spark_over_bare`, `spark_over_bare_cpu`, `images_per_s_core`, `peak_rss_mb`, `images`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import psutil

from fakeit.pipelines.config import load
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.flows.shard_plan import plan_tasks
from fakeit.pipelines.flows.shard_task import ShardTask, make_shard
from fakeit.pipelines.machine import runners, shipping
from fakeit.pipelines.sources import open_source

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("spark", "bare", "spark V=8", "bare V=8", "imread", "mapInPandas")


def link_images(source: Path, folder: Path, count: int) -> None:
    """`count` faces as links to those of `source`, in turn."""
    folder.mkdir(parents=True)
    stems = sorted(str(p)[: -len("_ldmks.txt")] for p in source.rglob("*_ldmks.txt"))
    if not stems:
        raise SystemExit(f"error: {source}: no faces in the Face Synthetics layout")
    for index in range(count):
        stem = stems[index % len(stems)]
        for ending in (".png", "_ldmks.txt"):
            (folder / f"{index:06d}{ending}").symlink_to(Path(f"{stem}{ending}").resolve())


class Memory:
    """The largest resident memory that any Python process below this one had, sampled. `jvm`: the same of Java. And the
    processor seconds of each, those that have ended included, since idle workers of Spark end."""

    def __init__(self) -> None:
        self.peak = self.jvm = 0.0
        self.worked: dict[tuple[int, float], float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            for process in psutil.Process().children(recursive=True):
                try:
                    times = process.cpu_times()
                    self.worked[process.pid, process.create_time()] = times.user + times.system
                    resident = process.memory_info().rss / 1e6
                    java = "java" in process.name()
                except psutil.Error:
                    continue
                if java:
                    self.jvm = max(self.jvm, resident)
                else:
                    self.peak = max(self.peak, resident)
            time.sleep(0.2)

    def processor_seconds(self) -> float:
        """Of this process and those below it so far."""
        return sum(self.worked.copy().values()) + time.process_time()


def resize_file(job: tuple[str, str]) -> None:
    """What a user would write."""
    cv2.setNumThreads(0)
    cv2.imwrite(job[1], cv2.resize(cv2.imread(job[0]), (128, 128), interpolation=cv2.INTER_AREA))


def resize_frames(frames: Iterator[Any]) -> Iterator[Any]:
    """The usual mapInPandas: bytes of files in, bytes of crops out."""
    import pandas

    cv2.setNumThreads(0)
    for frame in frames:
        images = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in frame["content"]]
        small = [cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA).tobytes() for image in images]
        yield pandas.DataFrame({"path": frame["path"], "image": small})


class Bench:
    def __init__(self, folder: Path, images: int, cores: int, session: Any, memory: Memory) -> None:
        self.memory = memory
        self.faces, self.folder, self.cores, self.session = folder / "faces", folder, cores, session
        self.images, self.warming = images, False
        self.source = open_source("face_synthetics", str(self.faces))
        self.samples = self.source.samples()
        self.pool = multiprocessing.get_context("spawn").Pool(cores)

    def tasks(self, variants: int) -> list[ShardTask]:
        """Shards of one size for all, some for each core."""
        config = load(ROOT / "conf/preprocess/face_synthetics.toml", PreprocessConfig)
        rows = max(64, self.images * variants // (6 * self.cores))
        store, split = replace(config.store, rows_per_shard=min(rows, 1024)), replace(config.split, val=0.0, test=0.0)
        augment = replace(config.augment, variants=variants)
        tasks = plan_tasks(self.samples, self.source, replace(config, store=store, split=split, augment=augment))
        return tasks[: self.cores] if self.warming else tasks[:]

    def spark(self, variants: int, output: Path) -> None:
        runners.on_spark(self.session)(partial(make_shard, dataset=str(output)), self.tasks(variants), lambda _: None)

    def bare(self, variants: int, output: Path) -> None:
        for _ in self.pool.imap_unordered(partial(make_shard, dataset=str(output)), self.tasks(variants)):
            pass

    def imread(self, output: Path) -> None:
        jobs = [(s.image, str(output / "train" / f"{s.id}.png")) for s in self.samples]
        for _ in self.pool.imap_unordered(resize_file, jobs, chunksize=16):
            pass

    def map_in_pandas(self, output: Path) -> None:
        frame = self.session.read.format("binaryFile").option("pathGlobFilter", "*.png").load(str(self.faces))
        frame.select("path", "content").mapInPandas(resize_frames, "path string, image binary").write.parquet(
            str(output / "frames")
        )

    def time(self, run: Callable[[Path], None]) -> tuple[float, float]:
        """Images a second of the clock, and of processors; the output is removed."""
        output = Path(tempfile.mkdtemp(dir=self.folder))
        for name in ("_tasks", "train"):
            (output / name).mkdir()
        started, worked = time.perf_counter(), self.memory.processor_seconds()
        run(output)
        seconds = time.perf_counter() - started
        time.sleep(0.5)  # until the last figures are in
        work = self.memory.processor_seconds() - worked
        shutil.rmtree(output)
        return self.images / seconds, self.images / work


def spark_session(cores: int) -> Any:
    from pyspark.sql import SparkSession

    shipping.prepare_driver()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("SPARK_CONF_DIR", str(ROOT / "conf" / "spark"))
    builder = SparkSession.builder.master(f"local[{cores}]").appName("benchmark")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.log.level": "ERROR",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "64",
    }.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--input", type=Path, default=ROOT.parent / "shared/data/face_synthetics_100", help="faces to link")
    p.add_argument("--images", type=int, default=1200)
    p.add_argument("--cores", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="measure these alone")
    arguments = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="fakeit-bench-") as name:
        folder = Path(name)
        link_images(arguments.input, folder / "faces", arguments.images)
        memory = Memory()
        bench = Bench(folder, arguments.images, arguments.cores, spark_session(arguments.cores), memory)
        ways: dict[str, Callable[[Path], None]] = {
            "spark": lambda output: bench.spark(1, output),
            "bare": lambda output: bench.bare(1, output),
            "spark V=8": lambda output: bench.spark(8, output),
            "bare V=8": lambda output: bench.bare(8, output),
            "imread": bench.imread,
            "mapInPandas": bench.map_in_pandas,
        }
        ways = {way: run for way, run in ways.items() if way in arguments.ways}
        bench.warming = True
        for run in ways.values():
            bench.time(run)
        bench.warming = False
        rates: dict[str, list[float]] = {way: [] for way in ways}
        work: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way, run in ways.items():
                rate, of_processors = bench.time(run)
                rates[way].append(rate)
                work[way].append(of_processors)
        bench.pool.terminate()
    middle = {way: statistics.median(values) for way, values in rates.items()}
    print(f"{arguments.images} images, {arguments.cores} cores, {arguments.rounds} rounds; images/s (least, most)")
    for way, values in rates.items():
        print(f"  {way:12} {middle[way]:8.1f}  ({min(values):.1f}, {max(values):.1f})")
    print(f"  peak memory: {memory.peak:.0f} MB a Python worker, {memory.jvm:.0f} MB Java")
    result: dict[str, Any] = {"images": arguments.images, "peak_rss_mb": round(memory.peak)}
    result["images_per_s"] = {way: round(value, 1) for way, value in middle.items()}
    result["images_per_cpu_s"] = {way: round(statistics.median(values), 1) for way, values in work.items()}
    if "spark" in rates:
        result["images_per_s_core"] = round(middle["spark"] / arguments.cores, 1)
        others = {"bare": "spark_over_bare", "imread": "spark_over_imread", "mapInPandas": "spark_over_map_in_pandas"}
        for way, name in others.items():
            if way in rates:
                for ending, found in (("", rates), ("_cpu", work)):
                    pairs = zip(found["spark"], found[way], strict=True)
                    result[name + ending] = round(statistics.median(s / b for s, b in pairs), 3)
    if {"spark", "spark V=8"} <= set(rates):
        result["v8_rows_over_v1_rows"] = round(8 * middle["spark V=8"] / middle["spark"], 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
