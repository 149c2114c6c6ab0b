"""Text that other people's tools wrote: points, lists, tables. Read up to what the format can need, decoded whatever
its encoding, and in lines that cannot spoil each other.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from fakeit.pipelines.files.storage import read_bytes

POINTS_LIMIT = 1 << 20  # bytes of the points of one face: a hundred lines take 4,000
TABLE_LIMIT = 256 << 20  # a list of all faces of a dataset: WFLW's 10,000 take 25 MB
_LINE = re.compile(r"\r\n|\n|\r")


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("fakeit.latin-1", _as_latin_1)


def decode_text(data: bytes) -> str:
    """UTF-8, UTF-16 where its mark says so, and Latin-1 for each byte that is not UTF-8: nothing is refused."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "fakeit.latin-1")


def read_text(location: str, limit: int = POINTS_LIMIT) -> str:
    """The text at a location. Raises OSError where it cannot be read, or holds more than `limit` bytes."""
    return decode_text(read_bytes(location, limit))


def lines_of(text: str) -> list[str]:
    """Lines by any system's ends; nothing else ends a line (names hold the oddest characters)."""
    return _LINE.split(text)


@dataclass(frozen=True)
class TableRow:
    """A line of a CSV file. `number` counts from 1; `problem`: why its cells are not to be trusted, else ""."""

    number: int
    cells: list[str]
    problem: str = ""


def table_rows(text: str) -> Iterator[TableRow]:
    """The rows of a CSV text that are not empty. Each line stands for itself, so that a stray quote costs that line
    alone; where the first line has no comma, semicolons or tabs may part the cells."""
    lines = lines_of(text)
    first = next((line for line in lines if line.strip()), "")
    mark = next((mark for mark in ",;\t" if mark in first), ",")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            (cells,) = csv.reader([line], delimiter=mark, strict=True, skipinitialspace=True)
            yield TableRow(number, cells)
        except (csv.Error, ValueError) as error:
            yield TableRow(number, [], f"no row of a CSV file ({error}): {line[:60]!r}")
