#!/usr/bin/env python
"""A whole dataset end to end, as a user starts it: time, peak memory of each process, size on disk.

    python benchmarks/whole_dataset.py --output FOLDER [--images 100000] [--input FACES]

The faces are links to a few files (so the page cache is warm: the disk is left out, decoding is not), the job is
`./spark-submit.sh jobs/preprocess.py` with conf/preprocess/face_synthetics.toml, one row an image. Memory is resident
memory, looked at twice a second. Prints a table for people and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import psutil

from benchmarks.preprocess import link_images
from fakeit.pipelines.store import manifest

ROOT = Path(__file__).resolve().parent.parent


class Peaks:
    """The most that a process of each kind has held, MB, from the process `parent` down; over the run's first and
    second half, so that growth shows."""

    def __init__(self, parent: int) -> None:
        self.parent, self.running, self.seen = parent, True, list[tuple[float, str, float]]()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while self.running:
            try:
                parent = psutil.Process(self.parent)  # it turns into the JVM
                processes = [parent, *parent.children(recursive=True)]
            except psutil.Error:
                return
            for process in processes:
                try:
                    name, words = process.name(), " ".join(process.cmdline())
                    resident = process.memory_info().rss / 1e6
                except psutil.Error:
                    continue
                kind = "Java" if "java" in name else "driver" if "jobs/preprocess.py" in words else "Python worker"
                if name.startswith(("java", "python")):
                    self.seen.append((time.monotonic(), kind, resident))
            time.sleep(0.5)

    def table(self) -> dict[str, tuple[float, float]]:
        self.running = False
        self.thread.join()
        middle = (self.seen[0][0] + self.seen[-1][0]) / 2
        kinds = sorted({kind for _, kind, _ in self.seen})
        return {
            kind: (
                max((mb for at, k, mb in self.seen if k == kind and at < middle), default=0.0),
                max((mb for at, k, mb in self.seen if k == kind and at >= middle), default=0.0),
            )
            for kind in kinds
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=ROOT.parent / "shared/data/face_synthetics_100")
    parser.add_argument("--output", type=Path, required=True, help="folder for links and dataset")
    parser.add_argument("--images", type=int, default=100_000)
    arguments = parser.parse_args()
    faces, dataset = arguments.output.resolve() / "faces", arguments.output.resolve() / "dataset"
    if not faces.exists():
        link_images(arguments.input.resolve(), faces, arguments.images)
    command = ["./spark-submit.sh", "jobs/preprocess.py", "--config", "conf/preprocess/face_synthetics.toml", "--input"]
    command += [str(faces), "--output", str(dataset), "--overwrite", "--set", "augment.variants=1"]
    started = time.monotonic()
    job = subprocess.Popen(command, cwd=ROOT)
    peaks = Peaks(job.pid)
    if job.wait():
        raise SystemExit(f"error: the job ended with {job.returncode}")
    seconds = time.monotonic() - started
    made = manifest.load(str(dataset))
    rows = sum(made.rows(split) for split in manifest.SPLITS)
    size = sum(path.stat().st_size for path in dataset.rglob("*.parquet")) / 1e9
    table = peaks.table()
    rate = rows / seconds
    print(f"{rows:,} rows, {len(made.rejected)} rejected, in {seconds:.0f} s: {rate:.1f} images/s; {size:.2f} GB")
    for kind, (first, second) in table.items():
        print(f"  {kind:14} at most {first:6.0f} MB in the first half, {second:6.0f} MB in the second")
    figures = {"images": rows, "seconds": round(seconds), "images_per_s": round(rate, 1), "gb": round(size, 2)}
    print(json.dumps(figures | {"peak_mb": {kind: round(max(halves)) for kind, halves in table.items()}}))


if __name__ == "__main__":
    main()
