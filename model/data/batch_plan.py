"""Who reads which rows in which order: pure functions, apart from every I/O.

An epoch is one order of global row numbers, the same for all ranks. Cut into global batches, each cut into the ranks'
slices, it gives every rank the same number of batches, whatever the world size; so a run that stopped at a global batch
goes on there with any number of ranks. Batch sizes differ by at most one row: there is no small last batch.

Order: shards are shuffled, then rows within blocks of some shards. A reader needs no more than a block's shards open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

RowNumbers = NDArray[np.int64]


@dataclass(frozen=True)
class DataSource:
    """One dataset of a mix.

    Attributes:
        shard_rows: rows of each of its shards.
        passes_per_epoch: how many times an epoch sees the dataset: 1 is every row once; 3 every row three times; 0.25
            another quarter each epoch, every row once in four.
    """

    shard_rows: tuple[int, ...]
    passes_per_epoch: float = 1.0

    @property
    def rows(self) -> int:
        return sum(self.shard_rows)


@dataclass(frozen=True)
class Plan:
    """The order of a run.

    Attributes:
        parts: the datasets; global row numbers count through them in this order.
        batch_size: rows of a global batch, at most.
        seed: of every shuffle.
        shuffle_block_shards: shards that are shuffled together.
        shuffled: False keeps the rows' order (validation).
        rows_by_shard: the rows of a global batch lie together by shard, so that a rank's part is of few shards; which
            rows a batch has is the same.
    """

    parts: tuple[DataSource, ...]
    batch_size: int
    seed: int = 0
    shuffle_block_shards: int = 8
    shuffled: bool = True
    rows_by_shard: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise FakeitError(f"batch size is {self.batch_size}; it must be at least 1")
        for part in self.parts:
            if part.passes_per_epoch <= 0:
                raise FakeitError(f"a dataset's passes_per_epoch is {part.passes_per_epoch}; it must be above 0")

    def rows(self, epoch: int) -> int:
        """Rows of an epoch, repetitions included; without shuffling every row once, whatever the parts' passes are."""
        if not self.shuffled:
            return sum(p.rows for p in self.parts)
        return sum(int(p.passes_per_epoch) * p.rows + _slice(p, epoch)[1] for p in self.parts)

    def batches(self, epoch: int) -> int:
        """Global batches of an epoch, the same number for every rank."""
        return -(-self.rows(epoch) // self.batch_size)

    def order(self, epoch: int) -> RowNumbers:
        """(rows,) global row numbers in the order of the epoch."""
        if not self.shuffled:
            return np.arange(sum(p.rows for p in self.parts), dtype=np.int64)
        sequences, offset = [], 0
        for index, part in enumerate(self.parts):
            sequences.append(offset + self._part_order(index, part, epoch))
            offset += part.rows
        order = _interleave(sequences, _random(self.seed, epoch, len(self.parts)))
        return self._by_shard(order, self.batches(epoch)) if self.rows_by_shard else order

    def _by_shard(self, order: RowNumbers, batches: int) -> RowNumbers:
        ends = np.cumsum([rows for part in self.parts for rows in part.shard_rows])
        starts = len(order) * np.arange(1, batches, dtype=np.int64) // batches
        batch = np.searchsorted(starts, np.arange(len(order)), "right")
        return order[np.lexsort((np.searchsorted(ends, order, "right"), batch))]

    def _part_order(self, index: int, part: DataSource, epoch: int) -> RowNumbers:
        passes = [
            _block_shuffle(part.shard_rows, self.shuffle_block_shards, _random(self.seed, epoch, index, number))
            for number in range(int(part.passes_per_epoch))
        ]
        start, count = _slice(part, epoch)
        if count:
            lottery = _random(self.seed, index).permutation(part.rows)
            wanted = np.zeros(part.rows, bool)
            wanted[lottery[np.arange(start, start + count) % part.rows]] = True
            order = _block_shuffle(
                part.shard_rows, self.shuffle_block_shards, _random(self.seed, epoch, index, len(passes))
            )
            passes.append(order[wanted[order]])
        return np.concatenate([np.empty(0, np.int64), *passes])

    def expected(self, epoch: int) -> NDArray[np.int32]:
        """How often each global row must have been seen after the epoch."""
        return np.bincount(self.order(epoch), minlength=sum(p.rows for p in self.parts)).astype(np.int32)


def bounds(rows: int, batch: int, batches: int) -> tuple[int, int]:
    """First and last-plus-one position of global batch `batch` in an epoch of `rows`."""
    return rows * batch // batches, rows * (batch + 1) // batches


def rank_bounds(start: int, end: int, rank: int, world: int) -> tuple[int, int]:
    """A rank's part of the positions start…end: equal over ranks, to one row."""
    count = end - start
    return start + count * rank // world, start + count * (rank + 1) // world


def batch_at(rows: int, batches: int, position: int) -> int:
    """The batch that begins at `position` (rows consumed): where a resumed run goes on.

    Raises:
        FakeitError: no batch begins there, since the batch size was changed.
    """
    batch = -(-position * batches // rows) if rows else 0
    for candidate in (batch - 1, batch, batch + 1):
        if 0 <= candidate <= batches and rows * candidate // batches == position:
            return candidate
    raise FakeitError(
        f"the checkpoint lies {position} rows into its epoch, where no batch of this size begins; "
        "resume with the batch size it was made with"
    )


def _random(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))


def _slice(part: DataSource, epoch: int) -> tuple[int, int]:
    """Start and length of the epoch's slice of a part's lottery, for the fraction of its passes."""
    fraction = part.passes_per_epoch - int(part.passes_per_epoch)
    start, end = int(epoch * fraction * part.rows), int((epoch + 1) * fraction * part.rows)
    return start, end - start


def _block_shuffle(shard_rows: tuple[int, ...], block: int, random: np.random.Generator) -> RowNumbers:
    firsts = np.concatenate(([0], np.cumsum(shard_rows))).astype(np.int64)
    shards = random.permutation(len(shard_rows))
    blocks = []
    for start in range(0, len(shards), block):
        rows = np.concatenate([np.arange(firsts[s], firsts[s + 1]) for s in shards[start : start + block]])
        blocks.append(random.permutation(rows))
    return np.concatenate(blocks) if blocks else np.empty(0, np.int64)


def _interleave(sequences: list[RowNumbers], random: np.random.Generator) -> RowNumbers:
    """Mixes sequences at random, each keeping its own order, so that its blocks stay together."""
    if len(sequences) == 1:
        return sequences[0]
    owner = random.permutation(np.repeat(np.arange(len(sequences)), [len(s) for s in sequences]))
    mixed = np.empty(len(owner), np.int64)
    for index, sequence in enumerate(sequences):
        mixed[owner == index] = sequence
    return mixed
