"""The shard function: a list of samples in, one Parquet shard out. Pure: the same task gives the same bytes anywhere.

Spark schedules these tasks, a process pool can as well, and so can a loop; retries, speculation and a resumed job need
no code, because a task that runs twice writes two files whose names do not meet, and the commit takes one of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import to_dict
from fakeit.pipelines.dense_points import DENSE, dense_mirror
from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.faces import locate
from fakeit.pipelines.faces.augment import Draw, generator
from fakeit.pipelines.faces.box import Box, check_box, from_landmarks
from fakeit.pipelines.faces.crop import Picture, crop_from_source, equalise, eye_angle, to_unit
from fakeit.pipelines.faces.matrix import inverse, product, transform
from fakeit.pipelines.files.file_names import printable
from fakeit.pipelines.files.storage import exists, fingerprint, join, read_bytes, remove, write_atomically
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SourceConfig
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import Annotation, Sample, Source, read_sample
from fakeit.pipelines.store.attempts import TASKS, stands, task_name, write_attempt
from fakeit.pipelines.store.manifest import Rejection
from fakeit.pipelines.store.schema import Rows, RowShape
from fakeit.pipelines.store.shards import Shard


@dataclass(frozen=True)
class ShardTask:
    """What one shard is made of; picklable. `path` is relative to the dataset's folder."""

    path: str
    split: str
    samples: Sequence[Sample]
    source: Source
    config: PreprocessConfig
    code: str = ""

    @property
    def digest(self) -> str:
        """Names the task: two tasks of one digest make the same bytes. Of samples, scheme, conf and code, and of every
        file that the rows are made of, by size and time: a label that was moved is another task."""
        made_of = [
            (s.id, s.image, s.boxes, s.annotation, s.problem, *map(fingerprint, _files(s))) for s in self.samples
        ]
        content = [self.path, self.split, self.code, made_of, self.source.scheme, to_dict(self.config)]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _files(sample: Sample) -> tuple[str, ...]:
    annotation = (sample.annotation,) if isinstance(sample.annotation, str) else ()
    return (sample.image, *annotation, *sample.beside)


@dataclass(frozen=True)
class ShardResult:
    """What came of a task: the shard (None when every sample was rejected), what was left out, the task's digest, and
    where the shard's bytes wait for the commit (fakeit.pipelines.store.attempts)."""

    shard: Shard | None
    rejected: tuple[Rejection, ...]
    task: str
    attempt: str = ""


def variants(split: str, config: PreprocessConfig) -> int:
    """Rows per image: augmentation is for training alone."""
    return config.augment.variants if split == "train" else 1


def make_shard(task: ShardTask, dataset: str) -> ShardResult:
    """Makes one shard, or finds it made: writes an attempt's file and then the task's result below `dataset/_tasks`.

    Raises:
        OSError: the disk is full or the place cannot be written. Bad samples do not raise, they are in the result.
    """
    digest = task.digest  # before anything is read: what changes meanwhile is made again
    done = finished(task, dataset, digest)
    if done is not None:
        return done
    cv2.setNumThreads(0)  # Spark and pools give one core to a task; OpenCV would take them all
    rows, rejected = make_rows(task)
    shard, attempt = None, ""
    if rows["image_id"]:
        shape, images = row_shape(task.config, task.source.scheme), len(task.samples) - len(rejected)
        shard, attempt = write_attempt(dataset, task.path, task.split, images, rows, shape)
    done = finished(task, dataset, digest)
    if done is not None:  # another attempt (speculation) was faster
        if attempt:
            remove(join(dataset, attempt))
        return done
    result = ShardResult(shard, tuple(rejected), digest, attempt)
    before = _stored(task, dataset)
    with write_atomically(_result_location(task, dataset)) as file:
        file.write(json.dumps(asdict(result)).encode())
    if before is not None and before.attempt and before.task != digest:  # of a plan that is no more
        remove(join(dataset, before.attempt))
    return result


def finished(task: ShardTask, dataset: str, digest: str) -> ShardResult | None:
    """The stored result of this very task, if its shard still stands with the same hash."""
    stored = _stored(task, dataset)
    if stored is None or stored.task != digest:
        return None
    return stored if stored.shard is None or stands(dataset, stored.shard, stored.attempt) else None


def _stored(task: ShardTask, dataset: str) -> ShardResult | None:
    """The stored result of a task of this name."""
    location = _result_location(task, dataset)
    if not exists(location):
        return None
    try:
        value = json.loads(read_bytes(location))
    except ValueError:
        return None  # damaged: made again
    shard = Shard(**value["shard"]) if value["shard"] else None
    rejected = tuple(Rejection(**r) for r in value["rejected"])
    return ShardResult(shard, rejected, value["task"], value.get("attempt", ""))


def _result_location(task: ShardTask, dataset: str) -> str:
    return join(dataset, TASKS, f"{task_name(task.path)}.json")


def row_shape(config: PreprocessConfig, scheme_name: str) -> RowShape:
    """The shape of the rows that a conf makes of points in a scheme."""
    dense = DENSE if config.source.options.get("dense") else 0
    return RowShape(config.crop.size, config.crop.channels, scheme(scheme_name).count, config.store.image_codec, dense)


def make_rows(task: ShardTask) -> tuple[Rows, list[Rejection]]:
    """Samples → columns (fakeit.pipelines.store.schema). Each picture is decoded once, whatever its variants."""
    config, count = task.config, variants(task.split, task.config)
    shape = row_shape(config, task.source.scheme)
    capacity = len(task.samples) * count
    rows: Rows = {name: np.empty((capacity, *dims), dtype) for name, (dtype, dims) in shape.arrays().items()}
    ids: list[str] = []
    rejected: list[Rejection] = []
    for sample in task.samples:
        try:
            annotation, picture, box = _open(sample, task.source, config)
        except Rejected as reason:
            rejected.append(Rejection(sample.id, str(reason)))
            continue
        for variant in range(count):
            row = _make_row(sample.id, variant, annotation, picture, box, task)
            for name, value in row.items():
                rows[name][len(ids)] = value
            ids.append(sample.id)
    rows = {name: values[: len(ids)] for name, values in rows.items()}
    made = len(ids) // count
    rows["variant"] = np.tile(np.arange(count, dtype=np.int32), made)
    rows["image_id"] = ids
    return rows, rejected


def _open(sample: Sample, source: Source, config: PreprocessConfig) -> tuple[Annotation, Picture, Box]:
    annotation, pixels = read_sample(source, sample)
    try:
        box = _face_box(sample, annotation, pixels, source.scheme, config.source)
        if config.source.box not in ("landmarks", "image"):
            check_box(box, pixels.shape[1], pixels.shape[0], annotation.landmarks, f"box ({config.source.box})")
    except Rejected as reason:
        place = sample.annotation if isinstance(sample.annotation, str) else sample.image
        raise Rejected(f"{printable(place)}: {reason}") from reason
    return annotation, Picture(pixels, config.crop.colour), box


def _face_box(
    sample: Sample, annotation: Annotation, pixels: NDArray[np.uint8], scheme_name: str, config: SourceConfig
) -> Box:
    if config.box == "landmarks":
        return from_landmarks(annotation.landmarks)
    if config.box == "image":
        return locate.whole(pixels)
    if config.box == "annotation":
        if annotation.box is None:
            raise Rejected("no box in the annotation, and source.box asks for one")
        return Box(*annotation.box)
    if config.box == "csv":
        given = locate.most_prominent_first([Box(*box) for box in sample.boxes], pixels.shape[1], pixels.shape[0])
        return locate.choose(given, annotation.landmarks, f"boxes {config.boxes}")
    found = locate.detected(config.box, pixels, scheme_name, config.smallest_face)
    return locate.choose(found, annotation.landmarks, f"detector {config.box}")


def _make_row(
    image_id: str, variant: int, annotation: Annotation, picture: Picture, box: Box, task: ShardTask
) -> dict[str, NDArray[Any]]:
    config, crop = task.config, task.config.crop
    augmented = task.split == "train" and not (variant == 0 and config.augment.keep_original)
    angle = eye_angle(annotation.landmarks, task.source.scheme) if crop.align == "eyes" else 0.0
    matrix = crop_from_source(box, crop, angle)
    order: NDArray[np.intp] = np.arange(len(annotation.landmarks))
    dense_order: NDArray[np.int64] = np.arange(DENSE)
    draw = None
    if augmented:
        draw = Draw(config.augment, generator(config.seed, image_id, variant))
        matrix = product(draw.matrix(crop.size), matrix)
        if draw.flipped:
            order = np.array(scheme(task.source.scheme).flip, np.intp)
            dense_order = dense_mirror()
    image = picture.warp(matrix, crop.size)
    if draw is not None:
        image = draw.photometric(image)
    weight = annotation.weight if annotation.weight is not None else (annotation.visibility > 0).astype(np.float32)
    row: dict[str, NDArray[Any]] = {
        "image": equalise(image, crop.equalise),
        "landmarks": to_unit(transform(annotation.landmarks, matrix), crop.size)[order],
        "visibility": annotation.visibility[order],
        "weight": weight[order],
        "box": box.array(),
        "source_from_crop": inverse(matrix),
    }
    if annotation.dense is not None and annotation.dense_visibility is not None:
        flat = to_unit(transform(annotation.dense[:, :2], matrix), crop.size)
        row["dense"] = np.concatenate([flat, annotation.dense[:, 2:]], axis=1)[dense_order]
        row["dense_visibility"] = annotation.dense_visibility[dense_order]
    return row
