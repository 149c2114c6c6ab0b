"""Kaggle's Facial Keypoints Detection: `training.csv` and `test.csv`, one face a line, 96×96 grey, 15 points or fewer.

A line of `training.csv` is 30 coordinates (empty where nobody marked the point) and `Image`, 9,216 numbers separated by
blanks; the columns' names stand in the first line. https://www.kaggle.com/c/facial-keypoints-detection/data

The 200 MB file is read once on the driver, for its lines' positions and the 30 coordinates; pixels are read where they
are needed, by position. Neighbouring lines are often the same picture, so train and val take whole blocks of lines.
`gaps` says what becomes of missing points in training rows; val and test rows keep the truth and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import check_inside, check_points
from fakeit.pipelines.files.storage import open_binary, read_head, split_member
from fakeit.pipelines.landmarks import KAGGLE_NAMES
from fakeit.pipelines.sources import VISIBLE, Annotation, Sample, SampleList, Unmatched
from fakeit.pipelines.sources.kaggle_tables import COORDINATES, LOOKUP, member, read_file, read_solution
from fakeit.pipelines.sources.point_files import LARGEST

SIDE = 96
HEADER = 1 << 16  # bytes that hold the columns' names
WHOLE = (-0.5, -0.5, float(SIDE), float(SIDE))  # the whole picture as a box, source pixels
MISSING = (b"", b"na", b"nan", b"null")  # as the original, R, pandas and databases write it, in small letters
_GOLDEN = 0.6180339887498949
Gaps = Literal["mask", "drop", "forward"]


@dataclass(frozen=True)
class Row:
    """Where one line lies in its file, and what fills its gaps.

    Attributes:
        number: 1 for the first line below the header; blank lines are not counted.
        start: byte where the line begins.
        length: bytes, without the line's end.
        forward: 30 coordinates carried down from the lines above (NaN: none yet), or None where gaps stay gaps.
    """

    number: int
    start: int
    length: int
    forward: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Kaggle:
    """The competition's folder, or one of its CSV files.

    Attributes:
        path: a folder (or .zip, or URL) with `training.csv`, or a CSV file in its form or in that of `test.csv`.
        gaps: "mask" leaves missing points out of the loss; "drop" leaves out the training rows that lack any;
            "forward" takes over the last value above, as pandas' ffill does, at full weight.
        block: so many neighbouring rows fall into one split together.
        val: share of the blocks held out for validation.
        test: share of the blocks held out for the last word.
        solution: a CSV in the form of `submission.csv` with the true values; with it the pictures of `test.csv` are the
            test split. The competition never published it: only a set of one's own has it.
    """

    path: str
    gaps: Gaps = "mask"
    block: int = 20
    val: float = 0.1
    test: float = 0.0
    solution: str | None = None
    scheme: str = "kaggle15"

    def __post_init__(self) -> None:
        if self.block < 1 or min(self.val, self.test) < 0 or self.val + self.test > 1:
            raise FakeitError("source options: block must be at least 1, val and test 0 to 1 and together at most 1")

    @cached_property
    def training_file(self) -> str:
        return member(self.path, "training.csv")

    def samples(self) -> SampleList:
        file, dropped = self.training_file, list[Unmatched]()
        if "ImageId" in _header(file):
            return SampleList(self._unlabelled(file))
        samples = list(self._labelled(file, dropped))
        if self.solution is not None:
            test, truth = (member(self.path, name) for name in ("test.csv", self.solution))
            beside = (truth, member(self.path, LOOKUP))
            samples += [Sample(f"test-{r.number:05d}", test, r, "test", beside=beside) for r, _ in _rows(test)]
        return SampleList(samples, dropped)

    def _labelled(self, file: str, dropped: list[Unmatched]) -> Iterator[Sample]:
        order = _column_order(file)
        last = np.full(len(COORDINATES), np.nan)
        for row, line in _rows(file):
            split = self._split(row.number)
            try:
                values = _coordinates(line, file, row.number, order)
            except Rejected:  # told when it is read, where it is counted
                yield Sample(f"train-{row.number:05d}", file, row, split)
                continue
            present = int(np.isfinite(values.reshape(-1, 2)).all(axis=1).sum())
            last = np.where(np.isfinite(values), values, last)
            if self.gaps == "drop" and split == "train" and present < len(KAGGLE_NAMES):
                dropped.append(Unmatched("rows with gaps that `gaps = drop` leaves out", f"{file}, row {row.number}"))
                continue
            if self.gaps == "forward" and split == "train":
                row = Row(row.number, row.start, row.length, tuple(float(v) for v in last))
            yield Sample(f"train-{row.number:05d}", file, row, split, {"points": present})

    @staticmethod
    def _unlabelled(file: str) -> list[Sample]:
        return [Sample(f"test-{row.number:05d}", file, row, "test", {"points": 0}) for row, _ in _rows(file)]

    def _split(self, number: int) -> str:
        """Blocks spread evenly over the file (multiples of the golden ratio), so that both label sources are in all."""
        position = ((number - 1) // self.block * _GOLDEN + 0.86) % 1
        return "test" if position < self.test else "val" if position < self.test + self.val else "train"

    def read(self, sample: Sample) -> Annotation:
        row: Row = sample.annotation
        if sample.id.startswith("test-"):
            points = self._solutions.get(self.image_id(sample)) if self._solutions else None
            return _annotation(np.full((15, 2), np.nan, np.float32) if points is None else points)
        values = _coordinates(_line(sample.image, row), sample.image, row.number, _column_order(sample.image))
        annotation = _annotation(values.reshape(-1, 2).astype(np.float32))
        try:
            check_points(annotation.landmarks)
            check_inside(annotation.landmarks, SIDE, SIDE)
        except Rejected as reason:  # here, where the row is known: all samples lie in one file
            raise Rejected(f"{sample.image}, row {row.number}: {reason}") from reason
        if row.forward is None:
            return annotation
        filled = np.array(row.forward, np.float32).reshape(-1, 2)
        landmarks = np.where((annotation.visibility == 0)[:, None], filled, annotation.landmarks)
        weight = np.isfinite(landmarks).all(axis=1).astype(np.float32)
        return Annotation(landmarks, annotation.visibility, WHOLE, weight)

    @cached_property
    def _solutions(self) -> dict[int, NDArray[np.float32]]:
        return read_solution(self.path, self.solution) if self.solution is not None else {}

    def image_id(self, sample: Sample) -> int:
        """The ImageId of a row of test.csv, as the lookup knows it. Raises Rejected."""
        row: Row = sample.annotation
        place = _header(sample.image).index("ImageId")
        word = _fields(_line(sample.image, row), sample.image, row.number)[place]
        if not word.isdigit():
            found = repr(word[:20].decode("utf-8", "replace"))
            raise Rejected(f"{sample.image}, row {row.number}: ImageId is {found}, expected a whole number")
        return int(word)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        row: Row = sample.annotation
        fields = _fields(_line(sample.image, row), sample.image, row.number)
        pixels = fields[_header(sample.image).index("Image")]
        return np.repeat(parse_pixels(pixels, f"{sample.image}, row {row.number}")[..., None], 3, axis=2)


def parse_pixels(text: bytes, where: str) -> NDArray[np.uint8]:
    """9,216 numbers separated by blanks → (96, 96) uint8. Raises Rejected, beginning with `where`."""
    words = text.split()
    if len(words) != SIDE * SIDE:
        raise Rejected(f"{where}: {len(words):,} pixels in column 'Image', expected {SIDE * SIDE:,}")
    try:
        values = np.array(words, dtype=bytes).astype(np.int64)
    except (ValueError, OverflowError):
        bad, index = next((w, i) for i, w in enumerate(words) if not re.fullmatch(rb"-?\d{1,18}", w))
        found = repr(bad.decode("utf-8", "replace"))
        raise Rejected(f"{where}: pixel {index} is {found}, expected a whole number") from None
    if values.min() < 0 or values.max() > 255:
        index = int(np.argmax((values < 0) | (values > 255)))
        raise Rejected(f"{where}: pixel {index} is {values[index]}, expected 0 to 255")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _annotation(points: NDArray[np.float32]) -> Annotation:
    labelled = np.isfinite(points).all(axis=1)
    points = np.where(labelled[:, None], points, np.nan).astype(np.float32)  # half a point is none
    return Annotation(points, np.where(labelled, VISIBLE, 0).astype(np.uint8), WHOLE)


@lru_cache(maxsize=2)
def _whole(file: str) -> bytes:
    return read_file(file)


def _line(file: str, row: Row) -> bytes:
    if split_member(file) is not None:  # a compressed member cannot be entered in its middle
        return _whole(file)[row.start : row.start + row.length]
    try:
        with open_binary(file) as stream:
            stream.seek(row.start)
            return bytes(stream.read(row.length))
    except OSError as error:
        raise Rejected(f"{file}, row {row.number}: cannot be read ({error})") from error


def _fields(line: bytes, file: str, number: int) -> list[bytes]:
    """The fields of a row, one a column; none of this competition's holds a comma, so that quotes are no more than
    decoration. Raises Rejected."""
    fields = [field.strip().strip(b'"') for field in line.split(b",")]
    if len(fields) != len(_header(file)):
        raise Rejected(f"{file}, row {number}: {len(fields)} columns, expected {len(_header(file))}")
    return fields


def _rows(file: str) -> Iterator[tuple[Row, bytes]]:
    data = read_file(file)
    start = data.find(b"\n") + 1 or len(data)
    number = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        line = data[start:end].rstrip()
        if line:
            number += 1
            yield Row(number, start, len(line)), line
        start = end + 1
    if number == 0:
        raise FakeitError(f"{file}: no rows")


@lru_cache(maxsize=4)
def _header(file: str) -> tuple[str, ...]:
    """The columns' names. Raises FakeitError when one is missing, unknown or there twice."""
    try:
        line = read_head(file, HEADER).split(b"\n", 1)[0].decode("utf-8-sig", "replace")  # not 200 MB for one line
    except OSError as error:
        raise FakeitError(f"{file}: cannot be read ({error})") from error
    names = tuple(name.strip().strip('"') for name in line.split(","))
    needed = ("ImageId", "Image") if "ImageId" in names else (*COORDINATES, "Image")
    for name in needed:
        if name not in names:
            found = ", ".join(names[:4])
            raise FakeitError(f"{file}, header: column '{name}' is missing{nearest(name, names)} (found {found}, …)")
    for name in names:
        if name not in needed:
            raise FakeitError(f"{file}, header: unknown column '{name[:40]}'{nearest(name, needed)}")
        if names.count(name) > 1:
            raise FakeitError(f"{file}, header: column '{name}' is there {names.count(name)} times, expected once")
    return names


@lru_cache(maxsize=4)
def _column_order(file: str) -> tuple[int, ...]:
    header = _header(file)
    return tuple(header.index(name) for name in COORDINATES)


def _coordinates(line: bytes, file: str, number: int, order: tuple[int, ...]) -> NDArray[np.float64]:
    """(30,) coordinates, NaN where empty."""
    fields = _fields(line, file, number)
    values = np.full(len(order), np.nan)
    for index, place in enumerate(order):
        word = fields[place]
        try:
            values[index] = np.nan if word.lower() in MISSING else float(word)
            known = np.isnan(values[index]) or abs(values[index]) < LARGEST
        except ValueError:
            known = False
        if not known:
            found = repr(word[:40].decode("utf-8", "replace"))
            raise Rejected(
                f"{file}, row {number}: column '{COORDINATES[index]}' is {found}, expected a number or nothing"
            )
    return values
