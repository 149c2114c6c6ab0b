"""The small files of Kaggle's Facial Keypoints: where they lie, the lookup table, true values where known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import is_archive, join_member, read_bytes
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.landmarks import KAGGLE_NAMES

LIMIT = 1 << 30  # bytes of a file: the competition's largest has 240 MB
LOOKUP = "IdLookupTable.csv"
COORDINATES = tuple(f"{name}_{axis}" for name in KAGGLE_NAMES for axis in "xy")


def member(path: str, name: str) -> str:
    """The location of a file of the competition in a folder, archive, or beside a CSV file. Raises FakeitError."""
    if path.lower().endswith(".csv"):
        if name == "training.csv":
            return path
        path = path.rsplit("/", 1)[0] if "/" in path else "."
    files = list_inputs(path).files
    packed = name.removesuffix(".csv") + ".zip"  # as Kaggle delivers the two large files
    for wanted in (name, packed):
        found = [f for f in files if f == wanted] or [f for f in files if f.endswith("/" + wanted)]
        if len(found) > 1:
            raise FakeitError(f"input {path}: holds {found[0]} and {found[1]}; name the folder of one of them")
        if found and wanted == packed and is_archive(path):
            raise FakeitError(f"input {path}: {found[0]} is an archive in an archive; unpack {path} into a folder")
        if found:
            place = join_member(path, found[0])
            return member(place, name) if wanted == packed else place
    raise FakeitError(f"input {path}: no {name} in it; is it the folder of Kaggle's Facial Keypoints Detection?")


def read_solution(root: str, name: str) -> dict[int, NDArray[np.float32]]:
    """Image id → (15, 2) float32 true points, source pixels, NaN where the lookup does not ask for one.

    Raises:
        FakeitError: a lookup or solution that cannot be read; see `read_lookup`.
    """
    places = {entry.row_id: entry for entry in read_lookup(member(root, LOOKUP))}
    points: dict[int, NDArray[np.float32]] = {}
    file = member(root, name)
    for number, (row_id, location) in enumerate(read_table(file, ("RowId", "Location")), 1):
        try:
            entry, value = places[int(row_id)], float(location)
        except (KeyError, ValueError) as error:
            raise FakeitError(f"{file}, row {number}: {error}; expected a RowId of the lookup and a number") from error
        found = points.setdefault(entry.image_id, np.full((15, 2), np.nan, np.float32))
        found.reshape(-1)[entry.coordinate] = value
    return points


@dataclass(frozen=True)
class LookupEntry:
    """One line of IdLookupTable.csv; `coordinate` is the index into COORDINATES."""

    row_id: int
    image_id: int
    coordinate: int


def read_lookup(file: str) -> list[LookupEntry]:
    """IdLookupTable.csv: which coordinate of which test picture each line of a submission is.

    Raises:
        FakeitError: a missing column, an unknown feature (with the nearest), a number that is none, a RowId that two
            rows have, no row; file and row.
    """
    known = {name: index for index, name in enumerate(COORDINATES)}
    entries, rows = list[LookupEntry](), dict[int, int]()
    for number, (row_id, image_id, feature) in enumerate(read_table(file, ("RowId", "ImageId", "FeatureName")), 1):
        if feature not in known:
            raise FakeitError(f"{file}, row {number}: unknown feature '{feature}'{nearest(feature, known)}")
        try:
            entries.append(LookupEntry(int(row_id), int(image_id), known[feature]))
        except ValueError as error:
            raise FakeitError(f"{file}, row {number}: RowId and ImageId must be whole numbers ({error})") from error
        before = rows.setdefault(entries[-1].row_id, number)
        if before != number:
            raise FakeitError(f"{file}, row {number}: RowId {row_id} is row {before}'s already; each may be there once")
    if not entries:
        raise FakeitError(f"{file}: no rows")
    return entries


def read_table(file: str, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The named columns of a small CSV file, row by row; blank lines are none. Raises FakeitError with file and row."""
    text = read_file(file).decode("utf-8-sig", "replace")
    table = ([field.strip().strip('"') for field in line.split(",")] for line in text.splitlines())
    lines = [fields for fields in table if any(fields)]
    header = lines[0] if lines else []
    places = []
    for name in columns:
        if name not in header:
            raise FakeitError(f"{file}: column '{name}' is missing{nearest(name, header)} (found {', '.join(header)})")
        places.append(header.index(name))
    for number, fields in enumerate(lines[1:], 1):
        if not max(places) < len(fields) <= len(header):  # the real lookup leaves out its empty last column
            raise FakeitError(f"{file}, row {number}: {len(fields)} columns, expected {len(header)}")
        yield tuple(fields[place] for place in places)


def read_file(file: str) -> bytes:
    """The bytes of a file that must be there. Raises FakeitError."""
    try:
        return read_bytes(file, LIMIT)
    except OSError as error:
        raise FakeitError(f"{file}: cannot be read ({error})") from error
