"""Points for many pictures and videos: one result each, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fakeit.model.inference.face_tracker import VideoConfig
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.results import ImageResult, draw_faces
from fakeit.model.inference.video import VideoRun
from fakeit.pipelines.errors import FakeitError, Rejected, refused_by_disk
from fakeit.pipelines.faces.box import check_box
from fakeit.pipelines.faces.box_table import BoxTable, MatchedBoxes
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.files.file_names import printable
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.pictures import PictureFile, drawn_places
from fakeit.pipelines.progress import counted


@dataclass
class Summary:
    """What a run came to, for its last line."""

    pictures: int = 0
    faces: int = 0
    without: int = 0
    unread: int = 0
    left_out: int = 0
    boxes_left: list[str] = field(default_factory=list)

    def line(self) -> str:
        parts = [
            counted(self.pictures, "picture"),
            counted(self.faces, "face"),
            f"{self.without:,} without a face",
        ]
        if self.unread:
            parts.append(f"{self.unread:,} could not be read")
        if self.left_out:
            parts.append(f"{self.left_out:,} more faces left out (--faces 0 keeps all)")
        if self.boxes_left:
            parts.append(f"{len(self.boxes_left):,} boxes without a picture: {', '.join(self.boxes_left[:2])}")
        return " · ".join(parts)

    @property
    def nothing_read(self) -> bool:
        return self.pictures > 0 and self.unread == self.pictures


def predict(
    landmarker: Landmarker,
    pictures: Iterable[PictureFile],
    summary: Summary,
    boxes: BoxTable | None = None,
    faces: int = 1,
    draw: Path | None = None,
    video: VideoConfig | None = None,
    watch: Callable[[list[PictureFile]], Iterable[PictureFile]] = iter,
) -> Iterator[ImageResult]:
    """One `ImageResult` a picture and one a video frame, as they are found.

    Args:
        landmarker: does the work.
        pictures: what to read.
        summary: is counted up.
        boxes: boxes around the faces of pictures (source pixels); pictures without one have no face. None: detect.
        faces: how many of a picture's faces are kept, the most prominent; 0: all.
        draw: folder for pictures and videos with the points drawn.
        video: how faces are followed through videos.
        watch: goes through the pictures, showing how far it is.

    Raises:
        FakeitError: before anything is read, where drawing would destroy an input; a folder that cannot be written.
    """
    pictures = list(pictures)
    drawn = drawn_places(pictures, str(draw)) if draw is not None else {}
    matched = boxes.match([picture.name for picture in pictures if not picture.is_video]) if boxes is not None else None
    summary.boxes_left = matched.unmatched if matched else []
    for picture in watch(pictures):
        target = drawn.get(picture.name)
        if picture.is_video and not picture.problem:
            yield from _video(landmarker, picture, summary, target, video)
        else:
            yield _picture(landmarker, picture, summary, matched, faces, target)


def _picture(
    landmarker: Landmarker,
    picture: PictureFile,
    summary: Summary,
    boxes: MatchedBoxes | None,
    faces: int,
    target: str | None,
) -> ImageResult:
    """One picture; whatever is wrong with it ends in a result that says so."""
    summary.pictures += 1
    try:
        if picture.problem or (boxes and picture.name in boxes.problems):
            raise Rejected(picture.problem or (boxes.problems[picture.name] if boxes else ""))
        pixels = read_image(picture.location)
        if boxes is None:
            found_boxes = landmarker.detect(pixels)
        else:
            found_boxes = boxes.boxes.get(picture.name, [])
            none = np.empty((0, 2), np.float32)
            for box in found_boxes:
                check_box(box, pixels.shape[1], pixels.shape[0], none, f"{picture.name}: its box")
        kept = found_boxes if faces == 0 or boxes is not None else found_boxes[:faces]
        found = landmarker.predict_boxes(pixels, kept)
        if target is not None:
            write_image(target, draw_faces(pixels, list(found)))
    except FakeitError:
        raise
    except Exception as error:  # one picture must not cost those that were read before it
        summary.unread += 1
        return ImageResult(picture.name, [], problem=problem_of(error, picture, target))
    summary.left_out += len(found_boxes) - len(kept)
    summary.faces += len(found)
    summary.without += not found
    return ImageResult(picture.name, found, pixels.shape[1], pixels.shape[0])


def _video(
    landmarker: Landmarker, picture: PictureFile, summary: Summary, target: str | None, config: VideoConfig | None
) -> Iterator[ImageResult]:
    frames = 0
    try:
        run = VideoRun(landmarker, picture.location, target, config, name=picture.name)
        for found in run:
            frames += 1
            summary.pictures += 1
            summary.faces += len(found.faces)
            summary.without += not found.faces
            yield found
    except Exception as error:  # nor may one video
        summary.pictures += 1
        summary.unread += 1
        yield ImageResult(picture.name, [], problem=problem_of(error, picture, target))
        return
    print(f"{picture.name}: {counted(frames, 'frame')}, {stage_line(run.milliseconds)}")
    if run.note:
        print(f"  {run.note}")


def problem_of(error: Exception, picture: PictureFile, target: str | None) -> str:
    """Why a picture or video is left out, in one line. Raises FakeitError: the disk takes nothing, so the others would
    not be written to `target`'s folder either."""
    if refused_by_disk(error):
        raise FakeitError(f"{target}: cannot be written ({error})") from error
    ours = isinstance(error, Rejected | FakeitError)
    told = str(error) if ours else f"{picture.name}: {type(error).__name__}: {error}"
    return printable(" ".join(told.split()))


def stage_line(milliseconds: Mapping[str, float]) -> str:
    """`decode 2.1 · detect 3.0 · … · total 9.8 ms a frame (102 fps)`."""
    parts = [f"{name} {value:.1f}" for name, value in milliseconds.items()]
    return " · ".join(parts) + f" ms a frame ({1000 / max(milliseconds['total'], 1e-6):.0f} fps)"
