"""Frames of a video, upright and with their own times: the one place where videos are opened.

Phones store frames as the sensor lies and say in the container how to turn them; OpenCV's wheels do not. Times come
from the container too: phones' frame rates vary, and a frame's number times an average is soon half a second off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import Rejected

Pixels = NDArray[np.uint8]
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def silence() -> None:
    """Keeps OpenCV and its FFmpeg from writing to stderr; OpenCV's function moved between 4.11 and 4.14."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read as the first video is opened
    (getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)


class Frames:
    """An opened video file or camera; iterating gives (seconds, RGB pixels), once.

    Attributes:
        fps: frames a second, on average.
        seconds: of the whole video as the container has it; 0 where it does not say.
        size: (width, height), upright.
    """

    def __init__(self, place: str | int) -> None:
        """Raises Rejected where nothing can be opened."""
        silence()  # what it would say is said by whoever asked, in one line
        # FFmpeg alone: OpenCV's own readers of what FFmpeg refuses take JPEGs to a decoder with a known hole.
        self._capture = cv2.VideoCapture(place, cv2.CAP_FFMPEG if isinstance(place, str) else cv2.CAP_ANY)
        if not self._capture.isOpened():
            raise Rejected(f"{place}: not a video that can be decoded")
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # builds differ; it is turned below
        self._turn = _TURNS.get(round(self._get(cv2.CAP_PROP_ORIENTATION_META)) % 360)
        fps = self._get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 1000 else 25.0
        promised = 0.0 if isinstance(place, int) else max(0.0, self._get(cv2.CAP_PROP_FRAME_COUNT))
        self.promised = int(min(promised, 1e9))
        self.seconds = self.promised / self.fps
        width, height = (int(self._get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        self.size = (height, width) if self._turn in (_TURNS[90], _TURNS[270]) else (width, height)

    def _get(self, which: int) -> float:
        value = float(self._capture.get(which))
        return value if np.isfinite(value) else 0.0

    def skip_to(self, index: int) -> None:
        """Goes to a frame, counted from 0."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)

    def read(self) -> Pixels | None:
        """The next frame, (H, W, 3) uint8 RGB, or None at the end."""
        try:
            good, frame = self._capture.read()
        except cv2.error:
            return None
        if not good or frame is None:
            return None
        colours = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if frame.ndim == 3 else cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB)
        return np.asarray(colours if self._turn is None else cv2.rotate(colours, self._turn), np.uint8)

    def __iter__(self) -> Iterator[tuple[float, Pixels]]:
        last = -1.0
        while (pixels := self.read()) is not None:
            told = self._get(cv2.CAP_PROP_POS_MSEC) / 1000
            # A container without times tells 0 for every frame.
            last = told if told > last else max(0.0, last + 1 / self.fps)
            yield last, pixels

    def close(self) -> None:
        self._capture.release()


def read_frame(video: str, number: int) -> Pixels:
    """Frame `number` (from 1) of a video, (H, W, 3) RGB. Raises Rejected where it cannot be had."""
    frames: Any = Frames(video)
    try:
        frames.skip_to(number - 1)
        pixels = frames.read()
    finally:
        frames.close()
    if pixels is None:
        raise Rejected(f"{video}: frame {number} cannot be read")
    return np.asarray(pixels, np.uint8)
