"""Points for many pictures and videos: one result each, whatever becomes of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fakeit.model.inference.face_tracker import VideoConfig
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.results import ImageResult, draw_faces
from fakeit.model.inference.video import run_video
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.pictures import PictureFile


@dataclass
class Summary:
    """What a run came to, for its last line."""

    pictures: int = 0
    faces: int = 0
    without: int = 0
    unread: int = 0
    left_out: int = 0

    def line(self) -> str:
        parts = [
            f"{self.pictures:,} picture{'s' * (self.pictures != 1)}",
            f"{self.faces:,} face{'s' * (self.faces != 1)}",
            f"{self.without:,} without a face",
        ]
        if self.unread:
            parts.append(f"{self.unread:,} could not be read")
        if self.left_out:
            parts.append(f"{self.left_out:,} more faces left out (--faces 0 keeps all)")
        return " · ".join(parts)


def predict(
    landmarker: Landmarker,
    pictures: Iterable[PictureFile],
    summary: Summary,
    boxes: Mapping[str, list[Box]] | None = None,
    faces: int = 1,
    draw: Path | None = None,
    video: VideoConfig | None = None,
) -> Iterator[ImageResult]:
    """One `ImageResult` a picture and one a video frame.

    Args:
        landmarker: does the work.
        pictures: what to read.
        summary: is counted up.
        boxes: image name → boxes around its faces (source pixels); pictures without one have no face. None: detect.
        faces: how many of a picture's faces are kept, the most prominent; 0: all.
        draw: folder for pictures and videos with the points drawn.
        video: how faces are followed through videos.
    """
    for picture in pictures:
        if picture.is_video:
            yield from _video(landmarker, picture, summary, draw, video)
            continue
        summary.pictures += 1
        try:
            pixels = read_image(picture.location)
        except Rejected as error:
            summary.unread += 1
            yield ImageResult(picture.name, [], problem=str(error))
            continue
        asked = None if boxes is None else _boxes_of(picture.name, boxes)
        found_boxes = landmarker.detect(pixels) if asked is None else asked
        kept = found_boxes if faces == 0 or asked is not None else found_boxes[:faces]
        found = landmarker.predict_boxes(pixels, kept)
        summary.left_out += len(found_boxes) - len(kept)
        summary.faces += len(found)
        summary.without += not found
        if draw is not None:
            path = draw / picture.name
            if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
                path = path.with_name(f"{path.name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(str(path), draw_faces(pixels, list(found)))
        yield ImageResult(picture.name, found, pixels.shape[1], pixels.shape[0])


def _boxes_of(name: str, boxes: Mapping[str, list[Box]]) -> list[Box]:
    return boxes.get(name, boxes.get(os.path.basename(name), []))


def _video(
    landmarker: Landmarker, picture: PictureFile, summary: Summary, draw: Path | None, config: VideoConfig | None
) -> Iterator[ImageResult]:
    output = draw / Path(picture.name).with_suffix(".mp4") if draw is not None else None
    try:
        result = run_video(landmarker, picture.location, output, config)
    except FakeitError as error:
        summary.pictures += 1
        summary.unread += 1
        yield ImageResult(picture.name, [], problem=str(error))
        return
    print(f"{picture.name}: {len(result.found)} frames, {stage_line(result.milliseconds)}")
    if result.note:
        print(f"  {result.note}")
    for found in result.found:
        summary.pictures += 1
        summary.faces += len(found.faces)
        summary.without += not found.faces
        yield found


def stage_line(milliseconds: Mapping[str, float]) -> str:
    """`decode 2.1 · detect 3.0 · … · total 9.8 ms a frame (102 fps)`."""
    parts = [f"{name} {value:.1f}" for name, value in milliseconds.items()]
    return " · ".join(parts) + f" ms a frame ({1000 / max(milliseconds['total'], 1e-6):.0f} fps)"
