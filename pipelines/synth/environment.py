"""Measured surroundings: panoramas (Poly Haven, CC0) that light a face and stand behind it: light and place agree.

A panorama is latitude × longitude, its top row up, columns to the right; light is in units of its own mean. Each is
taken apart once a process (its sun or window as a lamp, the rest at three sharpnesses); a face turns one by any angle
and mirrors it or not. Directions are the camera frame's: straight ahead of the camera is −z.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_SUN = 10.0  # times the mean: what is brighter, within 20° of the brightest place, is a lamp that casts shadows
_NEAR_SUN = 0.94  # cosine of those 20°
_BANDS = ((24, 2.5), (12, 1.5))  # rows of the two blurred levels, and the blur in their cells: for highlights on skin
_DIFFUSE = 16  # rows that are enough for what skin scatters
_LINEAR = ((np.arange(256) / 255) ** 2.4 * 8.0).astype(np.float32)  # of the pictures' bytes; tools/pack_environments.py


@dataclass(frozen=True)
class Panorama:
    """One place, not turned.

    Attributes:
        lamp: (3,) unit vector to its brightest light.
        colour: (3,) that lamp's light on a surface that faces it, linear RGB; zeros where nothing stands out.
        levels: (H, W, 3) the rest: sharp, soft, softer.
        diffuse: (16, 32, 3) the rest again, unblurred.
        picture: (256, 512, 3) uint8 RGB, what stands behind.
    """

    lamp: Floats
    colour: Floats
    levels: tuple[Floats, ...]
    diffuse: Floats
    picture: NDArray[np.uint8]


@dataclass(frozen=True)
class Surroundings:
    """A panorama turned about the vertical by `turn` (share of a round) and `mirrored` or not.

    `harmonics` (9, 3) is its ambient light as `light.Lighting` has it, without the lamp; `lamp` (3,) points to that.
    """

    place: Panorama
    turn: float
    mirrored: bool
    harmonics: Floats
    lamp: Floats

    def seen(self, level: int, directions: Floats) -> Floats:
        """Light (H, W, 3) that comes from unit vectors (H, W, 3), of one of the panorama's levels."""
        panorama = self.place.levels[level]
        column = np.arctan2(directions[..., 0], -directions[..., 2]) / (2 * np.pi)
        row = (0.5 - np.arcsin(np.clip(directions[..., 1], -1, 1)) / np.pi) * len(panorama)
        return self._look_up(panorama, column, row)

    def behind(self, size: int, reach: float, rise: float) -> Floats:
        """(size, size, 3) linear: what a camera sees that covers ±`reach` (tangent) and looks up by `rise`."""
        axis = np.linspace(-reach, reach, size)
        column = np.broadcast_to(np.arctan(axis) / (2 * np.pi), (size, size))
        row = (0.5 - np.arctan((rise - axis)[:, None] / np.hypot(1, axis)[None]) / np.pi) * len(self.place.picture)
        return np.asarray(_LINEAR[self._look_up(self.place.picture, column, row)])

    def _look_up(
        self, panorama: NDArray[np.generic], column: NDArray[np.floating], row: NDArray[np.floating]
    ) -> Floats:
        width = panorama.shape[1]
        column = np.mod((-column if self.mirrored else column) + self.turn, 1) * width - 0.5
        x, y = np.asarray(column, np.float32), np.clip(row - 0.5, 0, len(panorama) - 1).astype(np.float32)
        return np.asarray(cv2.remap(panorama, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP))


def draw_surroundings(random: np.random.Generator) -> Surroundings:
    """One of the panoramas, turned by any angle about the vertical, and mirrored or not."""
    places = panoramas()
    which, turn, mirrored = int(random.integers(len(places))), float(random.random()), bool(random.random() < 0.5)
    return turned(places[which], turn, mirrored)


def turned(place: Panorama, turn: float, mirrored: bool) -> Surroundings:
    """A panorama whose column at `turn` (share of its width) lies straight ahead of the camera."""
    cos, sin = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    flip = -1 if mirrored else 1
    back = np.array([[flip * cos, 0, flip * sin], [0, 1, 0], [-sin, 0, cos]])  # panorama frame → camera frame
    directions, weights = _sphere(*place.diffuse.shape[:2])
    x, y, z = back @ directions.reshape(-1, 3).T
    basis = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]) * _LAMBERT[:, None]
    harmonics = basis @ (place.diffuse * weights[..., None]).reshape(-1, 3)
    return Surroundings(place, turn, mirrored, harmonics.astype(np.float32), np.asarray(back @ place.lamp, np.float32))


# What one unit of light adds to each coefficient: Lambert's cosine over π in second-order spherical harmonics
# (Ramamoorthi and Hanrahan 2001), times the squared norm of each polynomial.
_LAMBERT = np.array(
    [0.282095**2, *[2 / 3 * 0.488603**2] * 3, *[1.092548**2 / 4] * 2, 0.315392**2 / 4, 1.092548**2 / 4, 0.546274**2 / 4]
)


def panorama(light: Floats, picture: NDArray[np.uint8]) -> Panorama:
    """Takes a panorama (64, 128, 3) apart: its sun or window, and the rest."""
    directions, weights = _sphere(*light.shape[:2])
    grey = light.mean(axis=2)
    peak = directions.reshape(-1, 3)[int(grey.argmax())]
    near = (directions @ peak > _NEAR_SUN)[..., None]
    rest = np.where(near, np.minimum(light, light * (_SUN / np.maximum(grey, 1e-6))[..., None]), light)
    excess = (light - rest) * weights[..., None]
    power = excess.sum(axis=2)
    lamp = (directions * power[..., None]).sum(axis=(0, 1)) if power.sum() > 1e-6 else peak
    levels = [rest, *(_soft(rest, rows, blur) for rows, blur in _BANDS)]
    return Panorama(
        np.asarray(lamp / (np.linalg.norm(lamp) + 1e-9), np.float32),
        np.asarray(excess.sum(axis=(0, 1)) / np.pi, np.float32),
        tuple(np.ascontiguousarray(level, np.float32) for level in levels),
        np.asarray(cv2.resize(rest, (2 * _DIFFUSE, _DIFFUSE), interpolation=cv2.INTER_AREA), np.float32),
        picture,
    )


def _soft(rest: Floats, rows: int, blur: float) -> Floats:
    small = cv2.resize(rest, (2 * rows, rows), interpolation=cv2.INTER_AREA)
    wide = int(4 * blur)
    padded = np.pad(
        np.pad(small, ((0, 0), (wide, wide), (0, 0)), mode="wrap"), ((wide, wide), (0, 0), (0, 0)), mode="edge"
    )
    return np.asarray(cv2.GaussianBlur(padded, (0, 0), blur)[wide:-wide, wide:-wide], np.float32)


@lru_cache(maxsize=1)
def panoramas() -> tuple[Panorama, ...]:
    """The panoramas that come with the project; read once a process."""
    place = resources.files("fakeit.pipelines.synth").joinpath("data/environments.npz")
    with np.load(io.BytesIO(place.read_bytes())) as pack:
        coded = np.split(pack["pictures"], pack["ends"][:-1])
        light = pack["light"].astype(np.float32)
    pictures = [cv2.cvtColor(cv2.imdecode(one, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for one in coded]
    return tuple(panorama(one, np.asarray(picture, np.uint8)) for one, picture in zip(light, pictures, strict=True))


@lru_cache(maxsize=4)
def _sphere(height: int, width: int) -> tuple[Floats, Floats]:
    """Of a panorama's cells: directions (H, W, 3), the first column straight ahead, and solid angles (H, W)."""
    column, row = np.meshgrid(
        (np.arange(width) + 0.5) / width * 2 * np.pi, (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    )
    directions = np.stack([np.sin(column) * np.cos(row), np.sin(row), -np.cos(column) * np.cos(row)], axis=2)
    weights = np.cos(row) * (np.pi / height) * (2 * np.pi / width)
    return directions.astype(np.float32), weights.astype(np.float32)
