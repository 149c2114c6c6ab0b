"""A video file or a camera: read, its faces followed, drawn on and written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fakeit.model.inference.face_tracker import FaceTracker, Pixels, Timing, VideoConfig
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.results import Face, ImageResult, draw_faces
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.draw import caption
from fakeit.pipelines.files.outputs import Sources
from fakeit.pipelines.files.storage import is_url, split_member
from fakeit.pipelines.files.video_io import Frames

# What plays where: mp4 (MPEG-4 part 2) in players, webm (VP8) in browsers too, avi (motion JPEG) in anything that cuts.
CODECS = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG", ".mkv": "mp4v", ".mov": "mp4v"}
LONGEST = 10.0  # seconds that a frame is shown at most: beyond, the times are broken
Edit = Callable[[Pixels, list[Face]], Pixels]


class VideoReader:
    """A video file or camera, opened; iterating gives (seconds, RGB pixels), upright, with the container's times."""

    def __init__(self, place: str | int) -> None:
        self.place = place
        self.name = f"camera {place}" if isinstance(place, int) else f"video {place}"
        if isinstance(place, str) and Path(place).is_dir():
            raise FakeitError(f"{self.name}: is a folder; name a file, or give the folder to fakeit predict --draw")
        if isinstance(place, str) and not Path(place).is_file():
            far = split_member(place) or is_url(place)
            raise FakeitError(f"{self.name}: no such file{'; unpack or fetch it first' if far else ''}")
        try:
            self._frames = Frames(place)
        except Rejected as error:
            wrong = "is not there or is taken" if isinstance(place, int) else "not a video that can be decoded"
            raise FakeitError(f"{self.name}: {wrong}") from error
        self.fps = self._frames.fps
        self.width, self.height = self._frames.size
        self.promised = self._frames.promised
        self.last = 0.0
        self.timing = Timing()

    def __iter__(self) -> Iterator[tuple[float, Pixels]]:
        start, frames = time.perf_counter(), iter(self._frames)
        try:
            while True:
                with self.timing.stage("decode"):
                    found = next(frames, None)
                if found is None:
                    break
                self.timing.frames += 1
                self.last = found[0]
                yield (time.perf_counter() - start if isinstance(self.place, int) else found[0]), found[1]
        finally:  # also where nobody asks for more: a camera is free again
            self._frames.close()

    def ended_early(self) -> str:
        """A line where the file holds clearly less than it says, by its times and its frames; else ""."""
        read, seconds = self.timing.frames, self._frames.seconds
        if read >= self.promised or self.last + 1 / self.fps >= 0.95 * seconds - 0.2:
            return ""
        return f"{self.name}: ended after {self.last:.1f} of {seconds:.1f} s ({read} of {self.promised} frames)"


class VideoWriter:
    """A video file that appears under its name when it is whole; frames of another size are fitted into it.

    Frames come with their times: what was shown longer is written more than once, so that the film lasts as long.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        self.path, self.fps = Path(path), fps if fps <= 240 else 30.0
        if self.path.suffix.lower() not in CODECS:
            raise FakeitError(f"video {path}: its name must end in one of {', '.join(CODECS)}")
        self._partial = self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")
        self._writer: Any = None
        self._size = (0, 0)
        self._written = 0
        self._start = 0.0
        self._shown: Any = None

    def write(self, pixels: Pixels, seconds: float | None = None) -> None:
        """pixels: (H, W, 3) uint8 RGB; seconds: when it is shown, None: a frame after the last."""
        if self._writer is None:
            self._open(pixels)
            self._start = seconds or 0.0
        due = self._written if seconds is None else round((seconds - self._start) * self.fps)
        if (beyond := due - self._written - int(LONGEST * self.fps)) > 0:  # later frames are not shown as long again
            self._start, due = self._start + beyond / self.fps, due - beyond
        for _ in range(due - self._written):
            self._writer.write(self._shown)
            self._written += 1
        if (pixels.shape[1], pixels.shape[0]) != self._size:
            pixels = np.asarray(cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self._shown = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        if due >= self._written:
            self._writer.write(self._shown)
            self._written += 1

    def _open(self, pixels: Pixels) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._size = (max(2, pixels.shape[1] // 2 * 2), max(2, pixels.shape[0] // 2 * 2))  # codecs want even sides
        codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._partial), codec, self.fps, self._size)
        if not self._writer.isOpened():
            raise FakeitError(f"video {self.path}: cannot be written")

    def close(self, keep: bool = True) -> None:
        """Puts the file in place, or takes it away."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if keep:
            os.replace(self._partial, self.path)
        else:
            self._partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class VideoResult:
    """What became of a video. `note`: one line where it ended early, else ""."""

    found: list[ImageResult]
    milliseconds: dict[str, float]
    size: tuple[int, int]
    note: str = ""


class VideoRun:
    """The faces of a video file or a camera, frame by frame: iterate, then ask for `milliseconds`, `size`, `note`."""

    def __init__(
        self,
        landmarker: Landmarker,
        place: str | int,
        output: str | Path | None = None,
        config: VideoConfig | None = None,
        edit: Edit = draw_faces,
        limit: int | None = None,
        name: str = "",
    ) -> None:
        """Args:
            landmarker: finds and reads faces.
            place: a file, or a camera's number.
            output: a video to write with `edit` applied to every frame; None: none.
            config: following and smoothing.
            edit: what is drawn.
            limit: frames to read at most; a camera without it runs until Ctrl-C.
            name: what frames are called, before `#` and their number; "": the file's own.

        Raises:
            FakeitError: no video or camera there, or an output that is the video itself or cannot be written.
        """
        if output is not None and isinstance(place, str):
            Sources([place]).check(str(output), "video")
        self._frames = VideoReader(place)
        landmarker.load_detector()  # not a frame's time
        self._tracker = FaceTracker(landmarker, config)
        self._writer = VideoWriter(output, self._frames.fps) if output else None
        self._edit, self._limit = edit, limit
        self._name = name or (Path(place).name if isinstance(place, str) else f"camera{place}")
        self.size = (0, 0)
        self.note = ""

    def __iter__(self) -> Iterator[ImageResult]:
        count, keep = 0, False
        try:
            for seconds, pixels in self._frames:
                self.size = (pixels.shape[1], pixels.shape[0])
                faces = self._tracker.step(pixels, seconds)
                if self._writer:
                    self._draw(self._writer, pixels, faces, seconds)
                yield ImageResult(f"{self._name}#{count:06d}", faces, *self.size)
                count += 1
                if self._limit is not None and count >= self._limit:
                    break
            keep = True
        except KeyboardInterrupt:
            if not isinstance(self._frames.place, int):
                raise
            keep = True  # the usual end of a camera
        finally:
            if self._writer:
                self._writer.close(keep)
        if not count:
            raise FakeitError(f"{self._frames.name}: holds no frame that can be decoded")
        self.note = self._frames.ended_early() if self._limit is None else ""

    def _draw(self, writer: VideoWriter, pixels: Pixels, faces: list[Face], seconds: float) -> None:
        timing = self._tracker.timing
        with timing.stage("draw"):
            drawn = self._edit(pixels, faces)
            if self._tracker.config.draw_fps:
                caption(drawn, f"{timing.per_frame()['total']:.1f} ms")
        with timing.stage("encode"):
            writer.write(drawn, seconds)

    @property
    def milliseconds(self) -> dict[str, float]:
        """Of each stage, a frame."""
        timing = self._tracker.timing
        timing.milliseconds["decode"] = self._frames.timing.milliseconds.get("decode", 0.0)
        return timing.per_frame()


def run_video(
    landmarker: Landmarker,
    place: str | int,
    output: str | Path | None = None,
    config: VideoConfig | None = None,
    edit: Edit = draw_faces,
    limit: int | None = None,
) -> VideoResult:
    """Follows the faces of a whole video file or a camera; arguments and errors as of `VideoRun`."""
    run = VideoRun(landmarker, place, output, config, edit, limit)
    found = list(run)
    return VideoResult(found, run.milliseconds, run.size, run.note)
