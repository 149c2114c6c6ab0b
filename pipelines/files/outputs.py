"""What is written may never cost what was read: outputs are held against inputs, by what the paths lead to, before the
first byte; what replaces something is made beside it and takes its place when it is whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import climbs
from fakeit.pipelines.files.storage import exists, is_url, join, list_files, make_folder, move, remove, split_member

BUILDING = ".building"


class Sources:
    """The files that a job reads, by identity: links and other spellings of a path make no difference."""

    def __init__(self, locations: Iterable[str]) -> None:
        self._files: dict[object, str] = {}
        self._folders: set[object] = set()
        for location in locations:
            member = split_member(location)
            place = member[0] if member else location
            identity = _identity(place)
            if identity is not None:
                self._files.setdefault(identity, place)
                if member is None and not is_url(place):
                    self._folders.add(_identity(os.path.dirname(place) or "."))

    def check(self, output: str, what: str = "output") -> None:
        """Refuses to write a file over a source, or where a folder is. Raises FakeitError."""
        if os.path.isdir(output):  # told now, not after hours
            raise FakeitError(f"{what} {output}: is a folder; name a file")
        identity = _identity(output)
        if identity is not None and identity in self._files:
            source = self._files[identity]
            same = "" if source == output else f", which leads to {source}"
            raise FakeitError(f"{what} {output}{same}: is an input and would be destroyed; choose another folder")

    def check_annotation(self, output: str) -> None:
        """Refuses to write over a file of points that lies beside the pictures: it may be their truth."""
        self.check(output)
        if os.path.exists(output) and _identity(os.path.dirname(output) or ".") in self._folders:
            raise FakeitError(f"output {output}: stands already, beside the pictures themselves; choose another folder")


def check_file(output: str, inputs: Iterable[str | None]) -> None:
    """Refuses a file to write that is one of the inputs, or whose folder is missing: told before the work, not after
    it. Raises FakeitError."""
    Sources(filter(None, inputs)).check(output)
    if not is_url(output) and not os.path.isdir(os.path.dirname(output) or "."):
        raise FakeitError(f"output {output}: there is no folder {os.path.dirname(output)}")


def _identity(location: str) -> object:
    """What a location leads to; None where nothing is, so that nothing can be destroyed."""
    if is_url(location):
        return location
    try:
        found = os.stat(location)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def inside(folder: str, name: str) -> str:
    """The path of `name` in `folder`. Raises FakeitError where the name leads out of it, by itself or by a link."""
    path = os.path.join(folder, name)
    top, real = os.path.realpath(folder), os.path.realpath(os.path.dirname(path))
    if climbs(name) or (real != top and not real.startswith(top.rstrip(os.sep) + os.sep)):
        raise FakeitError(f"name {name!r}: leads out of {folder}; nothing is written there")
    return path


def refuse_file(folder: str) -> None:
    """Refuses an output folder that is a file, or lies below one. Raises FakeitError."""
    place = next((place for place in (Path(folder), *Path(folder).parents) if place.exists()), None)
    if place is not None and not place.is_dir():
        found = "" if place == Path(folder) else f"{place} "
        raise FakeitError(f"output {folder}: {found}is a file; name a folder")


def refuse_overlap(output: str, inputs: Iterable[str]) -> None:
    """Refuses an output folder that is an input, or that holds one. Raises FakeitError."""
    for place in inputs:
        if is_url(output) or is_url(place):
            same = output.rstrip("/") == place.rstrip("/") or place.startswith(output.rstrip("/") + "/")
        else:
            top, path = os.path.realpath(output).rstrip(os.sep), os.path.realpath(place)
            same = path == top or path.startswith(top + os.sep)
        if same:
            raise FakeitError(f"output {output}: is the input {place} or holds it; choose another folder")


def refuse_foreign(output: str, own: re.Pattern[str], folders: Iterable[str]) -> None:
    """Refuses an output whose `folders` hold files that are not `own`: they would be removed. Raises FakeitError."""
    tops = set(folders)
    held = list_files(output) if exists(output) else []
    odd = [name for name in held if name.split("/")[0] in tops and not own.fullmatch(name)]
    if odd:
        raise FakeitError(f"output {output}: holds {odd[0]}, which is no part of a dataset; choose another folder")


def building(output: str) -> str:
    """Where the replacement of `output` is made: beside it, so that a killed run costs nothing."""
    return output.rstrip("/") + BUILDING


def replace_with(output: str, made: str, names: Iterable[str], last: str) -> None:
    """Puts what was made beside `output` in its place.

    Args:
        output: folder whose entries `names` are replaced; others stay.
        made: the folder that holds the new ones; gone afterwards.
        names: entries that belong to a dataset.
        last: the entry that makes it one: taken away first, put there last.
    """
    order = [name for name in names if name != last]
    for name in (last, *order):
        remove(join(output, name))
    make_folder(output)
    for name in (*order, last):
        if exists(join(made, name)):
            move(join(made, name), join(output, name))
    remove(made)
