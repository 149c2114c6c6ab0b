"""Head frame → camera frame → pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import CameraConfig

Floats = NDArray[np.float32]
# Focal lengths of telephones (mm, for a picture 36 mm wide) and how often each is used: selfies and the main camera
# have 22 to 28, portraits 50 to 77.
_LENSES, _SHARES = (14.0, 23.0, 26.0, 28.0, 50.0, 77.0), (0.03, 0.22, 0.35, 0.15, 0.15, 0.1)
_NEAR_FAR = (32.0, 300.0)  # cm


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """(3, 3) rotation of the head: yaw about y, then pitch about x, then roll about z, all in degrees."""
    cy, cp, cr = np.cos(np.deg2rad([yaw, pitch, roll]))
    sy, sp, sr = np.sin(np.deg2rad([yaw, pitch, roll]))
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.asarray(about_z @ about_x @ about_y, np.float32)


@dataclass(frozen=True)
class Camera:
    """A pinhole before a turned head.

    Attributes:
        turn: (3, 3) head frame → camera frame.
        origin: (3,) the point of the head that the camera looks at, head frame, cm.
        distance: from the camera to it, cm.
        focal: pixels.
        centre: principal point, pixels.
        angles: yaw, pitch, roll in degrees.
    """

    turn: Floats
    origin: Floats
    distance: float
    focal: float
    centre: tuple[float, float]
    angles: tuple[float, float, float]

    @property
    def scale(self) -> float:
        """Pixels a centimetre in the plane of the face."""
        return self.focal / self.distance

    def to_camera(self, points: Floats) -> Floats:
        """Head frame (…, 3) → camera frame, cm, origin at the face, z towards the camera."""
        if points.size == 0:
            return np.zeros(points.shape, np.float32)
        affine = np.concatenate([self.turn, -(self.turn @ self.origin)[:, None]], axis=1)
        flat = np.ascontiguousarray(points, np.float32).reshape(-1, 1, 3)
        return np.asarray(cv2.transform(flat, affine), np.float32).reshape(points.shape)  # an eighth of numpy's time

    def project(self, points: Floats) -> Floats:
        """Camera frame (N, 3) → x, y in pixels and depth (greater is nearer), (N, 3) float32."""
        away = self.distance - points[:, 2]
        factor = self.focal / np.maximum(away, 1.0)
        x = self.centre[0] + points[:, 0] * factor
        y = self.centre[1] - points[:, 1] * factor
        return np.stack([x, y, -away], axis=1).astype(np.float32)

    def pixels(self, points: Floats) -> Floats:
        """Head frame (N, 3) → pixels (N, 2)."""
        return self.project(self.to_camera(points))[:, :2]


def draw_camera(config: CameraConfig, random: np.random.Generator, origin: Floats, size: int) -> Camera:
    """A camera for a picture of `size`² pixels; the lens and how much of its picture
    this one is give the distance, so that the head fills it."""
    yaw = float(np.clip(random.normal(0, config.yaw_sd), -80, 80))
    pitch = float(np.clip(random.normal(0, config.pitch_sd), -40, 40))
    roll = float(random.normal(0, config.roll_sd))
    frame, lens = random.uniform(*config.frame), random.choice(_LENSES, p=_SHARES)
    distance = float(np.clip(frame * lens / (36 * np.exp(random.uniform(*np.log(config.crop)))), *_NEAR_FAR))
    focal = distance * size / frame
    shift = random.normal(0, 0.02, 2) * size
    centre = (size / 2 + shift[0], size * 0.47 + shift[1])
    return Camera(rotation(yaw, pitch, roll), origin, distance, focal, centre, (yaw, pitch, roll))
