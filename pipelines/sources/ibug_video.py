"""300-VW: videos of one face each, with a `.pts` file of 68 points for every frame.

`NNN/vid.avi` (or frames as pictures, in `NNN/imgs` or `NNN` itself) and `NNN/annot/NNNNNN.pts`, frames counted from 1.
https://ibug.doc.ic.ac.uk/resources/300-VW/
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.sources import Annotation, Sample, annotate
from fakeit.pipelines.sources.point_files import read_pts
from fakeit.pipelines.storage import exists, join_member, list_files

POINTS = 68
FRAME = "#"  # location of a frame: video#number, counted from 1
_VIDEOS = (".avi", ".mp4", ".mov", ".mkv")
_PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class IbugVideo:
    """`path`: the folder of numbered folders; `every`: take each n-th annotated frame."""

    path: str
    every: int = 1
    scheme: str = "ibug68"

    def samples(self) -> list[Sample]:
        if not exists(self.path):
            raise FakeitError(f"input {self.path}: no such folder")
        if self.every < 1:
            raise FakeitError(f"source.options.every is {self.every}; 1 or more frames from one sample to the next")
        files = list_files(self.path)
        points = [f for f in files if f.endswith(".pts") and posixpath.basename(posixpath.dirname(f)) == "annot"]
        by_video: dict[str, list[str]] = {}
        for file in points:
            by_video.setdefault(posixpath.dirname(posixpath.dirname(file)), []).append(file)
        pictures = {_frame_key(f): f for f in files if f.lower().endswith(_PICTURES)}
        videos = {posixpath.dirname(f): f for f in files if f.lower().endswith(_VIDEOS)}
        samples = []
        for video, annotated in by_video.items():
            for file in annotated[:: self.every]:
                number = posixpath.splitext(posixpath.basename(file))[0]
                if (video, number) in pictures:
                    image = join_member(self.path, pictures[video, number])
                elif video in videos:
                    image = f"{join_member(self.path, videos[video])}{FRAME}{int(number)}"
                else:
                    continue
                attributes = {"video": video or "video", "frame": int(number)}
                samples.append(Sample(f"{video}/{number}", image, join_member(self.path, file), attributes=attributes))
        if not samples:
            raise FakeitError(f"{self.path}: no NNN/annot/NNNNNN.pts with a vid.avi or frames; is it 300-VW?")
        return samples

    def read(self, sample: Sample) -> Annotation:
        return annotate(read_pts(sample.annotation, POINTS))

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        video, mark, number = sample.image.rpartition(FRAME)
        return read_frame(video, int(number)) if mark and number.isdigit() else read_image(sample.image)


def _frame_key(file: str) -> tuple[str, str]:
    folder, name = posixpath.split(file)
    video = posixpath.dirname(folder) if posixpath.basename(folder) in ("imgs", "frames", "images") else folder
    return video, posixpath.splitext(name)[0]


def read_frame(video: str, number: int) -> NDArray[np.uint8]:
    """Frame `number` (from 1) of a video, (H, W, 3) RGB. Raises Rejected where it cannot be had."""
    capture = cv2.VideoCapture(video, cv2.CAP_FFMPEG)  # and no other: see VideoReader
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number - 1)
        found, frame = capture.read()
    finally:
        capture.release()
    if not found:
        raise Rejected(f"{video}: frame {number} cannot be read")
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
