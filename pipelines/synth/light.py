"""Light on a head: ambient light as second-order spherical harmonics, one to three lamps, the first one's shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import LightConfig
from fakeit.pipelines.synth.raster import rasterise

Floats = NDArray[np.float32]
SHADOW_SIDE = 160


@dataclass(frozen=True)
class Lighting:
    """All in the camera frame.

    Attributes:
        harmonics: (9, 3) coefficients of the ambient light by colour, constant, y, z, x, xy, yz, 3z²−1, xz, x²−y².
        directions: (L, 3) unit vectors towards the lamps.
        colours: (L, 3) linear RGB.
        wrap: how far each lamp's light reaches round the edge (large lamps: more), (L,).
        shadows: whether the first lamp casts them.
        softness: of the shadow's edge, in texels of the shadow map.
        exposure: the median brightness that the face is brought to.
    """

    harmonics: Floats
    directions: Floats
    colours: Floats
    wrap: Floats
    shadows: bool
    softness: float
    exposure: float


def draw_lighting(config: LightConfig, random: np.random.Generator) -> Lighting:
    """Light for one face. Colour temperatures vary by about ±15 % a channel, which spans 3,000 to 9,000 K."""
    ambient = random.uniform(*config.ambient)
    tint = np.exp(random.normal(0, 0.12, 3))
    harmonics = random.normal(0, 1, (9, 1)) * np.array([0, 0.3, 0.2, 0.3, 0.1, 0.1, 0.06, 0.1, 0.1])[:, None]
    harmonics[0] = 1.0
    count = int(random.integers(config.lights[0], config.lights[1] + 1))
    directions = random.normal(0, 1, (count, 3)) + [0, 0.4, 0]
    directions[:, 2] = np.abs(directions[:, 2]) * random.uniform(0.3, 1.5)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    colours = random.uniform(0.2, 1.2, (count, 1)) * np.exp(random.normal(0, 0.15, (count, 3)))
    return Lighting(
        harmonics=np.asarray(ambient * harmonics * tint, np.float32),
        directions=directions.astype(np.float32),
        colours=colours.astype(np.float32),
        wrap=random.uniform(0, 0.3, count).astype(np.float32),
        shadows=bool(random.random() < config.shadows),
        softness=float(random.uniform(0.7, 3.0)),
        exposure=float(0.3 * np.exp(random.normal(0, config.exposure_sd))),
    )


def shadow_map(positions: Floats, triangles: NDArray[np.int32], direction: Floats) -> tuple[Floats, Floats]:
    """What a far lamp sees.

    Args:
        positions: (V, 3) camera frame, cm.
        triangles: (T, 3).
        direction: (3,) towards the lamp.

    Returns:
        depth (SHADOW_SIDE, SHADOW_SIDE), cm towards the lamp, and the (3, 4) affine from the camera frame to
        shadow texels and depth.
    """
    side = np.cross([0.0, 1.0, 0.0], direction)
    side /= np.linalg.norm(side) + 1e-6
    frame = np.stack([side, -np.cross(direction, side), direction]).astype(np.float32)
    seen = positions @ frame.T
    low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
    scale = (SHADOW_SIDE - 4) / float((high - low).max())
    matrix = np.zeros((3, 4), np.float32)
    matrix[:2, :3], matrix[:2, 3] = frame[:2] * scale, 2 - low * scale
    matrix[2, :3] = frame[2]
    points = np.concatenate([seen[:, :2] * scale + matrix[:2, 3], seen[:, 2:]], axis=1).astype(np.float32)
    depth, _, _, _ = rasterise(points, triangles, SHADOW_SIDE, SHADOW_SIDE)
    return depth, matrix
