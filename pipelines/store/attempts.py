"""Where a shard waits for its dataset's commit: a file of one attempt, whose name no other attempt knows.

Spark may run a task twice at once (speculation), and the slower one may end when the dataset stands already. It then
writes a file of its own, which nothing names; only the commit gives a shard its name in the dataset, and removes what
is left over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import (
    exists,
    is_url,
    join,
    list_files,
    put_over,
    remove,
    size_of,
    write_under_new_name,
)
from fakeit.pipelines.store import row_weights
from fakeit.pipelines.store.schema import Rows, RowShape
from fakeit.pipelines.store.shards import Shard, file_hash, serialise

TASKS = "_tasks"  # attempts and results while a job runs; readers skip names that begin with an underscore
_ATTEMPT = re.compile(r"(?P<shard>.+)\.[0-9a-f]{16}\.attempt")
_AT_ONCE = 32  # renames at an object store, which copies there


def write_attempt(dataset: str, path: str, split: str, images: int, rows: Rows, shape: RowShape) -> tuple[Shard, str]:
    """Writes rows, which come of so many images, as one attempt at the shard `path` of `dataset`.

    Returns:
        The shard, and the place of the attempt's file relative to the dataset.

    Raises:
        OSError: the disk is full, or the place cannot be written.
    """
    data, sha256 = serialise(rows, shape)
    place = f"{TASKS}/{task_name(path)}.{os.urandom(8).hex()}.attempt"
    with write_under_new_name(join(dataset, place)) as file:
        file.write(data)
    weights = row_weights.sums(row_weights.without_missing(rows["landmarks"], rows["weight"]))
    shard = Shard(path, split, len(rows["image_id"]), images, len(data), sha256, row_weights.pack(weights))
    return shard, place


def task_name(path: str) -> str:
    """A shard's path as the stem of a file name below `TASKS`."""
    return path.replace("/", "-").replace(".parquet", "")


def stands(dataset: str, shard: Shard, attempt: str) -> bool:
    """Whether the shard's bytes lie where its attempt wrote them or, after a commit, under its own name."""
    for place in (attempt, shard.path):
        location = join(dataset, place)
        if place and exists(location) and file_hash(location) == shard.sha256:
            return True
    return False


def put_in_place(dataset: str, attempts: Iterable[tuple[Shard, str]]) -> None:
    """Gives every shard its name, out of its attempt's file; one whose attempt is gone has it from a commit before,
    which was killed.

    Raises:
        FakeitError: neither is there.
    """

    def put(shard: Shard, attempt: str) -> None:
        old, new = join(dataset, attempt), join(dataset, shard.path)
        if attempt and exists(old):
            put_over(old, new)
        elif not exists(new) or size_of(new) != shard.bytes:
            raise FakeitError(f"shard {new} has vanished before the commit; make it again with --resume")

    with ThreadPoolExecutor(_AT_ONCE if is_url(dataset) else 1) as pool:
        for ended in [pool.submit(put, shard, attempt) for shard, attempt in attempts]:
            ended.result()


def sweep_attempts(dataset: str, told: bool) -> None:
    """Removes attempts that nothing names: those without a result where results are `told` beside them, else all."""
    folder = join(dataset, TASKS)
    names = list_files(folder) if exists(folder) else []
    results = {name.removesuffix(".json") for name in names if told and name.endswith(".json")}
    for name in names:
        found = _ATTEMPT.fullmatch(name)
        if found and found["shard"] not in results:
            remove(join(folder, name))
