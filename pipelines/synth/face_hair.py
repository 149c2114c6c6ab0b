"""Hair of the face in strands: brows, beards and lashes, over what `paint` has painted beneath them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.baked import Baked
from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.hair import Hair
from fakeit.pipelines.synth.paint import Layer
from fakeit.pipelines.synth.strands import roots_on
from fakeit.pipelines.synth.strokes import draw_strokes

Floats = NDArray[np.float32]
BEARD_CLASS = 14
_STUBBLE = 0.5  # cm
_UNDER_BEARDS = np.isin(np.arange(256), (0, 1, 12, 15))  # background, skin, neck, clothing
_UPPER = ((36, 37, 38, 39), (45, 44, 43, 42))  # lids from the outer corner inwards
_LOWER = ((36, 41, 40, 39), (45, 46, 47, 42))


def draw_face_hair(
    image: Floats, classes: NDArray[np.uint8], depth: Floats, vertices: Floats, normals: Floats, canonical: Floats,
    triangles: NDArray[np.int32], made: Baked, light: Floats, layers: Floats, landmarks: Floats,
    hair: Hair, camera: Camera, lashed: bool, random: np.random.Generator,
) -> None:  # fmt: skip
    """Draws beard, brows and lashes, in place.

    Args:
        image: (H, W, 3) linear.
        classes: (H, W); a beard of strands is class 14.
        depth: (H, W) of the head.
        vertices: (V, 3) head frame.
        normals: (V, 3) head frame.
        canonical: (V, 3).
        triangles: (T, 3).
        made: of the head.
        light: (V, ≥3) that reaches each vertex.
        layers: `paint.paint`.
        landmarks: (70, 3) head frame.
        hair: colours.
        camera: that sees it.
        lashed: the head has lashes of its own.
        random: the strands' own stream.
    """
    dice = random.random(4)
    x, y = made.texels.T
    scale = camera.scale

    def brush(
        layer: int,
        count: int,
        length: float,
        toward: Callable[[Floats], Floats],
        width: float,
        colour: Floats,
        droop: float,
        opacity: float = 0.8,
    ) -> Floats:
        density = layers[y, x, layer]
        grown = np.flatnonzero(density)
        skin, density = triangles[made.front[grown]], density[grown] * made.size[made.front[grown]]
        roots, outward, owners = roots_on(vertices, normals, skin, density, count, random)
        lengths = length * np.exp(random.normal(0, 0.35, (len(roots), 1)))
        aim = toward(canonical[skin[owners, 0]]) + random.normal(0, 0.18, roots.shape) + 0.35 * outward
        aim /= np.linalg.norm(aim, axis=1, keepdims=True) + 1e-6
        share = np.linspace(0, 1, 4)[None, :, None]
        strands = (
            roots[:, None] + (aim * lengths)[:, None] * share - np.array([0, droop, 0]) * lengths[:, None] * share**2
        )
        lit = light[skin[owners, 0], :3][:, None] * colour * np.exp(random.normal(0, 0.3, (len(roots), 1, 1)))
        lit = np.ascontiguousarray(np.broadcast_to(lit, strands.shape), np.float32)
        points = camera.project(camera.to_camera(strands.reshape(-1, 3))).reshape(strands.shape)
        return draw_strokes(image, depth, points, lit, np.full(len(roots), scale * width, np.float32), opacity, 0.12)

    if layers[..., Layer.BEARD].any() and dice[0] < 0.75:
        long = 0.12 + 2.8 * dice[1] ** 4 * float(layers[..., Layer.BEARD].max())  # long ones are dense
        stubble = long < _STUBBLE
        count = int(np.clip(1200 * scale / 17, 200, 1400) * (2.5 if stubble else 1))
        width, opacity = (0.025, 0.35) if stubble else (0.045, 0.8)  # skin shows between what is shaven, and through it
        covered = brush(Layer.BEARD, count, long, _beard_way, width, hair.beard, 0.4, opacity)
        classes[(covered > 0.5) & _UNDER_BEARDS[classes]] = BEARD_CLASS
    count = int(np.clip(380 * scale / 17, 80, 450) * (0.5 + dice[2]))
    brush(Layer.BROWS, count, 0.65, _brow_way, 0.03, hair.brow, 0.0)
    _lashes(image, depth, landmarks, hair, light, camera, 0.3 + 0.7 * dice[3], 0.5 if lashed else 1.0, random)


def _beard_way(place: Floats) -> Floats:
    aside = np.clip(place[:, 0] / 3, -1, 1)
    return np.stack([0.35 * aside, np.full(len(place), -0.8), np.full(len(place), 0.1)], axis=1)


def _brow_way(place: Floats) -> Floats:
    """Upwards at their inner ends, outwards and a little down at the outer."""
    out = np.clip((np.abs(place[:, 0]) - 1.2) / 4.5, 0, 1)
    return np.stack([np.sign(place[:, 0]) * (0.35 + out), 0.75 - 1.1 * out, np.full(len(place), 0.0)], axis=1)


def _lashes(
    image: Floats, depth: Floats, landmarks: Floats, hair: Hair, light: Floats, camera: Camera, strength: float,
    share: float, random: np.random.Generator,
) -> None:  # fmt: skip
    """Curved lashes along the lids: long above, short below; `share` of their length and number beside a head's own."""
    strands = []
    upper, lower = int(60 * share), int(26 * share)
    for lids, up, length, count in ((_UPPER, 0.5, 0.8 * share, upper), (_LOWER, -0.7, 0.35 * share, lower)):
        for lid in lids:
            line = landmarks[list(lid)]
            at = np.sort(random.uniform(0.04, 0.94, count))
            piece = np.minimum((3 * at).astype(int), 2)
            part = (3 * at - piece)[:, None]
            root = (1 - part) * line[piece] + part * line[piece + 1]
            bulge = 4 * at * (1 - at) * 0.12 * np.sign(up)  # lids are round between their points
            root[:, 1] += bulge
            side = np.sign(line[0, 0])
            fan = random.normal(0, 0.12, (count, 3))
            fan[:, 0] += side * (0.55 - 0.75 * at)
            fan[:, 2] += 1.0
            fan /= np.linalg.norm(fan, axis=1, keepdims=True)
            reach = (length * (0.55 + 0.45 * np.sin(np.pi * np.clip(at + 0.1, 0, 1))) * (0.5 + 0.5 * strength))[
                :, None, None
            ]
            run = np.linspace(0, 1, 4)[None, :, None]
            curve = fan[:, None] * run * 0.8 + np.array([0, up, 0]) * run**1.6
            strands.append(root[:, None] + curve * reach)
    lashes = np.concatenate(strands)
    tint = np.minimum(hair.brow, 0.02) * float(light[:, :3].mean())
    lit = np.ascontiguousarray(np.broadcast_to(tint, lashes.shape), np.float32)
    points = camera.project(camera.to_camera(lashes.reshape(-1, 3))).reshape(lashes.shape)
    widths = np.full(len(lashes), camera.scale * (0.02 + 0.025 * strength), np.float32)
    draw_strokes(image, depth, points, lit, widths, 0.85, 0.15)
