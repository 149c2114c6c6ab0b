"""Some datasets opened as one: global row numbers, shards opened when they are needed, rows gathered into batches."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fakeit.model.data import arrow_reader, petastorm_reader
from fakeit.model.data.batch_plan import DataSource
from fakeit.model.data.shard_reader import Labels, OpenShard, Reader, check, in_scheme, without_dense
from fakeit.pipelines.dense_points import DENSE
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.files.storage import is_url, join
from fakeit.pipelines.landmarks import scheme as scheme_named
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store import row_weights
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import Shard

ReaderName = Literal["arrow", "petastorm"]
READERS: dict[str, Reader] = {"arrow": arrow_reader.read, "petastorm": petastorm_reader.read}
Rows = NDArray[np.int64]
MOST_MAPPED = 256  # a quarter of the descriptors that a process may have unless its limit was raised


@dataclass(frozen=True)
class DatasetSpec:
    """One dataset of a mix: its folder, and how many times an epoch sees it (see `batch_plan.DataSource`)."""

    path: str
    passes_per_epoch: float = 1.0

    RENAMED: ClassVar[dict[str, str]] = {"share": "passes_per_epoch"}


@dataclass(frozen=True)
class ShardLocation:
    """Where a shard lies and what the manifest says about it."""

    location: str
    shard: Shard
    manifest: Manifest


class ShardedDataset:
    """The rows of one split of some datasets, under one numbering, in one scheme.

    Local raw shards are mapped, up to `MOST_MAPPED` of them, since each holds a file descriptor; others are decoded and
    kept only as long as `keep` shards allow.

    Args:
        mix: the datasets; their crops must be made alike.
        split: train, val or test.
        reader: who opens shards.
        scheme: of the points that come out; None: the first dataset's.
        images: use the first so many images of each dataset only (its shards are fair draws); 0 is all.
        keep: shards held in memory where they are not mapped.
        dense: labels include the 400 dense points, where any of the datasets has them (`dense` says how many); rows of
            the others have NaN of weight 0.
    """

    def __init__(
        self,
        mix: Sequence[DatasetSpec],
        split: str,
        reader: ReaderName = "arrow",
        scheme: str | None = None,
        images: int = 0,
        keep: int = 24,
        dense: bool = False,
    ) -> None:
        self.mix, self.split, self._read, self._keep = tuple(mix), split, READERS[reader], keep
        self.manifests = tuple(manifests.load(item.path) for item in mix)
        first = self.manifests[0]
        self.scheme, self.crop, self.shape = scheme or first.scheme, first.crop, first.shape
        for item, manifest in zip(self.mix[1:], self.manifests[1:], strict=True):
            _check_alike(self.mix[0].path, self.crop, item.path, manifest.crop)
        self.places = [
            ShardLocation(join(item.path, shard.path), shard, manifest)
            for item, manifest in zip(self.mix, self.manifests, strict=True)
            for shard in manifest.of(split)
        ]
        self.used = tuple(_first_images(manifest.of(split), images) for manifest in self.manifests)
        self.firsts = np.concatenate(([0], np.cumsum([rows for part in self.used for rows in part]))).astype(np.int64)
        self.points = scheme_named(self.scheme).count  # of the scheme; dense ones come behind them
        self.dense = DENSE if dense and any(manifest.shape.dense for manifest in self.manifests) else 0
        self._row_weight = np.full(self.rows, np.nan)  # Σ weight of a row's points: the manifest's, or when opened
        self._take_weights()
        self._opened: OrderedDict[int, Future[OpenShard]] = OrderedDict()
        self._lock = threading.RLock()  # of `_opened`: a step that is skipped names its rows while others are gathered
        self._pool = ThreadPoolExecutor(1, "shards")

    def _take_weights(self) -> None:
        """The manifests' weights, where they are of the points that come out."""
        for index, place in enumerate(self.places):
            told = place.shard.row_weights
            if told is not None and place.manifest.scheme == self.scheme:
                start, end = self.firsts[index], self.firsts[index + 1]
                self._row_weight[start:end] = row_weights.unpack(told, place.shard.rows, place.location)[: end - start]

    @property
    def weights_known(self) -> bool:
        """Whether `row_weights` needs no shard opened."""
        return not np.isnan(self._row_weight).any()

    def verify(self, remote: bool = True) -> None:
        """Holds every shard's size against the manifest; with `remote` also those at URLs, one question a shard.

        Raises:
            FakeitError: naming the first that is not whole.
        """
        for item, manifest in zip(self.mix, self.manifests, strict=True):
            if remote or not is_url(item.path):
                manifests.verify(item.path, manifest.of(self.split))

    @property
    def rows(self) -> int:
        return int(self.firsts[-1])

    def parts(self) -> tuple[DataSource, ...]:
        """The datasets as the plan sees them."""
        return tuple(DataSource(used, item.passes_per_epoch) for item, used in zip(self.mix, self.used, strict=True))

    def _open(self, index: int) -> OpenShard:
        place = self.places[index]
        shape = place.manifest.shape
        opened = self._read(place.location, shape if self.dense else replace(shape, dense=0))
        check(opened, place.shard, place.location)
        opened = in_scheme(opened, place.manifest.scheme, self.scheme)
        if self.dense and not shape.dense:
            opened = without_dense(opened, self.dense)
        span = slice(self.firsts[index], self.firsts[index + 1])
        used = int(span.stop - span.start)
        told, found = self._row_weight[span], row_weights.sums(opened.weight[:used, : self.points])
        if not (np.isnan(told) | (told == found)).all():
            raise FakeitError(f"shard {place.location}: its rows weigh other than the manifest says")
        self._row_weight[span] = found
        return replace(opened, **{name: values[:used] for name, values in opened.labels._asdict().items()})

    def _shards_of(self, rows: Rows) -> NDArray[np.int64]:
        return np.searchsorted(self.firsts, rows, "right") - 1

    def prepare(self, rows: Rows) -> None:
        """Begins to open the shards of these rows, in the background."""
        needed = set(self._shards_of(rows).tolist())
        with self._lock:
            for index in sorted(needed):
                if index in self._opened:
                    self._opened.move_to_end(index)
                else:
                    self._opened[index] = self._pool.submit(self._open, index)
            self._release(needed)

    def _release(self, needed: set[int]) -> None:
        """Closes the shards that were used longest ago, where more are open than may be."""
        for mapped, most in ((False, self._keep), (True, MOST_MAPPED)):
            indices = [index for index, future in self._opened.items() if _is_mapped(future) == mapped]
            for index in indices[: max(0, len(indices) - most)]:
                if index in needed or not self._opened[index].done():
                    break
                del self._opened[index]

    def opened(self, index: int) -> OpenShard:
        """A shard, opened at the latest now."""
        with self._lock:
            if index not in self._opened:
                self.prepare(self.firsts[index : index + 1])
            shard = self._opened[index]
        return shard.result()

    def row_weights(self, rows: Rows) -> float:
        """Σ weight of all points of these rows, dense ones not counted."""
        weights = self._row_weight[rows]
        if np.isnan(weights).any():
            for index in set(self._shards_of(rows).tolist()):
                self.opened(index)
            weights = self._row_weight[rows]
        return float(weights.sum())

    def weights(self, rows: Rows) -> NDArray[np.float32]:
        """(N, K) weight of each point of these rows, and of each dense one."""
        return self._labels(rows).weight

    def _labels(self, rows: Rows) -> Labels:
        """The labels of these rows, from their shards: of ten million rows they would take 8 GB."""
        labels = Labels.unknown(len(rows), self.points + self.dense)
        shards = self._shards_of(rows)
        for index in np.unique(shards).tolist():
            here = np.flatnonzero(shards == index)
            opened, inside = self.opened(index), rows[here] - self.firsts[index]
            for name, values in labels._asdict().items():
                values[here] = getattr(opened, name)[inside]
        return labels

    def gather(self, rows: Rows, images: NDArray[np.uint8]) -> Labels:
        """Copies the rows' pixels into `images` (N, H, W, C); returns their labels."""
        shards = self._shards_of(rows)
        inside = (rows - self.firsts[shards]).tolist()
        numbers = shards.tolist()
        opened = {index: self.opened(index) for index in set(numbers)}
        for shard in opened.values():
            if shard.mapped:
                shard.mapped.check()
        pixels = {index: shard.images for index, shard in opened.items()}
        for position, (index, row) in enumerate(zip(numbers, inside, strict=True)):
            images[position] = pixels[index][row]  # one memcpy; faster than fancy indexing over strided rows
        return self._labels(rows)

    def ids(self, rows: Rows) -> list[str]:
        """`image id#variant` of each row."""
        names = []
        for index, row in zip(self._shards_of(rows).tolist(), rows.tolist(), strict=True):
            shard, inside = self.opened(index), row - int(self.firsts[index])
            names.append(f"{shard.image_ids[inside]}#{shard.variants[inside]}")
        return names


def _is_mapped(future: Future[OpenShard]) -> bool:
    return future.done() and future.exception() is None and future.result().mapped is not None


def _first_images(shards: Sequence[Shard], images: int) -> tuple[int, ...]:
    """Rows to use of each shard, so that `images` images are used in all; an image's rows lie together."""
    used: list[tuple[int, int]] = []
    for shard in shards:
        taken = shard.images if not images else max(0, min(shard.images, images - sum(used_ for _, used_ in used)))
        used.append((shard.rows * taken // shard.images if shard.images else 0, taken))
    return tuple(rows for rows, _ in used)


def _check_alike(first: str, crop: CropConfig, other: str, found: CropConfig) -> None:
    for field in ("size", "margin", "colour", "align", "equalise"):
        wanted, is_ = getattr(crop, field), getattr(found, field)
        if wanted != is_:
            raise FakeitError(f"datasets cannot be mixed: crop.{field} is {wanted} in {first} and {is_} in {other}")
