"""Any folder of pictures, with or without points in a CSV. FFHQ and the YouTube faces are two of its cases.

The CSV has a header and a row a picture: `image,x0,y0,x1,y1,…`, pixels of that picture; an empty cell is a missing
point. Boxes may come from a CSV too: `image,x,y,width,height`.
"""

from __future__ import annotations

import csv
import io
import posixpath
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import Annotation, Sample, annotate
from fakeit.pipelines.storage import exists, is_url, join, join_member, list_files, read_bytes

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Folder:
    """Pictures below `path`.

    Attributes:
        path: folder, URL or zip archive.
        scheme: of the points; "none" without a CSV of points.
        points: the CSV of points, relative to `path` or absolute.
        boxes: the CSV of boxes, likewise.
    """

    path: str
    scheme: str = "none"
    points: str = ""
    boxes: str = ""

    def samples(self) -> list[Sample]:
        if not exists(self.path):
            raise FakeitError(f"input {self.path}: no such folder or archive")
        count = scheme(self.scheme).count
        if bool(count) != bool(self.points):
            raise FakeitError(f"source: scheme '{self.scheme}' and points '{self.points}' must be given together")
        rows = self._table(self.points, 2 * count)
        boxes = self._table(self.boxes, 4)
        samples = []
        for file in list_files(self.path):
            if not file.lower().endswith(_PICTURES):
                continue
            name = posixpath.basename(file)
            row = rows.get(file, rows.get(name))
            if self.points and row is None:
                continue
            box = boxes.get(file, boxes.get(name))
            samples.append(Sample(posixpath.splitext(file)[0], join_member(self.path, file), (row, box)))
        if not samples:
            raise FakeitError(f"{self.path}: no pictures{' that stand in ' + self.points if self.points else ''}")
        return samples

    def _table(self, file: str, cells: int) -> dict[str, tuple[str, list[str]]]:
        """Picture → (file:line, its cells)."""
        if not file:
            return {}
        location = file if is_url(file) or file.startswith("/") else join(self.path, file)
        try:
            text = read_bytes(location).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise FakeitError(f"{location}: cannot be read ({error})") from error
        table = list(csv.reader(io.StringIO(text, newline="")))
        if not table or len(table[0]) != cells + 1:
            found = len(table[0]) if table else 0
            raise FakeitError(f"{location}:1: {found} columns, expected 'image' and {cells} numbers")
        return {row[0]: (f"{location}:{n}", row[1:]) for n, row in enumerate(table[1:], 2) if row}

    def read(self, sample: Sample) -> Annotation:
        row, box = sample.annotation
        count = scheme(self.scheme).count
        points = np.full((count, 2), np.nan, np.float32)
        if row is not None:
            points = _cells(row, 2 * count, missing=True).reshape(count, 2)
        corner = None
        if box is not None:
            x, y, width, height = _cells(box, 4, missing=False).tolist()
            corner = (x, y, width, height)
        return annotate(points, corner)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def _cells(row: tuple[str, list[str]], count: int, missing: bool) -> NDArray[np.float32]:
    """The numbers of a CSV row, NaN where a cell is empty and may be. Raises Rejected with file and line."""
    where, cells = row
    if len(cells) != count:
        raise Rejected(f"{where}: {len(cells)} numbers, expected {count}")
    try:
        return np.array([np.nan if missing and not cell.strip() else float(cell) for cell in cells], np.float32)
    except ValueError as error:
        raise Rejected(f"{where}: {error}") from error


def youtube_faces(path: str) -> Folder:
    """The YouTube-faces crops: `images/` and `keypoints.csv` with 68 points."""
    return Folder(path, "ibug68", "keypoints.csv")


def ffhq(path: str) -> Folder:
    """FFHQ: 1024² PNGs in folders of a thousand, no points."""
    return Folder(path)
