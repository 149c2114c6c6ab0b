"""Boxes of faces from a CSV, `image,x,y,width,height` in source pixels, and which picture each row means.

A row that is wrong costs its own picture and is told with file and line; a row that means no picture, or several, is
counted. The columns may stand in any order, an image may have several rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import SMALLEST, Box
from fakeit.pipelines.files.file_names import NameIndex, printable
from fakeit.pipelines.files.text_files import TABLE_LIMIT, read_text, table_rows

COLUMNS = ("image", "x", "y", "width", "height")


@dataclass(frozen=True)
class BoxRow:
    """A row. `box` is None where `problem` says why."""

    where: str
    name: str
    box: Box | None
    problem: str = ""


@dataclass(frozen=True)
class MatchedBoxes:
    """Rows by the pictures they mean. `problems`: picture → why its row cannot be used; `unmatched`: rows of nobody."""

    boxes: dict[str, list[Box]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class BoxTable:
    """A CSV of boxes as it was read."""

    location: str
    rows: tuple[BoxRow, ...]

    def match(self, pictures: Iterable[str]) -> MatchedBoxes:
        """The boxes of each of `pictures`, relative to their folder."""
        index, matched = NameIndex(pictures), MatchedBoxes()
        for row in self.rows:
            found = index.find(row.name) if row.name else []
            if len(found) != 1:
                why = f"could be {' or '.join(found[:2])}" if found else "no such picture"
                told = row.problem or f"{row.where}: {why}"  # with its line: each row is one of its own
                matched.unmatched.append(f"{printable(row.name)} ({printable(told)})" if row.name else told)
            elif row.box is None:
                matched.problems.setdefault(found[0], row.problem)
            else:
                matched.boxes.setdefault(found[0], []).append(row.box)
        return matched


def read_boxes(location: str) -> BoxTable:
    """Reads a CSV of boxes.

    Raises:
        FakeitError: it cannot be read, or its first line is not the header.
    """
    try:
        rows = list(table_rows(read_text(location, TABLE_LIMIT)))
    except OSError as error:
        raise FakeitError(f"boxes {location}: cannot be read ({error})") from error
    header = [cell.strip().lower() for cell in rows[0].cells] if rows else []
    if sorted(header) != sorted(COLUMNS):
        found = ",".join(header)[:60] if rows else "an empty file"
        raise FakeitError(f"boxes {location}:1: expected the header {','.join(COLUMNS)}, found {found}")
    places = [header.index(name) for name in COLUMNS]
    return BoxTable(
        location, tuple(_row(f"{location}:{row.number}", row.cells, row.problem, places) for row in rows[1:])
    )


def _row(where: str, cells: list[str], problem: str, places: list[int]) -> BoxRow:
    name = cells[places[0]] if len(cells) > places[0] else ""
    if problem:
        return BoxRow(where, name, None, f"boxes {where}: {problem}")
    try:
        if len(cells) != len(places):
            raise ValueError(f"{len(cells)} cells")
        x, y, width, height = (float(cells[place]) for place in places[1:])
    except ValueError:
        return BoxRow(where, name, None, f"boxes {where}: expected a name and four numbers, found {cells}")
    if not all(map(math.isfinite, (x, y, width, height))) or min(width, height) < SMALLEST:
        wrong = f"a box needs a width and a height of {SMALLEST:.0f} pixels or more, all finite, found {cells}"
        return BoxRow(where, name, None, f"boxes {where}: {wrong}")
    return BoxRow(where, name, Box(x, y, width, height))
