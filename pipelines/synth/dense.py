"""The dense labels of a rendered head, in the camera's frame (`dense_points` says what they are)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.dense_points import Dense
from fakeit.pipelines.synth.camera import Camera

Floats = NDArray[np.float32]
_TO_OPENCV = np.array([1, -1, -1], np.float32)  # from y up, z towards the viewer


def label(points: Floats, visibility: NDArray[np.uint8], gaze: Floats, camera: Camera, size: float) -> Dense:
    """The labels of points (400, 3) in the head's frame, cm; `gaze` (3,) likewise; `size` of the head, 1 as drawn."""
    rotation = _TO_OPENCV[:, None] * camera.turn * _TO_OPENCV
    away = np.array([0, 0, camera.distance], np.float32)
    translation = away - rotation @ (camera.origin * _TO_OPENCV)
    seen = camera.to_camera(points) * _TO_OPENCV + away
    return Dense(
        points=np.asarray(seen * size, np.float32),
        visibility=visibility,
        rotation=np.asarray(rotation, np.float32),
        translation=np.asarray(translation * size, np.float32),
        focal=float(camera.focal),
        centre=(float(camera.centre[0]), float(camera.centre[1])),
        gaze=np.asarray(camera.turn @ gaze * _TO_OPENCV, np.float32),
    )
