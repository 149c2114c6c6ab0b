"""Filters over whole pictures and videos: every face found wears what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.batch import problem_of, stage_line
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.results import Face
from fakeit.model.inference.video import Edit, VideoRun
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces import filters
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.pictures import PictureFile, drawn_places
from fakeit.pipelines.landmarks import convert
from fakeit.pipelines.progress import counted

Pixels = NDArray[np.uint8]


def make_edit(landmarker: Landmarker, names: Sequence[str], swap_with: str | None = None) -> Edit:
    """What happens to a picture and its faces: the swap first, then the filters in order.

    Raises:
        FakeitError: an unknown filter, nothing to do, or no face in the picture to swap with.
    """
    for name in names:
        if name != "blur":
            filters.art(name)
    if not names and swap_with is None:
        raise FakeitError(f"nothing to do: say --filter ({', '.join(filters.FILTERS)}) or --swap PICTURE")
    other: tuple[Pixels, NDArray[np.float32]] | None = None
    if swap_with is not None:
        try:
            pixels = read_image(swap_with)
        except Rejected as error:
            raise FakeitError(f"swap: {error}") from error
        found = landmarker(pixels)
        if not found:
            raise FakeitError(f"swap: no face found in {swap_with}")
        other = pixels, points_68(found[0])

    def edit(pixels: Pixels, faces: list[Face]) -> Pixels:
        for face in faces:
            points = points_68(face)
            if other is not None:
                pixels = filters.swap(pixels, points, *other)
            for name in names:
                pixels = filters.apply_filter(name, pixels, points)
        return pixels

    return edit


def points_68(face: Face) -> NDArray[np.float32]:
    """A face's points as iBUG's 68. Raises FakeitError where its scheme has too few."""
    return np.asarray(convert(face.points, face.scheme, "ibug68"), np.float32)


def apply_filters(
    landmarker: Landmarker, pictures: Iterable[PictureFile], edit: Edit, output: str, swap_with: str | None = None
) -> Iterator[str]:
    """Writes every picture and video, edited, into a folder; yields a line on each.

    Raises:
        FakeitError: before anything is read, where the folder is the inputs' own, or a picture would take the place of
            the one to swap with; where it cannot be written to; at the end, where none could be read.
    """
    pictures = list(pictures)
    places, read = drawn_places(pictures, output, [swap_with] if swap_with else []), 0
    for picture in pictures:
        path = places[picture.name]
        try:
            if picture.problem:
                raise Rejected(picture.problem)
            if picture.is_video:
                run = VideoRun(landmarker, picture.location, path, edit=edit)
                frames = sum(1 for _ in run)
                yield f"{path}: {counted(frames, 'frame')}, {stage_line(run.milliseconds)}"
                if run.note:
                    yield f"  {run.note}"
            else:
                pixels = read_image(picture.location)
                faces = landmarker(pixels)
                write_image(path, edit(pixels, faces))
                yield f"{path}: {counted(len(faces), 'face')}"
            read += 1
        except Exception as error:  # one picture must not cost those behind it
            yield f"left out: {problem_of(error, picture, path)}"
    if pictures and not read:
        raise FakeitError(f"none of {len(pictures)} pictures and videos could be used")
