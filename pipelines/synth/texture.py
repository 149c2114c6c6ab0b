"""A photographed skin as the shader reads it: pictures, a table of albedos, and their look-ups, compiled; eyes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
STEPS = 1024  # of the table: four a value of the picture
_PUPIL = 0.01  # linear


@dataclass(frozen=True)
class Texture:
    """What one face wears on its skin.

    Attributes:
        picture: (H, W, 4) uint8, RGB and the brows' alpha.
        scale: texels of this picture for one of `Head.uv`.
        table: (3, STEPS) float32 linear albedo of a channel's value.
        iris: (128, 128, 3) float32 linear.
        lashes: (h, w) float32, their alpha.
        lash_colour: (3,) linear.
        colour: (3,) linear, the skin's mean as it comes out.
        chest: (3,) linear, of the throat: what it wears below, where the picture has nothing.
    """

    picture: Bytes
    scale: float
    table: Floats
    iris: Floats
    lashes: Floats
    lash_colour: Floats
    colour: Floats
    chest: Floats


def arrays(uv: Floats | None, texture: Texture | None) -> tuple[Floats, Bytes, Floats, Floats]:
    """What the kernel takes: texels (T, 3, 2), picture, table and iris; of one texel where a head has no texture."""
    if texture is None or uv is None:
        return (
            np.zeros((1, 3, 2), np.float32), np.zeros((1, 1, 4), np.uint8), np.zeros((3, 1), np.float32),
            np.zeros((1, 1, 3), np.float32),
        )  # fmt: skip
    at = uv if texture.scale == 1 else uv * np.float32(texture.scale)
    return at, texture.picture, texture.table, texture.iris


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def skin_at(albedo: Any, skin: Any, table: Any, at: Any, u: float, v: float, w: float, brows: bool) -> float:
    """The skin's picture at a pixel of a triangle with texels `at` (3, 2); returns the brow's alpha there, where
    `brows` may be."""
    x = min(max(u * at[0, 0] + v * at[1, 0] + w * at[2, 0], 0.0), skin.shape[1] - 1.001)
    y = min(max(u * at[0, 1] + v * at[1, 1] + w * at[2, 1], 0.0), skin.shape[0] - 1.001)
    x0, y0 = int(x), int(y)
    fx, fy = x - x0, y - y0
    a, b, c, d = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
    steps = (table.shape[1] - 1) / 255.0
    for i in range(3):
        value = a * skin[y0, x0, i] + b * skin[y0, x0 + 1, i] + c * skin[y0 + 1, x0, i] + d * skin[y0 + 1, x0 + 1, i]
        albedo[i] = table[i, int(value * steps)]
    if not brows:
        return 0.0
    alpha = a * skin[y0, x0, 3] + b * skin[y0, x0 + 1, 3] + c * skin[y0 + 1, x0, 3] + d * skin[y0 + 1, x0 + 1, 3]
    return alpha / 255.0  # type: ignore[no-any-return]


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def eye_at(albedo: Any, colours: Any, away: float, iris: float, pupil: float) -> None:
    """Pupil, iris with a dark limbus that is no line, sclera that reddens outwards; by the distance from the iris'
    centre."""
    if away < pupil:
        for a in range(3):
            albedo[a] = _PUPIL
    elif away < iris:
        edge = away / iris
        for a in range(3):
            albedo[a] = colours[6, a] * (1.35 - 0.5 * edge) * (1 - 0.65 * edge**6)
    else:
        red = min(1.0, (away - iris) * 1.1)
        soft = 1 - 0.6 * max(0.0, 1 - (away - iris) / (0.13 * iris))
        albedo[0] = colours[7, 0] * (1 - 0.12 * red) * soft
        albedo[1] = colours[7, 1] * (1 - 0.3 * red) * soft
        albedo[2] = colours[7, 2] * (1 - 0.34 * red) * soft


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def iris_at(  # noqa: PLR0913 - a kernel takes plain arrays
    albedo: Any, iris: Any, away: float, edge: float, pupil: float, dx: float, dy: float, dz: float, gaze: Any
) -> None:
    """The iris' picture around the direction of the gaze, its pupil as wide as drawn."""
    if away >= edge:
        return
    across = math.sqrt(gaze[0] * gaze[0] + gaze[2] * gaze[2]) + 1e-6
    right = (dx * gaze[2] - dz * gaze[0]) / across
    up = (dy * (gaze[2] * gaze[2] + gaze[0] * gaze[0]) - gaze[1] * (dx * gaze[0] + dz * gaze[2])) / across
    length = math.sqrt(right * right + up * up) + 1e-6
    ring = 0.27 * away / pupil if away < pupil else 0.27 + 0.63 * (away - pupil) / (edge - pupil)
    half = iris.shape[0] * 0.5
    x, y = int(half + half * ring * right / length), int(half - half * ring * up / length)
    for a in range(3):
        albedo[a] = iris[min(y, iris.shape[0] - 1), min(x, iris.shape[1] - 1), a] if away > pupil else _PUPIL
