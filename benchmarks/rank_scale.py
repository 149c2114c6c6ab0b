#!/usr/bin/env python
"""What one of 64 ranks needs to begin an epoch of 0.1, 1 and 10 million rows: seconds and memory, no pictures read.

The manifest names shards that are not there: opening the dataset, the epoch's order and one rank's first batch of row
numbers is all that a rank does before it reads. Every size runs in a process of its own. Last line: JSON.
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

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fakeit.model.data.batch_plan import Plan, bounds, rank_bounds
from fakeit.model.data.dataset import DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Loader
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import Shard
from tests.peak_memory import peak_memory

WORLD, BATCH, SHARD = 64, 4096, 1024


def measure(rows: int) -> dict[str, float | bool]:
    """A rank's start in this process."""
    with tempfile.TemporaryDirectory() as folder:
        shards = tuple(
            Shard(f"train/shard-{n:05d}.parquet", "train", SHARD, SHARD // 4, 1, "0" * 64, 70.0)
            for n in range(rows // SHARD)
        )
        manifests.write(folder, Manifest("face70", CropConfig(), "raw", 1, {}, "", shards, ()))
        before, start = peak_memory(), time.monotonic()
        store = ShardedDataset([DatasetSpec(folder)], "train")
        plan = Plan(store.parts(), BATCH)
        loader = Loader(store, plan, WORLD - 1, WORLD)
        opened = time.monotonic() - start
        order = plan.order(0)
        ready, peak = time.monotonic() - start, peak_memory()
        low, high = rank_bounds(*bounds(len(order), 0, plan.batches(0)), loader.rank, WORLD)
        assert 0 < high - low <= BATCH // WORLD
        return {
            "rows": store.rows, "shards": len(shards), "opened_s": round(opened, 2),
            "ready_s": round(ready, 2), "imports_mb": before >> 20, "peak_mb": peak >> 20,
            "weights_known": store.weights_known, "shards_a_batch": shards_a_batch(plan),
            "shards_a_batch_by_shard": shards_a_batch(replace(plan, rows_by_shard=True)),
            "labels_mb": round(sum(a.nbytes for a in vars(store).values() if hasattr(a, "nbytes")) / 1e6, 1),
        }  # fmt: skip


def shards_a_batch(plan: Plan) -> float:
    """How many shards one rank's part of a global batch comes from, on average over some batches."""
    order, counts = plan.order(0), []
    for number in range(min(plan.batches(0), 20)):
        low, high = rank_bounds(*bounds(len(order), number, plan.batches(0)), WORLD // 2, WORLD)
        counts.append(len(np.unique(order[low:high] // SHARD)))
    return round(float(np.mean(counts)), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one)))
        return
    found = []
    for rows in given.rows:
        command = [sys.executable, __file__, "--one", str(rows)]
        found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        print(found[-1], flush=True)
    print(json.dumps({"rank_scale": found}))


if __name__ == "__main__":
    main()
