"""Measured surroundings: panoramas (Poly Haven, CC0) that light a face and stand behind it, so that light and place agree.

A panorama is latitude × longitude, its top row up; once turned, its first column lies straight ahead of the camera
(towards −z of the camera frame) and columns run to the right. Light is in units of the panorama's own mean.
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
_BANDS = ((24, 5.0), (12, 3.0))  # rows of the two blurred levels and the blur in their cells: for highlights on skin


@dataclass(frozen=True)
class Surroundings:
    """One panorama, turned. All light in the camera frame.

    Attributes:
        harmonics: (9, 3) ambient light as `light.Lighting` has it, without the lamp.
        lamp: (3,) unit vector to the brightest light.
        colour: (3,) that lamp's light on a surface that faces it, linear RGB; zeros where nothing stands out.
        levels: panoramas (H, W, 3) without the lamp: sharp, soft, softer.
        picture: (256, 512, 3) uint8 RGB, power 2.4, of `BRIGHTEST` times the mean; what stands behind.
    """

    harmonics: Floats
    lamp: Floats
    colour: Floats
    levels: tuple[Floats, ...]
    picture: NDArray[np.uint8]

    def behind(self, size: int, reach: float, rise: float) -> Floats:
        """(size, size, 3) linear: what a camera sees that covers ±`reach` (tangent) and looks up by `rise`."""
        axis = np.linspace(-reach, reach, size, dtype=np.float32)
        height, width = self.picture.shape[:2]
        column = np.arctan(axis) / (2 * np.pi) * width + width / 2
        row = (0.5 - np.arctan((rise - axis)[:, None] / np.hypot(1, axis)[None]) / np.pi) * height
        rolled = np.roll(self.picture, width // 2, axis=1)
        columns = np.ascontiguousarray(np.broadcast_to(column - 0.5, row.shape), np.float32)
        seen = cv2.remap(rolled, columns, np.asarray(row - 0.5, np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
        return np.asarray(_LINEAR[seen])


_LINEAR = ((np.arange(256) / 255) ** 2.4 * 8.0).astype(np.float32)


def draw_surroundings(random: np.random.Generator) -> Surroundings:
    """One of the panoramas, turned by any angle about the vertical, and mirrored or not."""
    light, pictures = _panoramas()
    which, turn, mirrored = int(random.integers(len(light))), random.random(), random.random() < 0.5
    panorama, picture = light[which], pictures[which]
    if mirrored:
        panorama, picture = panorama[:, ::-1], picture[:, ::-1]
    panorama = np.roll(panorama, int(turn * panorama.shape[1]), axis=1)
    picture = np.roll(picture, int(turn * panorama.shape[1]) * picture.shape[1] // panorama.shape[1], axis=1)
    return surroundings(np.ascontiguousarray(panorama), np.ascontiguousarray(picture))


def surroundings(panorama: Floats, picture: NDArray[np.uint8]) -> Surroundings:
    """A turned panorama (64, 128, 3) as light: its sun or window apart, the rest as harmonics and blurred levels."""
    directions, weights, basis = _sphere(*panorama.shape[:2])
    grey = panorama.mean(axis=2)
    peak = directions.reshape(-1, 3)[int(grey.argmax())]
    near = directions @ peak > _NEAR_SUN
    rest = np.where(near[..., None], np.minimum(panorama, panorama * (_SUN / np.maximum(grey, 1e-6))[..., None]), panorama)
    rest = np.minimum(rest, panorama)
    excess = (panorama - rest) * weights[..., None]
    power = excess.sum(axis=2)
    lamp = (directions * power[..., None]).sum(axis=(0, 1)) if power.sum() > 1e-6 else peak
    harmonics = basis.reshape(9, -1) @ (rest * weights[..., None]).reshape(-1, 3)
    levels = [rest]
    for rows, blur in _BANDS:
        small = cv2.resize(rest, (2 * rows, rows), interpolation=cv2.INTER_AREA)
        wide = int(4 * blur)
        padded = cv2.copyMakeBorder(np.pad(small, ((0, 0), (wide, wide), (0, 0)), mode="wrap"), wide, wide, 0, 0, cv2.BORDER_REFLECT)
        soft = cv2.GaussianBlur(padded, (0, 0), blur / 2)[wide:-wide, wide:-wide]
        levels.append(np.asarray(soft, np.float32))
    return Surroundings(
        np.asarray(harmonics, np.float32),
        np.asarray(lamp / (np.linalg.norm(lamp) + 1e-9), np.float32),
        np.asarray(excess.sum(axis=(0, 1)) / np.pi, np.float32),
        tuple(levels),
        picture,
    )


def seen_in(level: Floats, directions: Floats) -> Floats:
    """Light (…, 3) that comes from unit vectors (…, 3), camera frame."""
    height, width = level.shape[:2]
    column = np.arctan2(directions[..., 0], -directions[..., 2]) / (2 * np.pi) * width
    row = (0.5 - np.arcsin(np.clip(directions[..., 1], -1, 1)) / np.pi) * height
    wrapped = np.concatenate([level[:, -2:], level, level[:, :2]], axis=1)
    x = np.asarray(np.mod(column, width) + 1.5, np.float32)
    return np.asarray(cv2.remap(wrapped, x, np.asarray(row - 0.5, np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE))


@lru_cache(maxsize=1)
def _panoramas() -> tuple[Floats, tuple[NDArray[np.uint8], ...]]:
    """Light (N, 64, 128, 3) and pictures of the panoramas that come with the project; read once a process."""
    place = resources.files("fakeit.pipelines.synth").joinpath("data/environments.npz")
    with np.load(io.BytesIO(place.read_bytes())) as pack:
        ends = pack["ends"]
        coded = np.split(pack["pictures"], ends[:-1])
        pictures = [cv2.cvtColor(cv2.imdecode(one, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for one in coded]
        return pack["light"].astype(np.float32), tuple(np.asarray(picture, np.uint8) for picture in pictures)


@lru_cache(maxsize=1)
def _sphere(height: int, width: int) -> tuple[Floats, Floats, Floats]:
    """Of a panorama's cells: directions (H, W, 3), solid angles (H, W), and (9, H, W) what one unit of light from there
    adds to each coefficient of the ambient light: Lambert's cosine in second-order spherical harmonics (Ramamoorthi and
    Hanrahan 2001), divided by π."""
    column, row = np.meshgrid((np.arange(width) + 0.5) / width * 2 * np.pi, (0.5 - (np.arange(height) + 0.5) / height) * np.pi)
    x, y, z = np.sin(column) * np.cos(row), np.sin(row), -np.cos(column) * np.cos(row)
    weights = np.cos(row) * (np.pi / height) * (2 * np.pi / width)
    scale = np.array([0.282095**2, *[2 / 3 * 0.488603**2] * 3, *[1.092548**2 / 4] * 2, 0.315392**2 / 4, 1.092548**2 / 4, 0.546274**2 / 4])
    basis = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]) * scale[:, None, None]
    directions = np.stack([x, y, z], axis=2)
    return directions.astype(np.float32), weights.astype(np.float32), basis.astype(np.float32)
