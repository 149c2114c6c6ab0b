"""Which sample goes into which shard: pure, and fit for ten million names on one driver.

Samples are ordered by hashes, which numpy sorts; a task, with its samples, is made when it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SplitConfig
from fakeit.pipelines.flows.shard_task import ShardTask, row_shape, variants
from fakeit.pipelines.machine.code_version import code_hash
from fakeit.pipelines.sources import Sample, Source
from fakeit.pipelines.sources.many import ManySamples
from fakeit.pipelines.store.manifest import SPLITS
from fakeit.pipelines.store.schema import COLUMN_LIMIT, array_bytes, array_header

_KEY = np.dtype([("order", ">u8"), ("position", "<u8")])


@dataclass(frozen=True)
class _Part:
    """One shard's place in the order."""

    path: str
    split: str
    start: int
    end: int


class TaskList(Sequence[ShardTask]):
    """The tasks of a plan; `sizes`, `splits` and `len` need none of them."""

    def __init__(
        self,
        parts: Sequence[_Part],
        samples: Sequence[Sample],
        order: NDArray[np.int64],
        source: Source,
        config: PreprocessConfig,
    ) -> None:
        self._parts, self.samples, self._order = parts, samples, order
        self._source, self._config, self._code = source, config, code_hash()

    @property
    def sizes(self) -> list[int]:
        return [part.end - part.start for part in self._parts]

    @property
    def splits(self) -> list[str]:
        return [part.split for part in self._parts]

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> ShardTask: ...
    @overload
    def __getitem__(self, index: slice) -> list[ShardTask]: ...
    def __getitem__(self, index: int | slice) -> ShardTask | list[ShardTask]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        part = self._parts[index]
        chosen = self._order[part.start : part.end]
        samples: Sequence[Sample]
        if isinstance(self.samples, ManySamples):
            samples = self.samples.take(chosen)
        else:
            samples = tuple([self.samples[i] for i in chosen.tolist()])
        return ShardTask(part.path, part.split, samples, self._source, self._config, self._code)

    def __iter__(self) -> Iterator[ShardTask]:
        return (self[number] for number in range(len(self)))


def plan_tasks(samples: Iterable[Sample], source: Source, config: PreprocessConfig) -> TaskList:
    """Samples → tasks of equal size (the remainder spread by one), in an order that mixes the source.

    Within a split, samples are ordered by a hash of (seed, id): every shard is a fair draw, and the first shards of a
    dataset are a fair, nested subset of it. A group (the frames of a video, the faces of a picture, a person) falls
    into one split; where the dataset has a test split of its own, nothing else joins it.

    Raises:
        FakeitError: shards of so many rows of that size could not be written.
    """
    if isinstance(samples, ManySamples):
        keys = _keys(samples.ids(), config.seed)
        split = _splits(keys, config.split, official_test=False)
    else:
        samples = list(samples)
        keys = _keys((sample.id for sample in samples), config.seed)
        split = _grouped_splits(samples, config)
    order = _order(keys, split)
    parts: list[_Part] = []
    begins = np.searchsorted(split[order], np.arange(len(SPLITS) + 1)).tolist()
    for name, first, last in zip(SPLITS, begins, begins[1:], strict=False):
        rows = (last - first) * variants(name, config)
        count = min(max(1, round(rows / config.store.rows_per_shard)), last - first)
        _check_rows(-(-(last - first) // max(count, 1)) * variants(name, config), source, config)
        bounds = [first + (last - first) * i // max(count, 1) for i in range(count + 1)]
        for number, (start, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
            parts.append(_Part(f"{name}/shard-{number:05d}.parquet", name, start, end))
    return TaskList(parts, samples, order, source, config)


def _check_rows(rows: int, source: Source, config: PreprocessConfig) -> None:
    """Told before anything is decoded: a column of a shard is one block of memory, which Arrow counts in 31 bits."""
    shape = row_shape(config, source.scheme)
    columns = {name: len(array_header(*of)) + array_bytes(*of) for name, of in shape.arrays().items()}
    if shape.image_codec == "png":
        del columns["image"]  # smaller, nobody knows by how much
    name, each = max(columns.items(), key=lambda column: column[1])
    if rows * each > COLUMN_LIMIT:
        raise FakeitError(
            f"store.rows_per_shard is {config.store.rows_per_shard}: a shard's column '{name}' would hold {rows:,} "
            f"rows of {each:,} bytes; {COLUMN_LIMIT:,} bytes are possible: say {COLUMN_LIMIT // (2 * each):,} or less"
        )


def straddling(tasks: Iterable[ShardTask]) -> list[str]:
    """The groups that stand in more than one split: the proof, after planning, that nothing leaks.

    Raises:
        FakeitError: a group does that the dataset itself does not put there.
    """
    if isinstance(tasks, TaskList) and isinstance(tasks.samples, ManySamples):
        return []  # every sample is a group of its own, and stands in the order once
    seen: dict[str, dict[str, bool]] = {}
    for task in tasks:
        for sample in task.samples:
            splits = seen.setdefault(sample.group or sample.id, {})
            splits[task.split] = splits.get(task.split, True) and sample.split is not None
    apart = {group: splits for group, splits in seen.items() if len(splits) > 1}
    for group, splits in apart.items():
        if not all(splits.values()):
            raise FakeitError(f"split: '{group}' would stand in {' and '.join(splits)}; a group belongs in one split")
    return sorted(apart)


def _keys(names: Iterable[str], seed: int) -> NDArray[np.void]:
    """(N,) 16 bytes of hash of each (seed, name)."""
    begun = hashlib.blake2b(f"{seed}\0".encode(), digest_size=16).copy
    content = bytearray()
    for name in names:
        hashed = begun()
        hashed.update(name.encode())
        content += hashed.digest()
    return np.frombuffer(content, _KEY)


def _order(keys: NDArray[np.void], split: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(N,) indices by split, and in it by key as bytes compare."""
    first = keys["order"].astype(np.uint64)
    order = np.argsort(first)
    if (first[order[1:]] == first[order[:-1]]).any():  # of ten million names in one plan of some hundred thousands
        order = np.lexsort((keys["position"].byteswap(), first))
    return order[np.argsort(split[order], kind="stable")]


def _splits(keys: NDArray[np.void], config: SplitConfig, official_test: bool) -> NDArray[np.uint8]:
    """(N,) numbers of `SPLITS`."""
    position = keys["position"] / 2.0**64
    rest = np.where(position < config.test + config.val, SPLITS.index("val"), SPLITS.index("train"))
    return np.where(position < config.test, SPLITS.index("train" if official_test else "test"), rest).astype(np.uint8)


def _grouped_splits(samples: Sequence[Sample], config: PreprocessConfig) -> NDArray[np.uint8]:
    own = {s.group or s.id: s.split for s in samples if s.split}
    groups = [sample.group or sample.id for sample in samples]
    drawn = _splits(_keys(groups, config.seed), config.split, "test" in own.values()).tolist()
    told = [sample.split or own.get(group) for sample, group in zip(samples, groups, strict=True)]
    return np.array([SPLITS.index(t) if t else d for t, d in zip(told, drawn, strict=True)], np.uint8)
