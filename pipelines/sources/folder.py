"""Any folder of pictures, with or without points in a CSV. FFHQ and the YouTube faces are two of its cases.

The CSV has a header and a row a face: `image,x0,y0,x1,y1,…` in any order, pixels of that picture; an empty cell is a
missing point. Boxes may come from a CSV too: `image,x,y,width,height`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_table import read_boxes
from fakeit.pipelines.files.file_names import NameIndex, is_picture, printable, unique_stems
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import is_url, join_member
from fakeit.pipelines.files.text_files import TABLE_LIMIT, TableRow, read_text, table_rows
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import Annotation, Sample, SampleList, annotate
from fakeit.pipelines.sources.matching import PICTURE, REPEATED, ROW, Matching

AMBIGUOUS = "rows that name several pictures"
_IMAGE_COLUMNS = ("image", "image_name", "image_path", "file", "filename", "file_name", "name", "path", "picture")
_AXIS_LAST, _AXIS_FIRST = re.compile(r"(?:.*\D)?(\d+)[ _.-]?([xy])"), re.compile(r"(?:.*[^a-z])?([xy])[ _.-]?(\d+)")


@dataclass(frozen=True)
class Folder:
    """Pictures below `path`.

    Attributes:
        path: folder, URL or zip archive.
        scheme: of the points; "none" without a CSV of points.
        points: the CSV of points, relative to `path` or absolute.
        boxes: the CSV of boxes, likewise.
        person: a regular expression whose first group is the person in a picture's name; a person stays in one split.
    """

    path: str
    scheme: str = "none"
    points: str = ""
    boxes: str = ""
    person: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.person)
        except re.error as error:
            raise FakeitError(f"source option person {self.person!r}: no regular expression ({error})") from error

    def samples(self) -> SampleList:
        count = scheme(self.scheme).count
        if bool(count) != bool(self.points):
            raise FakeitError(f"source: scheme '{self.scheme}' and points '{self.points}' must be given together")
        listing = list_inputs(self.path)
        pictures = [file for file in listing.files if is_picture(file)]
        books, index, names = Matching(listing), NameIndex(pictures), unique_stems(pictures)
        books.expect(pictures, PICTURE)
        boxes = self._boxes(pictures, books)
        samples = []
        for file, row in self._rows(index, books) if self.points else ((file, None) for file in pictures):
            if file is None:  # a row that not even names its picture
                assert row is not None
                samples.append(Sample(printable(row[0]), row[0], problem=f"{row[0]}: {row[2]}"))
                continue
            books.take(file)
            location, label = join_member(self.path, file), printable(names[file])
            samples.append(Sample(label, location, (row, *boxes(file)), group=self._person(label)))
        if not samples:
            raise books.nothing(f"{self.path}: no pictures{' that stand in ' + self.points if self.points else ''}")
        return books.close(samples)

    def _person(self, name: str) -> str:
        found = re.search(self.person, name) if self.person else None
        return found[1] if found and found.re.groups else ""

    def _location(self, file: str) -> str:
        return file if is_url(file) or file.startswith("/") else join_member(self.path, file)

    def _rows(self, index: NameIndex, books: Matching) -> list[tuple[str | None, tuple[str, list[str], str]]]:
        """(picture, (file:line, cells in order x0, y0, …, problem)) of every row that means one picture."""
        location = self._location(self.points)
        table = _table(location)
        image, order = point_columns(table[0].cells if table else [], self.scheme, f"{location}:1")
        found: list[tuple[str | None, tuple[str, list[str], str]]] = []
        seen: set[tuple[str, ...]] = set()
        for row in table[1:]:
            where = f"{location}:{row.number}"
            name = row.cells[image] if len(row.cells) > image else ""
            pictures = index.find(name) if name.strip() else []
            told = f"{printable(name)} ({printable(where)})"
            if row.problem or not name.strip():
                problem = row.problem or f"no name of a picture in {','.join(row.cells)[:60]!r}"
                found.append((None, (where, [], problem)))
            elif not pictures:
                books.expect([told], ROW)
            elif len(pictures) > 1:
                books.expect([f"{told}: {' or '.join(pictures[:2])}"], AMBIGUOUS)
            elif (pictures[0], *row.cells) in seen:
                books.expect([told], REPEATED)
            else:
                seen.add((pictures[0], *row.cells))
                whole = len(row.cells) == len(order) + 1
                cells = [row.cells[place] for place in order] if whole else row.cells[1:]
                found.append((pictures[0], (where, cells, "")))
        return found

    def _boxes(self, pictures: list[str], books: Matching) -> Callable[[str], tuple[tuple[Box, ...], str]]:
        """Picture → (its boxes, what is wrong with them)."""
        if not self.boxes:
            return lambda file: ((), "")
        matched = read_boxes(self._location(self.boxes)).match(pictures)
        books.expect(matched.unmatched, "boxes without a picture")
        return lambda file: (tuple(matched.boxes.get(file, ())), matched.problems.get(file, ""))

    def read(self, sample: Sample) -> Annotation:
        row, boxes, problem = sample.annotation
        count = scheme(self.scheme).count
        points = np.full((count, 2), np.nan, np.float32)
        if row is not None:
            points = _cells(row[0], row[1], 2 * count).reshape(count, 2)
        if problem:
            raise Rejected(problem)
        if not boxes:
            return annotate(points)
        known = np.isfinite(points).all(axis=1).sum() >= 2
        box = max(boxes, key=from_landmarks(points).overlap) if len(boxes) > 1 and known else boxes[0]
        return annotate(points, (box.x, box.y, box.width, box.height))

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        return read_image(sample.image)


def _table(location: str) -> list[TableRow]:
    try:
        return list(table_rows(read_text(location, TABLE_LIMIT)))
    except OSError as error:
        raise FakeitError(f"{location}: cannot be read ({error})") from error


def point_columns(header: list[str], scheme_name: str, where: str) -> tuple[int, list[int]]:
    """Which column names the picture, and the columns of x0, y0, x1, … in this order.

    Columns are found by name: `x0`, `0_x`, `landmark_0_y`, from 0 or from 1, or the scheme's own names (`nose_tip_x`);
    0, 1, 2, … name the cells themselves.

    Raises:
        FakeitError: another number of columns, no header, or names that do not say which point they are.
    """
    known = scheme(scheme_name)
    names = [cell.strip().lower() for cell in header]
    expected = f"expected 'image' and {2 * known.count} columns x0, y0, … x{known.count - 1}, y{known.count - 1}"
    if len(names) != 2 * known.count + 1:
        raise FakeitError(f"{where}: {len(names) if header else 0} columns, {expected}, {2 * known.count} numbers")
    image = next((i for i, name in enumerate(names) if name in _IMAGE_COLUMNS), 0)
    rest = [i for i in range(len(names)) if i != image]
    if [names[i] for i in rest] in ([str(n + first) for n in range(len(rest))] for first in (0, 1)):
        return image, rest
    if is_picture(names[image]) or sum(map(_is_number, names)) > known.count:
        raise FakeitError(f"{where}: no header, a face stands in the first line; {expected}")
    own = {f"{name.lower()}_{axis}": 2 * k + a for k, name in enumerate(known.names) for a, axis in enumerate("xy")}
    found = {own[names[i]] if names[i] in own else _column(names[i]): i for i in rest}
    for first in (0, 2):
        if set(found) == set(range(first, first + len(rest))):
            return image, [found[first + place] for place in range(len(rest))]
    odd = next((header[i] for i in rest if names[i] not in own and _column(names[i]) < 0), "one twice or one missing")
    raise FakeitError(f"{where}: columns that do not say which point they are ({odd[:40]}); {expected}")


def _column(name: str) -> int:
    """2 × point + axis, or -1."""
    if found := _AXIS_FIRST.fullmatch(name):
        return 2 * int(found[2][:6]) + "xy".index(found[1])
    if found := _AXIS_LAST.fullmatch(name):
        return 2 * int(found[1][:6]) + "xy".index(found[2])
    return -1


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _cells(where: str, cells: list[str], count: int) -> NDArray[np.float32]:
    """The numbers of a row, NaN where a cell is empty. Raises Rejected with file and line."""
    if len(cells) != count:
        raise Rejected(f"{where}: {len(cells)} numbers, expected {count}")
    try:
        values = np.array([float(cell) if cell.strip() else np.nan for cell in cells], np.float32)
    except ValueError as error:
        raise Rejected(f"{where}: {error}") from error
    if np.isinf(values).any():
        raise Rejected(f"{where}: an infinite number; a missing point is an empty cell")
    return values


def youtube_faces(path: str) -> Folder:
    """The YouTube-faces crops: `images/` and `keypoints.csv` with 68 points; `Aaron_Eckhart_12.jpg` is a frame of one
    person."""
    return Folder(path, "ibug68", "keypoints.csv", person=r"([^/]+)_\d+$")


def ffhq(path: str) -> Folder:
    """FFHQ: 1024² PNGs in folders of a thousand, no points."""
    return Folder(path)
