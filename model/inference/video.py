"""A video file or a camera: read, its faces followed, drawn on and written."""

from __future__ import annotations

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
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.draw import caption

# What plays where: mp4 (MPEG-4 part 2) in players, webm (VP8) in browsers too, avi (motion JPEG) in anything that cuts.
CODECS = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG", ".mkv": "mp4v", ".mov": "mp4v"}
Edit = Callable[[Pixels, list[Face]], Pixels]


def silence() -> None:
    """Keeps OpenCV from writing to stderr by itself; the function moved between 4.11 and 4.14."""
    (getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)


class VideoReader:
    """A video file, frame-folder pattern or camera, opened; iterating gives (seconds, RGB pixels)."""

    def __init__(self, place: str | int) -> None:
        silence()  # what it would say is said below, in one line
        self.place = place
        self.name = f"camera {place}" if isinstance(place, int) else f"video {place}"
        if isinstance(place, str) and not Path(place).is_file():
            raise FakeitError(f"{self.name}: no such file")
        # FFmpeg alone: OpenCV's own readers of what FFmpeg refuses take JPEGs to a decoder with a known hole.
        self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG if isinstance(place, str) else cv2.CAP_ANY)
        if not self._capture.isOpened():
            wrong = "is not there or is taken" if isinstance(place, int) else "not a video that can be decoded"
            raise FakeitError(f"{self.name}: {wrong}")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 1000 else 25.0
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.promised = 0 if isinstance(place, int) else max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.timing = Timing()

    def __iter__(self) -> Iterator[tuple[float, Pixels]]:
        index, start = 0, time.perf_counter()
        while True:
            with self.timing.stage("decode"):
                good, frame = self._capture.read()
                if not good or frame is None:
                    break
                pixels = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            live = isinstance(self.place, int)
            yield (time.perf_counter() - start if live else index / self.fps), pixels
            index += 1
            self.timing.frames = index
        self._capture.release()


class VideoWriter:
    """A video file that appears when its first frame is written; frames of another size are fitted into it."""

    def __init__(self, path: str | Path, fps: float) -> None:
        self.path, self.fps = Path(path), fps
        if self.path.suffix.lower() not in CODECS:
            raise FakeitError(f"video {path}: its name must end in one of {', '.join(CODECS)}")
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, pixels: Pixels) -> None:
        """pixels: (H, W, 3) uint8 RGB."""
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._size = (pixels.shape[1] // 2 * 2, pixels.shape[0] // 2 * 2)  # codecs want even sides
            codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self.path), codec, self.fps, self._size)
            if not self._writer.isOpened():
                raise FakeitError(f"video {self.path}: cannot be written")
        if (pixels.shape[1], pixels.shape[0]) != self._size:
            pixels = np.asarray(cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


@dataclass(frozen=True)
class VideoResult:
    """What became of a video. `note`: one line where it ended early, else ""."""

    found: list[ImageResult]
    milliseconds: dict[str, float]
    size: tuple[int, int]
    note: str = ""


def run_video(
    landmarker: Landmarker,
    place: str | int,
    output: str | Path | None = None,
    config: VideoConfig | None = None,
    edit: Edit = draw_faces,
    limit: int | None = None,
) -> VideoResult:
    """Follows the faces of a video file or a camera.

    Args:
        landmarker: finds and reads faces.
        place: a file, or a camera's number.
        output: a video to write with `edit` applied to every frame; None: none.
        config: following and smoothing.
        edit: what is drawn.
        limit: frames to read at most; a camera without it runs until Ctrl-C.

    Raises:
        FakeitError: no video or camera there, or the output cannot be written.
    """
    frames = VideoReader(place)
    landmarker.load_detector()  # not a frame's time
    tracker = FaceTracker(landmarker, config)
    writer = VideoWriter(output, frames.fps) if output else None
    found: list[ImageResult] = []
    name = Path(place).name if isinstance(place, str) else f"camera{place}"
    size = (0, 0)
    try:
        for seconds, pixels in frames:
            size = (pixels.shape[1], pixels.shape[0])
            faces = tracker.step(pixels, seconds)
            found.append(ImageResult(f"{name}#{len(found):06d}", faces, *size))
            if writer:
                with tracker.timing.stage("draw"):
                    drawn = edit(pixels, faces)
                    if tracker.config.draw_fps:
                        caption(drawn, f"{tracker.timing.per_frame()['total']:.1f} ms")
                with tracker.timing.stage("encode"):
                    writer.write(drawn)
            if limit is not None and len(found) >= limit:
                break
    except KeyboardInterrupt:
        pass  # the usual end of a camera
    finally:
        if writer:
            writer.close()
    if not found:
        raise FakeitError(f"{frames.name}: holds no frame that can be decoded")
    short = limit is None and len(found) < frames.promised
    note = f"{frames.name}: ended after {len(found)} of {frames.promised} frames" if short else ""
    tracker.timing.milliseconds["decode"] = frames.timing.milliseconds.get("decode", 0.0)
    return VideoResult(found, tracker.timing.per_frame(), size, note)
