"""Which pictures a user means: files, folders, globs, archives, URLs, a list on stdin; and what each is called.

Every picture has a name of its own, relative to where it was found: `a/1.jpg` and `b/1.jpg` stay two. Names never lead
out of the folder that they will be written to.
"""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import PICTURES, WRITABLE, OutputNames, climbs, is_picture, is_video, printable
from fakeit.pipelines.files.outputs import Sources, inside, refuse_file
from fakeit.pipelines.files.storage import exists, is_archive, is_url, join_member, split_member
from fakeit.pipelines.files.walking import HIDDEN, UNREADABLE, list_inputs

_DRAWN = re.compile(r"(.+)\.points(\.\w+)(?:\.png)?")  # what `drawn_beside` has put beside its picture


@dataclass(frozen=True)
class PictureFile:
    """A picture that was asked for, or a folder that cannot be listed. `name`: relative to the folder it was found in,
    as tables call it; `problem`: why it is not read, where that is known already."""

    name: str
    location: str
    problem: str = ""

    @property
    def is_video(self) -> bool:
        return is_video(self.location)


def expand(asked: Iterable[str], stdin: Iterable[str] = ()) -> list[PictureFile]:
    """Every picture and video that is meant, in order, each once and under a name of its own.

    Args:
        asked: files, folders (searched whole), globs, zip archives, URLs; `-` means the lines of `stdin`.
        stdin: one location a line.

    Raises:
        FakeitError: something asked for is not there, or holds no picture.
    """
    found: list[PictureFile] = []
    for item in asked:
        for place in (line.rstrip("\r\n") for line in stdin) if item == "-" else (item,):
            if place.strip():
                found += _expand_one(place if item != "-" or os.path.exists(place) else place.strip())
    if not found:
        raise FakeitError("no pictures were named (an empty list on stdin?)")
    return _told_apart(list({picture.location: picture for picture in found}.values()))


def _expand_one(place: str) -> list[PictureFile]:
    if is_archive(place) or os.path.isdir(place) or (is_url(place) and place.endswith("/")):
        return _expand_folder(place)
    if split_member(place) or is_url(place) or os.path.isfile(place):
        name = (split_member(place) or ("", place))[1].replace("\\", "/")
        return [PictureFile(printable(posixpath.basename(name)), place)]
    matches = sorted(glob.glob(place, recursive=True))
    files = [match for match in matches if os.path.isfile(match)]
    if not files:
        kind = "no file matches" if any(c in place for c in "*?[") else "no such file or folder"
        raise FakeitError(f"input {place}: {kind}")
    names = [os.path.basename(file) for file in files]
    if len(set(names)) < len(names):  # two folders hold the same name: keep what tells them apart
        top = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
        names = [os.path.relpath(os.path.abspath(file), top) for file in files]
    return [PictureFile(printable(name), file) for name, file in zip(names, files, strict=True)]


def _expand_folder(place: str) -> list[PictureFile]:
    if not exists(place):
        raise FakeitError(f"input {place}: no such folder or archive")
    listing = list_inputs(place)
    known = set(listing.files)
    names = [name for name in listing.files if is_picture(name) or is_video(name)]
    # Face Synthetics' class maps are no pictures; somebody's photo that is called so is one.
    names = [n for n in names if not (n.endswith("_seg.png") and f"{n.removesuffix('_seg.png')}.png" in known)]
    names = [n for n in names if not ((drawn := _DRAWN.fullmatch(n)) and drawn[1] + drawn[2] in known)]
    made = [PictureFile(printable(name.replace("\\", "/")), join_member(place, name)) for name in names]
    for name, why in listing.passed_over:
        if why.startswith(UNREADABLE) or (why != HIDDEN and (is_picture(name) or is_video(name))):
            made.append(
                PictureFile(printable(posixpath.basename(name)), join_member(place, name), f"{printable(name)}: {why}")
            )
    if not made:
        also = f"; {len(listing.passed_over)} names were passed over" if listing.passed_over else ""
        raise FakeitError(f"input {place}: holds no pictures ({', '.join(PICTURES[:4])}, …{also})")
    return made


def _told_apart(pictures: list[PictureFile]) -> list[PictureFile]:
    """Pictures of one name are called by as much of their path as tells them apart."""
    by_name: dict[str, list[PictureFile]] = {}
    for picture in pictures:
        by_name.setdefault(picture.name, []).append(picture)
    made, taken = [], {name for name, same in by_name.items() if len(same) == 1 and not climbs(name)}
    longer = {name: _longer(same) for name, same in by_name.items() if name not in taken}
    for picture in pictures:
        name = longer.get(picture.name, {}).get(picture.location, picture.name)
        if picture.name in longer:
            stem, ending = posixpath.splitext(name)
            number = 2
            while name in taken:
                name, number = f"{stem}~{number}{ending}", number + 1
            taken.add(name)
        made.append(replace(picture, name=name))
    return made


def _longer(same: list[PictureFile]) -> dict[str, str]:
    """Location → its last few parts, as many as make a difference."""
    paths = {picture.location: _parts(picture.location) for picture in same}
    for depth in range(same[0].name.count("/") + (2 if len(same) > 1 else 1), max(map(len, paths.values())) + 1):
        names = {location: "/".join(parts[-depth:]) for location, parts in paths.items()}
        if len(set(names.values())) == len(names):
            return names
    return {location: "/".join(parts) for location, parts in paths.items()}


def _parts(location: str) -> list[str]:
    parts = printable(location).replace("\\", "/").replace("!/", "/").split("/")
    return [part.replace(":", "_") for part in parts if part not in ("", ".", "..")] or ["picture"]


def drawn_names(pictures: Iterable[PictureFile]) -> dict[str, str]:
    """Name → the name it is written under once it is drawn on: pictures keep an ending that can be written, or get
    `.png` behind theirs; videos become `.mp4`. No two are called the same."""
    names, made = OutputNames(), dict[str, str]()
    for picture in pictures:
        stem, ending = posixpath.splitext(picture.name)
        if picture.is_video:
            made[picture.name] = names.take(f"{stem}.mp4", f"{picture.name}.mp4")
        elif ending.lower() in WRITABLE:
            made[picture.name] = names.take(picture.name)
        else:
            made[picture.name] = names.take(f"{picture.name}.png")
    return made


def drawn_places(pictures: Sequence[PictureFile], folder: str, read: Iterable[str] = ()) -> dict[str, str]:
    """Name → the path in `folder` that it is written to once it is drawn on.

    Args:
        pictures: that are drawn on.
        folder: for what comes out.
        read: what the job reads besides.

    Raises:
        FakeitError: the folder is a file or below one, or a path is that of something read or leads out of the folder.
    """
    refuse_file(folder)
    places = {name: inside(folder, drawn) for name, drawn in drawn_names(pictures).items()}
    sources = Sources([*(picture.location for picture in pictures), *read])
    for place in places.values():
        sources.check(place)
    return places


def drawn_beside(asked: list[str], pictures: list[PictureFile]) -> tuple[Path, list[PictureFile]]:
    """Where drawings go when nobody says: `me.points.jpg` beside `me.jpg`, `photos.points/` beside `photos/`, else
    `points/` here. The folder, and the pictures under the names that they are drawn by."""
    first = Path(asked[0]) if asked else Path("camera")
    if len(pictures) == 1 and first.is_file() and pictures[0].location == asked[0]:
        return first.parent, [replace(pictures[0], name=f"{first.stem}.points{first.suffix}")]
    single = len(asked) == 1 and (first.is_dir() or first.suffix.lower() == ".zip") and first.exists()
    return first.with_name(f"{first.resolve().stem}.points") if single else Path("points"), pictures
