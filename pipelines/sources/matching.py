"""Pictures and annotations finding each other: what every source of files beside files does, and the books of it.

A source hands in what it found, takes out what belongs together, and asks at the end for its samples with everything
that nobody took: nothing is dropped without being counted.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import is_picture, normal, printable
from fakeit.pipelines.files.walking import HIDDEN, Listing
from fakeit.pipelines.sources import Sample, SampleList, Unmatched, summary

PICTURE, POINTS, ROW = "pictures without points", "points without a picture", "rows without a picture"
REPEATED, PASSED_OVER = "rows that repeat another", "names passed over"
_ANNOTATIONS = (".pts", "_ldmks.txt", ".csv")
_PREFERRED = (".png", ".jpg", ".jpeg")  # where one stem has several pictures


class Matching:
    """The books of one listing. Every file that is handed in is taken once or comes back as unmatched."""

    def __init__(self, listing: Listing) -> None:
        self._left: dict[str, str] = {}
        self._passed = [
            Unmatched(PASSED_OVER, f"{printable(name)} ({why})")
            for name, why in listing.passed_over
            if why != HIDDEN or is_picture(name) or name.lower().endswith(_ANNOTATIONS)
        ]

    def expect(self, names: Iterable[str], kind: str) -> None:
        """Names that someone should take; those left over come back as `kind`."""
        self._left.update(dict.fromkeys(names, kind))

    def take(self, *names: str) -> None:
        for name in names:
            self._left.pop(name, None)

    def close(self, samples: Iterable[Sample]) -> SampleList:
        """The samples, each under an id of its own (`told_apart`), with what nobody took."""
        return SampleList(told_apart(samples), self.unmatched())

    def unmatched(self) -> list[Unmatched]:
        return [Unmatched(kind, printable(name)) for name, kind in self._left.items()] + self._passed

    def nothing(self, message: str) -> FakeitError:
        """The error of a source without a sample, with what it found instead."""
        left = summary(self.unmatched())
        return FakeitError(f"{message} (found {left})" if left else message)


def told_apart(samples: Iterable[Sample]) -> Iterator[Sample]:
    """A second sample of one id (a second face) gets a number, and stays in the split of the first."""
    seen: dict[str, int] = {}
    for sample in samples:
        seen[sample.id] = seen.get(sample.id, -1) + 1
        number, group = seen[sample.id], sample.group or sample.id
        yield replace(sample, id=f"{sample.id}:{number}", group=group) if number else sample


def by_stem(pictures: Iterable[str]) -> dict[str, list[str]]:
    """Comparable stem → its pictures, the preferred ending first."""
    found: dict[str, list[str]] = {}
    for picture in pictures:
        found.setdefault(stem_key(picture), []).append(picture)
    for names in found.values():
        names.sort(key=_preference)
    return found


def stem_key(name: str) -> str:
    """What a picture and the file beside it have in common."""
    return posixpath.splitext(normal(name))[0]


def _preference(name: str) -> tuple[int, str]:
    ending = posixpath.splitext(name)[1].lower()
    return (_PREFERRED.index(ending) if ending in _PREFERRED else len(_PREFERRED)), name
