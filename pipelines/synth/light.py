"""Light on a head: measured surroundings or drawn ambient light as second-order spherical harmonics, one to three
lamps, the first one's shadow, and how much of its surroundings each vertex sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import LightConfig
from fakeit.pipelines.synth.environment import Surroundings, draw_surroundings
from fakeit.pipelines.synth.head import Head, Material
from fakeit.pipelines.synth.raster import depth_only, vertex_normals

Floats = NDArray[np.float32]
SHADOW_SIDE = 160
_STRONGEST = 2.5  # times the ambient light: what a sun gives at most, since photographers fill shadows
_BOUNCED = 0.3  # of the ambient light's colour is lost: what comes off walls, clothes and skin fills shadows too
_FAINT = 0.12  # of the ambient light: a lamp whose shadow nobody would see


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
        around: the surroundings that the harmonics come from; None where they are drawn.
        balance: (3,) what the camera's white balance multiplies the surroundings by; the harmonics have it already.
    """

    harmonics: Floats
    directions: Floats
    colours: Floats
    wrap: Floats
    shadows: bool
    softness: float
    exposure: float
    around: Surroundings | None
    balance: Floats


def draw_lighting(config: LightConfig, random: np.random.Generator) -> Lighting:
    """Light for one face: measured or drawn. Colour temperatures of lamps vary by about ±15 % a channel, which spans
    3,000 to 9,000 K."""
    around = draw_surroundings(random)
    measured, drawn = random.random() < config.measured, _draw_lamps(config, random)
    harmonics, directions, colours = drawn
    if measured:
        sun = np.minimum(1.0, _STRONGEST * around.harmonics[0].mean() / max(around.place.colour.mean(), 1e-6))
        added = colours[1:] * random.uniform(0.2, 0.8)  # a flash, a window, a friend with a torch
        harmonics = around.harmonics / around.harmonics[0].mean()
        directions = np.concatenate([around.lamp[None], directions[1:]])
        sun = around.place.colour * sun / around.harmonics[0].mean()
        colours = np.concatenate([sun[None], added])
    mean = harmonics[0] + 0.4 * (colours.sum(axis=0) if not measured else colours[0])
    white = (mean / mean.mean()) ** -random.uniform(0.3, 1.0)
    harmonics = harmonics * white
    harmonics = harmonics + _BOUNCED * (harmonics.mean(axis=1, keepdims=True) - harmonics)
    colours = np.concatenate([colours[:1] * white, colours[1:] * (1 if measured else white)])
    balance = white / around.harmonics[0].mean() if measured else np.ones(3)
    return Lighting(
        harmonics=np.asarray(harmonics, np.float32),
        directions=np.asarray(directions, np.float32),
        colours=np.asarray(colours, np.float32),
        wrap=random.uniform(0, 0.3, 3)[: len(directions)].astype(np.float32),
        shadows=bool(random.random() < config.shadows and colours[0].mean() > _FAINT * harmonics[0].mean()),
        softness=float(random.uniform(0.7, 3.0)),
        exposure=float(0.37 * np.exp(random.normal(0, config.exposure_sd))),
        around=around if measured else None,
        balance=balance.astype(np.float32),
    )


def _draw_lamps(config: LightConfig, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Ambient light (9, 3), and lamps' directions and colours (L, 3). Lamps hang: most light comes from above."""
    ambient = random.uniform(*config.ambient)
    tint = np.exp(random.normal(0, 0.1, 3))
    harmonics = random.normal(0, 1, (9, 1)) * np.array([0, 0.2, 0.2, 0.3, 0.1, 0.1, 0.06, 0.1, 0.1])[:, None]
    harmonics[0], harmonics[1] = 1.0, harmonics[1] + 0.3
    count = int(random.integers(config.lights[0], config.lights[1] + 1))
    directions = random.normal(0, 1, (count, 3)) + [0, 0.9, 0]
    directions[:, 2] = np.abs(directions[:, 2]) * random.uniform(0.3, 1.5)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    colours = random.uniform(0.2, 1.2, (count, 1)) * np.exp(random.normal(0, 0.12, (count, 3)))
    return np.asarray(ambient * harmonics * tint, np.float32), np.asarray(directions), np.asarray(colours)


def shadow_map(
    positions: Floats, triangles: NDArray[np.int32], direction: Floats, side: int = SHADOW_SIDE
) -> tuple[Floats, Floats]:
    """What a far lamp sees.

    Args:
        positions: (V, 3) camera frame, cm.
        triangles: (T, 3).
        direction: (3,) towards the lamp.
        side: texels.

    Returns:
        depth (side, side), cm towards the lamp, and the (3, 4) affine from the camera frame to shadow texels and depth.
    """
    aside = np.cross([0.0, 1.0, 0.0], direction)
    aside /= np.linalg.norm(aside) + 1e-6
    frame = np.stack([aside, -np.cross(direction, aside), direction]).astype(np.float32)
    seen = frame @ positions.T
    low, high = seen[:2].min(axis=1), seen[:2].max(axis=1)
    scale = (side - 4) / float((high - low).max())
    matrix = np.zeros((3, 4), np.float32)
    matrix[:2, :3], matrix[:2, 3] = frame[:2] * scale, 2 - low * scale
    matrix[2, :3] = frame[2]
    seen[:2] = seen[:2] * np.float32(scale) + matrix[:2, 3:]
    return depth_only(np.ascontiguousarray(seen.T), triangles, side, side), matrix


def openness(head: Head, count: int = 96, side: int = 320) -> Floats:
    """How much of the sky above it each vertex of the mean face sees, (V,) in 0 to 1: dark nostrils, lids and corners
    of the mouth. From shadow maps of `count` directions, half a second."""
    vertices, triangles = head.neutral, head.triangles
    normals = np.asarray(vertex_normals(vertices, triangles), np.float32)
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))  # directions spread by the golden angle
    high = 1 - 2 * (np.arange(count) + 0.5) / count
    directions = np.stack([np.sqrt(1 - high**2) * np.cos(turn), high, np.sqrt(1 - high**2) * np.sin(turn)], axis=1)
    seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    for direction in directions.astype(np.float32):
        facing = np.maximum(normals @ direction, 0)
        depth, matrix = shadow_map(vertices, triangles, direction, side)
        at = (vertices + normals * 0.08) @ matrix[:, :3].T + matrix[:, 3]
        x, y = np.clip(np.rint(at[:, :2]).astype(int), 0, side - 1).T
        seen += facing * (depth[y, x] < at[:, 2] + 0.12)
        total += facing
    opened = np.where(total > 0.01, seen / total, 1.0)
    mouth = np.isin(head.material, (Material.TEETH, Material.GUMS))
    opened[np.unique(triangles[mouth])] = 1.0  # the mean mouth is shut; an open one is not as dark
    eyes = np.unique(triangles[np.isin(head.material, (Material.LEFT_EYE, Material.RIGHT_EYE))])
    opened[eyes] = np.maximum(opened[eyes], 0.7)  # what lids take from eyes, `lids` draws
    return np.asarray(opened, np.float32)
