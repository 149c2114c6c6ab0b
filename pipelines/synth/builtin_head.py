"""Our own head: a mesh, its identities and expressions from formulas alone, so that faces need no file.

A dense ellipsoid is pulled into a head by smooth bumps (nose, brow, sockets, lips, chin, cheeks); an identity mode or
an expression is one more smooth displacement of it. Eyes and mouth are painted. Lengths follow mean adult
anthropometry (outer eye corners 9 cm apart, face 18 cm high; Farkas 1994), rounded.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.head import Head, Material, grid_triangles
from fakeit.pipelines.synth.places import places
from fakeit.pipelines.synth.shoulders import with_shoulders

Floats = NDArray[np.float32]
_ACROSS, _UP = 150, 140  # vertices around and from pole to pole
_SPREAD = np.float32(0.75)  # of the modes as they are written: with `stretch_sd`, points then spread as on real faces
_LIPS_Y = -3.45  # where closed lips meet
_EYE = np.array([3.15, 3.45])  # middle of the eye at the viewer's right

# The left half of the points and the middle, x, y in cm; the right half mirrors them.
_POINTS = {
    0: (-7.3, 3.6), 1: (-7.2, 1.6), 2: (-6.9, -0.4), 3: (-6.5, -2.3), 4: (-5.7, -4.3), 5: (-4.5, -5.9),
    6: (-3.1, -7.0), 7: (-1.6, -7.7), 8: (0.0, -7.9),
    17: (-5.9, 4.8), 18: (-5.0, 5.6), 19: (-3.8, 5.9), 20: (-2.5, 5.7), 21: (-1.25, 5.2),
    27: (0.0, 3.6), 28: (0.0, 2.5), 29: (0.0, 1.45), 30: (0.0, 0.4), 31: (-1.4, -0.75), 32: (-0.7, -0.95),
    33: (0.0, -1.1), 36: (-4.5, 3.4), 37: (-3.75, 3.85), 38: (-2.75, 3.9), 39: (-1.85, 3.3), 40: (-2.75, 3.1),
    41: (-3.75, 3.1), 48: (-2.7, -3.4), 49: (-1.75, -2.8), 50: (-0.75, -2.45), 51: (0.0, -2.55),
    57: (0.0, -4.5), 58: (-0.85, -4.4), 59: (-1.8, -4.1), 60: (-2.35, -3.42), 61: (-0.95, -3.25),
    62: (0.0, -3.28), 66: (0.0, -3.62), 67: (-0.95, -3.62),
}  # fmt: skip
_MIRROR = {
    **{16 - i: i for i in range(8)},
    **{26 - i: 17 + i for i in range(5)},
    34: 32, 35: 31, 45: 36, 44: 37, 43: 38, 42: 39, 47: 40, 46: 41,
    54: 48, 53: 49, 52: 50, 56: 58, 55: 59, 64: 60, 63: 61, 65: 67,
}  # fmt: skip


def _bump(x: Floats, y: Floats, cx: float, cy: float, sx: float, sy: float) -> Floats:
    return np.asarray(np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2), np.float32)


def _step(value: Floats, start: float, end: float) -> Floats:
    t = np.clip((value - start) / (end - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _surface() -> tuple[Floats, NDArray[np.int32]]:
    """The head with open eyes and slightly parted lips: vertices (V, 3) and triangles (T, 3)."""
    u = np.linspace(-1, 1, _ACROSS)
    around = np.pi * np.sign(u) * np.abs(u) ** 1.7  # denser in front
    up = np.linspace(-1, 1, _UP) * np.pi / 2
    theta, phi = np.meshgrid(around, up)
    x, y, z = np.sin(theta) * np.cos(phi), np.sin(phi), np.cos(theta) * np.cos(phi)
    y = 2.2 + np.where(y > 0, 11.0, 11.3) * y
    taper = 1 - 0.27 * _step(y, 0.0, -8.5) ** 1.3
    x = 7.9 * x * taper
    z = np.where(z > 0, 9.0, 9.5) * z * (1 - 0.18 * _step(y, -2.0, -9.0) * (z < 0))
    front = _step(z, 1.0, 5.0)
    a = np.abs(x)
    nose = np.clip((4.2 - y) / 3.6, 0, 1) ** 1.3 * (1 - _step(y, 0.2, -1.3))
    z = z + front * (
        3.0 * nose * np.exp(-((x / (0.75 + 0.25 * nose)) ** 2))
        + 1.0 * _bump(a, y, 1.15, -0.45, 0.5, 0.6)
        - 0.7 * _bump(a, y, 0.6, -1.0, 0.3, 0.25)
        + 0.5 * _bump(a, y, 2.8, 5.3, 3.0, 0.8)
        - 0.9 * _bump(a, y, 3.0, 3.5, 1.5, 0.9)
        + 0.45 * _bump(a, y, 3.15, 3.45, 1.15, 0.6)
        - 0.18 * _bump(a, y, 3.2, 4.4, 1.3, 0.2)
        - 0.6 * _bump(a, y, 1.3, 3.6, 0.6, 1.2)
        + 0.7 * _bump(x, y, 0, -2.9, 2.0, 0.5)
        + 0.75 * _bump(x, y, 0, -4.1, 1.7, 0.5)
        - 0.4 * _bump(x, y, 0, -5.2, 1.8, 0.5)
        + 1.0 * _bump(x, y, 0, -7.0, 2.0, 1.2)
        + 0.6 * _bump(a, y, 4.4, 0.3, 1.8, 1.9)
        + 0.5 * _step(y, -1.0, -6.0)
    )
    ears = np.exp(-(((z + 0.6 - 0.12 * (y - 1.8)) / 1.25) ** 4) - ((y - 1.8) / 2.9) ** 4) * (a > 5)
    hollow = _bump(z, y, 0.1, 1.6, 0.7, 1.5) * (a > 5)
    x = x + np.sign(x) * (1.7 * ears * np.clip(0.75 - 0.3 * z, 0.3, 1.2) - 0.7 * hollow)
    z = z - 0.9 * ears
    head = np.stack([x, y, z], axis=2).reshape(-1, 3)
    grid = np.arange(_ACROSS * _UP).reshape(_UP, _ACROSS)
    neck, neck_grid = _neck(len(head))
    vertices = np.concatenate([head, neck]).astype(np.float32)
    return vertices, np.concatenate([grid_triangles(grid), grid_triangles(neck_grid)]).astype(np.int32)


def _neck(first: int) -> tuple[Floats, NDArray[np.int64]]:
    around, level = np.meshgrid(np.linspace(-np.pi, np.pi, 48), np.linspace(0, 1, 14))
    wide = 5.2 + 4.5 * level**4
    y = -19.0 + 15.0 * (1 - level)
    neck = np.stack([wide * np.sin(around), y, 0.9 * wide * np.cos(around) - 1.2 - level], axis=2)
    grid = np.arange(around.size).reshape(around.shape)[::-1] + first
    return neck.reshape(-1, 3).astype(np.float32), grid


def _identities(v: Floats, front: Floats) -> list[Floats]:
    """Displacements (V, 3) of one standard deviation each."""
    x, y = v[:, 0], v[:, 1]
    a, side, zero = np.abs(x), np.sign(x), np.zeros_like(x)
    lower, upper = _step(y, 0, -6), _step(y, 4, 9)
    eye = _bump(a, y, _EYE[0], _EYE[1], 1.7, 1.2) * front
    mouth = _bump(x, y, 0, _LIPS_Y, 2.8, 1.4) * front
    nose = _bump(x, y, 0, 0.4, 1.4, 1.8) * front
    brow = _bump(a, y, 3.4, 5.5, 2.8, 0.9) * front
    chin = _bump(x, y, 0, -7.2, 3.5, 2.0) * front

    def move(dx: Floats = zero, dy: Floats = zero, dz: Floats = zero) -> Floats:
        return np.stack([dx, dy, dz], axis=1).astype(np.float32)

    return [
        move(dx=0.35 * side * lower * np.minimum(a, 5) / 5),  # jaw width
        move(dx=0.35 * side * _step(y, -4, 2) * np.minimum(a, 5) / 5),  # cheekbones
        move(dx=0.3 * side * upper * np.minimum(a, 5) / 5),  # temples
        move(dy=-0.45 * _step(y, -2, -8)),  # length of the lower face
        move(dy=0.4 * upper),  # height of the forehead
        move(dx=0.16 * side * eye),  # distance of the eyes
        move(dy=0.15 * (y - _EYE[1]) * eye * 1.6),  # how open they are
        move(dx=0.12 * (x - side * _EYE[0]) * eye),  # how wide they are
        move(dy=0.18 * (a - _EYE[0]) * eye),  # their slant
        move(dy=0.22 * brow),
        move(dy=-0.28 * nose),  # length of the nose
        move(dz=0.35 * nose),
        move(dx=0.22 * x * _bump(x, y, 0, -0.3, 1.8, 1.0) * front),  # width of the nose
        move(dx=0.14 * x * mouth),
        move(dy=0.16 * (y - _LIPS_Y) * mouth),  # fullness of the lips
        move(dy=0.2 * mouth),
        move(dz=0.3 * mouth),
        move(dz=0.4 * chin),
        move(dz=0.35 * _bump(a, y, 4.4, 0.3, 2, 2) * front),  # cheeks
        move(dz=-0.35 * _bump(a, y, 3.0, 3.5, 1.7, 1.2) * front),  # depth of the eyes
        move(dz=0.3 * brow),
    ]


def _expressions(v: Floats, front: Floats) -> dict[str, Floats]:
    """Displacements (V, 3) at full strength, by ARKit's names."""
    x, y = v[:, 0], v[:, 1]
    a, side, zero = np.abs(x), np.sign(x), np.zeros_like(x)
    below = (y < _LIPS_Y).astype(np.float32)
    jaw = below * (1 - _step(a, 4.5, 7.5)) * _step(v[:, 2], -2, 4)
    mouth = _bump(x, y, 0, _LIPS_Y, 3.2, 1.8) * front
    upper = _bump(x, y, 0, -2.9, 2.2, 0.8) * front * (1 - below)
    lower = _bump(x, y, 0, -4.0, 2.2, 0.8) * front * below

    def move(dx: Floats = zero, dy: Floats = zero, dz: Floats = zero) -> Floats:
        return np.stack([dx, dy, dz], axis=1).astype(np.float32)

    shapes = {
        "jawOpen": move(dy=-3.3 * jaw, dz=-1.0 * jaw),
        "mouthPucker": move(dx=-0.38 * x * mouth, dz=0.8 * mouth),
        "mouthFunnel": move(dx=-0.25 * x * mouth, dy=0.5 * (upper - lower), dz=0.7 * mouth),
        "mouthLeft": move(dx=-0.9 * mouth),
        "mouthRight": move(dx=0.9 * mouth),
        "jawLeft": move(dx=-0.8 * jaw),
        "jawRight": move(dx=0.8 * jaw),
        "jawForward": move(dz=0.8 * jaw),
        "mouthRollLower": move(dy=0.3 * lower, dz=-0.3 * lower),
        "mouthRollUpper": move(dy=-0.25 * upper, dz=-0.3 * upper),
        "mouthShrugLower": move(dy=0.4 * lower),
        "mouthShrugUpper": move(dy=0.3 * upper),
    }
    lid = 3.2  # where closed lids meet
    for name, sign in (("_R", -1), ("_L", 1)):  # the subject's right is at the viewer's left
        half = (side == sign).astype(np.float32)
        corner = _bump(x, y, sign * 2.6, -3.5, 1.5, 1.5) * front
        eye = np.exp(-(((a - _EYE[0]) / 1.75) ** 4) - ((y - 3.5) / 1.0) ** 4).astype(np.float32) * front * half
        inner = _bump(a, y, 1.6, 5.4, 1.4, 1.2) * front * half
        outer = _bump(a, y, 4.8, 5.3, 1.8, 1.3) * front * half
        cheek = _bump(a, y, 4.2, -0.5, 1.8, 1.8) * front * half
        wing = _bump(a, y, 1.4, -0.3, 1.0, 1.2) * front * half
        shapes |= {
            "mouthSmile" + name: move(dx=sign * 0.75 * corner, dy=0.75 * corner + 0.2 * cheek, dz=-0.35 * corner),
            "mouthFrown" + name: move(dy=-0.6 * corner),
            "mouthStretch" + name: move(dx=sign * 0.7 * corner, dy=-0.25 * corner),
            "mouthDimple" + name: move(dx=sign * 0.4 * corner, dz=-0.3 * corner),
            "mouthPress" + name: move(dy=-0.15 * upper * half + 0.15 * lower * half),
            "mouthUpperUp" + name: move(dy=0.55 * upper * half),
            "mouthLowerDown" + name: move(dy=-0.55 * lower * half),
            "eyeBlink" + name: move(dy=(lid - y) * eye),
            "eyeSquint" + name: move(dy=0.35 * (lid + 0.2 - y) * eye),
            "eyeWide" + name: move(dy=-0.25 * (lid - y) * eye),
            "browInnerUp" + name: move(dy=0.8 * inner),
            "browOuterUp" + name: move(dy=0.8 * outer),
            "browDown" + name: move(dx=-sign * 0.25 * inner, dy=-0.6 * inner - 0.35 * outer),
            "cheekPuff" + name: move(dx=sign * 0.5 * cheek, dz=0.7 * cheek),
            "cheekSquint" + name: move(dy=0.35 * cheek),
            "noseSneer" + name: move(dy=0.4 * wing),
        }
    return shapes


@lru_cache(maxsize=1)
def builtin_head() -> Head:
    """The head; made once a process (about a tenth of a second)."""
    canonical, triangles = _surface()
    front = _step(canonical[:, 2], 1.0, 5.0)
    x, y = canonical[:, 0], canonical[:, 1]
    lips = np.exp(-((x / 2.5) ** 4) - ((y - _LIPS_Y) / 0.7) ** 4).astype(np.float32) * front
    neutral = canonical.copy()
    neutral[:, 1] += lips * np.clip(_LIPS_Y - y, -0.17, 0.17)  # closed
    table = np.array([_point(i) for i in range(68)], np.float32)
    seen = np.flatnonzero(canonical[:, 2] > 0.5)
    gap = ((canonical[seen][None, :, :2] - table[:, None]) ** 2).sum(axis=2) - 0.02 * canonical[seen][None, :, 2]
    landmarks = seen[gap.argmin(axis=1)]
    expressions = _expressions(canonical, front)
    eyes = [[sign * _EYE[0], _EYE[1], 8.5, 1.25] for sign in (-1, 1)]
    material = np.full(len(triangles), Material.FACE)
    head = Head(
        neutral=neutral,
        canonical=canonical,
        triangles=triangles,
        material=material.astype(np.int32),
        identity=(_SPREAD * np.stack(_identities(canonical, front))).reshape(-1, canonical.size),
        expressions=np.stack(list(expressions.values())).reshape(-1, canonical.size),
        expression_names=tuple(expressions),
        landmarks=np.concatenate([landmarks, [-1, -1]]),
        eyes=np.array(eyes, np.float32),
        painted=True,
        dense=places()["builtin"].astype(np.int64),
    )
    return with_shoulders(head)


def _point(index: int) -> tuple[float, float]:
    x, y = _POINTS[_MIRROR.get(index, index)]
    return (-x, y) if index in _MIRROR else (x, y)
