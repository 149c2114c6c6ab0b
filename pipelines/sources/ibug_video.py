"""300-VW: videos of one face each, with a `.pts` file of 68 points for every frame.

`NNN/vid.avi` (or frames as pictures, in `NNN/imgs` or `NNN` itself) and `NNN/annot/NNNNNN.pts`, frames counted from 1.
https://ibug.doc.ic.ac.uk/resources/300-VW/
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import is_picture, is_video, printable
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.storage import join_member
from fakeit.pipelines.files.video_io import read_frame
from fakeit.pipelines.files.walking import list_inputs
from fakeit.pipelines.sources import Annotation, Sample, SampleList, annotate
from fakeit.pipelines.sources.matching import PICTURE, POINTS, Matching
from fakeit.pipelines.sources.point_files import read_pts

COUNT = 68
FRAME = "#"  # location of a frame: video#number, counted from 1


@dataclass(frozen=True)
class IbugVideo:
    """`path`: the folder of numbered folders; `every`: take each n-th annotated frame."""

    path: str
    every: int = 1
    scheme: str = "ibug68"

    def samples(self) -> SampleList:
        if self.every < 1:
            raise FakeitError(f"source.options.every is {self.every}; 1 or more frames from one sample to the next")
        listing = list_inputs(self.path)
        frames, films = ([f for f in listing.files if known(f)] for known in (is_picture, is_video))
        pictures = {_frame_key(f): f for f in frames}
        videos = {posixpath.dirname(f): f for f in films}
        by_video: dict[str, list[str]] = {}
        for file in listing.files:
            if file.lower().endswith(".pts") and posixpath.basename(posixpath.dirname(file)) == "annot":
                by_video.setdefault(posixpath.dirname(posixpath.dirname(file)), []).append(file)
        books, samples = Matching(listing), []
        books.expect(frames, PICTURE)
        books.expect(films, "videos without points")
        for video, annotated in by_video.items():
            books.expect(annotated, POINTS)
            for index, file in enumerate(annotated):
                number = posixpath.splitext(posixpath.basename(file))[0]
                picture = pictures.get((video, number))
                if not number.isdecimal() or not (picture or video in videos):
                    continue
                books.take(file, picture or videos[video])
                if index % self.every:
                    continue  # left out on purpose: source.options.every
                image = join_member(self.path, picture or videos[video])
                image += "" if picture else f"{FRAME}{int(number)}"
                attributes: dict[str, Any] = {"video": printable(video or "video"), "frame": int(number)}
                name, points = printable(f"{video}/{number}"), join_member(self.path, file)
                film = () if picture else (join_member(self.path, videos[video]),)
                samples.append(
                    Sample(name, image, points, attributes=attributes, group=attributes["video"], beside=film)
                )
        if not samples:
            raise books.nothing(f"{self.path}: no NNN/annot/NNNNNN.pts with a vid.avi or frames; is it 300-VW?")
        return books.close(samples)

    def read(self, sample: Sample) -> Annotation:
        return annotate(read_pts(sample.annotation, COUNT))

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        video, mark, number = sample.image.rpartition(FRAME)
        return read_frame(video, int(number)) if mark and number.isdigit() else read_image(sample.image)


def _frame_key(file: str) -> tuple[str, str]:
    folder, name = posixpath.split(file)
    video = posixpath.dirname(folder) if posixpath.basename(folder) in ("imgs", "frames", "images") else folder
    return video, posixpath.splitext(name)[0]
