"""Batches in the plan's order, on the device: gathered ahead in a thread where that is a GPU, or taken from a copy that
already lies there.

Every row that is handed out is counted; after an epoch the counts of all ranks together must be the plan's.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fakeit.model.data.batch_plan import Plan, bounds, rank_bounds
from fakeit.model.data.dataset import Rows, ShardedDataset
from fakeit.model.data.device import pinned, send
from fakeit.model.data.shard_reader import Labels
from fakeit.pipelines.errors import FakeitError

T = TypeVar("T")


@dataclass
class Batch:
    """A rank's part of one global batch.

    Attributes:
        images: (N, H, W, C) uint8.
        landmarks: (N, K, 2) float32 unit crop, NaN where missing; with dense points (N, K + 400, 2), they come last.
        weight: (N, K or K + 400) float32; rows that only fill an empty part weigh nothing.
        visibility: (N, K or K + 400) uint8: 0 unknown, 1 hidden, 2 visible.
        total_weight: Σ weight of the K points over the global batch, on all ranks.
        global_weight: for mixup, which makes it less: (global size, K) float32 on the CPU, of the whole global batch.
        rows: global row numbers, the halo's too.
        number: of the global batch in its epoch.
        end: position in the epoch after this global batch.
        first: this part's first row in the global batch.
        global_size: rows of the global batch.
        filler: the part is empty; its one row only keeps the ranks in step.
        mixup_halo: 1 where a row stands before this part's own: the one before it in the global batch, which mixup
            blends into the first; else 0.
    """

    images: Tensor
    landmarks: Tensor
    weight: Tensor
    visibility: Tensor
    total_weight: float
    rows: Rows
    number: int
    end: int
    first: int
    global_size: int
    filler: bool = False
    mixup_halo: int = 0
    global_weight: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Moves the tensors, asynchronously where they are pinned."""
        for name in ("images", *Labels._fields):
            setattr(self, name, getattr(self, name).to(device, non_blocking=True))
        return self


class Loader:
    """Batches of one split for one rank.

    Args:
        store: the datasets.
        plan: their order.
        rank, world: whose part.
        device: where batches go.
        resident: keep the whole split on the device and shuffle it there.
        mixup_halo: let every part begin with the row before it (see `Batch.mixup_halo`).
    """

    def __init__(
        self,
        store: ShardedDataset,
        plan: Plan,
        rank: int = 0,
        world: int = 1,
        device: str = "cpu",
        resident: bool = False,
        mixup_halo: bool = False,
    ) -> None:
        self.store, self.plan, self.rank, self.world, self.mixup_halo = store, plan, rank, world, int(mixup_halo)
        self.device = torch.device(device)
        self.seen: NDArray[np.int32] = np.zeros(store.rows, np.int32)
        self._weights_known = store.weights_known
        self._resident = _upload(store, self.device) if resident else None

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from global batch `first` on."""
        order = self.plan.order(epoch)
        batches = self.plan.batches(epoch)
        self.seen[:] = 0
        self.seen += np.bincount(order[: bounds(len(order), first, batches)[0]], minlength=len(self.seen)).astype(
            np.int32
        ) * (self.rank == 0)  # the rows before a resumed position were seen by the run that stopped there

        def make(number: int) -> Batch:
            return self._batch(order, number, batches)

        # Beside a CPU that computes, a thread only takes its core in turns; shards are opened in the background anyway.
        alone = self._resident is not None or self.device.type == "cpu"
        source = map(make, range(first, batches)) if alone else prefetch(make, range(first, batches))
        for batch in source:
            if not batch.filler:
                np.add.at(self.seen, batch.rows[self.mixup_halo :], 1)
            yield batch.to(self.device)

    def _batch(self, order: Rows, number: int, batches: int) -> Batch:
        start, end = bounds(len(order), number, batches)
        low, high = rank_bounds(start, end, self.rank, self.world)
        rows = order[low:high]
        filler = len(rows) == 0  # fewer rows than ranks: a row that weighs nothing keeps the ranks in step
        rows = order[start : start + 1] if filler else rows
        self.store.prepare(self._soon(order, number, batches))
        total = self.store.row_weights(order[start:end])
        everyone = None
        if self.mixup_halo:
            everyone = torch.from_numpy(self.store.weights(order[start:end])[:, : self.store.points])
            rows = np.concatenate((order[low - 1 : low] if low > start else order[end - 1 : end], rows))
        images, landmarks, weight, visibility = self._gather(rows)
        if filler:
            weight = torch.zeros_like(weight)
        part = low - start, end - start, filler, self.mixup_halo, everyone
        return Batch(images, landmarks, weight, visibility, total, rows, number, end, *part)

    def _soon(self, order: Rows, number: int, batches: int) -> Rows:
        """The rows that this batch and the next two need: this rank's own, where the manifest knows what all weigh."""
        spans = [bounds(len(order), n, batches) for n in range(number, min(number + 3, batches))]
        if self._weights_known and not self.mixup_halo:
            spans = [rank_bounds(*span, self.rank, self.world) for span in spans]
        return np.concatenate([order[low:high] for low, high in spans])

    def _gather(self, rows: Rows) -> list[Tensor]:
        """Pixels, and each of `Labels`."""
        if self._resident is not None:
            index = send(torch.from_numpy(rows), self.device)
            return [column.index_select(0, index) for column in self._resident]
        shape = (len(rows), self.store.shape.size, self.store.shape.size, self.store.shape.channels)
        target = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        labels = self.store.gather(rows, target.numpy())
        return [target, *(pinned(torch.from_numpy(values), self.device) for values in labels)]

    def check_seen(self, seen: NDArray[np.int32], epoch: int) -> None:
        """Holds the rows seen by all ranks together against the plan.

        Args:
            seen: Σ over ranks of `self.seen`.
            epoch: which.

        Raises:
            FakeitError: rows were missed or doubled; names the first.
        """
        wrong = np.flatnonzero(seen != self.plan.expected(epoch))
        if len(wrong):
            first = self.store.ids(wrong[:3])
            raise FakeitError(
                f"epoch {epoch}: {len(wrong)} of {len(seen)} rows were not seen as often as planned, the first: "
                f"{', '.join(f'{name} ({seen[row]}×)' for name, row in zip(first, wrong, strict=False))}"
            )


def _upload(store: ShardedDataset, device: torch.device) -> list[Tensor]:
    """The whole split on the device: pixels, and each of `Labels`."""
    rows, shape = store.rows, store.shape
    images = torch.empty((rows, shape.size, shape.size, shape.channels), dtype=torch.uint8, device=device)
    labels = []
    for first, end in zip(store.firsts, store.firsts[1:], strict=False):
        pixels = np.empty((end - first, *images.shape[1:]), np.uint8)
        labels.append(store.gather(np.arange(first, end), pixels))
        images[first:end] = torch.from_numpy(pixels).to(device)
    return [images, *(torch.from_numpy(np.concatenate(part)).to(device) for part in zip(*labels, strict=True))]


def prefetch(make: Callable[[int], T], numbers: range, depth: int = 3) -> Iterator[T]:
    """`make` over `numbers`, in order, by a thread that stays up to `depth` results ahead; raises what it raises."""
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
    room: queue.SimpleQueue[None] = queue.SimpleQueue()  # one token for each result that may still be made
    stop = threading.Event()

    def work() -> None:
        try:
            for number in numbers:
                room.get()
                if stop.is_set():
                    return
                results.put((make(number), None))
        except BaseException as error:
            results.put((None, error))

    for _ in range(depth):
        room.put(None)
    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        for _ in numbers:
            result, error = results.get()
            if error is not None:
                raise error
            assert result is not None
            room.put(None)
            yield result
    finally:
        stop.set()
        room.put(None)
        thread.join()
