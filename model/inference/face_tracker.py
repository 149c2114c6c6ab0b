"""Faces from frame to frame: detect now and then, follow by the last points between, smooth what is shown.

A detector costs many times what the network costs, so it looks at every n-th frame only; in between, a face's crop is
made around its points of the frame before. The points shown go through a One-Euro filter (Casiez et al. 2012,
https://gery.casiez.net/1euro/): strong smoothing while a point rests, little while it moves, so that a still face does
not tremble and a turning one does not lag.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.results import Face
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import from_landmarks

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class VideoConfig:
    """How faces are followed and smoothed.

    Attributes:
        every: frames from one detection to the next. More is faster; a new face waits longer to be seen.
        smooth: whether the points shown are filtered.
        min_cutoff: Hz, of the filter at rest: lower is steadier. 1.5 hides a 1-pixel tremble of a 25 fps video.
        beta: Hz gained per face size a second of speed: higher lags less in motion.
        confidence: a face whose mean confidence falls below is lost until it is detected again.
        max_faces: the most prominent are followed; each costs the network's time once a frame.
        draw_fps: whether the frame's milliseconds are written into it.
    """

    every: int = 15
    smooth: bool = True
    min_cutoff: float = 1.5
    beta: float = 6.0
    confidence: float = 0.05
    max_faces: int = 8
    draw_fps: bool = False

    def __post_init__(self) -> None:
        if self.every < 1:
            raise FakeitError(f"video.every is {self.every}; 1 or more frames from one detection to the next")


class OneEuro:
    """The One-Euro filter for points (K, 2); speeds are measured in face sizes, so one setting fits all pictures."""

    def __init__(self, min_cutoff: float, beta: float, derivative_cutoff: float = 1.0) -> None:
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self._points: Points | None = None
        self._speed: Points | None = None
        self._time = 0.0

    def __call__(self, points: NDArray[np.floating], seconds: float, size: float) -> NDArray[np.float32]:
        """Points (K, 2) in pixels at a time, of a face `size` pixels large → smoothed points."""
        now = np.asarray(points, np.float64)
        step = max(seconds - self._time, 1e-3)
        if self._points is None or self._speed is None or not np.isfinite(now).all():
            self._points, self._speed = now, np.zeros_like(now)
        else:
            speed = (now - self._points) / step / max(size, 1.0)
            self._speed = self._speed + _alpha(self.derivative_cutoff, step) * (speed - self._speed)
            cutoff = self.min_cutoff + self.beta * np.linalg.norm(self._speed, axis=1, keepdims=True)
            self._points = self._points + _alpha(cutoff, step) * (now - self._points)
        self._time = seconds
        return self._points.astype(np.float32)


def _alpha(cutoff: Any, step: float) -> Any:
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


@dataclass
class Track:
    """A face that is followed: its number, its last points as the network gave them, and its filter."""

    number: int
    face: Face
    filter: OneEuro
    unseen: int = 0


@dataclass
class Timing:
    """Milliseconds spent in each stage, summed over frames."""

    milliseconds: dict[str, float] = field(default_factory=dict)
    frames: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + 1000 * (time.perf_counter() - start)

    def per_frame(self) -> dict[str, float]:
        """Stage → ms a frame, and `total`."""
        each = {name: value / max(self.frames, 1) for name, value in self.milliseconds.items()}
        return {**each, "total": sum(each.values())}


class FaceTracker:
    """Follows faces from frame to frame."""

    def __init__(self, landmarker: Landmarker, config: VideoConfig | None = None) -> None:
        self.landmarker = landmarker
        self.config = config or VideoConfig()
        self.tracks: list[Track] = []
        self.timing = Timing()
        self._frame = 0
        self._numbers = 0
        self._shape: tuple[int, ...] = ()

    def step(self, pixels: Pixels, seconds: float) -> list[Face]:
        """The faces of the next frame.

        Args:
            pixels: (H, W, 3) uint8 RGB; another size than before begins anew.
            seconds: when the frame is shown.
        """
        if pixels.shape != self._shape:
            self.tracks, self._shape = [], pixels.shape
            self._frame = 0
        wait = self.config.every if self.tracks else min(self.config.every, 5)
        if self._frame % wait == 0:
            with self.timing.stage("detect"):
                self._detect(pixels)
        else:
            with self.timing.stage("landmarks"):
                self._follow(pixels)
        self._frame += 1
        self.timing.frames += 1
        return [self._shown(track, seconds) for track in self.tracks]

    def _detect(self, pixels: Pixels) -> None:
        boxes = self.landmarker.detect(pixels)
        seen = self._follow(pixels)
        fresh = []
        for box in boxes:
            overlaps = [box.overlap(from_landmarks(t.face.points)) for t in seen]
            if overlaps and max(overlaps) > 0.2:
                seen[int(np.argmax(overlaps))].unseen = 0
            else:
                fresh.append(box)
        for track in seen:
            track.unseen += 1  # 1 where the detector has just confirmed it
        self.tracks = [t for t in seen if t.unseen <= 3]
        room = self.config.max_faces - len(self.tracks)
        for face in self.landmarker.read([pixels], [fresh[:room]])[0]:
            if self._is_face(face):
                self._numbers += 1
                self.tracks.append(Track(self._numbers, face, OneEuro(self.config.min_cutoff, self.config.beta)))

    def _follow(self, pixels: Pixels) -> list[Track]:
        boxes = [from_landmarks(track.face.points) for track in self.tracks]
        kept: list[Track] = []
        faces = self.landmarker.follow(pixels, [track.face for track in self.tracks])
        for track, box, face in zip(self.tracks, boxes, faces, strict=True):
            jumped = box.overlap(from_landmarks(face.points)) < 0.4 if self._is_face(face) else True
            twin = not jumped and any(box.overlap(from_landmarks(k.face.points)) > 0.6 for k in kept)
            if not jumped and not twin:
                track.face = face
                kept.append(track)
        self.tracks = kept
        return kept

    def _is_face(self, face: Face) -> bool:
        if not np.isfinite(face.points).all() or face.confidence.mean() < self.config.confidence:
            return False
        try:
            box = from_landmarks(face.points)
        except Rejected:
            return False
        height, width = self._shape[:2]
        x, y = box.centre
        return bool(0 <= x < width and 0 <= y < height and box.side < 1.5 * max(height, width))

    def _shown(self, track: Track, seconds: float) -> Face:
        face = track.face
        if self.config.smooth:
            points = track.filter(face.points, seconds, from_landmarks(face.points).side)
            face = replace(face, points=points)
        return self.landmarker.adapted(face)
