"""What names of files mean, decided once for every door: which endings are pictures, which names are nobody's picture,
when two names are one, and which names may be written.

Names come from folders, archives and lists of other people: in Latin-1, decomposed (macOS), with backslashes, with `..`
in them. Locations stay as they were found, so that the file can be opened; what is compared, stored and written is
made here.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Sequence

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pnm"),
    *(".jp2", ".j2k", ".avif", ".heic", ".heif"),
)
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv")
WRITABLE = (".jpg", ".jpeg", ".png", ".webp")  # pictures that are drawn under their own ending; others become .png

# Left behind by macOS, Windows, NAS boxes and Jupyter; like every name that begins with a dot, nobody's data.
JUNK = frozenset(("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"))


def is_picture(name: str) -> bool:
    """Whether a name ends as a picture's does."""
    return name.lower().endswith(PICTURES)


def is_video(name: str) -> bool:
    """Whether a name ends as a video's does."""
    return name.lower().endswith(VIDEOS)


def is_junk(name: str) -> bool:
    """Whether one part of a path is what systems leave behind: `._1.jpg`, `.ipynb_checkpoints`, `__MACOSX`, …"""
    return name.startswith(".") or name.lower() in JUNK


def any_junk(names: Sequence[str]) -> bool:
    """Whether `is_junk` may hold for one of many parts of paths: a thousand times quicker than asking for each."""
    text = "\n".join(["", *names]).lower()
    return "\n." in text or any(f"\n{junk}" in text for junk in JUNK)


def printable(name: str) -> str:
    """`name` as text that can be stored and printed: bytes that are not UTF-8 and control characters are escaped."""
    if name.isprintable():  # bytes that are no UTF-8 are surrogates here, which are not
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def normal(name: str) -> str:
    """How names are compared: composed (NFC), with forward slashes, without `./` in front or inside."""
    text = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    return posixpath.normpath(text) if text else ""


def climbs(name: str) -> bool:
    """Whether a relative name leads out of the folder it is relative to, on any system."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or bool(re.match(r"[A-Za-z]:", name)) or "\0" in name


class NameIndex:
    """Files by the names that lists call them.

    A name is found in full, or by its end (`1.jpg` for `images/1.jpg`, and the other way round); upper and lower case
    count only where they must. More than one answer is for the caller to refuse.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._by_end: dict[str, list[str]] = {}
        self._folded: dict[str, list[str]] = {}
        self._full: dict[str, list[str]] = {}
        for file in files:
            name = normal(file)
            self._full.setdefault(name, []).append(file)
            for end in _ends(name):
                self._by_end.setdefault(end, []).append(file)
                self._folded.setdefault(end.casefold(), []).append(file)

    def find(self, name: str) -> list[str]:
        """The files that `name` may mean, the best kind of match only; [] where there is none."""
        wanted = normal(name)
        if found := self._full.get(wanted) or self._by_end.get(wanted):
            return found
        if found := self._folded.get(wanted.casefold()):
            return found
        for end in _ends(wanted)[1:]:  # the list knows more folders than were unpacked
            if found := self._full.get(end):
                return found
        return []


def _ends(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


class OutputNames:
    """One file name for each thing that is written, never the same twice, whatever the things are called.

    Names differ when they differ to a file system that ignores case and composes accents, so that results can be
    copied anywhere.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = {self._key(name) for name in reserved}

    def take(self, *wishes: str) -> str:
        """The first wish that is free, else the last with a number before its ending."""
        for wish in wishes:
            if self._key(wish) not in self._taken:
                self._taken.add(self._key(wish))
                return wish
        stem, ending = posixpath.splitext(wishes[-1])
        number = 2
        while self._key(f"{stem}~{number}{ending}") in self._taken:
            number += 1
        return self.take(f"{stem}~{number}{ending}")

    @staticmethod
    def _key(name: str) -> str:
        return normal(name).casefold()


def unique_stems(names: Iterable[str]) -> dict[str, str]:
    """Name → the name without its ending; with it where two names differ by their endings alone."""
    names = list(names)
    count: dict[str, int] = {}
    for name in names:
        stem = posixpath.splitext(name)[0]
        count[stem] = count.get(stem, 0) + 1
    return {name: stem if count[stem := posixpath.splitext(name)[0]] == 1 else name for name in names}
