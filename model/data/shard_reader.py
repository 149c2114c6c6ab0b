"""An opened shard: the columns that training needs, as arrays. What both readers give, and the seam between them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import mapping, scheme
from fakeit.pipelines.store.row_weights import without_missing
from fakeit.pipelines.store.schema import RowShape
from fakeit.pipelines.store.shards import Shard


@dataclass(frozen=True)
class MappedFile:
    """A file whose pages are memory of this process, as it was when it was mapped.

    Reading beyond the end of a file that was cut short ends the process with SIGBUS and without a word; so look first.
    """

    location: str
    size: int
    changed: int  # st_mtime_ns
    inode: int

    @classmethod
    def of(cls, location: str) -> MappedFile:
        found = os.stat(location)
        return cls(location, found.st_size, found.st_mtime_ns, found.st_ino)

    def check(self) -> None:
        """Raises FakeitError: the file is gone, or was changed since."""
        try:
            found = MappedFile.of(self.location)
        except OSError as error:
            raise FakeitError(f"shard {self.location} has vanished while it was in use ({error.strerror})") from error
        if found.size != self.size:
            raise FakeitError(
                f"shard {self.location} has {found.size} bytes, it had {self.size} when it was opened: "
                "it was cut short or written over while it was in use"
            )
        if found != self:
            raise FakeitError(f"shard {self.location} was written over while it was in use")


class Labels(NamedTuple):
    """What is known of some rows' points; see `OpenShard`."""

    landmarks: NDArray[np.float32]
    weight: NDArray[np.float32]
    visibility: NDArray[np.uint8]

    @classmethod
    def unknown(cls, rows: int, points: int) -> Labels:
        """Of points of which nothing is known."""
        landmarks = np.full((rows, points, 2), np.nan, np.float32)
        return cls(landmarks, np.zeros((rows, points), np.float32), np.zeros((rows, points), np.uint8))

    def followed_by(self, others: Labels) -> Labels:
        """The same rows' labels, with those of further points behind them."""
        return Labels(
            np.concatenate((self.landmarks, others.landmarks), 1),
            np.concatenate((self.weight, others.weight), 1),
            np.concatenate((self.visibility, others.visibility), 1),
        )


@dataclass(frozen=True)
class OpenShard:
    """Rows of one shard.

    Attributes:
        images: (R, H, W, C) uint8; may be a view of a mapped file.
        landmarks: (R, K, 2) float32 unit crop, NaN where missing; where dense points are read too, they follow:
            (R, K + 400, 2).
        weight: (R, K or K + 400) float32, 0 where missing; dense points weigh 1.
        visibility: (R, K or K + 400) uint8: 0 unknown, 1 hidden, 2 visible.
        image_ids: R ids.
        variants: (R,) int32.
        mapped: the file in which the images lie; then they cost no memory to keep.
    """

    images: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    weight: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    image_ids: list[str]
    variants: NDArray[np.int32]
    mapped: MappedFile | None = None

    @property
    def labels(self) -> Labels:
        return Labels(self.landmarks, self.weight, self.visibility)


class Reader(Protocol):
    """Who opens a shard: the seam between pyarrow and Petastorm."""

    def __call__(self, location: str, shape: RowShape) -> OpenShard:
        """Opens the shard at `location`; rows in the file's order. Raises FakeitError naming it."""
        ...


def from_columns(rows: dict[str, Any], images: NDArray[np.uint8], mapped: MappedFile | None = None) -> OpenShard:
    """A shard's columns, as `fakeit.pipelines.store` names them → OpenShard; points that are missing weigh nothing."""
    labels = Labels(rows["landmarks"], rows["weight"], rows["visibility"])
    if "dense" in rows:
        dense = rows["dense"][..., :2]
        labels = labels.followed_by(Labels(dense, np.ones(dense.shape[:2], np.float32), rows["dense_visibility"]))
    labels = labels._replace(weight=without_missing(labels.landmarks, labels.weight))
    return OpenShard(images, *labels, rows["image_id"], rows["variant"], mapped)


def columns(shape: RowShape) -> list[str]:
    """The columns of labels that are read of rows of this shape."""
    return ["landmarks", "weight", "visibility", *(["dense", "dense_visibility"] if shape.dense else [])]


def check(opened: OpenShard, shard: Shard, location: str) -> None:
    """Holds what was read against the manifest. Raises FakeitError: rows or images are not as many as it says."""
    if len(opened.images) != shard.rows:
        raise FakeitError(f"shard {location} has {len(opened.images)} rows, the manifest says {shard.rows}")
    if len(set(opened.image_ids)) != shard.images:
        found = len(set(opened.image_ids))
        raise FakeitError(f"shard {location} holds {found} images, the manifest says {shard.images}")


def in_scheme(opened: OpenShard, source: str, target: str) -> OpenShard:
    """The shard's points in another scheme: mapped where a mapping leads there, else those points of the target that
    are the source's own (68 of 70), the rest missing; dense points stay. Raises FakeitError where the schemes have
    nothing in common."""
    if source == target:
        return opened
    rows, points, own = len(opened.landmarks), scheme(target).count, scheme(source).count
    landmarks, weight, visibility = mapped = Labels.unknown(rows, points)
    try:
        for index, indices in enumerate(mapping(source, target)):
            landmarks[:, index] = opened.landmarks[:, list(indices)].mean(1)
            weight[:, index] = opened.weight[:, list(indices)].min(1)
            visibility[:, index] = opened.visibility[:, list(indices)].min(1)
    except FakeitError:
        for index, indices in enumerate(mapping(target, source)):
            if len(indices) == 1:
                landmarks[:, indices[0]] = opened.landmarks[:, index]
                weight[:, indices[0]] = opened.weight[:, index]
                visibility[:, indices[0]] = opened.visibility[:, index]
    dense = Labels(opened.landmarks[:, own:], opened.weight[:, own:], opened.visibility[:, own:])
    return replace(opened, **mapped.followed_by(dense)._asdict())


def without_dense(opened: OpenShard, count: int) -> OpenShard:
    """The shard with `count` dense points that are not known."""
    unknown = Labels.unknown(len(opened.landmarks), count)
    return replace(opened, **opened.labels.followed_by(unknown)._asdict())
