"""A dataset's end: shards get their names, Petastorm's metadata beside them, then the manifest, which makes it a
dataset."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import pyarrow.parquet as pq

from fakeit.pipelines.files.storage import join, write_atomically
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.attempts import put_in_place, sweep_attempts
from fakeit.pipelines.store.manifest import SPLITS, Manifest
from fakeit.pipelines.store.petastorm_schema import petastorm_metadata

# What is written below a dataset's splits, killed attempts' temporary files included: nothing else is ever removed.
OWN = re.compile(r"(train|val|test)/(shard-\d{5,}\.parquet|_common_metadata|_metadata)(\.\d+(\.[0-9a-f]{8})?\.tmp)?")


def commit(dataset: str, manifest: Manifest, attempts: Mapping[str, str]) -> None:
    """Makes the shards that `manifest` names a dataset.

    Args:
        dataset: folder or URL.
        manifest: what it is to be.
        attempts: shard's path → where the attempt lies that is to be the shard (fakeit.pipelines.store.attempts).

    Raises:
        FakeitError: a shard lies nowhere.
    """
    put_in_place(dataset, [(shard, attempts.get(shard.path, "")) for shard in manifest.shards])
    for split in SPLITS:
        groups = {os.path.basename(shard.path): 1 for shard in manifest.of(split)}
        if groups:
            with write_atomically(join(dataset, split, "_common_metadata")) as file:
                pq.write_metadata(petastorm_metadata(manifest.shape, groups), file)
    manifests.write(dataset, manifest)
    sweep_attempts(dataset, told=False)
