"""Where rendered faces wait for their commit on Spark: in a folder of one attempt, whose name no other attempt knows.

Spark may run a task twice at once (speculation), and the slower attempt may end when the faces stand already. It then
has written into a folder that nothing names: the driver takes one attempt of each task, and only its files get their
names, each by one rename. A face that stands is never touched again. The renames are tasks too: of two that do the same
the second finds nothing left to rename.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import defaultdict
from dataclasses import dataclass

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import (
    exists,
    is_url,
    join,
    list_files,
    make_folder,
    put_over,
    read_bytes,
    remove,
    write_atomically,
)

FOLDER = ".attempts"  # below the output; what begins with a dot is nobody's data
WHOLE = "whole.json"  # written last into an attempt: the numbers of its faces
ENDINGS = ("_dense.json", ".png", "_seg.png", "_vis.txt", "_ldmks.txt")  # a face stands when its last file does
_PLACE = re.compile(r"(?P<start>\d{8,})\.[0-9a-f]{16}")


@dataclass(frozen=True)
class Attempt:
    """The faces of one attempt at a task, whole: its folder below FOLDER, and their numbers."""

    place: str
    faces: tuple[int, ...]


def folder_of(output: str, index: int, folders: bool) -> str:
    """The folder of a face; `folders`: a thousand in each."""
    return join(output, f"{index // 1000:04d}") if folders else output


def stands(folder: str, index: int) -> bool:
    """Whether a face is in its folder, whole."""
    return exists(join(folder, f"{index:06d}{ENDINGS[-1]}"))


def begin(output: str, start: int) -> str:
    """A new attempt at the task that begins with face `start`; its place."""
    place = f"{start:08d}.{os.urandom(8).hex()}"
    make_folder(join(output, FOLDER, place))
    return place


def end(output: str, place: str, faces: list[int]) -> Attempt:
    """Says that an attempt is whole."""
    with write_atomically(join(output, FOLDER, place, WHOLE), durable=False) as file:
        file.write(json.dumps(faces).encode())
    return Attempt(place, tuple(faces))


def put_in_place(attempt: Attempt, output: str, folders: bool) -> None:
    """Gives the faces of an attempt their names, but those that stand. May run any number of times, also at once.

    Raises:
        FakeitError: a face is neither here nor there.
    """
    own = join(output, FOLDER, attempt.place)
    for index in attempt.faces:
        folder = folder_of(output, index, folders)
        if stands(folder, index):
            continue
        make_folder(folder)
        for name in (f"{index:06d}{ending}" for ending in ENDINGS):
            with contextlib.suppress(FileNotFoundError):  # a head without dense points; or renamed already
                put_over(join(own, name), join(folder, name))
        if not stands(folder, index):
            raise FakeitError(f"face {index} has vanished from {own}; start the job again, it makes what is missing")


def left_whole(output: str, first: int, last: int) -> list[Attempt]:
    """Whole attempts at the tasks of faces `first` to `last` (exclusive) that a killed job left, one for each task.
    The others are removed. Where two are whole, it is the one whose commit had begun."""
    held: dict[str, set[str]] = defaultdict(set)
    for name in list_files(join(output, FOLDER)) if exists(join(output, FOLDER)) else []:
        place, _, file = name.replace(os.sep, "/").partition("/")
        if _of(place, first, last):
            held[place].add(file)
    taken: dict[str, Attempt] = {}
    for place in sorted(held, key=lambda place: len(held[place])):  # a commit takes files away
        start = place.partition(".")[0]
        if WHOLE in held[place] and start not in taken:
            taken[start] = Attempt(place, tuple(json.loads(read_bytes(join(output, FOLDER, place, WHOLE)))))
        else:
            remove(join(output, FOLDER, place))
    return list(taken.values())


def sweep(output: str, first: int, last: int) -> None:
    """Removes all attempts at the tasks of faces `first` to `last` (exclusive)."""
    folder = join(output, FOLDER)
    if not exists(folder):
        return
    places = {name.replace(os.sep, "/").partition("/")[0] for name in list_files(folder)}
    for place in places | set(() if is_url(folder) else os.listdir(folder)):
        if _of(place, first, last):
            remove(join(folder, place))
    if not is_url(folder):
        with contextlib.suppress(OSError):  # another job's attempts lie there
            os.rmdir(folder)


def _of(place: str, first: int, last: int) -> bool:
    found = _PLACE.fullmatch(place)
    return found is not None and first <= int(found["start"]) < last
