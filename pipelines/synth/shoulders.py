"""Shoulders for heads whose mesh ends at the throat: rings from the neck's cut edge that widen to chest and arms.

The sizes are those of MakeHuman's mean adult in the frame that all heads share, cm.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.head import Head, Material, grid_triangles

Floats = NDArray[np.float32]
_AROUND = 56
_CUT = -10.3  # of the head's mesh, what lies below this is taken out
# height, half width, front, back
_RINGS = np.array([
    (-11.6, 7.9, 3.8, -7.8), (-12.2, 8.8, 3.6, -8.1), (-12.8, 10.1, 3.3, -8.4), (-13.4, 11.8, 3.1, -8.6),
    (-14.0, 13.6, 3.0, -8.8), (-14.7, 15.5, 2.9, -9.1), (-15.5, 17.4, 2.9, -9.4), (-16.4, 19.1, 3.1, -9.7),
    (-17.4, 20.5, 3.6, -10.0), (-18.6, 21.6, 4.2, -10.4), (-20.2, 22.4, 5.2, -10.8), (-22.5, 22.9, 6.3, -11.1),
    (-26.0, 23.1, 7.7, -11.2), (-34.0, 23.0, 9.9, -11.0),
])  # fmt: skip
_JOINED = -13.8  # from the neck's own form to this height's
_BROADER = 0.07  # of the width that a deviation of the first mode brings: bodies differ as faces do
_FOLLOWS = 4.0  # cm below the neck within which shoulders cease to follow its identity


def with_shoulders(head: Head) -> Head:
    """The head with shoulders and chest, its vertices in their order and new ones behind them. A mesh that ends above
    the throat stays as it is."""
    skin = head.material <= Material.SCALP
    kept = ~skin | (head.neutral[head.triangles, 1] > _CUT).any(axis=1)
    edge = np.unique(head.triangles[kept & skin])
    edge = edge[head.neutral[edge, 1] <= _CUT]
    if len(edge) < 3:
        return head
    middle = float(head.neutral[edge, 2].min() + head.neutral[edge, 2].max()) / 2
    turn = np.arctan2(head.neutral[edge, 0], head.neutral[edge, 2] - middle)
    edge, turn = edge[np.argsort(turn, kind="stable")], np.sort(turn)
    rings = _rings(head.neutral[edge], turn, middle)
    added = rings.reshape(-1, 3)
    index = np.arange(len(added)).reshape(rings.shape[:2]) + len(head.neutral)
    closed = np.concatenate([index, index[:, :1]], axis=1)[::-1]
    faces = np.concatenate([_zip(edge, turn, index[0]), grid_triangles(closed)])
    modes, shapes = len(head.identity), len(head.expressions)
    moved = _follow(head, edge, added)
    identity = np.concatenate([head.identity.reshape(modes, -1, 3), moved], axis=1)
    still = np.zeros((shapes, *added.shape), np.float32)
    return replace(
        head,
        neutral=np.concatenate([head.neutral, added]),
        canonical=np.concatenate([head.canonical, added]),
        triangles=np.ascontiguousarray(np.concatenate([head.triangles[kept], faces]), np.int32),
        material=np.concatenate([head.material[kept], np.full(len(faces), Material.FACE, np.int32)]),
        identity=np.ascontiguousarray(identity.reshape(modes, -1)),
        expressions=np.concatenate([head.expressions.reshape(shapes, -1, 3), still], axis=1).reshape(shapes, -1),
    )


def _turns() -> Floats:
    return np.linspace(-np.pi, np.pi, _AROUND, endpoint=False).astype(np.float32)


def _rings(neck: Floats, turn: Floats, middle: float) -> Floats:
    """(R, _AROUND, 3) below the neck's edge (N, 3), whose vertices lie at angles (N,) about its middle (z)."""
    far = np.hypot(neck[:, 0], neck[:, 2] - middle)
    wrapped = np.concatenate([turn - 2 * np.pi, turn, turn + 2 * np.pi])
    radius = np.interp(_turns(), wrapped, np.tile(far, 3))
    radius = (radius + np.roll(radius[::-1], 1)) / 2  # the same at both sides
    sine, cosine = np.sin(_turns()), np.cos(_turns())
    theirs = np.stack([radius * sine, middle + radius * cosine], axis=1)
    top, rings = float(neck[:, 1].mean()), []
    for height, wide, front, back in _RINGS:
        ours = np.stack([wide * sine, (front + back) / 2 + (front - back) / 2 * cosine], axis=1)
        body = float(np.clip((top - height) / (top - _JOINED), 0, 1))
        across = theirs + (ours - theirs) * (body * body * (3 - 2 * body))
        rings.append(np.stack([across[:, 0], np.full(_AROUND, height), across[:, 1]], axis=1))
    return np.stack(rings).astype(np.float32)


def _zip(edge: NDArray[np.int64], turn: Floats, ring: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangles between the neck's edge and the first ring, each closed and in the order of its angles."""
    upper, lower = [*edge, edge[0]], [*ring, ring[0]]
    above, below = [*turn, turn[0] + 2 * np.pi], [*_turns(), np.pi]
    faces, i, j = [], 0, 0
    while i + 1 < len(upper) or j + 1 < len(lower):
        if i + 1 < len(upper) and (j + 1 == len(lower) or above[i + 1] < below[j + 1]):
            faces.append((upper[i], lower[j], upper[i + 1]))
            i += 1
        else:
            faces.append((lower[j], lower[j + 1], upper[i]))
            j += 1
    return np.array(faces)


def _follow(head: Head, edge: NDArray[np.int64], added: Floats) -> Floats:
    """Displacements (M, N, 3) of the added vertices by identity: the neck's own nearby, none further down."""
    gap = np.linalg.norm(added[:, None] - head.neutral[edge], axis=2)
    weight = np.exp(-((gap - gap.min(axis=1, keepdims=True)) / 1.5))
    weight /= weight.sum(axis=1, keepdims=True)
    fading = np.clip(1 - (_CUT - 0.8 - added[:, 1]) / _FOLLOWS, 0, 1)[:, None]
    moved = np.einsum("nr,mra->mna", weight, head.identity.reshape(len(head.identity), -1, 3)[:, edge]) * fading
    if len(moved):
        moved[0, :, 0] += _BROADER * added[:, 0] * (1 - fading[:, 0])
    return np.asarray(moved, np.float32)
